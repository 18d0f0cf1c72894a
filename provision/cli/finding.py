"""Find environment files: by their paths, by their own names, and by the names that they set."""

import os
from pathlib import Path

from provision.errors import UsageError
from provision.software.pins import is_lock_file
from provision.spec.foreign import is_left_behind
from provision.spec.names import is_environment_name
from provision.spec.naming import SUFFIXES, name_in, what_is

DIRECTORY = Path("environments")


def only_file() -> Path:
    """The only file there is.

    Raises:
        UsageError: there is none, or more than one.
    """
    found = files()
    if len(found) != 1:
        raise UsageError("which environment?", why=available(), hint="name one, or set PROVISION_ENV")
    return found[0]


def looks_like_path(chosen: str) -> bool:
    """Whether a word can only be the path of a file."""
    return os.sep in chosen or chosen.endswith(SUFFIXES)


def file_of(chosen: str) -> Path | None:
    """The file of a path, of a file's stem, or of the name that a file sets; None if a name has none.

    Raises:
        UsageError: a path leads to something else than a file, or several files have the name.
    """
    if not chosen:
        return None
    if looks_like_path(chosen) or (not is_environment_name(chosen) and Path(chosen).is_file()):
        return _required(chosen)
    fitting = {file: name for file in files() if chosen in (file.stem, name := _name_in(file))}
    if len(fitting) > 1:
        why = "\n".join(
            f"{_shown(file)} describes {name or 'an environment without a valid name'}"
            for file, name in fitting.items()
        )
        raise UsageError(
            f"{chosen!r} can mean {len(fitting)} files", why=why, hint="give the path of the file that you mean"
        )
    return next(iter(fitting), None)


def _required(chosen: str) -> Path:
    file = Path(chosen)
    match what_is(file):
        case "not there":
            raise UsageError(f"there is no file {_shown(file)}", why=available())
        case what if what:
            raise UsageError(f"{_shown(file)} is {what}, not an environment file", why=available())
    if is_lock_file(file):
        raise UsageError(f"{chosen} is a lock, not an environment", why=available(), hint="name the environment")
    if is_left_behind(file):
        what = "an editor's backup or lock, not an environment"
        raise UsageError(f"{_shown(file)} is {what}", why=available(), hint="name the file that was edited")
    return file


def _name_in(file: Path) -> str:
    """The name that a file sets; empty if it is no environment file, so that another one is still found."""
    try:
        return name_in(file)
    except UsageError:
        return ""


def without_locks(envs: list[str]) -> list[str]:
    """Drop locks and what editors leave behind, which `environments/*` matches too."""
    return [env for env in envs if not (is_lock_file(Path(env)) or is_left_behind(Path(env)))] or envs


def _entries() -> list[Path]:
    """Everything in the directory with the name of an environment file, but nothing hidden, no locks, no backups."""
    try:
        inside = sorted(DIRECTORY.iterdir())
    except OSError:
        return []
    return [
        entry
        for entry in inside
        if entry.suffix in SUFFIXES and not (entry.name.startswith(".") or is_lock_file(entry) or is_left_behind(entry))
    ]


def files() -> list[Path]:
    """The environment files in `environments/`, sorted."""
    return [entry for entry in _entries() if not what_is(entry)]


def available() -> str:
    """What there is instead, for an error."""
    found = [_shown(file) for file in files()]
    text = f"there is {', '.join(found)}" if found else f"there is no file in {DIRECTORY}{os.sep}"
    others = [f"{_shown(entry)} is {what}" for entry in _entries() if (what := what_is(entry))]
    return "; ".join([text, *others])


def _shown(file: Path) -> str:
    """The path as it is, or quoted if it has characters that would break the message."""
    text = str(file)
    return text if text.isprintable() else repr(text)
