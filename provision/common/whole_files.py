"""Files that are written whole or not at all, whenever the command is killed or the disk is full."""

import os
import threading
from pathlib import Path

DRAFT_SUFFIX = ".new"
"""How the names of files end that are not whole yet."""


def write_whole(file: Path, content: str | bytes, mode: int | None = None) -> None:
    """Write a file (text as UTF-8) beside its place, then put it there.

    Args:
        file: its place.
        content: all of it.
        mode: its permissions; None for those that the system gives to new files.

    Raises:
        OSError: it cannot be written; what was there before is still there.
    """
    draft = file.with_name(f"{file.name}.{os.getpid()}-{threading.get_ident()}{DRAFT_SUFFIX}")
    try:
        if mode is not None:
            draft.touch(0o600)  # nobody else reads it while it is written
        draft.write_bytes(content.encode() if isinstance(content, str) else content)
        if mode is not None:
            draft.chmod(mode)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
