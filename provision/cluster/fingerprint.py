"""A fingerprint of a node's files. Separate from `render`, because comparing needs no template engine."""

import hashlib
import json

from provision.cluster.model import RenderedFile


def config_hash(node: str, files: tuple[RenderedFile, ...]) -> str:
    """A fingerprint of everything that defines a node; if it differs, the node must be changed."""
    own = {file.name: ["secret", file.text] if file.secret else file.text for file in files if file.node == node}
    return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()[:16]
