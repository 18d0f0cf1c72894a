"""The path of a file with a secret, in an environment file: what stands in its place by mistake is not shown."""

import re
import stat
from pathlib import Path

_LONGEST_NAME = 255
"""No file system that Kafka runs on has longer names, in bytes."""
_IN_BASE64 = re.compile(r"M[A-Za-z0-9+/=\s]{59,}")
"""A key without the lines around it: the structure around all of them begins so."""


def path_of_secret(value: object) -> str:
    """A text that can be the path of a file, and is no key.

    Raises:
        ValueError: it is something else; the message has nothing of it.
    """
    if not (isinstance(value, str) and value.strip() and value.isprintable()):
        raise ValueError("must be the path of a file")
    is_content = "-----" in value or _IN_BASE64.fullmatch(value.strip())
    if is_content or any(len(part.encode()) > _LONGEST_NAME for part in value.split("/")):
        raise ValueError("must be the path of a file, and not what is in it")
    return value


def others_can_read(file: Path) -> bool:
    """Whether somebody else has access to a file, as far as can be seen."""
    try:
        return bool(stat.S_IMODE(file.stat().st_mode) & 0o077)
    except OSError:
        return False
