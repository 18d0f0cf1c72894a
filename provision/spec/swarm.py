"""The section of an environment file for nodes on the engines of a Docker Swarm."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, WithJsonSchema

from provision.catalogue.versions import KRAFT
from provision.spec.defaults import mode_of
from provision.spec.listeners import security_of
from provision.spec.rules import Finding
from provision.spec.section import Section

if TYPE_CHECKING:
    from provision.spec.model import EnvironmentSpec

SWARM = "swarm"
ENGINE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
HOST_PATTERN = r"^([A-Za-z0-9][A-Za-z0-9.-]{0,252}|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*)$"
REACHED_PATTERN = r"^(unix:///\S+|tcp://([A-Za-z0-9][A-Za-z0-9.-]{0,252}|\[[0-9A-Fa-f:.]+\]):[1-9][0-9]{0,4})$"
_LAST_PORT = 65535
CLOSED = ("sasl-tls", "mtls")
"""The profiles whose listeners may be published: connections are encrypted, and clients say who they are."""


def _engine(text: str) -> str:
    if not re.fullmatch(ENGINE_PATTERN, text):
        raise ValueError(f"{text!r} is not an engine's name: write it as `docker node ls` shows it (HOSTNAME)")
    return text


def _host(text: str) -> str:
    if not re.fullmatch(HOST_PATTERN, text):
        raise ValueError(f"{text!r} is not a host: write a name or an IP address, without a port")
    return text


def _reached(text: str) -> str:
    if "@" in text:
        raise ValueError("the address of an engine has no user and no password: certificates let in (DOCKER_CERT_PATH)")
    found = re.fullmatch(REACHED_PATTERN, text)
    if not found or (found[2] and int(text.rpartition(":")[2]) > _LAST_PORT):
        raise ValueError(f"{text!r} is not the address of an engine: write it as tcp://HOST:PORT or unix:///PATH")
    return text


EngineName = Annotated[str, AfterValidator(_engine), WithJsonSchema({"type": "string", "pattern": ENGINE_PATTERN})]
Host = Annotated[str, AfterValidator(_host), WithJsonSchema({"type": "string", "pattern": HOST_PATTERN})]
Reached = Annotated[str, AfterValidator(_reached), WithJsonSchema({"type": "string", "pattern": REACHED_PATTERN})]


class SwarmSpec(Section):
    """How nodes are spread over the engines of a swarm, and reached."""

    engines: dict[EngineName, Reached] = {}
    """Where the API of engines answers, by their names, as `tcp://HOST:PORT` or `unix:///PATH`."""
    addresses: dict[EngineName, Host] = {}
    """The host at which clients reach the brokers of an engine, by the engine's name."""
    drain: list[EngineName] = []
    """The engines that are to be without nodes: those that they have move to others, one after the other."""
    encrypted: bool = True
    """Whether the overlay network encrypts what goes from one engine to another."""
    publish: Literal["host", "none"] = "host"
    """Whether brokers have ports on their engines (`host`), or are reached only in the overlay network (`none`)."""

    @property
    def named(self) -> Mapping[str, Collection[str]]:
        """The engines that its keys name, by the key."""
        return {"swarm.engines": self.engines, "swarm.addresses": self.addresses, "swarm.drain": self.drain}

    @property
    def publishes(self) -> bool:
        """Whether brokers have ports on their engines."""
        return self.publish == "host"


def swarm(spec: "EnvironmentSpec") -> Iterator[Finding]:
    """The section belongs to its runtime, which opens no port to everybody on the network."""
    if spec.bootstrap_servers:
        return
    if spec.runtime != SWARM:
        if "swarm" in spec.model_fields_set:
            message = f"nodes run on a swarm only with runtime: {SWARM}"
            yield Finding(("swarm",), message, f"write `runtime: {SWARM}`, or remove it", at_key=True)
        return
    if mode_of(spec) != KRAFT:
        message = "a swarm runs Kafka only without ZooKeeper so far"
        yield Finding(("runtime",), message, "write `kafka: {mode: kraft}`, or another runtime")
    if spec.storage != "volume":
        message = "on a swarm, data are kept in volumes of the engines"
        yield Finding(("storage",), message, "write `storage: volume`, or leave it out")
    yield from _with_one_address(spec.swarm)
    if not spec.swarm.publishes:
        return
    for name, profile in security_of(spec).host:
        if profile.name not in CLOSED:
            lacks = "lets everybody in" if not profile.knows_users else "is not encrypted"
            message = f"a port of an engine is open to its whole network, and {profile.name} {lacks}"
            path = ("listeners", name, "security") if name in spec.listeners else ("security",)
            hint = f"write `security: {CLOSED[0]}` or `{CLOSED[1]}`, or `swarm: {{publish: none}}`"
            yield Finding(path, message, hint)


def _with_one_address(section: SwarmSpec) -> Iterator[Finding]:
    """Engines whose API would answer at the address of another one's."""
    by_address: dict[str, str] = {}
    for engine, address in section.engines.items():
        if (other := by_address.setdefault(address, engine)) != engine:
            hint = "write that of its own, or leave it out"
            yield Finding(("swarm", "engines", engine), f"{address} is the address of {other} already", hint)
