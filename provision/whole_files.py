"""Files that are written whole or not at all, whenever the command is killed or the disk is full."""

import os
import threading
from pathlib import Path

DRAFT_SUFFIX = ".new"
"""How the names of files end that are not whole yet."""


def write_whole(file: Path, text: str) -> None:
    """Write a text file (UTF-8) beside its place, then put it there.

    Raises:
        OSError: it cannot be written; what was there before is still there.
    """
    draft = file.with_name(f"{file.name}.{os.getpid()}-{threading.get_ident()}{DRAFT_SUFFIX}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
