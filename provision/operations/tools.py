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
from provision.observe.reach import access_to
from provision.operations.clients import access_as, java_properties
from provision.operations.status import require_nodes
from provision.plan.observed import NodeState
from provision.runtime.base import JavaCommand, Runtime, Streams

_LOCALHOST = "localhost"
_LISTENING = (NodeState.RUNNING, NodeState.PAUSED)
# An option of one letter with its value in the same argument, and a property of a client.
_SHORTEST = re.compile(r"-[bz](?=[^=]*:\d)")
_PROPERTY = re.compile(r"bootstrap\.(?:servers|controllers)\s*[=:]\s*([^\s\"']+)")


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
    inside = {
        node.endpoint: runtime.inside_address(name, node.name) for node in observed.nodes if node.endpoint is not None
    }
    main_class, *first = entry.split()
    role = Role.ZOOKEEPER if tool == "zookeeper-shell" else Role.BROKER
    # Where a node has stopped, anybody may listen by now, who would be told a password.
    own = {node.name: runtime.inside_address(name, node.name) for node in observed.nodes if node.state in _LISTENING}
    asked = [node.name for node in observed.of_role(role)]
    access = access_as(observed, user) if user else access_to(observed)
    if access.secured:
        asked = [node for node in asked if node in own] or asked  # none: the tool itself says that nobody answers
    servers = ",".join(runtime.inside_address(name, node) for node in asked)
    translated = tuple(as_seen_inside(argument, inside) for argument in arguments)
    address = filled_in_address(address_option(tool, version), translated, servers)
    option, properties = "", b""
    if set(given_addresses((*address, *translated))) <= set(own.values()):
        option, properties = filled_in_config(access, config_option(tool, version), arguments)
    command = JavaCommand(main_class, (*first, *address, *translated), option, properties)
    return runtime.run_tool(observed, command, streams)


def given_addresses(arguments: Sequence[str]) -> tuple[str, ...]:
    """The addresses among a tool's arguments, each as it is written; numbers of brokers are none.

    An option may be shortened, as Kafka's tools allow, and a property may be in any argument.
    """
    found = []
    for argument, following in zip(arguments, (*arguments[1:], ""), strict=False):
        name, has_value, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and any(_is_short_for(name, option[2:]) for option in TOOL_ADDRESSES):
            found.append(value if has_value else following)
        elif match := _SHORTEST.match(argument):
            found.append(argument[match.end() :])
        found += _PROPERTY.findall(argument)
    every = (re.sub(r"^\w+://", "", address.strip()) for listed in found for address in listed.split(","))
    return tuple(address for address in every if address and not address.isdecimal())


def _is_short_for(name: str, option: str) -> bool:
    """Whether a name may stand for an option, which may have further letters in some versions."""
    return bool(name) and (option.startswith(name) or name.startswith(option))


def filled_in_address(option: str | None, arguments: Sequence[str], servers: str) -> tuple[str, ...]:
    """The arguments that give a tool its servers; none if the user names some, or only asks for help."""
    if option is None or {"--help", "--version"} & set(arguments):
        return ()
    if not option:
        first = arguments[0] if arguments else ""
        return () if re.match(r"[\w.,:\[\]-]+:\d+", first) else (servers,)
    return () if given_addresses(arguments) else (option, servers)


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
