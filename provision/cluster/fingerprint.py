"""A fingerprint of a node's files. Separate from `render`, because comparing needs no template engine."""

import hashlib
import json

from provision.cluster.model import RenderedFile


def config_hash(node: str, files: tuple[RenderedFile, ...]) -> str:
    """A fingerprint of everything that defines a node; if it differs, the node must be changed."""
    texts = {file.name: file.content.decode("utf-8", "surrogateescape") for file in files if file.node == node}
    secret = {file.name for file in files if file.node == node and file.secret}
    own = {name: ["secret", text] if name in secret else text for name, text in texts.items()}
    return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()[:16]
