"""The forms in which clients read how they get in."""

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from provision.cluster.properties import encode, escape_value
from provision.errors import ProvisionError, UsageError
from provision.kafka.access import Access
from provision.operations.stores import TYPE, Store, Stores
from provision.security.certificates import Pair
from provision.security.material import parted
from provision.security.profiles import login

_ADDRESSES, _LOGIN, PASSWORD = "bootstrap.servers", "sasl.jaas.config", "sasl.password"
_KCAT_BYTES = 510
"""The longest line that kcat reads."""
Values = Iterator[tuple[str, str]]


def java_properties(access: Access, *, inline: bool = False) -> str:
    """A properties file for a Java client, without addresses; `inline` needs no other file.

    A client's own key is always in it: from a file, clients of 2.8 want it with a password.

    Raises:
        ProvisionError: a file with a key or a certificate cannot be read.
    """
    return _lines(_java(access, inline=inline))


def _java(access: Access, *, inline: bool = False, stores: Stores | None = None) -> Values:
    yield "security.protocol", access.protocol
    if stores:
        yield from _in_store("trust", stores.trusted)
    elif access.ca:
        yield "ssl.truststore.type", "PEM"
        yield (
            ("ssl.truststore.certificates", read_file(access.ca)) if inline else ("ssl.truststore.location", access.ca)
        )
    if stores and stores.own:
        yield from _in_store("key", stores.own)
        yield "ssl.key.password", stores.own.password
    elif access.certificate:
        pair = _pair(access.certificate)
        yield "ssl.keystore.type", "PEM"
        yield "ssl.keystore.key", pair.key.decode()
        yield "ssl.keystore.certificate.chain", pair.certificate.decode()
    if who := access.credentials:
        yield "sasl.mechanism", who.mechanism
        yield _LOGIN, login(who.mechanism, who.username, who.password)


def _in_store(kind: str, store: Store) -> Values:
    yield f"ssl.{kind}store.type", TYPE
    yield f"ssl.{kind}store.location", str(store.path)
    yield f"ssl.{kind}store.password", store.password


def _properties(access: Access, stores: Stores | None = None, *, inline: bool = False) -> str:
    return _lines([(_ADDRESSES, access.bootstrap_servers)]) + _lines(_java(access, inline=inline, stores=stores))


def _spring(access: Access, stores: Stores | None = None, *, inline: bool = False) -> str:
    r"""Spring Boot's `application.properties`, where `${NAME}` stands for another property.

    Older versions have no escape for it, but JAAS has one for `$`.
    """
    values = {"spring.kafka.bootstrap-servers": access.bootstrap_servers}
    for key, value in _java(access, inline=inline, stores=stores):
        values[f"spring.kafka.properties.{key}"] = value.replace("${", r"\044{") if key == _LOGIN else value
    if wrong := [key for key, value in values.items() if "${" in value]:
        raise UsageError(f"Spring would take the value of {wrong[0]} for another", why="there is `${` in it")
    return _lines(list(values.items()))


def rdkafka(access: Access, *, inline: bool = False) -> Values:
    """The configuration of a client that is based on librdkafka, key by key; `inline` as with `java_properties`."""
    yield _ADDRESSES, access.bootstrap_servers
    yield "security.protocol", access.protocol
    if access.ca and inline:
        yield "ssl.ca.pem", read_file(access.ca)
    elif access.ca:
        yield "ssl.ca.location", access.ca
    if access.certificate and inline:
        pair = _pair(access.certificate)
        yield "ssl.certificate.pem", pair.certificate.decode()
        yield "ssl.key.pem", pair.key.decode()
    elif access.certificate:
        yield "ssl.certificate.location", access.certificate
        yield "ssl.key.location", access.certificate
    if who := access.credentials:
        yield "sasl.mechanisms", who.mechanism
        yield "sasl.username", who.username
        yield PASSWORD, who.password


def _json(values: object) -> str:
    return f"{json.dumps(values, indent=2)}\n"


def _kcat(access: Access) -> str:
    r"""A file for `kcat -F`, which takes all after `=` as it is, but for spaces at the end, `\:` and `\=`.

    Its lines are short: of many addresses, which any client needs only to begin with, there are as many as fit.
    """
    lines = []
    for key, value in rdkafka(access):
        said = value
        while key == _ADDRESSES and len(f"{key}={said}") > _KCAT_BYTES and "," in said:
            said = said.rpartition(",")[0]
        line = f"{key}={said}"
        if line.endswith(" ") or re.search(r"\\[:=]", line) or len(line.encode()) > _KCAT_BYTES:
            why = r"it has a space at its end, `\:` or `\=`, or is too long"
            hint = "another value, or another format, such as librdkafka"
            raise UsageError(f"kcat cannot read this {key} from a file", why=why, hint=hint)
        lines.append(f"{line}\n")
    return "".join(lines)


VARIABLES = {
    _ADDRESSES: "KAFKA_BOOTSTRAP_SERVERS",
    "security.protocol": "KAFKA_SECURITY_PROTOCOL",
    "ssl.ca.location": "KAFKA_SSL_CA_LOCATION",
    "ssl.ca.pem": "KAFKA_SSL_CA_PEM",
    "ssl.certificate.location": "KAFKA_SSL_CERTIFICATE_LOCATION",
    "ssl.certificate.pem": "KAFKA_SSL_CERTIFICATE_PEM",
    "ssl.key.location": "KAFKA_SSL_KEY_LOCATION",
    "ssl.key.pem": "KAFKA_SSL_KEY_PEM",
    "sasl.mechanisms": "KAFKA_SASL_MECHANISM",
    "sasl.username": "KAFKA_SASL_USERNAME",
    PASSWORD: "KAFKA_SASL_PASSWORD",
}
"""What environment variables are called in which the form `env` has the keys of librdkafka."""


def _env(access: Access, *, inline: bool = False) -> str:
    return "".join(f"export {VARIABLES[key]}={shlex.quote(value)}\n" for key, value in rdkafka(access, inline=inline))


def _librdkafka(access: Access, *, inline: bool = False) -> str:
    return _json(dict(rdkafka(access, inline=inline)))


FOR_JAVA = {"properties": _properties, "spring": _spring}
"""The forms that can refer to stores."""
FORMS: Mapping[str, Callable[[Access], str]] = {
    "properties": _properties,
    "librdkafka": _librdkafka,
    "kafka-python": lambda access: _json(access.client_options()),
    "spring": _spring,
    "env": _env,
    "kcat": _kcat,
}
"""By name: what makes each form."""
INLINE: Mapping[str, Callable[[Access], str]] = {
    "properties": partial(_properties, inline=True),
    "librdkafka": partial(_librdkafka, inline=True),
    "spring": partial(_spring, inline=True),
    "env": partial(_env, inline=True),
}
"""What makes those that can have the content of files in them instead of paths."""


def _lines(values: "Values | list[tuple[str, str]]") -> str:
    r"""Values as a Java properties file, where `\\n` ends a line of a value."""
    escaped = ((key, "\\n".join(map(escape_value, value.split("\n")))) for key, value in values)
    return encode("".join(f"{key}={value}\n" for key, value in escaped)).decode("ascii")


def _pair(file: str) -> Pair:
    pair = parted(read_file(file).encode())
    if pair is None:
        raise ProvisionError(f"{file} has no key and certificate")
    return pair


def read_file(file: str) -> str:
    """The content of a file with a key or a certificate.

    Raises:
        ProvisionError: it cannot be read.
    """
    try:
        return Path(file).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ProvisionError(f"cannot read {file}", why=why) from error
