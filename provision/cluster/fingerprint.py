"""What makes a node what it is, as one short text. Apart from `render`, because comparing needs no template engine."""

import hashlib
import json

from provision.cluster.model import RenderedFile


def config_hash(node: str, files: tuple[RenderedFile, ...]) -> str:
    """A fingerprint of all that makes a node what it is; another one means that the node is to be changed."""
    own = {file.name: file.text for file in files if file.node == node}
    return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()[:16]
