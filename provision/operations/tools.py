"""Kafka's own tools, run inside an environment."""

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from provision.catalogue.versions import (
    KRAFT,
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
from provision.observe.ensemble import secrets_for_tools
from provision.operations.clients import access_for, access_inside, required_listener
from provision.operations.forms import java_properties
from provision.operations.status import require_nodes
from provision.plan.observed import DOCKER, NodeState, ObservedEnvironment
from provision.runtime.base import DIRECTORY, JavaCommand, Runtime, Streams
from provision.security.ensemble import of_tool

_LOCALHOST = "localhost"
_ZOOKEEPER_SHELL, _ZOOKEEPER = "zookeeper-shell", "zookeeper"
_QUORUM_TOOL = "kafka-metadata-quorum"
_SERVER = "-server"
"""What stands before an address of the shell: the program puts it before the first argument."""
_LISTENING = (NodeState.RUNNING, NodeState.PAUSED)
_ADDRESSES = re.compile(r"[\w.,:\[\]-]+:\d+")
# An option of one letter with its value in the same argument, and a property of a client.
_SHORTEST = re.compile(r"-[bz](?=[^=]*:\d)")
_PROPERTY = re.compile(r"(?:bootstrap\.(?:servers|controllers)|zookeeper\.connect)\s*[=:]\s*([^\s\"']+)")
_OF_ENSEMBLE = re.compile(r"zookeeper\.connect\s*[=:]")


class _Way(Struct, frozen=True):
    """How a tool gets in: by default at `servers`; `inside` has what other addresses are called where it runs.

    `own` are those of running nodes: where one has stopped, anybody may listen by now, who would be told a password.
    """

    access: Access
    servers: tuple[str, ...]
    inside: Mapping[str, str]
    own: frozenset[str]


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
        UsageError: this version of Kafka has no such tool, it is for the other mode, or there is no such user, or
            listener where it runs.
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
    role = Role.ZOOKEEPER if tool == _ZOOKEEPER_SHELL else Role.BROKER
    way = _way(runtime, observed, role, user, listener, has_file=names_config(arguments))
    asked = way.servers
    if way.access.secured:
        asked = tuple(one for one in asked if one in way.own) or asked  # none: the tool itself says that nobody answers
    translated = tuple(as_seen_inside(argument, way.inside) for argument in arguments)
    address = filled_in_address(address_option(tool, version), translated, ",".join(asked))
    if address:
        _require_mode(observed, tool)
    option, properties, keys = "", b"", dict[str, bytes]()
    if way.own.issuperset(told_addresses(tool, (*address, *translated))):
        option, properties = filled_in_config(way.access, config_option(tool, version), arguments)
        keys = _keys(observed, user) if asks_ensemble(tool, arguments) else {}
    jvm = of_tool(DIRECTORY) if keys else ()
    command = JavaCommand(main_class, (*first, *address, *translated), option, properties, keys, jvm)
    return runtime.run_tool(observed, command, streams)


def _way(
    runtime: Runtime, observed: ObservedEnvironment, role: Role, user: str, listener: str, *, has_file: bool
) -> _Way:
    if listener and observed.runtime == DOCKER:
        what = "a tool runs in the environment's network, which has none of the listeners for this machine"
        raise UsageError(what, hint="leave --listener out: it gets in at INTERNAL")
    listening = [node for node in observed.nodes if node.state in _LISTENING]
    named = any(node.listeners for node in observed.nodes)
    if role is Role.BROKER and (listener or (has_file and named and observed.runtime != DOCKER)):
        # A file that says how to get in is for a listener of this machine, as `client-config` writes it.
        access = access_for(observed, user, listener)
        name = required_listener(observed, listener) if listener else ""
        servers = observed.bootstrap_servers_at(name).split(",")
        return _Way(access, tuple(servers), {}, frozenset(at for node in listening for at in node.endpoints))
    addresses = {node.name: runtime.inside_address(observed.name, node.name) for node in observed.nodes}
    inside = {at: addresses[node.name] for node in observed.nodes for at in node.endpoints}
    asked = tuple(addresses[node.name] for node in observed.of_role(role))
    return _Way(access_inside(observed, user), asked, inside, frozenset(addresses[node.name] for node in listening))


def _require_mode(observed: ObservedEnvironment, tool: str) -> None:
    """Refuse a tool of one mode in the other, which would wait for an answer, or fail with a stack."""
    if tool == _ZOOKEEPER_SHELL and observed.mode == KRAFT:
        hint = f"give {tool} the address of another one, such as 127.0.0.1:2181"
        raise UsageError(f"{observed.name} has no ZooKeeper", why="its brokers use KRaft", hint=hint)
    if tool == _QUORUM_TOOL and observed.mode != KRAFT:
        hint = f"`provision tool {observed.name} {_ZOOKEEPER_SHELL}` shows its metadata"
        raise UsageError(f"{observed.name} has no quorum of controllers", why="its brokers use ZooKeeper", hint=hint)


def names_config(arguments: Sequence[str]) -> bool:
    """Whether the arguments of a tool name a file that says how it gets in."""
    return any(argument.split("=")[0] in TOOL_CONFIGS for argument in arguments)


def asks_ensemble(tool: str, arguments: Sequence[str]) -> bool:
    """Whether a tool connects to ZooKeeper: that of ZooKeeper's own, or another one that is told an address of it."""
    options = (argument[2:].partition("=")[0] for argument in arguments if argument.startswith("--"))
    is_told = any(_is_short_for(name, _ZOOKEEPER) for name in options)
    return tool == _ZOOKEEPER_SHELL or is_told or any(map(_OF_ENSEMBLE.search, arguments))


def _keys(observed: ObservedEnvironment, user: str) -> dict[str, bytes]:
    """What lets a tool in where ZooKeeper is closed."""
    keys = secrets_for_tools(observed)
    if keys and user:
        hint = "leave the user out: provision gets in by itself"
        raise UsageError("ZooKeeper is closed to users, and lets in only its nodes and the brokers", hint=hint)
    return keys


def told_addresses(tool: str, arguments: Sequence[str]) -> tuple[str, ...]:
    """The addresses that a tool connects to, as far as its arguments tell them; those of ZooKeeper without a path."""
    pairs = zip((_SERVER, *arguments), arguments, strict=False)
    servers = [value for before, value in pairs if tool == _ZOOKEEPER_SHELL and before == _SERVER]
    every = (*given_addresses(arguments), *(one for listed in servers for one in listed.split(",")))
    return tuple(address.partition("/")[0] for address in every)


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
        return () if _ADDRESSES.match(first) else (servers,)
    return () if given_addresses(arguments) else (option, servers)


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
