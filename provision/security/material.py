"""The keys, certificates and passwords of an environment: what is kept, and, in memory, what is missing."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from provision.errors import Unavailable, UsageError
from provision.security.certificates import Pair, Subject, is_good, is_whole, issue, make_authority, parts, vouched
from provision.security.ensemble import PREFIX
from provision.security.profiles import ITSELF
from provision.security.store import IDENTITY, SecretStore

AUTHORITY, AUTHORITY_KEY = "ca.pem", "ca.key"
USERS = "user-"
"""How the names of users' files begin."""
_PASSWORD_BYTES, _IDENTITY_BYTES = 24, 8
_KINDS = ("pem", "password")
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"


class Rotation(StrEnum):
    """A step of the change to another authority: both are trusted from its beginning to its end."""

    BEGIN = "begin"
    FINISH = "finish"


@dataclass(frozen=True, slots=True)
class Authority:
    """Who issues certificates; during a rotation, these come with `chain`, and the `old` authority is trusted too.

    All of it is kept in one file: the key, its certificate, then the old authority's certificate and the chain. So a
    command that is cut off leaves the authority before the step or the one after it, and never a mixture.
    """

    pair: Pair
    old: bytes = b""
    chain: bytes = b""

    @property
    def trusted(self) -> bytes:
        """The certificates by which what it issues is trusted."""
        return self.pair.certificate + self.old

    @property
    def written(self) -> bytes:
        """As it is kept."""
        return self.pair.key + self.trusted + self.chain

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
        found = parted(content)
        certificates = parts(found.certificate) if found else []
        pair = Pair(found.key, certificates[0]) if found else Pair(b"", b"")
        if len(certificates) not in (1, 3) or not is_whole(pair):
            why = "it does not have a key with its own certificate"
            hint = "put back a copy of it, or `provision down` the environment and `up` again"
            raise Unavailable(f"{store.path(file)} is damaged", why=why, hint=hint)
        return cls(pair, *certificates[1:])

    def rotated(self, environment: str, step: Rotation) -> "Authority":
        """The same after a step of a rotation.

        Raises:
            UsageError: it is not the next one.
        """
        if step is Rotation.FINISH:
            if not self.chain:
                what = f"no rotation of the certificates of {environment} has begun"
                raise UsageError(what, hint=f"`provision certs rotate {environment}` begins one")
            return Authority(self.pair)
        if self.chain:
            what = f"a rotation of the certificates of {environment} has begun already"
            raise UsageError(what, hint=f"`provision certs rotate {environment} --finish` ends it")
        new = make_authority(environment)
        return Authority(new, self.pair.certificate, vouched(new, self.pair))


@dataclass(frozen=True, slots=True)
class Material:
    """What nodes and clients need, as files by name; nothing is written until it is kept."""

    store: SecretStore
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def keep(self) -> None:
        """Write what is new, and remove what belongs to nodes and users that are not there any more.

        Raises:
            ProvisionError: it cannot be written.
        """
        if self.files:
            self.store.keep(self.files)
            self.store.remove(self._left)

    def forget_ensemble(self) -> None:
        """Remove what is kept for ZooKeeper, once all of its nodes are open.

        Raises:
            ProvisionError: it cannot be removed.
        """
        self.store.remove(name for name in self.store.names if name.startswith(PREFIX))

    @property
    def _left(self) -> frozenset[str]:
        """The files of those for whom nothing is needed any more."""
        ours = (AUTHORITY, *(f"{ITSELF}.{kind}" for kind in _KINDS))
        kept = {*(f"{prefix}{name}" for prefix in ("", PREFIX) for name in ours), *self.files}
        return frozenset(name for name in self.store.names if name.rpartition(".")[2] in _KINDS) - kept

    @property
    def certified_before(self) -> tuple[str, ...]:
        """The users who have a certificate that is valid, and get none any more."""
        left = (name for name in self._left if name.startswith(USERS) and name.endswith(".pem"))
        return tuple(sorted(name.removeprefix(USERS).removesuffix(".pem") for name in left if self.files))

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
        """The certificate by which all others are trusted; empty without TLS."""
        return self.files.get(AUTHORITY, b"")

    @property
    def ensemble_authority(self) -> bytes:
        """The one by which those are trusted that ZooKeeper lets in; empty if it is open, or there is none."""
        return self.files.get(f"{PREFIX}{AUTHORITY}", b"")


def material(
    store: SecretStore,
    environment: str,
    subjects: Mapping[str, Subject],
    passwords: Mapping[str, str | None],
    *,
    ensemble: Mapping[str, Subject] | None = None,
    rotation: Rotation | None = None,
) -> Material:
    """The certificates for these subjects, by the names of their files, and the passwords of these users.

    Args:
        store: what is kept.
        environment: its name.
        subjects: the nodes and clients that need certificates.
        passwords: by user; None for one that is kept, or made.
        ensemble: those that need certificates of the authority that ZooKeeper trusts.
        rotation: the step to take to another authority, if any.

    Raises:
        UsageError: there is nothing to rotate, or that step is not the next one.
        Unavailable: what is kept is damaged.
    """
    circles = {prefix: group for prefix, group in (("", subjects), (PREFIX, ensemble)) if group}
    kept = {prefix: one for prefix in circles if (one := Authority.kept(store, prefix))}
    if rotation and not kept:
        raise UsageError(f"{environment} has no certificates that could be rotated")
    if not subjects and not passwords:
        return Material(store)
    if rotation:
        kept = _rotated(kept, environment, rotation)
    files: dict[str, bytes] = {}
    for prefix, group in circles.items():
        files |= _certificates(store, kept.get(prefix) or Authority(make_authority(environment)), group, prefix)
    for user, password in passwords.items():
        found = store.password(user) if password is None else password
        files[f"{user}.password"] = (found or secrets.token_urlsafe(_PASSWORD_BYTES)).encode()
    files[IDENTITY] = (store.identity or secrets.token_hex(_IDENTITY_BYTES)).encode()
    return Material(store, files)


def _rotated(kept: Mapping[str, Authority], environment: str, step: Rotation) -> dict[str, Authority]:
    """All of them after a step, which those take that have not taken it yet: a command may be cut off between two."""
    behind = {prefix for prefix, one in kept.items() if bool(one.chain) is (step is Rotation.FINISH)}
    return {
        prefix: one.rotated(environment, step) if prefix in behind or not behind else one
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
        files[file] = pair.key + parts(pair.certificate)[0] + authority.chain
    return files


def parted(content: bytes) -> Pair | None:
    """The key and the certificate in a file that has both; None if it has another form."""
    key, found, rest = content.partition(_CERTIFICATE)
    return Pair(key, found + rest) if key and found else None
