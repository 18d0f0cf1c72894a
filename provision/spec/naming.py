"""The name that a file gives its environment, even if the file is not valid, so that its cluster can be removed."""

import os
import re
from pathlib import Path

from provision.errors import Problem, UsageError
from provision.spec.foreign import foreign, is_ours
from provision.spec.yaml_text import MAX_BYTES, parse, parse_scalar

SUFFIXES = (".yaml", ".yml")
"""What the names of environment files end with. Another file is one only if its text is."""
_NAME_LINE = re.compile(r"^name[ \t]*:[ \t]+([^#\s][^#\n\r]*)", re.MULTILINE)
_HINT = "name an environment or its file"


def name_in(file: Path) -> str:
    """The name that a file sets; without one, the file's own without its suffix. It may not be a valid name.

    Raises:
        UsageError: as `said_name`.
    """
    said = said_name(file)
    return file.stem if said is None else said


def said_name(file: Path) -> str | None:
    """The name that a file sets, valid or not; None if it sets none.

    Raises:
        UsageError: the file is no environment file, and so stands for no environment; says what it is.
    """
    text = _text(file)
    data, _, problems = parse(text, os.fspath(file))
    if known := foreign(data, text):
        raise UsageError(f"{file} is no environment file: it is {known.what}", hint=known.hint)
    if isinstance(data, dict):
        if not is_ours(data):
            raise UsageError(f"{file} is no environment file", why="it has no key of one", hint=_HINT)
        name = data.get("name")
        return None if name is None else str(name)
    if _is_of_other_form(data, problems) or file.suffix not in SUFFIXES:
        why = "its text has no keys and values, as YAML has them"
        raise UsageError(f"{file} is no environment file", why=why, hint=_HINT)
    return _name_of_damaged(text) or None


def _is_of_other_form(data: object, problems: list[Problem]) -> bool:
    """Whether it is YAML, but a list or a single value; an empty file is no other form, nor is one that is no YAML."""
    return data is not None or not problems


def read_start(file: Path) -> bytes:
    """The first bytes of a file: all of it, or one byte more than an environment file may have.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read {file}", why=error.strerror or str(error)) from error


def _text(file: Path) -> str:
    what = what_is(file)
    if what:
        raise UsageError(f"{file} is {what}, not an environment file", hint=_HINT)
    raw = read_start(file)
    if len(raw) > MAX_BYTES:
        raise UsageError(f"{file} is larger than 1 MiB, and so no environment file", hint=_HINT)
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", errors="replace")
    if b"\0" in raw:
        raise UsageError(f"{file} is binary, not an environment file", hint=_HINT)
    return raw.decode("utf-8-sig", errors="replace")


def what_is(file: Path) -> str:
    """What is at a path if it is no regular file: `a directory`, `a device`, …; empty for a regular file."""
    try:
        if file.is_file():
            return ""
        if file.is_dir():
            return "a directory"
        if file.is_symlink():
            return "a link to something that is not there"
        if file.is_block_device() or file.is_char_device():
            return "a device"
        return "a pipe or a socket" if file.exists() else "not there"
    except OSError as error:
        return f"out of reach ({error.strerror})"


def _name_of_damaged(text: str) -> str:
    """The name in a text that is not YAML as a whole: that of a line `name: …`; empty if there is none."""
    line = _NAME_LINE.search(text)
    if line is None:
        return ""
    try:
        return str(parse_scalar(line[1]))
    except ValueError:
        return line[1]
