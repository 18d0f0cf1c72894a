"""Whether this machine lets us keep something in a directory; one sentence if it does not, wherever it comes up."""

import os
from pathlib import Path

from provision.common.own_directories import make_private
from provision.errors import Unavailable

HINT = "PROVISION_HOME names another directory for what is kept, PROVISION_CACHE another one for Kafka's jars"


def made(directory: Path) -> Path:
    """A directory of the home or of the cache, made if it is not there.

    Raises:
        Unavailable: it cannot be made or written to, or its path cannot be written into files.
    """
    require_path(directory)
    try:
        make_private(directory)
    except OSError as error:
        raise unusable(
            directory, "it is no directory" if directory.is_file() else error.strerror or str(error)
        ) from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise unusable(directory, "it cannot be written to")
    return directory


def require_path(directory: Path) -> None:
    """Check the path alone.

    Raises:
        Unavailable: it is relative, because the user's home directory is not known, or it is not valid UTF-8.
    """
    if not directory.is_absolute():
        raise unusable(
            directory, "the user's home directory is not known: HOME or an XDG variable is not an absolute path"
        )
    try:
        str(directory).encode()
    except UnicodeEncodeError:
        raise unusable(directory, "its path is not valid UTF-8") from None


def unusable(directory: Path, why: str) -> Unavailable:
    """The error for a directory that cannot be used."""
    shown = str(directory).encode(errors="backslashreplace").decode()
    return Unavailable(f"the directory {shown} cannot be used", why=why, hint=HINT)
