"""Notes of an environment that lie in the engine itself, for everybody who uses that engine, from whatever machine.

A note is a volume without content: what it says is in its labels. It needs no image. Making a volume of a name that
exists returns the one that is there, with its own labels, so that of several who make a note at once exactly one
succeeds, and all of them read the same. A note is never changed: it is removed, and another one made.

A note is neither a storage, nor does it mean that the environment exists.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from docker import APIClient
from docker.errors import NotFound
from msgspec import Struct

from provision.common.notes import LATEST_S
from provision.errors import Refused
from provision.runtime.docker import containers as spec
from provision.runtime.docker.client import translated

_TEXT = f"{spec.NOTE}."


class Note(Struct, frozen=True):
    """What the engine has: `kind` names it within its environment, `texts` is what it says.

    `made_s` is when it was made (Unix time by the engine's clock, in whole seconds); 0 if the engine does not tell.
    """

    environment: str
    kind: str
    texts: Mapping[str, str]
    made_s: float = 0.0


def name_of(environment: str, kind: str) -> str:
    """The name of the note's volume. No environment's name has a dot, so it is never the name of a node's volume."""
    return f"{environment}.{kind}"


def is_note(volume: Mapping[str, Any]) -> bool:
    """Whether a volume, as the engine lists it, is a note."""
    return spec.NOTE in (volume.get("Labels") or {})


def make(api: APIClient, environment: str, kind: str, texts: Mapping[str, str]) -> Note:
    """Make a note, unless there is one of that kind; returns the one that is there then.

    Raises:
        Refused: a volume of that name is there that is no note of this environment.
    """
    volume = name_of(environment, kind)
    labels = {spec.ENVIRONMENT: environment, spec.NOTE: kind, **{f"{_TEXT}{key}": text for key, text in texts.items()}}
    with translated(f"creating the volume {volume}"):
        note = _note_in(api.create_volume(volume, labels=labels))
    if note is None or (note.environment, note.kind) != (environment, kind):
        raise Refused(f"the volume {volume} is not of this environment", hint="remove or rename it")
    return note


def read(api: APIClient, environment: str, kind: str) -> Note | None:
    """The note of that kind; None if there is none."""
    volume = name_of(environment, kind)
    with translated(f"looking for the volume {volume}"), suppress(NotFound):
        note = _note_in(api.inspect_volume(volume))
        return note if note and (note.environment, note.kind) == (environment, kind) else None
    return None


def remove(api: APIClient, environment: str, kind: str) -> None:
    """Remove the note, if it is there; never a volume that is no note of this environment."""
    volume = name_of(environment, kind)
    with translated(f"removing the volume {volume}"), suppress(NotFound):
        if read(api, environment, kind):
            api.remove_volume(volume)


def remove_same(api: APIClient, note: Note) -> bool:
    """Remove a note, unless another one has been made in its place; returns whether it was there."""
    now = read(api, note.environment, note.kind)
    if now and now.texts == note.texts:
        with translated(f"removing the volume {name_of(note.environment, note.kind)}"), suppress(NotFound):
            api.remove_volume(name_of(note.environment, note.kind))
            return True
    return False


def all_of(api: APIClient, environment: str = "") -> tuple[Note, ...]:
    """All notes of an environment, or of every environment."""
    label = f"{spec.ENVIRONMENT}={environment}" if environment else spec.ENVIRONMENT
    with translated("listing notes"):
        return tuple(among(api.volumes(filters={"label": [label, spec.NOTE]})["Volumes"] or ()))


def among(volumes: Iterable[Mapping[str, Any]]) -> Iterator[Note]:
    """Those of the volumes that are notes."""
    yield from (note for volume in volumes if (note := _note_in(volume)))


def _note_in(volume: Mapping[str, Any]) -> Note | None:
    """The note that a volume is; None if it is none, or has another name than it says."""
    labels = volume.get("Labels") or {}
    environment, kind = labels.get(spec.ENVIRONMENT, ""), labels.get(spec.NOTE, "")
    if not environment or not kind or volume.get("Name") != name_of(environment, kind):
        return None
    texts = {key.removeprefix(_TEXT): text for key, text in labels.items() if key.startswith(_TEXT)}
    return Note(environment, kind, texts, engine_time_s(volume.get("CreatedAt")))


def engine_time_s(text: object) -> float:
    """A time as the engine writes it, as Unix time; 0 if it is none."""
    try:
        time_s = datetime.fromisoformat(str(text)).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0
    return time_s if 0 <= time_s <= LATEST_S else 0.0
