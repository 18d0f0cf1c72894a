"""Which environment is meant: `ENV` on the command line, `PROVISION_ENV`, or the only file there is."""

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from provision.cluster.lock import is_lock
from provision.errors import InvalidEnvironment, UsageError

if TYPE_CHECKING:
    from provision.pipeline import Source
    from provision.runtime.base import Runtime
    from provision.spec.model import EnvironmentSpec
    from provision.topics import Reached

DIRECTORY = Path("environments")
_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)  # without slots, for what is read once
class Selected:
    """An environment by its file, or by its name alone when it only runs; `overrides` are the `--set` texts."""

    file: Path | None
    running_name: str = ""
    overrides: tuple[str, ...] = ()

    @cached_property
    def source(self) -> "Source":
        """The file.

        Raises:
            UsageError: there is only a name.
        """
        if self.file is None:
            raise UsageError(
                f"there is no environment file for {self.running_name!r}",
                why=_available(),
                hint="`provision init` writes one",
            )
        from provision.pipeline import Source

        return Source(self.file, self.overrides)

    @property
    def name(self) -> str:
        """The environment's name. A file that is no longer valid still has one, so that its cluster can be removed."""
        if self.file is None:
            return self.running_name
        return self._spec.name if self._spec else _checked(_written_name(self.file))

    @property
    def bootstrap_servers(self) -> str | None:
        """The addresses of a cluster that others run, where the file says so."""
        return self._spec.bootstrap_servers if self.file and self._spec else None

    @property
    def _spec(self) -> "EnvironmentSpec | None":
        """What the file says; None where it is not valid, which is for others to tell."""
        try:
            return self.source.load()
        except InvalidEnvironment:
            return None


def select(env: str | None, overrides: tuple[str, ...] = ()) -> Selected:
    """Find what `ENV` means.

    Raises:
        UsageError: it is left out and there is not exactly one file, or it is a path and there is no such file.
    """
    chosen = os.environ.get("PROVISION_ENV") or None if env is None else env
    if chosen is None:
        files = _files()
        if len(files) != 1:
            raise UsageError("which environment?", why=_available(), hint="name one, or set PROVISION_ENV")
        return Selected(files[0], overrides=overrides)
    if os.sep in chosen or chosen.endswith(_SUFFIXES):
        if not Path(chosen).is_file():
            raise UsageError(f"there is no file {chosen}", why=_available())
        if is_lock(Path(chosen)):
            raise UsageError(f"{chosen} is a lock, no environment", why=_available(), hint="name the environment")
        return Selected(Path(chosen), overrides=overrides)
    for suffix in _SUFFIXES:
        if (file := DIRECTORY / f"{chosen}{suffix}").is_file() and not is_lock(file):
            return Selected(file, overrides=overrides)
    return Selected(None, _checked(chosen), overrides)


def select_all(envs: list[str] | None, overrides: tuple[str, ...] = ()) -> list[Selected]:
    """Find what each `ENV` means; none given is one left out."""
    return [select(env, overrides) for env in without_locks(envs)] if envs else [select(None, overrides)]


def without_locks(envs: list[str]) -> list[str]:
    """Those that are environments: `environments/*.yaml` names their locks too."""
    return [env for env in envs if not is_lock(Path(env))] or envs


def located(env: str | None) -> "tuple[Runtime, str]":
    """The runtime that has the environment, and its name."""
    return _located(select(env))


def _located(selected: Selected) -> "tuple[Runtime, str]":
    from provision.cli.output import say
    from provision.events import Notice
    from provision.runtime import runtime_holding

    name = selected.name
    return runtime_holding(name, lambda event: say(event.text) if isinstance(event, Notice) else None), name


def reached(env: str | None) -> "Reached":
    """The cluster that is meant by `ENV`."""
    return reached_by(select(env))


def reached_by(selected: Selected) -> "Reached":
    """The cluster of a selected environment, or the one behind its file's `bootstrap_servers`."""
    from provision.topics import at_address, of_environment

    if address := selected.bootstrap_servers:
        return at_address(selected.name, address)
    return of_environment(*_located(selected))


def _files() -> list[Path]:
    return sorted(file for suffix in _SUFFIXES for file in DIRECTORY.glob(f"*{suffix}") if not is_lock(file))


def _available() -> str:
    files = _files()
    return f"there is {', '.join(map(str, files))}" if files else f"there is no file in {DIRECTORY}{os.sep}"


def _checked(name: str) -> str:
    """The name, if it can be one: it becomes a part of paths, where `..` would lead anywhere."""
    from provision.spec.model import NAME_PATTERN

    if not re.fullmatch(NAME_PATTERN.removesuffix("$"), name):
        raise UsageError(f"{name!r} is neither an environment's name nor a file", why=_available())
    return name


def _written_name(file: Path) -> str:
    from provision.spec.source import parse

    data, _, _ = parse(file.read_text(errors="replace"), str(file))
    name = data.get("name") if isinstance(data, dict) else None
    return name if isinstance(name, str) else file.stem
