"""Find environment files: by their paths, by their own names, and by the names that they set."""

import os
from pathlib import Path

from provision.common.arguments import path
from provision.errors import UsageError
from provision.software.pins import is_lock_file
from provision.spec.foreign import is_left_behind
from provision.spec.names import is_environment_name, no_name
from provision.spec.naming import SUFFIXES, name_in, what_is

DIRECTORY = Path("environments")
HERE = Path()


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


def file_of(chosen: str, root: Path = HERE) -> Path | None:
    """The file of a path, of a file's stem, or of the name that a file sets; None if a name has none.

    Paths and names are looked for from `root`, and shown as from there.

    Raises:
        UsageError: a path leads to something else than a file, or several files have the name.
    """
    if not chosen:
        return None
    if looks_like_path(chosen) or (not is_environment_name(chosen) and _is_file(root / chosen)):
        return _required(root / chosen, root)
    fitting = {file: name for file in files(root) if chosen in (file.stem, name := _name_in(file))}
    if len(fitting) > 1:
        why = "\n".join(
            f"{_shown(file, root)} describes {name or 'an environment without a valid name'}"
            for file, name in fitting.items()
        )
        raise UsageError(
            f"{chosen!r} can mean {len(fitting)} files", why=why, hint="give the path of the file that you mean"
        )
    return next(iter(fitting), None)


def _is_file(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # no file can be called like that
        return False


def described_file(chosen: str | Path, root: str | Path = HERE) -> Path:
    """The file of a path, a stem or a name, as `file_of`.

    Raises:
        UsageError: there is none, as well, or something else is given.
    """
    there = path(root, "a directory")
    text = chosen if isinstance(chosen, str) else str(path(chosen, "an environment's file"))
    file = file_of(text, there)
    if file is None:
        raise nothing_described(text, there)
    return file


def nothing_described(chosen: str, root: Path = HERE) -> UsageError:
    """The error for what has no file."""
    if is_environment_name(chosen):
        hint = "`provision init` writes one"
        return UsageError(f"there is no environment file for {chosen!r}", why=available(root), hint=hint)
    return UsageError(no_name(chosen), why=available(root))


def _required(file: Path, root: Path) -> Path:
    shown, there = _shown(file, root), available(root)
    match what_is(file):
        case "not there":
            raise UsageError(f"there is no file {shown}", why=there)
        case what if what:
            raise UsageError(f"{shown} is {what}, not an environment file", why=there)
    if is_lock_file(file):
        raise UsageError(f"{shown} is a lock, not an environment", why=there, hint="name the environment")
    if is_left_behind(file):
        what = "an editor's backup or lock, not an environment"
        raise UsageError(f"{shown} is {what}", why=there, hint="name the file that was edited")
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


def _entries(root: Path) -> list[Path]:
    """Everything in the directory with the name of an environment file, but nothing hidden, no locks, no backups."""
    try:
        inside = sorted((root / DIRECTORY).iterdir())
    except OSError:
        return []
    return [
        entry
        for entry in inside
        if entry.suffix in SUFFIXES and not (entry.name.startswith(".") or is_lock_file(entry) or is_left_behind(entry))
    ]


def files(root: Path = HERE) -> list[Path]:
    """The environment files in `environments/`, sorted."""
    return [entry for entry in _entries(root) if not what_is(entry)]


def available(root: Path = HERE) -> str:
    """What there is instead, for an error."""
    found = [_shown(file, root) for file in files(root)]
    text = f"there is {', '.join(found)}" if found else f"there is no file in {DIRECTORY}{os.sep}"
    others = [f"{_shown(entry, root)} is {what}" for entry in _entries(root) if (what := what_is(entry))]
    return "; ".join([text, *others])


def _shown(file: Path, root: Path) -> str:
    """The path from `root`, or quoted if it has characters that would break the message."""
    text = str(file.relative_to(root) if file.is_relative_to(root) else file)
    return text if text.isprintable() else repr(text)
