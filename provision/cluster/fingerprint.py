"""A fingerprint of a node's files. Separate from `render`, because comparing needs no template engine.

It is noted in two places: with the node, when that is created, and in a file beside the others whenever they are
written, because a running broker may be given other ones. So an edit shows without asking the broker what it was given.

Files are written one after the other. So that this is not taken for an edit, neither meanwhile nor after a kill, the
file with the fingerprint is written before the first, then only with what is being written, and again as the last.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence

from provision.cluster.model import UNREADABLE, RenderedFile

FINGERPRINT_FILE = "fingerprint"
_WRITING = "writing "


def config_hash(node: str, files: Sequence[RenderedFile]) -> str:
    """A fingerprint of everything that defines a node; if it differs, the node must be changed."""
    own = {file.name: _content(file) for file in files if file.node == node and file.name != FINGERPRINT_FILE}
    return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()[:16]


def with_fingerprint(node: str, files: Sequence[RenderedFile]) -> tuple[RenderedFile, ...]:
    """The files of a node as they are written: with their fingerprint, and the names of those that it is of."""
    names = sorted(file.name for file in files if file.node == node)
    noted = "".join(f"{line}\n" for line in (config_hash(node, files), *names))
    return (*files, RenderedFile(node, FINGERPRINT_FILE, noted.encode()))


def in_order(files: Sequence[RenderedFile]) -> tuple[RenderedFile, ...]:
    """The files of a node, with their fingerprint, in the order in which they are written one after the other."""
    noted = [file for file in files if file.name == FINGERPRINT_FILE]
    begun = [RenderedFile(file.node, file.name, f"{_WRITING}{written_hash([file])}\n".encode()) for file in noted]
    return (*begun, *(file for file in files if file.name != FINGERPRINT_FILE), *noted)


def are_incomplete(files: Iterable[RenderedFile]) -> bool:
    """Whether files, as read back, are just being written, or whatever wrote them was killed."""
    return any(file.name == FINGERPRINT_FILE for file in files) and not written_hash(files)


def begun_hash(files: Iterable[RenderedFile]) -> str:
    """The fingerprint that the files of a node are getting, or were to get; empty if they are whole."""
    noted = next((file.text for file in files if file.name == FINGERPRINT_FILE), "")
    return noted.removeprefix(_WRITING).strip() if noted.startswith(_WRITING) else ""


def written_hash(files: Iterable[RenderedFile]) -> str:
    """The fingerprint that the files of a node, as read back, had when they were written; empty if it is not noted."""
    return _noted(files)[0]


def is_edited(node: str, files: Sequence[RenderedFile]) -> bool | None:
    """Whether the files of a node, as read back, are other than when they were written, as far as that is noted.

    None if one of them cannot be read, or they are incomplete. What lies beside them is not looked at: no runtime
    removes a file that a node had before, such as a certificate of its time with TLS.
    """
    if are_incomplete(files):
        return None
    written, names = _noted(files)
    own = [file for file in files if file.name in names]
    if any(file.content == UNREADABLE for file in own):
        return None
    return written not in ("", config_hash(node, own))


def _noted(files: Iterable[RenderedFile]) -> tuple[str, frozenset[str]]:
    lines = next((file.text.splitlines() for file in files if file.name == FINGERPRINT_FILE), [])
    return (lines[0], frozenset(lines[1:])) if len(lines) > 1 else ("", frozenset())


def _content(file: RenderedFile) -> str | list[str]:
    if file.is_of_agent:  # which may be large, and no text
        return file.identity
    # A secret one may be readable by its node alone.
    return ["secret", file.identity] if file.secret else file.content.decode("utf-8", "surrogateescape")
