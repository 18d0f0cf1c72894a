"""The secrets of an environment, in files of this user alone.

home/secrets/NAME/ca.key          the environment's authority: its key and certificate, and those of its issuers if it
                                  is one of the user's own; during a rotation, also that of the old one, and its
                                  own as the old one has issued it
home/secrets/NAME/ca.pem          the certificates in it by which clients trust nodes
home/secrets/NAME/identity        what tells these secrets from those of another environment; it is no secret
home/secrets/NAME/where.json      the runtimes that have the environment, and the directory of its data
home/secrets/NAME/SUBJECT.pem     the key and the certificate of a node or a client
home/secrets/NAME/ensemble-…      the same for whom ZooKeeper lets in, with an authority of their own
home/secrets/NAME/USER.password   the password of a user; users other than this program begin with `user-`
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct

from provision.common.own_directories import is_own, make_own, remove_tree
from provision.common.whole_files import read_whole, write_whole
from provision.errors import ProvisionError, Unavailable

IDENTITY = "identity"
_MODE = 0o600
_LARGEST = 1024 * 1024
_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(.*?)-----END", re.DOTALL)


class SecretStore(Struct, frozen=True):
    """The directory of one environment's secrets below a home."""

    directory: Path

    @property
    def _home(self) -> Path:
        return self.directory.parent.parent

    @property
    def environment(self) -> str:
        """The environment's name; what comes after a dot tells those of one name on several engines apart."""
        return self.directory.name.partition(".")[0]

    @property
    def is_there(self) -> bool:
        """Whether anything is kept, as far as this user may see.

        Raises:
            Refused: the directory is another user's, or a link.
        """
        return is_own(self.directory, below=self._home)

    def path(self, name: str) -> Path:
        """The path of a file, which need not exist."""
        return self.directory / name

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if there is none.

        Raises:
            Unavailable: it cannot be read.
        """
        if not self.is_there:
            return None
        file = self.path(name)
        try:
            return read_whole(file, _LARGEST)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unavailable(f"{file} cannot be read", why=error.strerror or str(error)) from error

    @property
    def identity(self) -> str:
        """What tells these secrets from others; empty if nothing does.

        Raises:
            Unavailable: it cannot be read.
        """
        return self._text(IDENTITY)

    def password(self, user: str) -> str:
        """The password that is kept under a name; empty if there is none.

        Raises:
            Unavailable: it cannot be read, or is damaged.
        """
        return self._text(f"{user}.password")

    def _text(self, name: str) -> str:
        try:
            return (self.read(name) or b"").decode()
        except UnicodeDecodeError as error:
            raise Unavailable(f"{self.path(name)} is damaged", why="it is not valid UTF-8") from error

    @property
    def names(self) -> frozenset[str]:
        """The names of all files that are kept."""
        return frozenset(file.name for file in self.directory.iterdir()) if self.is_there else frozenset()

    @property
    def passwords(self) -> frozenset[str]:
        """All passwords that are kept.

        Raises:
            Unavailable: one cannot be read.
        """
        names = (name for name in self.names if name.endswith(".password"))
        return frozenset(found for name in names if (found := self._text(name)))

    @property
    def words(self) -> frozenset[str]:
        """What must not be shown of them: all passwords, and each line of the keys.

        Raises:
            Unavailable: one cannot be read.
        """
        texts = {name: (self.read(name) or b"").decode(errors="replace") for name in self.names}
        lines = (line for text in texts.values() for key in _KEY.findall(text) for line in key.split())
        return frozenset((*lines, *(text for name, text in texts.items() if text and name.endswith(".password"))))

    def keep(self, files: Mapping[str, bytes]) -> None:
        """Write files one after the other, unless they are there with the same content.

        Raises:
            ProvisionError: they cannot be written.
        """
        new = {name: content for name, content in files.items() if self.read(name) != content}
        try:
            for name, content in new.items():
                write_whole(make_own(self.directory, below=self._home) / name, content, _MODE)
        except OSError as error:
            raise ProvisionError(f"cannot write to {self.directory}", why=error.strerror or str(error)) from error

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, those of them that are there.

        Raises:
            ProvisionError: they cannot be removed.
        """
        try:
            for name in names:
                self.path(name).unlink(missing_ok=True)
        except OSError as error:
            raise ProvisionError(
                f"cannot remove files from {self.directory}", why=error.strerror or str(error)
            ) from error

    def forget(self) -> None:
        """Remove all of them.

        Raises:
            ProvisionError: they cannot be removed.
        """
        if not self.is_there:
            return
        try:
            remove_tree(self.directory)
        except OSError as error:
            raise ProvisionError(f"cannot remove {self.directory}", why=error.strerror or str(error)) from error
