"""How a cluster is reached: where its brokers are, and what it takes to be let in."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

PLAINTEXT = "PLAINTEXT"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who asks, by SASL: `mechanism` is `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`."""

    mechanism: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Access:
    """Where the brokers of a cluster are, and what it takes to be let in.

    `brokers` has the `host:port` of each broker by its id. As in Kafka's own clients, an address whose broker is not
    known yet has a negative id. `protocol` is the listeners' security protocol: `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or
    `SASL_SSL`. `ca` is a PEM file with the authorities to trust; without one the system's are trusted.
    """

    brokers: Mapping[int, str]
    protocol: str = PLAINTEXT
    credentials: Credentials | None = None
    ca: str | None = None

    @classmethod
    def at(cls, bootstrap_servers: str) -> "Access":
        """Addresses of brokers with unknown ids, with commas between them."""
        return cls({-number: address for number, address in enumerate(bootstrap_servers.split(","), start=1)})

    def to(self, brokers: Mapping[int, str]) -> "Access":
        """The same way in, to these brokers."""
        return replace(self, brokers=brokers)

    def without(self, broker: int) -> "Access":
        """To all brokers but one."""
        return self.to({known: address for known, address in self.brokers.items() if known != broker})

    @property
    def bootstrap_servers(self) -> str:
        """Where a client begins: all addresses, with commas between them."""
        return ",".join(self.brokers.values())

    @property
    def encrypted(self) -> bool:
        """Whether the connections use TLS."""
        return self.protocol.endswith("SSL")

    def client_options(self) -> dict[str, Any]:
        """The keyword arguments with which a client of kafka-python reaches the cluster, its password among them."""
        options: dict[str, Any] = {
            "bootstrap_servers": list(self.brokers.values()),
            "security_protocol": self.protocol,
        }
        if self.encrypted and self.ca:
            options["ssl_cafile"] = self.ca
        return options | self.sasl_options()

    def sasl_options(self) -> dict[str, str]:
        """Those of them that concern SASL; none without credentials."""
        if self.credentials is None:
            return {}
        return {
            "sasl_mechanism": self.credentials.mechanism,
            "sasl_plain_username": self.credentials.username,
            "sasl_plain_password": self.credentials.password,
        }
