"""Kafka's own tools, run inside an environment."""

import re
from collections.abc import Mapping, Sequence

from provision.cluster.catalogue import TOOL_ADDRESSES, KafkaVersion, address_option, release_of
from provision.cluster.model import Role
from provision.errors import UsageError
from provision.operations import require
from provision.runtime.base import JavaCommand, Runtime, Streams


def run_tool(runtime: Runtime, name: str, tool: str, arguments: Sequence[str], streams: Streams) -> int:
    """Run Kafka's own tool of that name inside the environment; returns its exit code.

    The address of the environment is filled in where none is given. The tool runs beside the nodes, where
    `localhost:9092` would be the tool itself. So addresses of this environment as this machine knows them are replaced
    by those that hold inside, and what works in a how-to works here unchanged.

    Raises:
        UsageError: this version of Kafka has no such tool.
    """
    observed = require(runtime, name)
    if not observed.nodes:
        raise UsageError(f"{name} has no nodes, only kept data", hint="`provision up` makes them")
    version = KafkaVersion.parse(observed.version)
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
    servers = ",".join(runtime.inside_address(name, node.name) for node in observed.of_role(role))
    address = _address(address_option(tool, version), arguments, servers)
    translated = (_inside(argument, inside) for argument in arguments)
    return runtime.run_tool(observed, JavaCommand(main_class, (*first, *address, *translated)), streams)


def _address(option: str | None, arguments: Sequence[str], servers: str) -> tuple[str, ...]:
    """What says to a tool whom to speak to; nothing where the user says it, or asks for help only."""
    if option is None or {"--help", "--version"} & set(arguments):
        return ()
    if not option:
        first = arguments[0] if arguments else ""
        return () if re.match(r"[\w.,:\[\]-]+:\d+", first) else (servers,)
    said = any(argument.split("=")[0] in TOOL_ADDRESSES for argument in arguments)
    return () if said else (option, servers)


def _inside(argument: str, inside: Mapping[str, str]) -> str:
    def replace(match: re.Match[str]) -> str:
        return inside.get(f"127.0.0.1:{match[1]}", match[0])

    return re.sub(r"(?<![\w.-])(?:localhost|127\.0\.0\.1):(\d+)(?!\d)", replace, argument)
