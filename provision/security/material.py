"""The keys, certificates and passwords of an environment: what is kept, and, in memory, what is missing."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from msgspec import Struct

from provision.errors import Refused, Unavailable, UsageError
from provision.security.certificates import (
    SOON_DAYS,
    Pair,
    Subject,
    can_vouch,
    is_good,
    is_same_authority,
    is_whole,
    issue,
    make_authority,
    parts,
    shown,
    vouched,
)
from provision.security.ensemble import PREFIX
from provision.security.given import GivenAuthority
from provision.security.store import IDENTITY, SecretStore

AUTHORITY, AUTHORITY_KEY = "ca.pem", "ca.key"
USERS = "user-"
"""How the names of users' files begin."""
_PASSWORD_BYTES, _IDENTITY_BYTES = 24, 8
_KINDS = ("pem", "key", "password")
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_OLD, _CHAIN = b"# the old authority\n", b"# what comes with certificates\n"


class Rotation(StrEnum):
    """A step of the change to another authority: both are trusted from its beginning to its end."""

    BEGIN = "begin"
    FINISH = "finish"


class Authority(Struct, frozen=True):
    """Who issues certificates; during a rotation, these come with `chain`, and the `old` authority is trusted too.

    One of the user's own may have `issuers`, up to one that is signed by itself. All of it is kept in one file: the
    key, its certificate, its issuers, then the old authority's certificates and the chain. So a command that is cut off
    leaves the authority before the step or the one after it, and never a mixture.
    """

    pair: Pair
    old: bytes = b""
    chain: bytes = b""
    issuers: bytes = b""

    @property
    def own(self) -> bytes:
        """Its certificate, and those of its issuers."""
        return self.pair.certificate + self.issuers

    @property
    def trusted(self) -> bytes:
        """The certificates by which clients trust what it issues."""
        return self.own + self.old

    @property
    def trusted_by_nodes(self) -> bytes:
        """Those by which nodes do: none above it, since others below these could issue somebody a user's name."""
        return b"".join(parts(one)[0] for one in (self.own, self.old) if one)

    @property
    def sent(self) -> bytes:
        """What comes with each certificate, for those who trust only the uppermost of its issuers, or the old one.

        The way to the old one is first: OpenSSL's clients take the first that fits, and Java's try every one.
        """
        return self.chain + self.below_root

    @property
    def below_root(self) -> bytes:
        """Its certificate and those of its issuers, but for the uppermost."""
        return b"".join(parts(self.own)[:-1])

    @property
    def written(self) -> bytes:
        """As it is kept."""
        return self.pair.key + self.own + (_OLD + self.old + _CHAIN + self.chain if self.chain else b"")

    @classmethod
    def kept(cls, store: SecretStore, prefix: str = "") -> "Authority | None":
        """The one that is kept under names with that prefix; None if there is none.

        Raises:
            Unavailable: it is damaged.
        """
        file = f"{prefix}{AUTHORITY_KEY}"
        content = store.read(file)
        if content is None:
            return None
        found = cls.read(content)
        if not is_whole(found.pair, any_kind=True) or bool(found.old) is not bool(found.chain):
            why = "it does not have a key with its own certificate"
            hint = "put back a copy of it, or `provision down` the environment and `up` again"
            raise Unavailable(f"{store.path(file)} is damaged", why=why, hint=hint)
        return found

    @classmethod
    def read(cls, content: bytes) -> "Authority":
        """The one that `written` has written; if it is damaged, it is not whole."""
        present, begun, rest = content.partition(_OLD)
        old, _, chain = rest.partition(_CHAIN)
        found = parted(present)
        own, *issuers = parts(found.certificate) if found else [b""]
        whole = bool(found) and bool(begun) is bool(old and chain)
        return cls(Pair(found.key if found and whole else b"", own), old, chain, b"".join(issuers))

    def rotated(self, environment: str, step: Rotation, *, running: bool) -> "Authority":
        """The same after a step of a rotation.

        Raises:
            UsageError: it is not the next one.
            Refused: it may not vouch for others, and nodes run.
        """
        if step is Rotation.FINISH:
            if not self.chain:
                what = f"no rotation of the certificates of {environment} has begun"
                raise UsageError(what, hint=f"`provision certs rotate {environment}` begins one")
            return self._alone
        if self.chain:
            what = f"a rotation of the certificates of {environment} has begun already"
            raise UsageError(what, hint=f"`provision certs rotate {environment} --finish` ends it")
        new = Authority(make_authority(environment))
        if not running and not can_vouch(self.own):
            return new
        return _successor(self, new, environment, f"provision certs rotate {environment}")

    @property
    def _alone(self) -> "Authority":
        """The same without the old one."""
        return Authority(self.pair, issuers=self.issuers)

    def given(self, given: GivenAuthority, environment: str, *, running: bool) -> "Authority":
        """The file's authority instead; while nodes run, at the beginning of a rotation to it.

        During a rotation, the old one may come back: then that one is turned round. With the same key and name below
        another root, both roots are trusted until the end of a rotation, too.

        Raises:
            Refused: a rotation to another one has begun, or it may not vouch for others.
        """
        new = Authority(given.pair, issuers=given.issuers)
        if _is_one(self.own, new.own):
            return Authority(given.pair, self.old, self.chain, given.issuers)
        if not running:
            return new
        if self.chain and not _is_one(self.old, new.own):
            what = f"the certificates of {environment} go to another authority than that of the file already"
            ends = f"`provision certs rotate {environment} --finish`"
            hint = (
                f"put the files of that one back, or remove `certificates`; then {ends}, and after it `up` with these"
            )
            raise Refused(what, why="nodes and clients would have to trust three at the same time", hint=hint)
        if is_same_authority(self.own, new.own):
            return Authority(given.pair, self.own, self.below_root or self.own, given.issuers)
        return _successor(self._alone, new, environment, "provision up")


def _successor(old: Authority, new: Authority, environment: str, then: str) -> Authority:
    """Another authority at the beginning of a rotation to it.

    Raises:
        Refused: the old one may not vouch for others.
    """
    if not can_vouch(old.own):
        what = f"the authority of {environment}'s certificates cannot be replaced while nodes run"
        why = "its certificate, or one above it, forbids it to vouch for another one (path length)"
        raise Refused(what, why=why, hint=f"`provision stop {environment}`, then `{then}`")
    return Authority(new.pair, old.own, vouched(new.pair, old.pair) + old.below_root, new.issuers)


def _is_one(authority: bytes, other: bytes) -> bool:
    """Whether two authorities are the same below the same root; each with the certificates of its issuers."""
    ends = ((parts(one)[0], parts(one)[-1]) for one in (authority, other))
    return all(is_same_authority(*pair) for pair in zip(*ends, strict=True))


@dataclass(frozen=True, slots=True)
class Material:
    """What nodes and clients need, as files by name; nothing is written until it is kept."""

    store: SecretStore
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    given: bytes = b""
    """The certificates of the authority that the file names."""

    def keep(self) -> None:
        """Write what is new.

        Raises:
            ProvisionError: it cannot be written.
        """
        self.store.keep(self.files)

    @property
    def new(self) -> frozenset[str]:
        """The names of what is not kept yet."""
        names = (name for name, content in self.files.items() if self.store.read(name) != content)
        return frozenset(names) - {IDENTITY}

    @property
    def is_rotating(self) -> bool:
        """Whether nodes trust another authority beside that of the environment, until a rotation to it is finished."""
        return _OLD in self.files.get(AUTHORITY_KEY, b"")

    def forget_others(self) -> None:
        """Remove the keys, certificates and passwords that are no part of it, once no node needs them.

        Raises:
            ProvisionError: they cannot be removed.
        """
        self.store.remove(name for name in self.store.names - self.files.keys() if name.rpartition(".")[2] in _KINDS)

    @property
    def certified_before(self) -> tuple[str, ...]:
        """The users who have a certificate that is valid, and get none any more."""
        left = self.store.names - self.files.keys() if self.files else ()
        known = (name for name in left if name.startswith(USERS) and name.endswith(".pem"))
        return tuple(sorted(name.removeprefix(USERS).removesuffix(".pem") for name in known))

    @property
    def renewed(self) -> Mapping[str, int]:
        """The users whose certificates end soon and are replaced, each with the days that the old one has left."""
        found = {}
        for name in sorted(self.new):
            old = parted(self.store.read(name) or b"") if name.startswith(USERS) and name.endswith(".pem") else None
            if old and is_whole(old) and (days := shown(old.certificate)[0].days_left()) < SOON_DAYS:
                found[name.removeprefix(USERS).removesuffix(".pem")] = days
        return found

    def of(self, subject: str) -> Pair | None:
        """The key and the certificate of a node or client; None if there are none."""
        return parted(self.files.get(f"{subject}.pem", b""))

    def password(self, user: str) -> str:
        """The password of a user; empty if there is none."""
        return self.files.get(f"{user}.password", b"").decode()

    @property
    def identity(self) -> str:
        """What tells its environment which secrets are its own; empty if it has none."""
        return self.files.get(IDENTITY, b"").decode()

    @property
    def authority(self) -> bytes:
        """The certificates by which clients trust all others; empty without TLS."""
        return self.files.get(AUTHORITY, b"")

    @property
    def authority_of_nodes(self) -> bytes:
        """The certificates by which nodes trust each other and clients; empty without TLS."""
        content = self.files.get(AUTHORITY_KEY)
        return Authority.read(content).trusted_by_nodes if content else b""

    def present_authority(self, prefix: str = "") -> bytes:
        """The authority that issues certificates, or ZooKeeper's, with its issuers, and no old one; empty if none."""
        content = self.files.get(f"{prefix}{AUTHORITY_KEY}")
        return Authority.read(content).own if content else b""

    @property
    def ensemble_authority(self) -> bytes:
        """The one by which those are trusted that ZooKeeper lets in; empty if it is open, or there is none."""
        return self.files.get(f"{PREFIX}{AUTHORITY}", b"")


def material(  # noqa: PLR0913 what is kept, who needs what, and what is to change
    store: SecretStore,
    environment: str,
    subjects: Mapping[str, Subject],
    passwords: Mapping[str, str | None],
    *,
    ensemble: Mapping[str, Subject] | None = None,
    rotation: Rotation | None = None,
    given: GivenAuthority | None = None,
    running: bool = False,
) -> Material:
    """The certificates for these subjects, by the names of their files, and the passwords of these users.

    Args:
        store: what is kept.
        environment: its name.
        subjects: the nodes and clients that need certificates.
        passwords: by user; None for one that is kept, or made.
        ensemble: those that need certificates of the authority that ZooKeeper trusts.
        rotation: the step to take to another authority, if any.
        given: the authority that the file names; None for one that is kept, or made.
        running: whether nodes run, which trust the one that is kept.

    Raises:
        UsageError: there is nothing to rotate, or that step is not the next one.
        Refused: nodes trust an authority that cannot be replaced while they run.
        Unavailable: what is kept is damaged.
    """
    circles = {prefix: group for prefix, group in (("", subjects), (PREFIX, ensemble)) if group}
    kept = {prefix: one for prefix in circles if (one := Authority.kept(store, prefix))}
    if rotation and not kept:
        raise UsageError(f"{environment} has no certificates that could be rotated")
    if not subjects and not passwords:
        return Material(store)
    if given and subjects:
        before = kept.get("")
        of_file = (
            before.given(given, environment, running=running)
            if before
            else Authority(given.pair, issuers=given.issuers)
        )
        kept[""] = of_file
    if rotation:
        kept |= _rotated(_to_rotate(kept, rotation, given, environment), environment, rotation, running=running)
    files: dict[str, bytes] = {}
    for prefix, group in circles.items():
        files |= _certificates(store, kept.get(prefix) or Authority(make_authority(environment)), group, prefix)
    for user, password in passwords.items():
        found = store.password(user) if password is None else password
        files[f"{user}.password"] = (found or secrets.token_urlsafe(_PASSWORD_BYTES)).encode()
    files[IDENTITY] = (store.identity or secrets.token_hex(_IDENTITY_BYTES)).encode()
    return Material(store, files, given.pair.certificate + given.issuers if given and subjects else b"")


def ensemble_certificates(store: SecretStore, subjects: Mapping[str, Subject]) -> Mapping[str, bytes]:
    """What these need to get in at ZooKeeper, as files by name: of the authority that is kept; none if none is.

    Raises:
        Unavailable: it is damaged.
    """
    authority = Authority.kept(store, PREFIX)
    return _certificates(store, authority, subjects, PREFIX) if authority else {}


def _to_rotate(
    kept: Mapping[str, Authority], step: Rotation, given: GivenAuthority | None, environment: str
) -> Mapping[str, Authority]:
    """Those that a step is taken with: to another one than the file names only the file leads.

    Raises:
        UsageError: the file names the only one.
    """
    if step is Rotation.FINISH or not given:
        return kept
    others = {prefix: one for prefix, one in kept.items() if prefix}
    if not others:
        hint = "name other files in `certificates`, and `provision up` changes to that authority"
        raise UsageError(f"the file names the authority of {environment}'s certificates", hint=hint)
    return others


def _rotated(kept: Mapping[str, Authority], environment: str, step: Rotation, *, running: bool) -> dict[str, Authority]:
    """All of them after a step, which those take that have not taken it yet: a command may be cut off between two."""
    behind = {prefix for prefix, one in kept.items() if bool(one.chain) is (step is Rotation.FINISH)}
    return {
        prefix: one.rotated(environment, step, running=running) if prefix in behind or not behind else one
        for prefix, one in kept.items()
    }


def _certificates(
    store: SecretStore, authority: Authority, subjects: Mapping[str, Subject], prefix: str
) -> dict[str, bytes]:
    # In this order: the second is a copy.
    files = {f"{prefix}{AUTHORITY_KEY}": authority.written, f"{prefix}{AUTHORITY}": authority.trusted}
    for name, subject in subjects.items():
        file = f"{prefix}{name}.pem"
        pair = parted(store.read(file) or b"")
        if pair is None or not is_whole(pair) or not is_good(pair, authority.pair, subject):
            pair = issue(authority.pair, subject)
        files[file] = pair.key + parts(pair.certificate)[0] + authority.sent
    return files


def parted(content: bytes) -> Pair | None:
    """The key and the certificate in a file that has both; None if it has another form."""
    key, found, rest = content.partition(_CERTIFICATE)
    return Pair(key, found + rest) if key and found else None
