"""The certificates of an environment: what they say, and copies for clients."""

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provision.cluster.secured import file_of
from provision.common.whole_files import write_whole
from provision.errors import ProvisionError, Unavailable, UsageError
from provision.home.secrets import known_secrets
from provision.observe.reach import security_of_nodes
from provision.plan.observed import ObservedEnvironment
from provision.security.certificates import Shown, shown
from provision.security.material import AUTHORITY, parted
from provision.security.profiles import ITSELF
from provision.security.store import SecretStore

PEM, PKCS12 = "pem", "pkcs12"
_USER = "user-"
_MODE = 0o600
_PASSWORD_BYTES = 18


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that is kept: whose it is, and what it says."""

    kind: str
    name: str
    says: Shown

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "kind": self.kind,
            "name": self.name,
            "issuer": self.says.issuer,
            "names": list(self.says.names),
            "ends": self.says.ends.isoformat(),
            "days_left": self.says.days_left(),
        }


def certificates(observed: ObservedEnvironment) -> list[Certificate]:
    """All of an environment's: its authority's, during a rotation also the old one's, then its nodes' and users'.

    There are none without TLS.

    Raises:
        Unavailable: they are not on this machine, or damaged.
    """
    if not _has_any(observed):
        return []
    store = _store(observed)
    kinds = ["authority", "old authority"]
    found = [Certificate(kinds[min(n, 1)], one.subject, one) for n, one in enumerate(_read(store, AUTHORITY))]
    for file in sorted(store.directory.glob("*.pem")):
        if file.name != AUTHORITY:
            is_user = file.stem.startswith(_USER)
            kind = "user" if is_user else "provision" if file.stem == ITSELF else "node"
            name = file.stem.removeprefix(_USER) if is_user else file.stem
            found.append(Certificate(kind, name, _read(store, file.name)[0]))
    order = {"authority": 0, "old authority": 1, "node": 2, "provision": 3, "user": 4}
    return sorted(found, key=lambda one: (order[one.kind], one.name))


def export(observed: ObservedEnvironment, directory: Path, user: str = "", form: str = PEM) -> list[Path]:
    """Copy what a client needs into a directory: the authority's certificate, and a user's key and certificate.

    Stores in the format PKCS12 have a password, which is written beside them.

    Args:
        observed: the environment.
        directory: where the files are written; made if it is missing.
        user: whose key and certificate, where users have one.
        form: `PEM` or `PKCS12`.

    Returns:
        The files that were written; only this user can read those with a key or a password.

    Raises:
        UsageError: it has no certificates, the user has none, or there is no such format.
        ProvisionError: the files cannot be written.
    """
    if form not in (PEM, PKCS12):
        raise UsageError(f"there is no format {form!r}", hint=f"known: {PEM}, {PKCS12}")
    if not _has_any(observed):
        raise UsageError(f"{observed.name} has no certificates", why="its security has no TLS")
    store = _store(observed)
    pair = store.read(f"{file_of(user)}.pem") if user else None
    if user and (pair is None or user == ITSELF):
        known = [one.name for one in certificates(observed) if one.kind == "user"]
        hint = f"--user {' or '.join(known)}" if known else "with `security: mtls`, users have certificates"
        raise UsageError(f"{observed.name} has no certificate of a user {user}", hint=hint)
    trusted = store.read(AUTHORITY) or b""
    files = _pkcs12(trusted, pair, user) if form == PKCS12 else {"ca.pem": trusted}
    if pair and form == PEM:
        files[f"{user}.pem"] = pair
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_whole(directory / name, content, _MODE)
    except OSError as error:
        raise ProvisionError(f"cannot write to {directory}", why=error.strerror or str(error)) from error
    return [directory / name for name in files]


def _pkcs12(trusted: bytes, pair: bytes | None, user: str) -> dict[str, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, load_pem_private_key, pkcs12

    password = secrets.token_urlsafe(_PASSWORD_BYTES).encode()
    sealed = BestAvailableEncryption(password)
    authorities = [
        pkcs12.PKCS12Certificate(one, f"ca-{number}".encode())
        for number, one in enumerate(x509.load_pem_x509_certificates(trusted), start=1)
    ]
    files = {"truststore.p12": pkcs12.serialize_java_truststore(authorities, sealed)}
    found = parted(pair) if pair else None
    if found:
        own, *chain = x509.load_pem_x509_certificates(found.certificate)
        key: Any = load_pem_private_key(found.key, None)
        files[f"{user}.p12"] = pkcs12.serialize_key_and_certificates(user.encode(), key, own, chain, sealed)
    return files | {"password": password}


def _has_any(observed: ObservedEnvironment) -> bool:
    return security_of_nodes(observed).encrypted


def _store(observed: ObservedEnvironment) -> SecretStore:
    store = known_secrets(observed.name, observed.about)
    if store is None or not store.is_there:
        where = f"{observed.about.home} on {observed.about.host}" if observed.about else ""
        raise Unavailable(f"the certificates of {observed.name} are in {where}, not here")
    return store


def _read(store: SecretStore, name: str) -> list[Shown]:
    content = store.read(name) or b""
    begin = content.find(b"-----BEGIN CERTIFICATE-----")
    try:
        return shown(content[max(begin, 0) :])
    except ValueError as error:
        raise Unavailable(f"{store.path(name)} is damaged", why="it has no certificate that can be read") from error
