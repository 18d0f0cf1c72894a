"""Kafka's own tools, run inside an environment."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from provision.catalogue.versions import (
    TOOL_ADDRESSES,
    TOOL_CONFIGS,
    address_option,
    config_option,
    release_of,
    version_of,
)
from provision.cluster.layout import LOOPBACK
from provision.cluster.model import Role
from provision.errors import ProvisionError, UsageError
from provision.kafka.access import Access
from provision.operations.clients import access_for, access_inside, java_properties, required_listener
from provision.operations.status import require_nodes
from provision.plan.observed import DOCKER, ObservedEnvironment
from provision.runtime.base import JavaCommand, Runtime, Streams

_LOCALHOST = "localhost"


@dataclass(frozen=True, slots=True)
class _Way:
    """How a tool gets in: by default at `servers`; `inside` has what other addresses are called where it runs."""

    access: Access
    servers: str
    inside: Mapping[str, str]


def run_tool(  # noqa: PLR0913 what runs, and how it gets in
    runtime: Runtime,
    name: str,
    tool: str,
    arguments: Sequence[str],
    streams: Streams,
    *,
    user: str = "",
    listener: str = "",
) -> int:
    """Run one of Kafka's own tools inside the environment, as a user or as provision itself; returns its exit code.

    The address of the environment is filled in if none is given. The tool runs in the environment's network, where
    `localhost:9092` would be the tool itself. So this environment's addresses on this machine are replaced by those
    that are valid inside, and commands from a how-to work unchanged.

    Raises:
        UsageError: this version of Kafka has no such tool, or there is no such user, or listener where it runs.
    """
    observed = require_nodes(runtime, name)
    version = version_of(observed.version)
    if version is None:
        raise ProvisionError(f"the Kafka version of {name} is not known", hint=f"`provision up {name}` notes it again")
    tool = tool.removesuffix(".sh")
    tools = release_of(version).tools
    entry = tools.get(tool)
    if entry is None:
        raise UsageError(f"Kafka {observed.version} has no tool {tool}", hint=f"known: {', '.join(sorted(tools))}")
    main_class, *first = entry.split()
    role = Role.ZOOKEEPER if tool == "zookeeper-shell" else Role.BROKER
    way = _way(runtime, observed, role, user, listener, has_file=names_config(arguments))
    address = filled_in_address(address_option(tool, version), arguments, way.servers)
    translated = (as_seen_inside(argument, way.inside) for argument in arguments)
    option, properties = filled_in_config(way.access, config_option(tool, version), arguments)
    command = JavaCommand(main_class, (*first, *address, *translated), option, properties)
    return runtime.run_tool(observed, command, streams)


def _way(
    runtime: Runtime, observed: ObservedEnvironment, role: Role, user: str, listener: str, *, has_file: bool
) -> _Way:
    if listener and observed.runtime == DOCKER:
        what = "a tool runs in the environment's network, which has none of the listeners for this machine"
        raise UsageError(what, hint="leave --listener out: it gets in at INTERNAL")
    named = any(node.listeners for node in observed.nodes)
    if role is Role.BROKER and (listener or (has_file and named and observed.runtime != DOCKER)):
        # A file that says how to get in is for a listener of this machine, as `client-config` writes it.
        access = access_for(observed, user, listener)
        name = required_listener(observed, listener) if listener else ""
        return _Way(access, observed.bootstrap_servers_at(name), {})
    addresses = {node.name: runtime.inside_address(observed.name, node.name) for node in observed.nodes}
    inside = {at: addresses[node.name] for node in observed.nodes for at in node.endpoints}
    servers = ",".join(addresses[node.name] for node in observed.of_role(role))
    return _Way(access_inside(observed, user), servers, inside)


def names_config(arguments: Sequence[str]) -> bool:
    """Whether the arguments of a tool name a file that says how it gets in."""
    return any(argument.split("=")[0] in TOOL_CONFIGS for argument in arguments)


def filled_in_address(option: str | None, arguments: Sequence[str], servers: str) -> tuple[str, ...]:
    """The arguments that give a tool its servers; none if the user names some, or only asks for help."""
    if option is None or {"--help", "--version"} & set(arguments):
        return ()
    if not option:
        first = arguments[0] if arguments else ""
        return () if re.match(r"[\w.,:\[\]-]+:\d+", first) else (servers,)
    said = any(argument.split("=")[0] in TOOL_ADDRESSES for argument in arguments)
    return () if said else (option, servers)


def filled_in_config(access: Access, option: str | None, arguments: Sequence[str]) -> tuple[str, bytes]:
    """The option and the content of the file that lets a tool in; empty if it needs none, or the user names one."""
    if (
        option is None
        or names_config(arguments)
        or {"--help", "--version", "--zookeeper"} & set(arguments)
        or not access.secured
    ):
        return "", b""
    return option, java_properties(access, inline=True).encode("ascii")


def as_seen_inside(argument: str, inside: Mapping[str, str]) -> str:
    """An argument with every address of this machine replaced.

    Args:
        argument: as the user wrote it; `localhost` stands for the loopback address.
        inside: the addresses valid inside, by those of this machine, both `host:port`.
    """
    hosts = {endpoint.rpartition(":")[0] for endpoint in inside}
    known = "|".join(re.escape(host) for host in sorted({*hosts, _LOCALHOST}))

    def replace(match: re.Match[str]) -> str:
        host = LOOPBACK if match[1] == _LOCALHOST else match[1]
        return inside.get(f"{host}:{match[2]}", match[0])

    return re.sub(rf"(?<![\w.-])({known}):(\d+)(?!\d)", replace, argument)
