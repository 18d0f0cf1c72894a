"""Select the environment: `ENV` on the command line, `PROVISION_ENV`, or the only file there is."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from provision.cli.output import tell_notices
from provision.errors import UsageError
from provision.spec.names import is_environment_name

if TYPE_CHECKING:
    from provision.environment import Environment
    from provision.events import Listener

DIRECTORY = Path("environments")
_SUFFIXES = (".yaml", ".yml")


def select(env: str | None, overrides: list[str] | None = None, tell: "Listener" = tell_notices) -> "Environment":
    """Find the environment of `ENV`; `overrides` are the `--set` texts, `tell` receives the events.

    Raises:
        UsageError: it is left out and there is not exactly one file, or it is a path and there is no such file.
    """
    from provision.environment import Environment

    chosen = os.environ.get("PROVISION_ENV") or None if env is None else env
    file = _only_file() if chosen is None else _file_of(chosen)
    if file is not None:
        return Environment(file, overrides=overrides or (), on_event=tell)
    try:
        return Environment.named(chosen or "", on_event=tell)
    except UsageError as error:
        raise UsageError(f"{chosen!r} is neither an environment's name nor a file", why=_available()) from error


def select_described(env: str | None, overrides: list[str] | None, tell: "Listener") -> "Environment":
    """Find an environment by its file.

    Raises:
        UsageError: there is none, or only an environment of that name.
    """
    environment = select(env, overrides, tell)
    if environment.file is None:
        why = _available()
        hint = "`provision init` writes one"
        raise UsageError(f"there is no environment file for {environment.name!r}", why=why, hint=hint)
    return environment


def _only_file() -> Path:
    found = files()
    if len(found) != 1:
        raise UsageError("which environment?", why=_available(), hint="name one, or set PROVISION_ENV")
    return found[0]


def _file_of(chosen: str) -> Path | None:
    """The file of a path or a name; None if the name has none."""
    from provision.software.pins import is_lock_file

    if os.sep in chosen or chosen.endswith(_SUFFIXES):
        if not Path(chosen).is_file():
            raise UsageError(f"there is no file {chosen}", why=_available())
        if is_lock_file(Path(chosen)):
            raise UsageError(f"{chosen} is a lock, not an environment", why=_available(), hint="name the environment")
        return Path(chosen)
    candidates = (DIRECTORY / f"{chosen}{suffix}" for suffix in _SUFFIXES)
    return next((file for file in candidates if file.is_file() and not is_lock_file(file)), None)


def names_environment(word: str) -> bool:
    """Whether a word that may also be something else names an environment: by a file, or one that is there."""
    from provision.environment import Environment

    if os.sep in word or word.endswith(_SUFFIXES) or _file_of(word):
        return True
    return is_environment_name(word) and not Environment.named(word).runtime.observe(word).is_absent


def without_locks(envs: list[str]) -> list[str]:
    """Drop locks, which `environments/*.yaml` matches too."""
    from provision.software.pins import is_lock_file

    return [env for env in envs if not is_lock_file(Path(env))] or envs


def files() -> list[Path]:
    """The environment files in `environments/`, sorted."""
    from provision.software.pins import is_lock_file

    return sorted(file for suffix in _SUFFIXES for file in DIRECTORY.glob(f"*{suffix}") if not is_lock_file(file))


def _available() -> str:
    found = files()
    return f"there is {', '.join(map(str, found))}" if found else f"there is no file in {DIRECTORY}{os.sep}"
