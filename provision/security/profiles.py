"""What a security profile means: the protocol of each listener, and what a node is told of it. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

CONTROLLER = "CONTROLLER"
ITSELF = "provision"
"""The principal of the nodes, and of this program: a super user."""
TRUSTSTORE, SECRETS = "ca.pem", "secrets.properties"
"""The files of the authorities that a node trusts, and of its secrets, to which its properties refer (KIP-297)."""
PLAIN_TEXT, TLS, MTLS = "plaintext", "tls", "mtls"
# All certificates have nothing but a common name, which becomes the principal's.
_PRINCIPALS = "RULE:^CN=([^,]+).*$/$1/,DEFAULT"


@dataclass(frozen=True, slots=True)
class Profile:
    """How a listener is secured: whether connections are encrypted, and whether clients need certificates."""

    name: str
    encrypted: bool = False
    asks_certificate: bool = False

    @property
    def protocol(self) -> str:
        """The listener's security protocol, as Kafka calls it."""
        return "SSL" if self.encrypted else "PLAINTEXT"

    def protocol_of(self, listener: str) -> str:
        """The security protocol of a listener by its name."""
        return self.controller_protocol if listener == CONTROLLER else self.protocol

    @property
    def controller_protocol(self) -> str:
        """The protocol between controllers, and of brokers with them: whoever has TLS shows a certificate there."""
        return "SSL" if self.encrypted else "PLAINTEXT"


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(PLAIN_TEXT),
        Profile(TLS, encrypted=True),
        Profile(MTLS, encrypted=True, asks_certificate=True),
    )
}
"""All profiles, by name."""


def settings(profile: Profile, listeners: Sequence[str], config_dir: str) -> dict[str, str]:
    """The properties of a broker or controller that has these listeners, and its files in that directory."""
    return dict(_settings(profile, listeners, config_dir))


def _settings(profile: Profile, listeners: Sequence[str], config_dir: str) -> Iterator[tuple[str, str]]:
    if not profile.encrypted:
        return
    yield "config.providers", "file"
    yield "config.providers.file.class", "org.apache.kafka.common.config.provider.FileConfigProvider"
    # Not by `ssl.keystore.location`, with which 2.8 wants a password for the key.
    yield "ssl.keystore.type", "PEM"
    yield "ssl.keystore.key", _secret(config_dir, "key")
    yield "ssl.keystore.certificate.chain", _secret(config_dir, "certificate")
    yield "ssl.truststore.type", "PEM"
    yield "ssl.truststore.location", f"{config_dir}/{TRUSTSTORE}"
    yield "ssl.client.auth", "required" if profile.asks_certificate else "none"
    yield "ssl.principal.mapping.rules", _PRINCIPALS
    if CONTROLLER in listeners:  # only nodes talk to it, and each of them has a certificate
        yield f"listener.name.{CONTROLLER.lower()}.ssl.client.auth", "required"


def _secret(config_dir: str, name: str) -> str:
    return f"${{file:{config_dir}/{SECRETS}:{name}}}"
