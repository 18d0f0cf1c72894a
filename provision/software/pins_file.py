"""The lock, the file with the pins: readable YAML that git can compare, with the same bytes for the same content."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails

from provision.cluster.identity import Identity
from provision.common.printable import printable
from provision.common.values import replace
from provision.common.whole_files import write_whole
from provision.errors import InvalidEnvironment, Problem, ProvisionError, UsageError
from provision.software.pins import Pins
from provision.spec.loader import read_text
from provision.spec.model import kind_of
from provision.spec.section import Section
from provision.spec.yaml_output import dump
from provision.spec.yaml_text import Positions, parse

_FORMAT = 1
_HEADER = """\
# What this environment may run, by content. Written by `provision lock`, enforced by `provision up --frozen`.
# Commit it with the environment file; do not edit it.
"""
_HINT = "`provision lock` writes a new one"
_CHECKSUM = r"^sha256:[0-9a-f]{64}$"
_DIGEST = r"^[a-z0-9][A-Za-z0-9._/:-]*@sha256:[0-9a-f]{64}$"


Checksum = Annotated[str, Field(pattern=_CHECKSUM)]


class _Image(Section):
    digest: Annotated[str, Field(pattern=_DIGEST)] | None = None
    id: Checksum


class _Kafka(Section):
    version: str
    mode: str


class _File(Section):
    provision_lock: Literal[1]
    kafka: _Kafka
    images: dict[str, _Image] = {}
    jars: dict[str, Checksum] = {}


def as_dict(pins: Pins) -> dict[str, Any]:
    """The pins as plain data, in file order, without what was not recorded."""
    images = {
        name: ({"digest": image.digest} if image.digest else {}) | {"id": image.checksum}
        for name, image in sorted(pins.images.items())
    }
    jars = {name: jar.checksum for name, jar in sorted(pins.jars.items())}
    return {
        "kafka": {"version": pins.version, "mode": pins.mode},
        **({"images": images} if images else {}),
        **({"jars": jars} if jars else {}),
    }


def text_of(pins: Pins) -> str:
    """The whole text of the file."""
    content = {"provision_lock": _FORMAT, **as_dict(pins)}
    return _HEADER + dump(content)


def write(pins: Pins, file: Path) -> None:
    """Write the lock.

    Raises:
        ProvisionError: the file cannot be written.
    """
    try:
        write_whole(file, text_of(pins))
    except OSError as error:
        raise ProvisionError(f"cannot write {file}", why=error.strerror or str(error)) from error


def read(file: Path) -> Pins | None:
    """Read what `write` wrote; None if there is no file.

    Raises:
        InvalidEnvironment: it is damaged, or has another format; gives the position.
        UsageError: it cannot be read.
    """
    if not file.exists():
        return None
    if not file.is_file():  # a pipe would block, a device might have no end
        raise UsageError(
            f"cannot read {file}", why="it is not a file", hint="move it away; `provision lock` writes one"
        )
    try:
        text = read_text(file)
    except InvalidEnvironment as error:
        raise _invalid(error.problems) from error
    data, source, problems = parse(text, os.fspath(file))
    if problems:
        raise _invalid(problems)
    if not isinstance(data, dict) or "provision_lock" not in data:
        raise _invalid([source.problem((), "this is not a lock: it has no provision_lock")])
    if data["provision_lock"] != _FORMAT:
        message = f"format {data['provision_lock']} is not known: this version of provision knows {_FORMAT}"
        raise _invalid([source.problem(("provision_lock",), message)])
    try:
        content = _File.model_validate(data)
    except ValidationError as error:
        raise _invalid([_problem(detail, source) for detail in error.errors(include_url=False)]) from error
    images = {name: Identity(image.id, image.digest) for name, image in content.images.items()}
    jars = {name: Identity(checksum) for name, checksum in content.jars.items()}
    return Pins(content.kafka.version, content.kafka.mode, images, jars)


def _problem(detail: ErrorDetails, source: Positions) -> Problem:
    path = tuple(part for part in detail["loc"] if part != "[key]")
    match detail["type"]:
        case "extra_forbidden":
            return source.problem(path, "unknown key", at_key=True)
        case "missing":
            return source.problem(path, "this key is required")
        case "string_pattern_mismatch":
            wanted = "a repository digest" if path[-1] == "digest" else "a checksum: sha256: and 64 hexadecimal digits"
            return source.problem(path, f"{detail['input']!r} is not {wanted}")
    return source.problem(path, f"{kind_of(detail['input'])} does not belong here")


def _invalid(problems: Sequence[Problem]) -> InvalidEnvironment:
    """An error whose problems all have the same hint, because a lock is not repaired by hand."""
    told = [replace(one, path=printable(one.path), message=printable(one.message), hint=_HINT) for one in problems]
    return InvalidEnvironment(told, subject="the lock")
