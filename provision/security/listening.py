"""How each listener of an environment is secured, and where those for clients on this machine are. Pure."""

import re
from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct

from provision.common.endpoints import is_endpoint
from provision.security.profiles import CONTROLLER, PLAIN, PLAIN_TEXT, PROFILES, Profile, is_controller

HOST, INTERNAL = "HOST", "INTERNAL"
"""The listener for clients on this machine, unless the file names others; and that between brokers."""
_SECOND = "/second"
_OWN = (HOST, INTERNAL, CONTROLLER)
_ORDER = tuple(PROFILES)
_LISTENER = re.compile(r"([A-Z][A-Z0-9_-]*) ([a-z-]+) (\S+)( meanwhile)?")


class Security(Struct, frozen=True):
    """The profile of each listener.

    `host` has those for clients on this machine, by their names in Kafka, in the order of the file; `internal` is that
    between brokers, which clients in the environment's network use as well; only nodes use that of `controllers`.
    """

    host: tuple[tuple[str, Profile], ...]
    internal: Profile
    controllers: Profile

    @classmethod
    def of(cls, profile: Profile) -> "Security":
        """The same for all listeners."""
        return cls(((HOST, profile),), profile, profile)

    @property
    def name(self) -> str:
        """As it is said and kept: one profile for all, or one for each listener."""
        if self.is_uniform:
            return self.internal.name
        every = (*self.host, (INTERNAL, self.internal), (CONTROLLER, self.controllers))
        return " ".join(f"{listener}={profile.name}" for listener, profile in every)

    @property
    def is_uniform(self) -> bool:
        """Whether one profile is for all listeners, of which none has a name of the file's."""
        return self == Security.of(self.internal)

    def named(self, listener: str) -> str:
        """What a listener is called in Kafka: the names of nodes' own ones tell how they are secured."""
        return self.of_listener(listener).named(listener) if listener in _OWN else listener

    @property
    def names(self) -> tuple[str, ...]:
        """The listeners for clients on this machine."""
        return tuple(name for name, _ in self.host)

    @property
    def apart(self) -> bool:
        """Whether brokers need a listener of their own even where all of them are on this machine."""
        return self.names != (HOST,) or self.of_listener(HOST) != self.internal

    def at(self, listeners: Collection[str]) -> "Security":
        """What a node with these listeners needs of it: a dedicated controller has nothing to do with the others."""
        return Security.of(self.controllers) if listeners and all(map(is_controller, listeners)) else self

    def of_listener(self, name: str) -> Profile:
        """The profile of a listener by its name, here or in Kafka; that between brokers for one that is not known."""
        return self.controllers if is_controller(name) else dict(self.host).get(base_of(name), self.internal)

    def protocol_of(self, name: str) -> str:
        """The security protocol of a listener by its name."""
        return self.controllers.controller_protocol if is_controller(name) else self.of_listener(name).protocol

    @property
    def for_clients(self) -> tuple[Profile, ...]:
        """The profiles of all listeners that clients use."""
        return (*(profile for _, profile in self.host), self.internal)

    @property
    def encrypted(self) -> bool:
        """Whether nodes need certificates."""
        return any(profile.encrypted for profile in (*self.for_clients, self.controllers))

    @property
    def asks_certificate(self) -> bool:
        """Whether users need certificates."""
        return any(profile.asks_certificate for profile in self.for_clients)

    @property
    def mechanism(self) -> str:
        """By which nodes and this program say their password; empty if nothing asks for it."""
        return PLAIN if any(profile.mechanism for profile in (*self.for_clients, self.controllers)) else ""

    @property
    def scram(self) -> bool:
        """Whether the cluster may keep users: over a listener for this machine it is seen whether they get in."""
        return any(profile.scram for _, profile in self.host)

    @property
    def only_scram(self) -> bool:
        """Whether a listener lets no users in but those that the cluster keeps."""
        return any(profile.only_scram for profile in self.for_clients)

    def has_in_files(self, mechanism: str) -> bool:
        """Whether nodes have the password of a user of that mechanism in their files."""
        return any(profile.has_in_files(mechanism) for profile in self.for_clients)

    @property
    def asks_password(self) -> bool:
        """Whether users need passwords."""
        return any(profile.users_by for profile in self.for_clients)

    @property
    def is_secured(self) -> bool:
        """Whether nodes have secrets."""
        return self.encrypted or bool(self.mechanism)

    @property
    def knows_users(self) -> bool:
        """Whether clients of any listener say who they are."""
        return any(profile.knows_users for profile in self.for_clients)

    @property
    def knows_strangers(self) -> bool:
        """Whether clients of any listener get in without saying who they are."""
        return not all(profile.knows_users for profile in self.for_clients)


def base_of(name: str) -> str:
    """What a listener is called without how it is secured, by its name in Kafka."""
    return next((own for own in _OWN if name.startswith(f"{own}_")), name)


def security_in(text: str) -> Security:
    """What `Security.name` has written; everything is open if it is empty or damaged."""
    if "=" not in text:
        return Security.of(PROFILES.get(text, PROFILES[PLAIN_TEXT]))
    pairs = [(name, PROFILES[profile]) for name, _, profile in map(_parted, text.split()) if profile in PROFILES]
    known = dict(pairs)
    internal = known.get(INTERNAL, PROFILES[PLAIN_TEXT])
    host = tuple((name, profile) for name, profile in known.items() if name not in (INTERNAL, CONTROLLER))
    return Security(host or ((HOST, internal),), internal, known.get(CONTROLLER, internal))


def _parted(pair: str) -> tuple[str, str, str]:
    return pair.partition("=")


def strictest(profiles: Iterable[Profile]) -> Profile:
    """The one that lets the fewest in: encrypted ones first, then those that ask who somebody is."""
    return max(profiles, key=lambda one: (one.encrypted, one.knows_users, _ORDER.index(one.name)))


class HostListener(Struct, frozen=True):
    """A listener of a node for clients on this machine: its name in Kafka, its profile's, and its `host:port`.

    It is `temporary` if it is there only while the listeners of running nodes change, or elsewhere meanwhile.
    """

    name: str
    security: str
    endpoint: str
    temporary: bool = False

    @property
    def port(self) -> int:
        """The port of this machine."""
        return int(self.endpoint.rpartition(":")[2])

    @property
    def known_as(self) -> str:
        """Its name in the file, which does not tell how it is secured."""
        return base_of(self.name)

    def __str__(self) -> str:
        return f"{self.name} {self.security} {self.endpoint}{' meanwhile' if self.temporary else ''}"


def written(listeners: Iterable[HostListener]) -> str:
    """As a node's mark has them."""
    return ", ".join(map(str, listeners))


def listeners_in(text: str) -> tuple[HostListener, ...]:
    """What `written` has written; none if it is damaged."""
    found = [_LISTENER.fullmatch(one) for one in text.split(", ")] if text else []
    good = [one for one in found if one and one[2] in PROFILES and is_endpoint(one[3])]
    known = tuple(HostListener(one[1], one[2], one[3], temporary=bool(one[4])) for one in good)
    return known if len(known) == len(found) and len({one.name for one in known}) == len(known) else ()


def own_way(listeners: Mapping[str, Profile]) -> str:
    """Over which listener this program gets in.

    Where the cluster keeps users, it looks whether they are let in, which only a listener with SCRAM tells. Otherwise
    over one that knows who it is, so that it may do what it has to.
    """
    return max(
        listeners,
        key=lambda name: (
            listeners[name].scram,
            listeners[name].knows_users,
            listeners[name].encrypted,
            _ORDER.index(listeners[name].name),
        ),
    )


def lease_name(node: str, listener: str) -> str:
    """Under which name the port of a node's listener is leased."""
    return node if listener == HOST else f"{node}/{listener}"


def second_lease(node: str, listener: str) -> str:
    """The same of the port that it has beside its own while the listeners of running nodes change."""
    return f"{lease_name(node, listener)}{_SECOND}"


def is_second(lease: str) -> bool:
    """Whether it is one of these, of which none is needed once a change has ended."""
    return lease.endswith(_SECOND)
