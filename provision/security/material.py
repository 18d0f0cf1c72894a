"""The keys and certificates of an environment: those that are kept, and new ones in memory for what is missing."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from provision.errors import Refused
from provision.security.certificates import Pair, Subject, is_good, issue, make_authority
from provision.security.store import SecretStore

AUTHORITY, AUTHORITY_KEY = "ca.pem", "ca.key"
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"


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

    def properties_of(self, node: str) -> bytes:
        """The file to which a node's properties refer.

        It always has a key in it, which nobody can guess: a fingerprint of it tells nothing of the rest.
        """
        pair = parted(self.files[f"{node}.pem"])
        values = {"key": pair.key, "certificate": pair.certificate} if pair else {}
        return "".join(f"{name}={in_a_line(pem)}\n" for name, pem in values.items()).encode("ascii")

    @property
    def authority(self) -> bytes:
        """The certificate by which all others are trusted."""
        return self.files[AUTHORITY]


def material(store: SecretStore, environment: str, subjects: Mapping[str, Subject], *, exists: bool) -> Material:
    """The certificates for these subjects, by the names of their files.

    Args:
        store: what is kept.
        environment: its name.
        subjects: the nodes and clients; without any, nothing is needed.
        exists: whether the environment has nodes, which trust its authority already.

    Raises:
        Refused: it has nodes, and its authority is not kept here: a new one would lock everybody out.
    """
    if not subjects:
        return Material(store)
    authority = _kept_authority(store)
    if authority is None and exists:
        what = f"the certificates of {environment} are not in {store.directory}"
        hint = f"use the home that made it, or `provision down {environment}` and `up` again"
        raise Refused(what, why="its nodes trust only the authority that was made with them", hint=hint)
    authority = authority or make_authority(environment)
    files = {AUTHORITY: authority.certificate, AUTHORITY_KEY: authority.key}
    for name, subject in subjects.items():
        pair = parted(store.read(f"{name}.pem") or b"")
        if pair is None or not is_good(pair, authority, subject):
            pair = issue(authority, subject)
        files[f"{name}.pem"] = pair.key + pair.certificate
    return Material(store, files)


def parted(content: bytes) -> Pair | None:
    """The key and the certificate in a file that has both; None if it has another form."""
    key, found, rest = content.partition(_CERTIFICATE)
    return Pair(key, found + rest) if key and found else None


def in_a_line(pem: bytes) -> str:
    r"""PEM as the value of a property: Java's format writes a line's end as `\n`."""
    return pem.decode("ascii").replace("\n", "\\n")


def _kept_authority(store: SecretStore) -> Pair | None:
    certificate, key = store.read(AUTHORITY), store.read(AUTHORITY_KEY)
    return Pair(key, certificate) if certificate and key else None
