"""A fingerprint of a node's files. Separate from `render`, because comparing needs no template engine."""

import hashlib
import json

from provision.cluster.model import RenderedFile


def config_hash(node: str, files: tuple[RenderedFile, ...]) -> str:
    """A fingerprint of everything that defines a node; if it differs, the node must be changed."""
    own = {file.name: _content(file) for file in files if file.node == node}
    return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()[:16]


def _content(file: RenderedFile) -> str | list[str]:
    if file.is_of_agent:  # which may be large, and no text
        return file.identity
    text = file.content.decode("utf-8", "surrogateescape")
    return ["secret", text] if file.secret else text
