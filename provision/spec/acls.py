"""ACLs in an environment file: who may do what. In the short form, or Kafka's own in full."""

import difflib
import ipaddress
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema, model_validator

from provision.catalogue.versions import KRAFT, KafkaVersion
from provision.security.acls import (
    ALL_OPERATIONS,
    ANONYMOUS,
    ANY,
    CLUSTER,
    CLUSTER_NAME,
    EXAMPLE,
    OPERATIONS,
    USER,
    Acl,
    expanded,
    keeps_from_permissions,
    known,
    own_principals,
    principal_of,
    require_name,
    require_supported,
)
from provision.security.listening import Security
from provision.security.profiles import ITSELF, PROFILES
from provision.spec.defaults import mode_of
from provision.spec.listeners import security_of
from provision.spec.rules import Finding
from provision.spec.section import Section

if TYPE_CHECKING:
    from provision.spec.model import EnvironmentSpec

LITERAL, PREFIXED, ALLOW, DENY = "literal", "prefixed", "allow", "deny"
# Kafka has permissions on users, whose tokens others may make, from this version on (KIP-373).
_FIRST_WITH_USERS = KafkaVersion(3, 3, 0)
_HERE = "127.0.0.1"
_KIND = principal_of("").rstrip(":")
_LONG = ("operation", "resource", "name", "pattern", "permission")


# As with users, no message of these shows a value: it may be a password that is in the wrong place.


def _grant(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError(f"must be a text like {EXAMPLE}")  # noqa: TRY004 pydantic's protocol
    expanded(value, "")
    return value


def _grants(value: object) -> object:
    if not isinstance(value, list):
        raise ValueError('must be a list, as in ["read topic orders"]')  # noqa: TRY004 pydantic's protocol
    return value


def _word(words: tuple[str, ...]) -> tuple[BeforeValidator, WithJsonSchema]:
    def checked(value: object) -> object:
        return known(value, words, "must be one of these")

    return BeforeValidator(checked), WithJsonSchema({"enum": list(words)})


def _text(form: str, *, fits: Callable[[str], Any] = str.strip) -> BeforeValidator:
    def checked(value: object) -> object:
        if not (isinstance(value, str) and value.isprintable() and value.strip() == value and fits(value)):
            raise ValueError(f"must be {form}")
        return value

    return BeforeValidator(checked)


def _address(value: object) -> object:
    """An IP address as Java writes it: Kafka compares the texts, and looks no name up."""
    if value == ANY:
        return value
    try:
        if not isinstance(value, str) or "%" in value:
            raise ValueError  # noqa: TRY301 of all other forms
        address = ipaddress.ip_address(value)
    except ValueError:
        raise ValueError(f"must be an IP address, or {ANY} for all") from None
    if isinstance(address, ipaddress.IPv4Address) or address.ipv4_mapped:
        return str(getattr(address, "ipv4_mapped", None) or address)
    return ":".join(f"{int(group, 16):x}" for group in address.exploded.split(":"))


def _is_principal(text: str) -> bool:
    kind, _, name = text.partition(":")
    return kind.isalpha() and kind.isascii() and bool(name)


def _entries(value: object) -> object:
    if not isinstance(value, list):
        raise ValueError("must be a list of mappings")  # noqa: TRY004 pydantic's protocol
    return value


_operation, _resource = _word(ALL_OPERATIONS), _word(tuple(OPERATIONS))
_pattern, _permission = _word((LITERAL, PREFIXED)), _word((ALLOW, DENY))
Grant = Annotated[str, BeforeValidator(_grant)]
Grants = Annotated[list[Grant], BeforeValidator(_grants)]


class AclSpec(Section):
    """What a user may do in the short form, or one of Kafka's ACLs in full."""

    user: Annotated[str | None, _text(f"a user's name, or {ANY} for everybody")] = None
    """The user; `*` stands for everybody."""
    principal: Annotated[str | None, _text("a principal like User:app", fits=_is_principal)] = None
    """Instead of `user`: the principal as Kafka knows it, such as `User:app`."""
    allow: Grants = []
    """What the user may do, in the short form."""
    operation: Annotated[str | None, *_operation] = None
    """In full: the operation."""
    resource: Annotated[str | None, *_resource] = None
    """In full: the type of the resource."""
    name: Annotated[str | None, _text("a name")] = None
    """In full: the name of the resource; `*` stands for all. A cluster has none."""
    pattern: Annotated[str, *_pattern] = LITERAL
    """In full: whether `name` is the whole name, or what names begin with."""
    permission: Annotated[str, *_permission] = ALLOW
    """In full: whether the operation is allowed or denied; what is denied is never allowed."""
    host: Annotated[str, BeforeValidator(_address)] = ANY
    """The IP address from which it is allowed or denied; `*` stands for all."""

    @model_validator(mode="before")
    @classmethod
    def _mapping(cls, value: object) -> object:
        if not isinstance(value, dict | AclSpec):
            form = '{user: app, allow: ["read topic orders"]}'
            raise ValueError(f"must be a mapping, as in {form}")  # noqa: TRY004 pydantic's protocol
        return value

    @property
    def who(self) -> str:
        """The principal."""
        return self.principal or principal_of(self.user or "")

    @property
    def acls(self) -> tuple[Acl, ...]:
        """Kafka's own that it stands for; none of an entry that is not complete."""
        if "allow" in self.model_fields_set:
            return tuple(acl for text in self.allow for acl in expanded(text, self.who, self.host))
        if self.operation is None or self.resource is None:
            return ()
        name, prefixed = self.name or CLUSTER_NAME, self.pattern == PREFIXED
        allowed = self.permission == ALLOW
        return (Acl(self.who, self.resource, name, self.operation, prefixed, self.host, allowed),)


Acls = Annotated[list[AclSpec], BeforeValidator(_entries)]


def asks_for_permission(spec: "EnvironmentSpec") -> bool:
    """Whether the file says who may do what: then whatever it does not allow is refused."""
    return declared_acls(spec) is not None or any(user.super for user in spec.users)


def declared_acls(spec: "EnvironmentSpec") -> tuple[Acl, ...] | None:
    """Kafka's ACLs that the file stands for, each once, in its order; None if it has none of the keys for them."""
    of_users = [user for user in spec.users if "allow" in user.model_fields_set]
    if "acls" not in spec.model_fields_set and not of_users:
        return None
    found = [acl for user in of_users for text in user.allow for acl in expanded(text, principal_of(user.name))]
    found += [acl for entry in spec.acls for acl in entry.acls]
    return tuple(dict.fromkeys(found))


def super_users(spec: "EnvironmentSpec") -> tuple[str, ...]:
    """The names of users who may do everything."""
    return tuple(user.name for user in spec.users if user.super)


def acls(spec: "EnvironmentSpec") -> Iterator[Finding]:
    """Each entry is complete and has an effect, and nobody is locked out who must not be."""
    security = security_of(spec)
    if "acls" in spec.model_fields_set and not spec.bootstrap_servers and not security.knows_users:
        knowing = ", ".join(one.name for one in PROFILES.values() if one.knows_users)
        message = f"with security: {security.name} nobody says who they are, and provision itself would be locked out"
        yield Finding(("acls",), message, f"use one of {knowing}", at_key=True)
        return
    if asks_for_permission(spec) and security.knows_users:
        yield from _known_everywhere(spec, security)
    for index, entry in enumerate(spec.acls):
        yield from _of_entry(spec, index, entry)
    for index, user in enumerate(spec.users):
        if user.super and user.allow:
            message = f"{user.name} is a super user, who may do everything"
            yield Finding(("users", index, "allow"), message, "remove it", at_key=True, warning=True)


def _known_everywhere(spec: "EnvironmentSpec", security: Security) -> Iterator[Finding]:
    """With an authorizer, nodes and this program have to be known wherever they get in."""
    knowing = ", ".join(one.name for one in PROFILES.values() if one.knows_users)
    who = {
        "INTERNAL, where brokers get in": security.internal.knows_users,
        "CONTROLLER, where brokers get in": security.controllers.is_secured or mode_of(spec) != KRAFT,
        "any listener for this machine, where provision gets in": any(one.knows_users for _, one in security.host),
    }
    if unknown := [listener for listener, knows in who.items() if not knows]:
        message = f"the file says who may do what, and nobody says who they are at {unknown[0]}"
        yield Finding(("security",), message, f"use one of {knowing}", at_key=True)


def _of_entry(spec: "EnvironmentSpec", index: int, entry: AclSpec) -> Iterator[Finding]:
    path, given = ("acls", index), entry.model_fields_set
    who = [key for key in ("user", "principal") if key in given]
    if not who:
        yield Finding(path, "the entry is for nobody", "add user or principal")
    elif len(who) > 1:
        yield Finding((*path, "principal"), "user already says who", "remove one of them", at_key=True)
    elif entry.user and not spec.bootstrap_servers:
        yield from _known_user(spec, index, entry.user)
    elif entry.principal and not spec.bootstrap_servers:
        yield from _known_principal(spec, index, entry.principal)
    of_long = [key for key in _LONG if key in given]
    if "allow" in given:
        for key in of_long:
            message = "allow already says what; this key is of the long form"
            yield Finding((*path, key), message, "remove one of them, or make them two entries", at_key=True)
    elif entry.operation is None or entry.resource is None:
        yield Finding(path, "the entry does not say what is allowed", "add allow; or operation, resource and name")
    else:
        yield from _long_form(spec, index, entry, entry.operation, entry.resource)
    yield from _without_effect(spec, index, entry)


def _without_effect(spec: "EnvironmentSpec", index: int, entry: AclSpec) -> Iterator[Finding]:
    """It does not lock out whoever must not be, and is not from where nobody comes."""
    path = ("acls", index)
    if not spec.bootstrap_servers:
        yield from _reached_from(spec, index, entry.host)
    if spec.bootstrap_servers and any(map(keeps_from_permissions, entry.acls)):
        message = "provision, which connects without saying who it is, would itself be kept from all permissions"
        yield Finding((*path, "permission"), message, "deny it to others, or another operation", at_key=True)
    principals = {*own_principals(security_of(spec)), *map(principal_of, super_users(spec))}
    if entry.permission == DENY and entry.who in principals and not spec.bootstrap_servers:
        message = f"{entry.who} is a super user, whom nothing can be denied"
        yield Finding((*path, "permission"), message, "remove the entry, or super", at_key=True)


def _known_user(spec: "EnvironmentSpec", index: int, user: str) -> Iterator[Finding]:
    path = ("acls", index, "user")
    names = [one.name for one in spec.users]
    if user == ITSELF:
        yield Finding(path, f"{ITSELF} is the cluster's own user, who may do everything", "remove the entry")
    elif user != ANY and user not in names:
        near = difflib.get_close_matches(user, names, n=1)
        hint = f"did you mean {near[0]}?" if near else "add it to users, or use principal"
        yield Finding(path, "there is no user of that name", hint)


def _known_principal(spec: "EnvironmentSpec", index: int, principal: str) -> Iterator[Finding]:
    """That clients can have it: Kafka compares principals to the letter, and one that nobody has denies nothing."""
    path, (kind, _, name) = ("acls", index, "principal"), principal.partition(":")
    security = security_of(spec)
    names = [*(one.name for one in spec.users), *([ANONYMOUS] if security.knows_strangers else [])]
    near = difflib.get_close_matches(name.removeprefix("CN="), [*names, ANY], n=1)
    hint = f"did you mean {principal_of(near[0])}?" if near else "name one of users, or add it there"
    if kind != _KIND:
        message = f"all clients are of the type {_KIND} here: the entry would never have an effect"
        yield Finding(path, message, hint if near else f"begin it with `{_KIND}:`")
    elif name not in (*names, ANY) and principal not in own_principals(security):
        message = "there is no user of that name: the entry has no effect on those in the file"
        yield Finding(path, message, hint, warning=True)


def _reached_from(spec: "EnvironmentSpec", index: int, host: str) -> Iterator[Finding]:
    """That clients of this machine can come from that address: in Docker they come through the engine's network."""
    if host == ANY or (host == _HERE if spec.runtime == "process" else not ipaddress.ip_address(host).is_loopback):
        return
    message = f"all clients come from {_HERE}, and the entry has no effect on them"
    hint = "leave it out"
    if spec.runtime != "process":
        message = "in Docker, clients of this machine come from a gateway's address: the entry has no effect on them"
        hint = f"leave it out, or give the address that `docker network inspect {spec.name}` shows as Gateway"
    if spec.runtime == "swarm":
        message, hint = "no client of a swarm comes from a loopback address: the entry has no effect", "leave it out"
    yield Finding(("acls", index, "host"), message, hint, warning=True)


def _long_form(spec: "EnvironmentSpec", index: int, entry: AclSpec, operation: str, resource: str) -> Iterator[Finding]:
    path = ("acls", index)
    try:
        require_supported(operation, resource)
    except ValueError as error:
        yield Finding((*path, "operation"), str(error), "use one of them")
    old = not spec.bootstrap_servers and KafkaVersion.parse(spec.kafka.version) < _FIRST_WITH_USERS
    if resource == USER and old:
        message = f"Kafka has permissions on users from {_FIRST_WITH_USERS} on, and kafka.version is older"
        yield Finding((*path, "resource"), message, "remove the entry")
    if not entry.name and resource != CLUSTER:
        yield Finding(path, f"the entry does not name the {resource}", f"add name; {ANY} stands for all")
        return
    try:
        require_name(resource, entry.name or CLUSTER_NAME, prefixed=entry.pattern == PREFIXED)
    except ValueError as error:
        yield Finding((*path, "name" if entry.name else "pattern"), str(error))
