"""What a client needs to get in, as Kafka's Java clients read it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from provision.errors import ProvisionError
from provision.security.material import in_a_line, parted


@dataclass(frozen=True, slots=True)
class Client:
    """A client's way in: the addresses, the security protocol of the listeners, and what it shows them.

    `ca` is the PEM file of the authorities that it trusts, `certificate` the one with its own key and certificate.
    """

    bootstrap_servers: str
    protocol: str
    ca: str = ""
    certificate: str = field(default="", repr=False)

    def inline_properties(self) -> bytes:
        """A properties file for a Java client with the keys themselves in it, so that it needs no other file.

        Raises:
            ProvisionError: a file with a key or certificate cannot be read.
        """
        return "".join(f"{key}={value}\n" for key, value in self._inline()).encode("ascii")

    def _inline(self) -> Iterator[tuple[str, str]]:
        yield "security.protocol", self.protocol
        if self.ca:
            yield "ssl.truststore.type", "PEM"
            yield "ssl.truststore.certificates", in_a_line(_read(self.ca))
        if self.certificate:
            pair = parted(_read(self.certificate))
            if pair is None:
                raise ProvisionError(f"{self.certificate} has no key and certificate")
            yield "ssl.keystore.type", "PEM"
            yield "ssl.keystore.key", in_a_line(pair.key)
            yield "ssl.keystore.certificate.chain", in_a_line(pair.certificate)


def _read(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise ProvisionError(f"cannot read {file}", why=error.strerror or str(error)) from error
