"""Users in an environment file: who may connect, and where their passwords come from."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from provision.catalogue.versions import FIRST_WITH_SCRAM_IN_KRAFT, KafkaVersion, keeps_users
from provision.security.acls import ANONYMOUS
from provision.security.listening import Security
from provision.security.profiles import ITSELF, PLAIN, PROFILES, SCRAM, SCRAM_512
from provision.spec.acls import Grants
from provision.spec.defaults import mode_of
from provision.spec.listeners import security_of
from provision.spec.names import USER_PATTERN
from provision.spec.rules import Finding
from provision.spec.secret_files import others_can_read, path_of_secret
from provision.spec.section import Section

if TYPE_CHECKING:
    from provision.spec.model import EnvironmentSpec

FEWEST_ITERATIONS, MOST_ITERATIONS = 4096, 16384
"""How often a password may be hashed, as Kafka has it (`ScramMechanism`, `ScramControlManager`)."""
MECHANISMS = (PLAIN, *SCRAM)


# No message of these shows a value: it may be a password that is in the wrong place.


def _variable(value: object) -> object:
    if value is not None and not (isinstance(value, str) and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value)):
        raise ValueError("must be the name of an environment variable: letters, digits and underscores")
    return value


def _file(value: object) -> object:
    return value if value is None else path_of_secret(value)


def _reference(value: object) -> object:
    if value is not None and not isinstance(value, dict | PasswordSpec):
        raise ValueError("a password is never in the file: write {env: VARIABLE} or {file: PATH}")
    return value


def _flag(value: object) -> object:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 pydantic's protocol
    return value


def _mechanism(value: object) -> object:
    if not isinstance(value, str) or value not in MECHANISMS:
        raise ValueError(f"must be one of {', '.join(MECHANISMS)}")
    return value


def _iterations(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int) or not FEWEST_ITERATIONS <= value <= MOST_ITERATIONS:
        raise ValueError(f"must be a number from {FEWEST_ITERATIONS} to {MOST_ITERATIONS}")
    return value


class PasswordSpec(Section):
    """Where a password comes from; it is never in the file itself."""

    env: Annotated[str | None, BeforeValidator(_variable)] = None
    """The environment variable that `up` finds it in."""
    file: Annotated[str | None, BeforeValidator(_file)] = None
    """The file that it is the first line of; a relative path is relative to the environment file's directory."""


class UserSpec(Section):
    """A user of the cluster."""

    name: Annotated[str, Field(pattern=USER_PATTERN)]
    """The user's name."""
    password: Annotated[PasswordSpec | None, BeforeValidator(_reference)] = None
    """Where the password comes from. Default: `up` makes one."""
    mechanism: Annotated[str | None, BeforeValidator(_mechanism), WithJsonSchema({"enum": list(MECHANISMS)})] = None
    """How the user proves to know the password. Default: `SCRAM-SHA-512` with `sasl-scram`, else `PLAIN`."""
    iterations: Annotated[
        int,
        BeforeValidator(_iterations),
        WithJsonSchema({"type": "integer", "minimum": FEWEST_ITERATIONS, "maximum": MOST_ITERATIONS}),
    ] = FEWEST_ITERATIONS
    """With a mechanism of SCRAM: how often the password is hashed."""
    allow: Grants = []
    """What the user may do, such as `read topic orders`. With this key, whatever is not allowed is refused."""
    super: Annotated[bool, BeforeValidator(_flag)] = False
    """Whether the user may do everything, whatever others may do."""

    @model_validator(mode="before")
    @classmethod
    def _mapping(cls, value: object) -> object:
        if not isinstance(value, dict | UserSpec):
            raise ValueError("must be a mapping, as in {name: app}")  # noqa: TRY004 pydantic's protocol
        return value


def users(spec: "EnvironmentSpec") -> Iterator[Finding]:
    """Users are told apart, each once, and none is taken for the program itself."""
    security = security_of(spec)
    if spec.users and not security.knows_users:
        knowing = ", ".join(one.name for one in PROFILES.values() if one.knows_users)
        message = f"with security: {security.name} nobody says who they are"
        yield Finding(("users",), message, f"use one of {knowing}", at_key=True)
    if security.only_scram and not may_keep_users(spec):
        hint = "use a newer kafka.version, kafka.mode: zookeeper, or sasl-plain"
        yield Finding(("security",), _too_old(spec), hint)
    yield from _alike(spec.users)
    for index, user in enumerate(spec.users):
        if user.name == ITSELF:
            yield Finding(("users", index, "name"), f"{ITSELF} is the cluster's own user", "use another name")
        if user.name == ANONYMOUS:
            message = f"{ANONYMOUS} is whoever says no name, and would have what this user may do"
            yield Finding(("users", index, "name"), message, "use another name")
        if user.password and security.knows_users and not security.asks_password:
            message = f"with security: {security.name} users show a certificate, which `up` makes, and no password"
            yield Finding(("users", index, "password"), message, "remove it", at_key=True)
        if user.password and (user.password.env is None) == (user.password.file is None):
            message = "a password comes from env or from file"
            yield Finding(("users", index, "password"), message, "give one of them", at_key=True)
        for key, message, hint in _wrong_mechanism(spec, user, security):
            yield Finding(("users", index, key), message, hint, at_key=True)


def _wrong_mechanism(spec: "EnvironmentSpec", user: UserSpec, security: Security) -> Iterator[tuple[str, str, str]]:
    """Which keys of a user do not fit, why, and what to do."""
    said = [key for key in ("mechanism", "iterations") if key in user.model_fields_set]
    by_scram = user.mechanism in SCRAM or (user.mechanism is None and "iterations" in said)
    if not said or not security.knows_users:
        return
    if not security.asks_password:
        yield said[0], f"with security: {security.name} no user has a password", "remove it"
    elif user.mechanism == PLAIN and security.only_scram:
        yield "mechanism", "at listeners of sasl-scram, no user gets in by PLAIN", f"use {' or '.join(SCRAM)}"
    elif by_scram and not security.scram:
        yield said[0], f"with security: {security.name} no user has SCRAM", "remove it, or use sasl-scram or sasl-tls"
    elif by_scram and not may_keep_users(spec) and not security.only_scram:  # else it is said once, of `security`
        yield said[0], _too_old(spec), "use a newer kafka.version, kafka.mode: zookeeper, or PLAIN"
    elif "iterations" in said and mechanism_of(user, security) == PLAIN:
        yield "iterations", "nothing is hashed with PLAIN", f"remove it, or set mechanism to {' or '.join(SCRAM)}"


def _too_old(spec: "EnvironmentSpec") -> str:
    return f"in KRaft mode Kafka keeps SCRAM users from {FIRST_WITH_SCRAM_IN_KRAFT} on, not {spec.kafka.version}"


def may_keep_users(spec: "EnvironmentSpec") -> bool:
    """Whether that version of Kafka keeps users in the cluster, in its mode."""
    return keeps_users(KafkaVersion.parse(spec.kafka.version), mode_of(spec))


def mechanism_of(user: UserSpec, security: Security) -> str:
    """By which a user gets in at listeners where there is a choice."""
    return user.mechanism or (SCRAM_512 if security.only_scram else PLAIN)


def password_files(spec: "EnvironmentSpec", base_directory: Path) -> Iterator[Finding]:
    """Which files with passwords others can read; whether they can be used is seen when they are needed."""
    for index, user in enumerate(spec.users):
        file = base_directory / user.password.file if user.password and user.password.file else None
        place = ("users", index, "password", "file")
        if file and file.exists() and not file.is_file():
            yield Finding(place, f"{file} is not a file", "name the file that has the password")
        elif file and others_can_read(file):
            yield Finding(place, f"others can read {file}", f"`chmod 600 {file}`", warning=True)


def _alike(users: Sequence[UserSpec]) -> Iterator[Finding]:
    """Names that are there twice, or would be on a disk that does not tell capital letters apart: each has files."""
    seen: dict[str, UserSpec] = {}
    for index, user in enumerate(users):
        other = seen.setdefault(user.name.casefold(), user)
        if other.name != user.name:
            message = f"the users {other.name} and {user.name} differ only in capital letters"
            yield Finding(("users", index, "name"), message, "use another name")
        elif other is not user:
            yield Finding(("users", index, "name"), f"the user {user.name} is there twice", "remove one of them")
