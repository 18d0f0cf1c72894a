"""What environments know of themselves, as notes in the engine.

A note is never changed, so what is written later is a note of the next number, and the one with the highest counts.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from docker import APIClient

from provision.plan.about import About
from provision.runtime.docker import containers as spec
from provision.runtime.docker import notes
from provision.runtime.docker.client import translated

_KIND, _TEXT = "about-", "about"


def known(api: APIClient) -> dict[str, About]:
    """What every environment of the engine knows of itself, by name."""
    return _newest(notes.all_of(api))


def among(volumes: Iterable[Mapping[str, Any]], name: str) -> About | None:
    """What an environment knows of itself, among the volumes that the engine lists."""
    return _newest(notes.among(volumes)).get(name)


def write(api: APIClient, name: str, about: About) -> None:
    """Note it, and remove what was noted before: the new one first, so that a killed command leaves at least one."""
    before = [note for note in notes.all_of(api, name) if _number(note)]
    number = max(map(_number, before), default=0) + 1
    notes.make(api, name, f"{_KIND}{number}", {_TEXT: about.written})
    for note in before:
        notes.remove(api, name, note.kind)


def remove_without_storages(api: APIClient, name: str) -> None:
    """Remove the notes of an environment, unless it has storages: then they are theirs."""
    with translated(f"looking at {name}"):
        volumes = api.volumes(filters={"label": [f"{spec.ENVIRONMENT}={name}"]})["Volumes"] or ()
    if all(map(notes.is_note, volumes)):
        for note in filter(_number, notes.among(volumes)):
            notes.remove(api, name, note.kind)


def _newest(found: Iterable[notes.Note]) -> dict[str, About]:
    readable = [(_number(note), note.environment, About.parse(note.texts.get(_TEXT, ""))) for note in found]
    return {name: about for number, name, about in sorted(readable, key=lambda one: one[0]) if number and about}


def _number(note: notes.Note) -> int:
    """The number of a note of this kind; 0 for any other."""
    number = note.kind.removeprefix(_KIND)
    return int(number) if note.kind.startswith(_KIND) and number.isdecimal() else 0
