"""How a cluster is reached: the addresses of its brokers, and the credentials."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from provision.cluster.model import Role
from provision.common.values import replace

PLAINTEXT = "PLAINTEXT"
_LIBRDKAFKA = {
    "security_protocol": "security.protocol",
    "sasl_mechanism": "sasl.mechanism",
    "sasl_plain_username": "sasl.username",
    "sasl_plain_password": "sasl.password",
    "ssl_cafile": "ssl.ca.location",
    "ssl_certfile": "ssl.certificate.location",
    "ssl_keyfile": "ssl.key.location",
    "ssl_password": "ssl.key.password",
}
"""What kafka-python's arguments are called in the configuration of librdkafka."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """SASL credentials: `mechanism` is `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`."""

    mechanism: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Access:
    """The addresses of a cluster's brokers, and what is needed to connect to them.

    `brokers` has the `host:port` of each broker by its id. As in Kafka's own clients, an address whose broker is not
    known yet has a negative id. `protocol` is the listeners' security protocol: `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or
    `SASL_SSL`. `ca` is a PEM file of trusted authorities; the default is the system's. `certificate` is a PEM file with
    the client's own key and certificate, if the listeners ask for one. `down` has the brokers that are known not to
    run, each with the reason: they are not asked, because anybody may listen at their addresses meanwhile. `proxy` is
    the URL of the SOCKS5 proxy through which this process reaches them, empty if they are reached without one.
    """

    brokers: Mapping[int, str]
    protocol: str = PLAINTEXT
    credentials: Credentials | None = None
    ca: str | None = None
    certificate: str | None = None
    down: Mapping[int, str] = field(default_factory=dict)
    proxy: str = field(default="", repr=False)

    @classmethod
    def at(cls, bootstrap_servers: str) -> "Access":
        """Access by bootstrap addresses, separated by commas; the brokers' ids are unknown."""
        return cls({-number: address for number, address in enumerate(bootstrap_servers.split(","), start=1)})

    def to(self, brokers: Mapping[int, str]) -> "Access":
        """Access to these brokers alone, with the same protocol and credentials."""
        return replace(self, brokers=brokers, down={})

    def without(self, broker: int) -> "Access":
        """Access to all brokers but one."""
        return self.to({known: address for known, address in self.brokers.items() if known != broker})

    @property
    def size(self) -> int:
        """The number of brokers, whether they run or not."""
        return len(self.brokers) + len(self.down)

    @property
    def why_down(self) -> str:
        """Why each of the brokers that are known not to run does not, a line each."""
        return "\n".join(f"{Role.BROKER.node(broker)}: {reason}" for broker, reason in self.down.items())

    @property
    def bootstrap_servers(self) -> str:
        """The addresses of all brokers that may be asked, separated by commas."""
        return ",".join(self.brokers.values())

    @property
    def secured(self) -> bool:
        """Whether a client has to know more than the addresses."""
        return self.protocol != PLAINTEXT

    @property
    def encrypted(self) -> bool:
        """Whether the connections use TLS."""
        return self.protocol.endswith("SSL")

    @property
    def authenticated(self) -> bool:
        """Whether the listeners ask for credentials."""
        return self.protocol.startswith("SASL")

    def client_options(self) -> dict[str, Any]:
        """The keyword arguments for a client of kafka-python, including the password."""
        options: dict[str, Any] = {
            "bootstrap_servers": list(self.brokers.values()),
            "security_protocol": self.protocol,
        }
        if self.encrypted and self.ca:
            options["ssl_cafile"] = self.ca
        if self.encrypted and self.certificate:
            options |= {"ssl_certfile": self.certificate, "ssl_keyfile": self.certificate}
        return options | self.sasl_options()

    def librdkafka_options(self) -> dict[str, str]:
        """The configuration of a client that is based on librdkafka, such as confluent-kafka's, with the password."""
        options = self.client_options()
        servers = ",".join(options.pop("bootstrap_servers"))
        return {"bootstrap.servers": servers, **{_LIBRDKAFKA[key]: str(value) for key, value in options.items()}}

    def sasl_options(self) -> dict[str, str]:
        """The SASL arguments; none without credentials."""
        if self.credentials is None:
            return {}
        return {
            "sasl_mechanism": self.credentials.mechanism,
            "sasl_plain_username": self.credentials.username,
            "sasl_plain_password": self.credentials.password,
        }
