"""Keys and certificates in files for clients: as they are, or as the PKCS #12 stores that Java clients read.

Java reads a PKCS #12 store also where it is told of a JKS one, so that no library for that older form is needed.
"""

import os
import secrets
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision.common.whole_files import read_whole, write_output
from provision.errors import ProvisionError, Unavailable
from provision.security.material import USERS, parted

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.serialization import KeySerializationEncryption

TYPE = "PKCS12"
"""The type of these stores, as Java calls it."""
_TRUSTSTORE, _SUFFIX = "truststore.p12", ".p12"
_MODE = 0o600
_PASSWORD_BYTES, _LONGEST_PASSWORD = 18, 200


@dataclass(frozen=True, slots=True)
class Store:
    """A store that was written: its path, and its password."""

    path: Path
    password: str = field(repr=False)

    @property
    def files(self) -> list[Path]:
        """The file of its password, and the store."""
        return [_password_file(self.path), self.path]


@dataclass(frozen=True, slots=True)
class Stores:
    """Whom a Java client trusts, and, where it has one, its own key and certificate."""

    trusted: Store
    own: Store | None = None

    @property
    def files(self) -> list[Path]:
        """All that was written."""
        return [*self.trusted.files, *(self.own.files if self.own else [])]


def write_stores(directory: Path, trusted: bytes, name: str = "", pair: bytes | None = None) -> Stores:
    """Write a truststore, and a keystore if there is a key, each with a password in a file beside it.

    A store that is written again keeps its password.

    Args:
        directory: where they are written; made if it is missing.
        trusted: the certificates of the authorities, as PEM.
        name: what the keystore is called; in it, the key has the name of its user.
        pair: the key and its certificate, as PEM.

    Raises:
        Unavailable: the key and the certificate are damaged.
        ProvisionError: they cannot be written.
    """
    stores = {_TRUSTSTORE: lambda sealed: _truststore(trusted, sealed)}
    if pair:
        stores[f"{name}{_SUFFIX}"] = lambda sealed: _keystore(pair, name.removeprefix(USERS), sealed)
    written = [_write_store(directory / file, make) for file, make in stores.items()]
    return Stores(*written)


def write_below(directory: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Write files that only this user can read; returns their paths.

    Raises:
        ProvisionError: they cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for file, content in files.items():
            write_output(directory / file, content, _MODE)
    except OSError as error:
        raise ProvisionError(f"cannot write to {directory}", why=error.strerror or str(error)) from error
    return [directory / file for file in files]


def _write_store(path: Path, make: "Callable[[KeySerializationEncryption], bytes]") -> Store:
    """Write a store after the file of its password: of another one nobody would be told."""
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption

    beside = _password_file(path)
    password = _own(beside) or secrets.token_urlsafe(_PASSWORD_BYTES).encode()
    write_below(path.parent, {beside.name: password, path.name: make(BestAvailableEncryption(password))})
    return Store(path, password.decode())


def _password_file(store: Path) -> Path:
    return store.with_name(f"{store.name}.password")


def _own(file: Path) -> bytes:
    """What is in a file, if only this user can read and change it; else nothing."""
    try:
        found = file.lstat()
        private = found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & 0o077
        content = read_whole(file, _LONGEST_PASSWORD) if private else b""
    except OSError:
        return b""  # whatever stands there cannot be used; the write that follows says so
    return content if content.isascii() and content.decode("ascii").isprintable() else b""


def _truststore(trusted: bytes, sealed: "KeySerializationEncryption") -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import pkcs12

    authorities = [
        pkcs12.PKCS12Certificate(one, f"ca-{number}".encode())
        for number, one in enumerate(x509.load_pem_x509_certificates(trusted), start=1)
    ]
    return pkcs12.serialize_java_truststore(authorities, sealed)


def _keystore(content: bytes, user: str, sealed: "KeySerializationEncryption") -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12

    pair = parted(content)
    if pair is None:
        raise Unavailable(f"the certificate of {user} is damaged", why="it has no key and certificate")
    own, *chain = x509.load_pem_x509_certificates(pair.certificate)
    key: Any = load_pem_private_key(pair.key, None)
    return pkcs12.serialize_key_and_certificates(user.encode(), key, own, chain, sealed)
