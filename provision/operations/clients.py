"""What a client needs to get in, in the form in which each kind of client reads it."""

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from provision.cluster.properties import encode, escape_value
from provision.cluster.secured import file_of
from provision.errors import ProvisionError, UsageError
from provision.home.secrets import known_secrets
from provision.kafka.access import Access, Credentials
from provision.observe.reach import access_to, profile_of
from provision.plan.observed import ObservedEnvironment
from provision.security.certificates import Pair
from provision.security.material import parted
from provision.security.profiles import ITSELF, login

Values = Iterator[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """A client's configuration, and whether it has a key or a password in it."""

    text: str = field(repr=False)
    secret: bool


def client_config(
    observed: ObservedEnvironment, form: str, user: str = "", inside: Mapping[int, str] | None = None
) -> ClientConfig:
    """How a user's client gets in.

    Args:
        observed: the environment.
        form: one of `FORMS`.
        user: the user; empty where nobody says who they are.
        inside: the brokers' addresses inside the environment's network, if the client is there.

    Raises:
        UsageError: there is no such form or user, or a user must be named.
        Unavailable: no broker is running, or its secrets are not on this machine.
    """
    if form not in FORMS:
        raise UsageError(f"there is no format {form!r}", hint=f"known: {', '.join(FORMS)}")
    access = access_as(observed, user)
    if inside is not None:
        access = access.to(inside)
    text = FORMS[form](access)
    return ClientConfig(text, secret=access.credentials is not None or "PRIVATE KEY" in text)


def access_as(observed: ObservedEnvironment, user: str) -> Access:
    """How a user gets in, from this machine; raises as `client_config`."""
    access = access_to(observed)
    profile = profile_of(observed)
    if not access.brokers:
        why = "\n".join(f"broker-{broker}: {reason}" for broker, reason in access.down.items())
        raise ProvisionError(
            f"no broker of {observed.name} can be used", why=why, hint=f"`provision status {observed.name}`"
        )
    if not profile.knows_users:
        if user:
            raise UsageError(f"with security: {profile.name} nobody says who they are", hint="leave --user out")
        return access
    secrets = known_secrets(observed.name, observed.about)
    suffix = ".password" if profile.mechanism else ".pem"
    found = sorted(path.name for path in secrets.directory.glob(f"user-*{suffix}")) if secrets else []
    known = [name.removeprefix("user-").removesuffix(suffix) for name in found]
    if secrets is None or user not in (*known, ITSELF):
        what = f"{observed.name} has no user {user}" if user else f"{observed.name} wants to know who its clients are"
        hint = (
            f"--user {' or '.join(known)}" if known else "name one in the file's `users`, and `provision up` makes it"
        )
        raise UsageError(what, hint=hint)
    if profile.mechanism:
        password = (secrets.read(f"{file_of(user)}.password") or b"").decode()
        mechanism = _mechanism(access, user) if profile.scram and user != ITSELF else profile.mechanism
        return replace(access, credentials=Credentials(mechanism, user, password))
    return replace(access, certificate=str(secrets.path(f"{file_of(user)}.pem")))


def _mechanism(access: Access, user: str) -> str:
    """By which of SCRAM's mechanisms the cluster knows a user.

    Raises:
        UsageError: by none.
        Unavailable: no broker answers.
    """
    from provision.kafka.scram import describe_scram

    mechanisms = describe_scram(access).get(user, {})
    if not mechanisms:
        raise UsageError(f"the cluster does not know the user {user}", hint="`provision up` makes the file's users")
    return max(mechanisms)


# -- the forms --------------------------------------------------------------------------------------------------------


def java_properties(access: Access, *, inline: bool = False) -> str:
    """A properties file for a Java client, without addresses; `inline` needs no other file.

    A client's own key is always in it: from a file, clients of 2.8 want it with a password.

    Raises:
        ProvisionError: a file with a key or a certificate cannot be read.
    """
    return _lines(_java(access, inline=inline))


def _java(access: Access, *, inline: bool) -> Values:
    yield "security.protocol", access.protocol
    if access.ca:
        yield "ssl.truststore.type", "PEM"
        yield ("ssl.truststore.certificates", _read(access.ca)) if inline else ("ssl.truststore.location", access.ca)
    if access.certificate:
        pair = _pair(access.certificate)
        yield "ssl.keystore.type", "PEM"
        yield "ssl.keystore.key", pair.key.decode()
        yield "ssl.keystore.certificate.chain", pair.certificate.decode()
    if who := access.credentials:
        yield "sasl.mechanism", who.mechanism
        yield "sasl.jaas.config", login(who.mechanism, who.username, who.password)


def _properties(access: Access) -> str:
    return _lines([("bootstrap.servers", access.bootstrap_servers)]) + java_properties(access)


def _spring(access: Access) -> str:
    """Spring Boot's `application.properties`."""
    values = [("spring.kafka.bootstrap-servers", access.bootstrap_servers)]
    return _lines([*values, *((f"spring.kafka.properties.{key}", value) for key, value in _java(access, inline=False))])


def _rdkafka(access: Access) -> Values:
    yield "bootstrap.servers", access.bootstrap_servers
    yield "security.protocol", access.protocol
    if access.ca:
        yield "ssl.ca.location", access.ca
    if access.certificate:
        yield "ssl.certificate.location", access.certificate
        yield "ssl.key.location", access.certificate
    if who := access.credentials:
        yield "sasl.mechanisms", who.mechanism
        yield "sasl.username", who.username
        yield "sasl.password", who.password


def _json(values: object) -> str:
    return f"{json.dumps(values, indent=2)}\n"


def _kcat(access: Access) -> str:
    """A file for `kcat -F`, which takes all after `=` as it is."""
    return "".join(f"{key}={value}\n" for key, value in _rdkafka(access))


_VARIABLES = {
    "bootstrap.servers": "KAFKA_BOOTSTRAP_SERVERS",
    "security.protocol": "KAFKA_SECURITY_PROTOCOL",
    "ssl.ca.location": "KAFKA_SSL_CA_LOCATION",
    "ssl.certificate.location": "KAFKA_SSL_CERTIFICATE_LOCATION",
    "ssl.key.location": "KAFKA_SSL_KEY_LOCATION",
    "sasl.mechanisms": "KAFKA_SASL_MECHANISM",
    "sasl.username": "KAFKA_SASL_USERNAME",
    "sasl.password": "KAFKA_SASL_PASSWORD",
}


def _env(access: Access) -> str:
    return "".join(f"export {_VARIABLES[key]}={shlex.quote(value)}\n" for key, value in _rdkafka(access))


FORMS: Mapping[str, Callable[[Access], str]] = {
    "properties": _properties,
    "librdkafka": lambda access: _json(dict(_rdkafka(access))),
    "kafka-python": lambda access: _json(access.client_options()),
    "spring": _spring,
    "env": _env,
    "kcat": _kcat,
}
"""By name: what makes each form."""


def _lines(values: "Values | list[tuple[str, str]]") -> str:
    r"""Values as a Java properties file, where `\\n` ends a line of a value."""
    escaped = ((key, "\\n".join(map(escape_value, value.split("\n")))) for key, value in values)
    return encode("".join(f"{key}={value}\n" for key, value in escaped)).decode("ascii")


def _pair(file: str) -> Pair:
    pair = parted(_read(file).encode())
    if pair is None:
        raise ProvisionError(f"{file} has no key and certificate")
    return pair


def _read(file: str) -> str:
    try:
        return Path(file).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ProvisionError(f"cannot read {file}", why=why) from error
