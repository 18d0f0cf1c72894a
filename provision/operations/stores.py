"""Keys and certificates in files for clients: as they are, or as the PKCS #12 stores that Java clients read.

Java reads a PKCS #12 store also where it is told of a JKS one, so that no library for that older form is needed.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from provision.common.whole_files import is_private, read_whole, told_as_unwritable, write_whole
from provision.errors import Refused, Unavailable
from provision.security.material import USERS, parted

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.serialization import KeySerializationEncryption

TYPE = "PKCS12"
"""The type of these stores, as Java calls it."""
_SUFFIX = ".p12"
_MODE = 0o600
_PASSWORD_BYTES, _LONGEST_PASSWORD = 18, 200


@dataclass(frozen=True, slots=True)
class Store:
    """A store: its path, its password, and its content."""

    path: Path
    password: str = field(repr=False)
    content: bytes = field(repr=False)

    @property
    def files(self) -> dict[str, bytes]:
        """By name: the file of its password, and then itself: of another password nobody would be told."""
        return {_password_file(self.path).name: self.password.encode(), self.path.name: self.content}


class Stores(Struct, frozen=True):
    """Whom a Java client trusts, and, where it has one, its own key and certificate; in memory until written."""

    trusted: Store
    own: Store | None = None

    def write(self) -> list[Path]:
        """Write them, each with its password in a file beside it; returns the paths of all files.

        Raises:
            UsageError: they cannot be written.
        """
        stores = (self.trusted, self.own) if self.own else (self.trusted,)
        return [path for store in stores for path in write_below(store.path.parent, store.files)]


def stores_in(directory: Path, trusted: bytes, name: str = "", pair: bytes | None = None) -> Stores:
    """A truststore in a directory, and a keystore if there is a key; the rest is as with `make_stores`."""
    paths = (directory / f"truststore{_SUFFIX}", directory / f"{name}{_SUFFIX}")
    return make_stores(paths, trusted, name.removeprefix(USERS), pair)


def stores_beside(file: Path, trusted: bytes, user: str = "", pair: bytes | None = None) -> Stores:
    """Those beside a file that refers to them, whose names begin like its own; else as with `make_stores`."""
    paths = [file.absolute().with_name(f"{file.stem}.{kind}{_SUFFIX}") for kind in ("truststore", "keystore")]
    return make_stores((paths[0], paths[1]), trusted, user, pair)


def make_stores(paths: tuple[Path, Path], trusted: bytes, user: str, pair: bytes | None) -> Stores:
    """A truststore, and a keystore if there is a key; nothing is written. One that is made again keeps its password.

    Args:
        paths: where they are to be.
        trusted: the certificates of the authorities, as PEM.
        user: the name of the key in its store.
        pair: the key and its certificate, as PEM.

    Raises:
        Refused: there is something in their places that was not written so.
        Unavailable: the key and the certificate are damaged.
    """
    own = _store(paths[1], lambda sealed: _keystore(pair, user, sealed)) if pair else None
    return Stores(_store(paths[0], lambda sealed: _truststore(trusted, sealed)), own)


def write_below(directory: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Write files that only this user can read; returns their paths. No link is followed.

    Raises:
        Refused: there is a link in the place of one.
        UsageError: they cannot be written.
    """
    for file in files:
        _require_no_link(directory / file)
    with told_as_unwritable(directory):
        directory.mkdir(parents=True, exist_ok=True)
        for file, content in files.items():
            write_whole(directory / file, content, _MODE)
    return [directory / file for file in files]


def _store(path: Path, make: "Callable[[KeySerializationEncryption], bytes]") -> Store:
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption

    password = _kept_password(path) or secrets.token_urlsafe(_PASSWORD_BYTES).encode()
    return Store(path, password.decode(), make(BestAvailableEncryption(password)))


def _password_file(store: Path) -> Path:
    return store.with_name(f"{store.name}.password")


def _kept_password(store: Path) -> bytes:
    """The password beside a store, if only this user can read and change it; else nothing.

    Raises:
        Refused: it does not open the store that is there, or, without a store, nothing can be sealed with it.
    """
    beside = _password_file(store)
    for path in (beside, store):
        _require_no_link(path)
    with told_as_unwritable(store):
        word = _line(read_whole(beside, _LONGEST_PASSWORD)) if beside.exists() else b""
        private = bool(word) and is_private(beside)
        if store.exists():
            _require_opened(store, word)
        elif beside.exists() and not private:
            why = "it is empty, is not in one line of ASCII, or others can read it"
            raise Refused(f"{beside} has no password for a store", why=why, hint=f"remove it, or `chmod 600 {beside}`")
    return word if private else b""


def _line(content: bytes) -> bytes:
    """A password without the end of its line; nothing if it cannot be one."""
    word = content.removesuffix(b"\n").removesuffix(b"\r")
    return word if word.isascii() and word.decode("ascii").isprintable() else b""


def _require_opened(store: Path, word: bytes) -> None:
    """That a store was written here: the password beside it opens it."""
    from cryptography.hazmat.primitives.serialization import pkcs12

    try:
        pkcs12.load_pkcs12(read_whole(store), word)
    except ValueError as error:
        why = f"the password in {_password_file(store).name} does not open it, so that it may be somebody else's"
        hint = "write to another place, or move it away"
        raise Refused(f"{store} is there already, and is left as it is", why=why, hint=hint) from error


def _require_no_link(path: Path) -> None:
    if path.is_symlink():
        raise Refused(f"{path} is a link, which is not followed", hint="write to another place, or remove it")


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
