"""The secrets of an environment, in files of this user alone.

home/secrets/NAME/ca.pem          the certificate of the environment's authority; during a rotation, also of the old one
home/secrets/NAME/ca.key          its key
home/secrets/NAME/ca.chain        during a rotation: its certificate, issued by the old authority
home/secrets/NAME/SUBJECT.pem     the key and the certificate of a node or a client
home/secrets/NAME/ensemble-…      the same for whom ZooKeeper lets in, with an authority of their own
home/secrets/NAME/USER.password   the password of a user; users other than this program begin with `user-`
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from provision.common.own_directories import is_own, make_own, remove_tree
from provision.common.whole_files import read_whole, write_whole
from provision.errors import ProvisionError, Unavailable

_MODE = 0o600
_LARGEST = 1024 * 1024


@dataclass(frozen=True, slots=True)
class SecretStore:
    """The directory of one environment's secrets below a home."""

    directory: Path

    @property
    def _home(self) -> Path:
        return self.directory.parent.parent

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
    def passwords(self) -> frozenset[str]:
        """All passwords that are kept.

        Raises:
            Unavailable: one cannot be read.
        """
        names = [file.name for file in self.directory.glob("*.password")] if self.is_there else []
        return frozenset(found.decode() for name in names if (found := self.read(name)))

    def keep(self, files: Mapping[str, bytes]) -> None:
        """Write files, unless they are there with the same content; of one without content nothing is kept.

        Raises:
            ProvisionError: they cannot be written.
        """
        new = {name: content for name, content in files.items() if (self.read(name) or b"") != content}
        try:
            for name, content in new.items():
                place = make_own(self.directory, below=self._home) / name
                if content:
                    write_whole(place, content, _MODE)
                else:
                    place.unlink()
        except OSError as error:
            raise ProvisionError(f"cannot write to {self.directory}", why=error.strerror or str(error)) from error

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
