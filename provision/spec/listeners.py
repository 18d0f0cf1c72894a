"""Listeners in an environment file: several for clients on this machine, and how each one is secured."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, PlainValidator, TypeAdapter, WithJsonSchema, model_validator

from provision.catalogue.versions import KRAFT
from provision.security.listening import HOST, INTERNAL, Security, base_of, strictest
from provision.security.profiles import CONTROLLER, PLAIN_TEXT, PROFILES, Profile
from provision.spec.defaults import mode_of
from provision.spec.names import LISTENER_PATTERN
from provision.spec.ports import LAST_PORT, PORT, is_port
from provision.spec.rules import Finding
from provision.spec.section import Section

if TYPE_CHECKING:
    from provision.spec.model import EnvironmentSpec

MOST_LISTENERS = 16
_BETWEEN_NODES = {INTERNAL: INTERNAL, CONTROLLER: CONTROLLER, f"{CONTROLLER}S": CONTROLLER}
_ONE_OF = f"must be one of {', '.join(PROFILES)}"


# No message of these shows a value: it may be a password that is in the wrong place.


def _port(value: object) -> int | str:
    if isinstance(value, int | str) and is_port(value):
        return value
    raise ValueError(f"a port is a number from 1 to {LAST_PORT}, or auto")


def _profile(value: object) -> object:
    if not isinstance(value, str) or value not in PROFILES:
        raise ValueError(_ONE_OF)
    return value


def _by_listener(value: object) -> object:
    """A profile, or a mapping of listeners to profiles; whether there are such listeners is checked later."""
    if isinstance(value, str):
        return _profile(value)
    if not isinstance(value, dict):
        raise ValueError(f"{_ONE_OF}, or a mapping of listeners to them")  # noqa: TRY004 pydantic's protocol
    if not value:
        raise ValueError("the mapping has no listener")
    return _PROFILES.validate_python(value)


def _listener(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("a listener's name is text")  # noqa: TRY004 pydantic's protocol
    return value


def _mapping(value: object) -> object:
    if not isinstance(value, dict):
        form = "plain: {port: auto, security: plaintext}"
        raise ValueError(f"must be a mapping of names to listeners, as in {form}")  # noqa: TRY004 pydantic's protocol
    return value


_PROFILES = TypeAdapter(
    dict[Annotated[str, PlainValidator(_listener)], Annotated[str, PlainValidator(_profile)]],
    config=ConfigDict(defer_build=True),  # few files have such a mapping
)
_PROFILE_SCHEMA: dict[str, Any] = {"enum": list(PROFILES)}
_BY_LISTENER_SCHEMA: dict[str, Any] = {
    "anyOf": [_PROFILE_SCHEMA, {"type": "object", "minProperties": 1, "additionalProperties": _PROFILE_SCHEMA}]
}
SecurityByListener = Annotated[str | dict[str, str], PlainValidator(_by_listener), WithJsonSchema(_BY_LISTENER_SCHEMA)]


class ListenerSpec(Section):
    """A listener of every broker for clients on this machine."""

    port: Annotated[int | Literal["auto"], PlainValidator(_port), WithJsonSchema(PORT)] = "auto"
    """Host port of broker 1 on 127.0.0.1; broker 2 gets the next one, and so on. `auto` leases free ports."""
    security: Annotated[str, BeforeValidator(_profile), WithJsonSchema(_PROFILE_SCHEMA)] | None = None
    """How its connections are secured. Default: what `security` of the file says."""

    @model_validator(mode="before")
    @classmethod
    def _is_mapping(cls, value: object) -> object:
        if not isinstance(value, dict | ListenerSpec):
            raise ValueError("must be a mapping, as in {port: auto, security: tls}")  # noqa: TRY004 pydantic's protocol
        return value


Listeners = Annotated[
    dict[Annotated[str, Field(pattern=LISTENER_PATTERN)], ListenerSpec],
    BeforeValidator(_mapping),
    Field(json_schema_extra={"minProperties": 1, "maxProperties": MOST_LISTENERS}),
]


def security_of(spec: "EnvironmentSpec") -> Security:
    """How each listener is secured, with every default filled in.

    What the file does not say of INTERNAL is the strictest of the others, unless one profile is for all; controllers
    are secured like INTERNAL.
    """
    one = spec.security if isinstance(spec.security, str) else PLAIN_TEXT
    by_listener = {} if isinstance(spec.security, str) else _by_name(spec.security)
    default = PROFILES[by_listener.get(HOST, one)]
    own = {name.upper(): listener.security for name, listener in spec.listeners.items()} or {HOST: None}
    host = tuple((name, _first(said, by_listener.get(name)) or default) for name, said in own.items())
    for_all = isinstance(spec.security, str) and "security" in spec.model_fields_set
    rest = PROFILES[one] if for_all else strictest(profile for _, profile in host)
    internal = _first(by_listener.get(INTERNAL)) or rest
    return Security(host, internal, _first(by_listener.get(CONTROLLER)) or internal)


def secured_as(spec: "EnvironmentSpec", security: Security) -> "EnvironmentSpec":
    """The same file with other listeners, whose ports nodes have already."""
    nodes = {INTERNAL: security.internal.name}
    if mode_of(spec) == KRAFT:
        nodes[CONTROLLER] = security.controllers.name
    own = {name: ListenerSpec(port="auto", security=profile.name) for name, profile in security.host}
    alone = security.names == (HOST,)
    by_listener = {HOST: own[HOST].security, **nodes} if alone else nodes
    brokers = spec.brokers.model_copy(update={"port": "auto"}) if spec.listeners else spec.brokers
    changed = {"security": by_listener, "listeners": {} if alone else own, "brokers": brokers}
    return spec.model_copy(update=changed)


def _first(*names: str | None) -> Profile | None:
    return next((PROFILES[name] for name in names if name), None)


def _by_name(given: Mapping[str, str]) -> dict[str, str]:
    return {_BETWEEN_NODES.get(name.upper(), name.upper()): profile for name, profile in given.items()}


def host_ports(spec: "EnvironmentSpec") -> list[tuple[tuple[str, ...], int | str]]:
    """The host ports of broker 1 as in the file, each with the path of its section."""
    if not spec.listeners:
        return [(("brokers",), spec.brokers.port)]
    return [(("listeners", name), listener.port) for name, listener in spec.listeners.items()]


def broker_ports(spec: "EnvironmentSpec") -> dict[str, int | str]:
    """The same by the names of the listeners in Kafka."""
    return {path[1].upper() if len(path) > 1 else HOST: port for path, port in host_ports(spec)}


def listeners(spec: "EnvironmentSpec") -> Iterator[Finding]:
    """Each listener has a name of its own, and all parts of the file speak of the same ones."""
    if "listeners" in spec.model_fields_set and not spec.listeners:
        yield Finding(("listeners",), "there is no listener in it", "name one, or remove the key", at_key=True)
    if len(spec.listeners) > MOST_LISTENERS:
        yield Finding(("listeners",), f"there are more than {MOST_LISTENERS}", "remove some", at_key=True)
    if spec.listeners and "port" in spec.brokers.model_fields_set:
        message = "with `listeners`, each of them has its own port"
        yield Finding(("brokers", "port"), message, "remove it, or `listeners`", at_key=True)
    seen: dict[str, str] = {}
    for name in spec.listeners:
        known = name.upper()
        if known in _BETWEEN_NODES:
            message = f"nodes have a listener {known} by themselves"
            hint = "use another name; `security` says how that one is secured"
            yield Finding(("listeners", name), message, hint, at_key=True)
        elif base_of(known) != known:
            message = f"nodes' own listener {base_of(known)} may be called so in Kafka"
            yield Finding(("listeners", name), message, "use another name", at_key=True)
        elif known in seen:
            message = f"to Kafka, it is the same name as {seen[known]}"
            yield Finding(("listeners", name), message, "rename one of the two", at_key=True)
        seen.setdefault(known, name)
    if not isinstance(spec.security, str):
        yield from _named_in_security(spec, spec.security, seen)
    yield from _users_of_internal(spec)


def _named_in_security(
    spec: "EnvironmentSpec", given: Mapping[str, str], there: Mapping[str, str]
) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for key in given:
        path, name = ("security", key), _BETWEEN_NODES.get(key.upper(), key.upper())
        if name in seen:
            yield Finding(path, "the same listener is there already", "remove one of the two", at_key=True)
        elif name == CONTROLLER and mode_of(spec) != KRAFT:
            yield Finding(path, "there are no controllers in zookeeper mode", "remove it", at_key=True)
        elif name not in (HOST, INTERNAL, CONTROLLER, *there):
            of_nodes = (INTERNAL, CONTROLLER) if mode_of(spec) == KRAFT else (INTERNAL,)
            known = ", ".join((*(there.values() or [HOST]), *of_nodes))
            yield Finding(path, "there is no such listener", f"known: {known}", at_key=True)
        elif name in there and spec.listeners[there[name]].security:
            place = ("listeners", there[name], "security")
            yield Finding(place, "`security` of the file says it too", "remove one of the two", at_key=True)
        seen.setdefault(name, key)


def _users_of_internal(spec: "EnvironmentSpec") -> Iterator[Finding]:
    security = security_of(spec)
    if security.internal.only_scram and not security.scram:
        message = "users of sasl-scram are looked after over a listener for this machine, and none of those has it"
        yield Finding(("security",), message, "use sasl-plain or sasl-tls for INTERNAL", at_key=True)
    if security.controllers.only_scram and not security.internal.only_scram:
        message = "only nodes get in at controllers, with a password that is in their files"
        yield Finding(("security",), message, "use sasl-plain for CONTROLLER", at_key=True)
