"""The keys, certificates and passwords of an environment: what is kept, and, in memory, what is missing."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from provision.errors import Refused, UsageError
from provision.security.certificates import Pair, Subject, is_good, issue, make_authority, parts, vouched
from provision.security.ensemble import PREFIX
from provision.security.profiles import ITSELF
from provision.security.store import SecretStore

AUTHORITY, AUTHORITY_KEY, CHAIN = "ca.pem", "ca.key", "ca.chain"
_PASSWORD_BYTES = 24
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"


class Rotation(StrEnum):
    """A step of the change to another authority: both are trusted from its beginning to its end."""

    BEGIN = "begin"
    FINISH = "finish"


@dataclass(frozen=True, slots=True)
class Authority:
    """Who issues certificates, which come with `chain`; `trusted` are the certificates by which they are trusted."""

    pair: Pair
    trusted: bytes
    chain: bytes = b""

    def rotated(self, environment: str, step: Rotation) -> "Authority":
        """The same after a step of a rotation.

        Raises:
            UsageError: it is not the next one.
        """
        if step is Rotation.FINISH:
            if not self.chain:
                what = f"no rotation of the certificates of {environment} has begun"
                raise UsageError(what, hint=f"`provision certs rotate {environment}` begins one")
            return Authority(self.pair, self.pair.certificate)
        if self.chain:
            what = f"a rotation of the certificates of {environment} has begun already"
            raise UsageError(what, hint=f"`provision certs rotate {environment} --finish` ends it")
        new = make_authority(environment)
        return Authority(new, new.certificate + self.pair.certificate, vouched(new, self.pair))


@dataclass(frozen=True, slots=True)
class Material:
    """What nodes and clients need, as files by name; nothing is written until it is kept."""

    store: SecretStore
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def keep(self) -> None:
        """Write what is new.

        Raises:
            ProvisionError: it cannot be written.
        """
        if self.files:
            self.store.keep(self.files)

    def of(self, subject: str) -> Pair | None:
        """The key and the certificate of a node or client; None if there are none."""
        return parted(self.files.get(f"{subject}.pem", b""))

    def password(self, user: str) -> str:
        """The password of a user; empty if there is none."""
        return self.files.get(f"{user}.password", b"").decode()

    @property
    def authority(self) -> bytes:
        """The certificate by which all others are trusted; empty without TLS."""
        return self.files.get(AUTHORITY, b"")

    @property
    def ensemble_authority(self) -> bytes:
        """The one by which those are trusted that ZooKeeper lets in; empty if it is open, or there is none."""
        return self.files.get(f"{PREFIX}{AUTHORITY}", b"")


def material(  # noqa: PLR0913 what is needed, and what there is
    store: SecretStore,
    environment: str,
    subjects: Mapping[str, Subject],
    passwords: Mapping[str, str | None],
    *,
    ensemble: Mapping[str, Subject] | None = None,
    exists: bool,
    rotation: Rotation | None = None,
) -> Material:
    """The certificates for these subjects, by the names of their files, and the passwords of these users.

    Args:
        store: what is kept.
        environment: its name.
        subjects: the nodes and clients that need certificates.
        passwords: by user; None for one that is kept, or made.
        ensemble: those that need certificates of the authority that ZooKeeper trusts.
        exists: whether the environment has nodes, which trust its authority and its own password already.
        rotation: the step to take to another authority, if any.

    Raises:
        UsageError: there is nothing to rotate, or that step is not the next one.
        Refused: it has nodes, and what they trust is not kept here: something new would lock everybody out.
    """
    circles = {prefix: group for prefix, group in (("", subjects), (PREFIX, ensemble)) if group}
    kept = {prefix: found for prefix in circles if (found := _kept_authority(store, prefix))}
    if rotation and not kept:
        raise UsageError(f"{environment} has no certificates that could be rotated")
    if not subjects and not passwords:
        return Material(store)
    lost = "" not in kept if subjects else store.read(f"{ITSELF}.password") is None
    if lost and exists:
        what = f"the secrets of {environment} are not in {store.directory}"
        hint = f"use the home that made it, or `provision down {environment}` and `up` again"
        raise Refused(what, why="its nodes trust only what was made with them", hint=hint)
    if rotation:
        kept = _rotated(kept, environment, rotation)
    files: dict[str, bytes] = {}
    for prefix, group in circles.items():
        files |= _certificates(store, kept.get(prefix) or _new_authority(environment), group, prefix)
    for user, password in passwords.items():
        made = store.read(f"{user}.password") or secrets.token_urlsafe(_PASSWORD_BYTES).encode()
        files[f"{user}.password"] = made if password is None else password.encode()
    return Material(store, files)


def _rotated(kept: Mapping[str, Authority], environment: str, step: Rotation) -> dict[str, Authority]:
    """All of them after a step; one that was made between two steps has nothing to finish."""
    (first, leading), *others = kept.items()
    rotated = {first: leading.rotated(environment, step)}
    for prefix, other in others:
        takes_part = bool(other.chain) is (step is Rotation.FINISH)
        rotated[prefix] = other.rotated(environment, step) if takes_part else other
    return rotated


def _certificates(
    store: SecretStore, authority: Authority, subjects: Mapping[str, Subject], prefix: str
) -> dict[str, bytes]:
    own = {AUTHORITY: authority.trusted, AUTHORITY_KEY: authority.pair.key, CHAIN: authority.chain}
    files = {f"{prefix}{name}": content for name, content in own.items()}
    for name, subject in subjects.items():
        file = f"{prefix}{name}.pem"
        pair = parted(store.read(file) or b"")
        if pair is None or not is_good(pair, authority.pair, subject):
            pair = issue(authority.pair, subject)
        files[file] = pair.key + parts(pair.certificate)[0] + authority.chain
    return files


def parted(content: bytes) -> Pair | None:
    """The key and the certificate in a file that has both; None if it has another form."""
    key, found, rest = content.partition(_CERTIFICATE)
    return Pair(key, found + rest) if key and found else None


def _kept_authority(store: SecretStore, prefix: str) -> Authority | None:
    trusted, key, chain = (store.read(f"{prefix}{name}") for name in (AUTHORITY, AUTHORITY_KEY, CHAIN))
    if not trusted or not key:
        return None
    return Authority(Pair(key, (parts(trusted) or [trusted])[0]), trusted, chain or b"")


def _new_authority(environment: str) -> Authority:
    made = make_authority(environment)
    return Authority(made, made.certificate)
