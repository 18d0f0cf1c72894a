"""Contexts of the `docker` command line, written as it writes them."""

import hashlib
import json
from pathlib import Path


def identity(name: str) -> str:
    """The name of a context's directory."""
    return hashlib.sha256(name.encode()).hexdigest()


def add_context(configuration: Path, name: str, content: object) -> Path:
    """Let there be a context in a directory that DOCKER_CONFIG names; returns its file."""
    file = configuration / "contexts" / "meta" / identity(name) / "meta.json"
    file.parent.mkdir(parents=True)
    text = content if isinstance(content, str) else json.dumps(content)
    file.write_text(text)
    return file


def at(host: str) -> dict[str, object]:
    """What a context of the engine at that address holds."""
    return {"Name": "x", "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}
