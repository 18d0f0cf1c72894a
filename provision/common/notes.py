"""Notes: JSON files that the program writes for itself. Reading them back takes nothing for granted.

Between writing and reading, anything may have happened to them: a newer version has written them, a hand has edited
them, a disk was full. So keys that are not known are ignored, and those that are known are checked.
"""

import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from provision.common.endpoints import LAST_PORT, is_endpoint
from provision.common.printable import printable
from provision.common.whole_files import MAX_BYTES, read_whole

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
LATEST_S = 1e11
"""The latest time that is believed: in the year 5138."""


def _endpoint(text: str) -> str:
    if not is_endpoint(text):
        raise ValueError("it is not host:port")
    return text


Port = Annotated[int, Field(ge=1, le=LAST_PORT)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
Seconds = Annotated[float, Field(ge=0, le=LATEST_S)]
"""A duration, or a Unix time."""


class Note(BaseModel):
    """The content of a note: its known keys, with exactly these types."""

    # Those that a command does not read are never built.
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, allow_inf_nan=False, defer_build=True)


class DamagedNote(Exception):
    """A note is not what was written. The text says why, in one line that can be shown."""


N = TypeVar("N")


def read_note(file: Path, kind: type[N], limit: int = MAX_BYTES) -> N | None:
    """Read a note; None if there is none.

    Args:
        file: the note.
        kind: a `Note`, or another type that pydantic can check.
        limit: the largest that is read, in bytes.

    Raises:
        DamagedNote: it cannot be read, or is not of that kind.
    """
    try:
        content = read_whole(file, limit)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DamagedNote(error.strerror or str(error)) from error
    return parse_note(content, kind)


def parse_note(content: bytes, kind: type[N]) -> N:
    """Check the content of a note.

    Raises:
        DamagedNote: it is not of that kind.
    """
    if _NUL.search(content):  # no path and no argument of a command may have one, and no note of ours has
        raise DamagedNote("it contains the character NUL")
    try:
        return _adapter(kind).validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise DamagedNote(printable(f"{place}: {first['msg']}" if place else first["msg"])) from error


_adapters: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: type[N]) -> TypeAdapter[N]:
    return _adapters.setdefault(kind, TypeAdapter(kind))
