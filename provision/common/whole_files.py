"""Atomic writes: a file is written completely or not at all, even if the command is killed or the disk is full."""

import os
import threading
from pathlib import Path

DRAFT_SUFFIX = ".new"
"""The suffix of files that are not complete yet."""


def write_whole(file: Path, content: str | bytes, mode: int | None = None) -> None:
    """Write a file (text as UTF-8) next to its destination, then move it there.

    Args:
        file: the destination.
        content: the whole content.
        mode: its permissions; None for the system's default.

    Raises:
        OSError: it cannot be written; an existing file is unchanged.
    """
    draft = file.with_name(f"{file.name}.{os.getpid()}-{threading.get_ident()}{DRAFT_SUFFIX}")
    try:
        if mode is not None:
            draft.touch(0o600)  # nobody else can read it while it is written
        draft.write_bytes(content.encode() if isinstance(content, str) else content)
        if mode is not None:
            draft.chmod(mode)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
