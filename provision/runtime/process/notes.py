"""The process runtime's notes of an environment and its nodes, next to their files."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from provision.common.whole_files import write_whole
from provision.errors import ProvisionError

ENVIRONMENT_FILE, NODE_FILE = "environment.json", "node.json"
NODE_NAME = re.compile(r"(zookeeper|controller|broker)-[1-9]\d*")
_NODE_KEYS = {"name", "role", "config_hash", "endpoint", "version", "ports", "arguments"}


@dataclass(frozen=True, slots=True)
class EnvironmentNote:
    """`environment.json`: what must be known about an environment without its file."""

    software: str
    libs: str
    version: str
    mode: str
    storage: str
    created_s: float
    ttl_s: float | None
    cluster_id: str = ""

    def write(self, home: Path) -> None:
        """Write it into the environment's directory."""
        with files_of(home):
            write_whole(home / ENVIRONMENT_FILE, json.dumps(asdict(self), indent=2))


def read_environment(home: Path) -> EnvironmentNote | None:
    """`environment.json`; None if it is missing or damaged, so that the environment can still be removed."""
    try:
        content: Mapping[str, Any] = json.loads((home / ENVIRONMENT_FILE).read_text())
        return EnvironmentNote(**content)
    except (FileNotFoundError, ValueError, TypeError):
        return None


def write_node(directory: Path, described: Mapping[str, Any]) -> None:
    """Write `node.json`."""
    write_whole(directory / NODE_FILE, json.dumps(described, indent=2))


def read_node(directory: Path) -> Mapping[str, Any]:
    """`node.json`.

    Raises:
        ProvisionError: it is not what was written.
    """
    file = directory / NODE_FILE
    try:
        content: dict[str, Any] = json.loads(file.read_text())
        missing = _NODE_KEYS - content.keys()
    except (ValueError, AttributeError) as error:
        raise _damaged(file, str(error)) from error
    if missing:
        raise _damaged(file, f"it lacks {', '.join(sorted(missing))}")
    return content


def _damaged(file: Path, why: str) -> ProvisionError:
    hint = f"`provision down {file.parent.parent.name}`, then `provision up`"
    return ProvisionError(f"{file} is damaged", why=why, hint=hint)


@contextmanager
def files_of(directory: Path) -> Iterator[None]:
    """Translate the system's file errors into ours.

    Raises:
        ProvisionError: something there cannot be read, written or removed.
    """
    try:
        yield
    except OSError as error:
        raise ProvisionError(f"cannot use {directory}", why=error.strerror or str(error)) from error
