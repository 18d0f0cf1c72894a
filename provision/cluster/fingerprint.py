"""A fingerprint of a node's files. Separate from `render`, because comparing needs no template engine.

It is noted in two places: with the node, when that is created, and in a file beside the others whenever they are
written, because a running broker may be given other ones. So an edit shows without asking the broker what it was given.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence

from provision.cluster.model import RenderedFile

FINGERPRINT_FILE = "fingerprint"


def config_hash(node: str, files: Sequence[RenderedFile]) -> str:
    """A fingerprint of everything that defines a node; if it differs, the node must be changed."""
    own = {file.name: _content(file) for file in files if file.node == node and file.name != FINGERPRINT_FILE}
    return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()[:16]


def with_fingerprint(node: str, files: Sequence[RenderedFile]) -> tuple[RenderedFile, ...]:
    """The files of a node as they are written: with their fingerprint."""
    return (*files, RenderedFile(node, FINGERPRINT_FILE, f"{config_hash(node, files)}\n".encode()))


def written_hash(files: Iterable[RenderedFile]) -> str:
    """The fingerprint that the files of a node, as read back, had when they were written; empty if it is not noted."""
    return next((file.text.strip() for file in files if file.name == FINGERPRINT_FILE), "")


def is_edited(node: str, files: Sequence[RenderedFile]) -> bool:
    """Whether the files of a node, as read back, are other than when they were written, as far as that is noted."""
    return written_hash(files) not in ("", config_hash(node, files))


def _content(file: RenderedFile) -> str | list[str]:
    if file.is_of_agent:  # which may be large, and no text
        return file.identity
    # A secret one may be readable by its node alone.
    return ["secret", file.identity] if file.secret else file.content.decode("utf-8", "surrogateescape")
