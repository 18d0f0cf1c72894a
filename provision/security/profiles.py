"""What a security profile means: the protocol of each listener, and what a node is told of it. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from provision.security.listening import Security

CONTROLLER = "CONTROLLER"
_OPEN = "PLAINTEXT"
ITSELF = "provision"
"""The principal of the nodes, and of this program."""
TRUSTSTORE, SECRETS = "ca.pem", "secrets.properties"
"""The files of the authorities that a node trusts, and of its secrets, to which its properties refer (KIP-297)."""
PROVIDERS, _FILE = "config.providers", "file"
PROVIDER_FILE = f"{PROVIDERS}.{_FILE}"
PROVIDER_CLASS, PROVIDER = f"{PROVIDER_FILE}.class", "org.apache.kafka.common.config.provider.FileConfigProvider"
"""The properties of what reads secrets from a node's own file."""
PLAIN_TEXT, MTLS = "plaintext", "mtls"
PLAIN = "PLAIN"
SCRAM_256, SCRAM_512 = "SCRAM-SHA-256", "SCRAM-SHA-512"
SCRAM = {SCRAM_256: "sha256", SCRAM_512: "sha512"}
"""The mechanisms of SCRAM (RFC 5802, RFC 7677), and their hash functions."""
_PLAIN_MODULE = "org.apache.kafka.common.security.plain.PlainLoginModule"
_SCRAM_MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"


class Profile(Struct, frozen=True):
    """How a listener is secured: whether connections are encrypted, and how clients say who they are.

    They show a certificate, or a password by a SASL `mechanism`, or nothing. The mechanism is that of nodes and of this
    program, who must get in before the cluster can know anybody; users have those of `users_by`. With PLAIN, they are
    in the nodes' files; with SCRAM, they are kept in the cluster, and prove that they know their password.
    """

    name: str
    encrypted: bool = False
    asks_certificate: bool = False
    mechanism: str = ""
    users_by: tuple[str, ...] = ()

    @property
    def scram(self) -> bool:
        """Whether users that are kept in the cluster get in."""
        return SCRAM_512 in self.users_by

    @property
    def only_scram(self) -> bool:
        """Whether no other users do."""
        return self.scram and PLAIN not in self.users_by

    def has_in_files(self, mechanism: str) -> bool:
        """Whether a user of that mechanism gets in by a password in the nodes' files."""
        return PLAIN in self.users_by and not (self.scram and mechanism in SCRAM)

    @property
    def is_secured(self) -> bool:
        """Whether a client needs more than addresses."""
        return self.encrypted or bool(self.mechanism)

    @property
    def knows_users(self) -> bool:
        """Whether clients say who they are."""
        return self.asks_certificate or bool(self.mechanism)

    @property
    def protocol(self) -> str:
        """The security protocol of brokers, as Kafka calls it."""
        return f"{'SASL_' if self.mechanism else ''}{'SSL' if self.encrypted else 'PLAINTEXT'}"

    def named(self, listener: str) -> str:
        """What a listener secured so is called: by another name than one that is secured differently.

        So both can be open at the same time, while an environment goes from one to the other.
        """
        if is_controller(listener):
            how = "" if self.controller_protocol == _OPEN else self.controller_protocol
        else:
            how = "" if self.name == PLAIN_TEXT else self.name.upper().replace("-", "_")
        return f"{listener}_{how}" if how else listener

    @property
    def controller_protocol(self) -> str:
        """The protocol between controllers, and of brokers with them: whoever has TLS shows a certificate there."""
        return "SSL" if self.encrypted else self.protocol


def is_controller(listener: str) -> bool:
    """Whether a listener is one of controllers, by its name."""
    return listener == CONTROLLER or listener.startswith(f"{CONTROLLER}_")


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(PLAIN_TEXT),
        Profile("tls", encrypted=True),
        Profile(MTLS, encrypted=True, asks_certificate=True),
        Profile("sasl-plain", mechanism=PLAIN, users_by=(PLAIN,)),
        Profile("sasl-scram", mechanism=PLAIN, users_by=tuple(SCRAM)),
        Profile("sasl-tls", encrypted=True, mechanism=PLAIN, users_by=(PLAIN, *SCRAM)),
    )
}
"""All profiles, by name."""


class Place(Struct, frozen=True):
    """A node as far as security goes: its listeners by name, its directory of files, and whether it uses KRaft.

    `keeps_users` is whether its version of Kafka keeps users in the cluster.
    """

    listeners: Sequence[str]
    config_dir: str
    kraft: bool
    keeps_users: bool = True

    def secret(self, name: str) -> str:
        """The reference to a secret in the node's own file."""
        return f"${{file:{self.config_dir}/{SECRETS}:{name}}}"


def settings(security: "Security", place: Place, users: Mapping[str, str]) -> dict[str, str]:
    """The properties of a broker or controller at that place.

    Beside this program, it knows these users, each with the mechanism by which they say their password.
    """
    found: dict[str, str] = {}
    security = security.at(place.listeners)
    if security.is_secured:
        found |= {PROVIDERS: _FILE, PROVIDER_CLASS: PROVIDER}
    if security.encrypted:
        found |= _of_tls(security, place, [*users])
    if security.mechanism:
        found |= _of_passwords(security, place, users)
    return found


def beside(secured: Mapping[str, str], properties: Mapping[str, str]) -> dict[str, str]:
    """The properties of a node with others, which may name further providers of configuration."""
    together = {**secured, **properties}
    if PROVIDERS in secured and PROVIDERS in properties:
        named = (name.strip() for name in (secured[PROVIDERS], *properties[PROVIDERS].split(",")))
        together[PROVIDERS] = ",".join(dict.fromkeys(filter(None, named)))
    return together


def _of_tls(security: "Security", place: Place, users: Sequence[str]) -> Iterator[tuple[str, str]]:
    # Not by `ssl.keystore.location`, with which 2.8 wants a password for the key.
    yield "ssl.keystore.type", "PEM"
    yield "ssl.keystore.key", place.secret("key")
    yield "ssl.keystore.certificate.chain", place.secret("certificate")
    yield "ssl.truststore.type", "PEM"
    yield "ssl.truststore.location", f"{place.config_dir}/{TRUSTSTORE}"
    yield "ssl.principal.mapping.rules", _letting_in(ITSELF)
    for listener in place.listeners:  # each for itself: another one may be open beside it for a while
        profile, prefix = security.of_listener(listener), f"listener.name.{listener.lower()}."
        if profile.encrypted and is_controller(listener):  # only nodes talk to it, and each of them has a certificate
            yield from _asking(prefix, (), asks=True)
        elif profile.encrypted:
            yield from _asking(prefix, users, asks=profile.asks_certificate)


def _asking(prefix: str, users: Sequence[str], *, asks: bool) -> Iterator[tuple[str, str]]:
    """Whether whoever connects has to show a certificate, and whose are good: those of nodes and of these users."""
    yield f"{prefix}ssl.client.auth", "required" if asks else "none"
    yield f"{prefix}ssl.principal.mapping.rules", _letting_in(ITSELF, *(users if asks else ()))


def _letting_in(*names: str) -> str:
    """The rule that makes certificates' common names principals; a node closes the connection of all other ones.

    A certificate is valid for long, also that of a user who is no longer in the file.
    """
    return f"RULE:^CN=({'|'.join(name.replace('.', '[.]') for name in names)})$/$1/"


def _client_auth(*, asks: bool) -> str:
    return "required" if asks else "none"


def _of_passwords(security: "Security", place: Place, users: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Brokers and controllers authenticate themselves as this program does."""
    if security.internal.mechanism:
        yield "sasl.mechanism.inter.broker.protocol", PLAIN
    of_brokers = {name: security.of_listener(name) for name in place.listeners if not is_controller(name)}
    asking = {name: profile for name, profile in of_brokers.items() if profile.mechanism}
    if place.kraft and "SASL" in security.protocol_of(CONTROLLER):
        yield "sasl.mechanism.controller.protocol", PLAIN
        asking[security.named(CONTROLLER)] = security.controllers
    for listener, profile in asking.items():
        prefix = f"listener.name.{listener.lower()}."
        for_users = not is_controller(listener)
        others = [user for user, by in users.items() if for_users and profile.has_in_files(by)]
        passwords = {user: place.secret(f"password.{user}") for user in (ITSELF, *others)}
        scram = SCRAM if for_users and profile.scram and place.keeps_users else ()
        yield f"{prefix}sasl.enabled.mechanisms", ",".join([PLAIN, *scram])
        for mechanism in scram:
            yield f"{prefix}{mechanism.lower()}.sasl.jaas.config", f"{_SCRAM_MODULE} required;"
        yield f"{prefix}plain.sasl.jaas.config", _accepting(passwords[ITSELF], passwords)


def _accepting(own: str, passwords: dict[str, str]) -> str:
    accepted = " ".join(f'user_{user}="{password}"' for user, password in passwords.items())
    return f'{_PLAIN_MODULE} required username="{ITSELF}" password="{own}" {accepted};'


def login(mechanism: str, user: str, password: str) -> str:
    """What Kafka's Java clients are to authenticate with (JAAS)."""
    if mechanism != PLAIN and mechanism not in SCRAM:
        raise ValueError(f"no login is known for {mechanism}")
    module = _SCRAM_MODULE if mechanism in SCRAM else _PLAIN_MODULE
    return f'{module} required username="{quoted(user)}" password="{quoted(password)}";'


def quoted(text: str) -> str:
    r"""A text between the quotes of a JAAS configuration, where `\` escapes."""
    return text.replace("\\", "\\\\").replace('"', '\\"')
