"""Kafka's own tools, run inside an environment."""

import re
from collections.abc import Mapping, Sequence

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
from provision.operations.clients import access_inside, java_properties
from provision.operations.status import require_nodes
from provision.runtime.base import JavaCommand, Runtime, Streams

_LOCALHOST = "localhost"


def run_tool(
    runtime: Runtime, name: str, tool: str, arguments: Sequence[str], streams: Streams, *, user: str = ""
) -> int:
    """Run one of Kafka's own tools inside the environment, as a user or as provision itself; returns its exit code.

    The address of the environment is filled in if none is given. The tool runs in the environment's network, where
    `localhost:9092` would be the tool itself. So this environment's addresses on this machine are replaced by those
    that are valid inside, and commands from a how-to work unchanged.

    Raises:
        UsageError: this version of Kafka has no such tool, or there is no such user.
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
    inside = {at: runtime.inside_address(name, node.name) for node in observed.nodes for at in node.endpoints}
    main_class, *first = entry.split()
    role = Role.ZOOKEEPER if tool == "zookeeper-shell" else Role.BROKER
    servers = ",".join(runtime.inside_address(name, node.name) for node in observed.of_role(role))
    address = filled_in_address(address_option(tool, version), arguments, servers)
    translated = (as_seen_inside(argument, inside) for argument in arguments)
    access = access_inside(observed, user)
    option, properties = filled_in_config(access, config_option(tool, version), arguments)
    command = JavaCommand(main_class, (*first, *address, *translated), option, properties)
    return runtime.run_tool(observed, command, streams)


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
    said = any(argument.split("=")[0] in TOOL_CONFIGS for argument in arguments)
    if option is None or said or {"--help", "--version", "--zookeeper"} & set(arguments) or not access.secured:
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
