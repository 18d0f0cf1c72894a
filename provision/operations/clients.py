"""What a client needs to get in, in the form in which each kind of client reads it."""

from collections.abc import Iterator
from pathlib import Path

from provision.cluster.properties import escape_value
from provision.errors import ProvisionError
from provision.kafka.access import Access
from provision.security.material import parted
from provision.security.profiles import login


def java_properties(access: Access, *, inline: bool = False) -> bytes:
    """A properties file for a Java client; `inline` has the keys themselves in it, so that it needs no other file.

    Raises:
        ProvisionError: a file with a key or a certificate cannot be read.
    """
    lines = (f"{key}={escape_value(value)}\n" for key, value in _java(access, inline=inline))
    return "".join(lines).replace("\0", "\\n").encode("ascii")


def _java(access: Access, *, inline: bool) -> Iterator[tuple[str, str]]:
    yield "security.protocol", access.protocol
    if access.ca:
        yield "ssl.truststore.type", "PEM"
        if inline:
            yield "ssl.truststore.certificates", _in_a_line(_read(access.ca))
        else:
            yield "ssl.truststore.location", access.ca
    if access.certificate:
        yield "ssl.keystore.type", "PEM"
        pair = parted(_read(access.certificate))
        if pair is None:
            raise ProvisionError(f"{access.certificate} has no key and certificate")
        yield "ssl.keystore.key", _in_a_line(pair.key)
        yield "ssl.keystore.certificate.chain", _in_a_line(pair.certificate)
    if who := access.credentials:
        yield "sasl.mechanism", who.mechanism
        yield "sasl.jaas.config", login(who.mechanism, who.username, who.password)


def _read(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise ProvisionError(f"cannot read {file}", why=error.strerror or str(error)) from error


def _in_a_line(pem: bytes) -> str:
    """PEM without ends of lines: null characters stand for them, until all else is escaped."""
    return pem.decode("ascii").replace("\n", "\0")
