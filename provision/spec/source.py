"""The description of an environment: a file, or values from a program."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

from provision.common.texts import is_text
from provision.errors import InvalidEnvironment, UsageError
from provision.events import Event, Listener, silent
from provision.spec.given import copied
from provision.spec.loader import load, load_values
from provision.spec.model import EnvironmentSpec, kind_of
from provision.spec.names import is_environment_name
from provision.spec.naming import name_in, said_name
from provision.spec.overrides import apply_overrides, without_value
from provision.spec.yaml_text import Path as KeyPath
from provision.spec.yaml_text import Positions, parse


@dataclass(frozen=True)  # without slots, for what is read once
class Source:
    """An environment file, or `values` in the same form, and the `--set` texts for it; it is read once.

    With `only_name`, the values are only the name of an environment that was described elsewhere.
    """

    file: Path | None
    overrides: tuple[str, ...] = ()
    values: Mapping[str, Any] | None = None
    only_name: bool = False

    @classmethod
    def of(cls, file: str | Path | None, overrides: Sequence[str], values: Mapping[str, Any]) -> "Source":
        """A source from a program's arguments.

        Raises:
            UsageError: there is neither a file nor a name, or both a file and values; or `overrides` is one text.
        """
        if file is not None and not isinstance(file, str | PathLike):
            raise UsageError(f"an environment's file is a path, not {kind_of(file)}")
        if file is not None and values:
            raise UsageError("an environment is described by a file or by values, not both")
        if file is None and not isinstance(values.get("name"), str):
            raise UsageError("an environment without a file needs a name")
        if isinstance(overrides, str):
            raise UsageError("overrides are a list of KEY=VALUE texts, not one text")
        if not isinstance(overrides, Iterable) or not all(isinstance(text, str) for text in overrides):
            raise UsageError("overrides are a list of KEY=VALUE texts")
        if file is not None and not Path(file).name.isprintable():  # it would break every message about the file
            name = Path(file).name
            raise UsageError(f"the file name {name!r} has a line break or another control character", hint="rename it")
        return cls(Path(file) if file is not None else None, tuple(overrides), values or None)

    def load(self, tell: Listener = silent) -> EnvironmentSpec:
        """Load and check it; warnings go to the listener.

        Raises:
            UsageError: there is no such file, it cannot be read, or an override is malformed.
            InvalidEnvironment: lists every problem with its position.
        """
        found, warnings = self._found
        for warning in warnings:
            tell(warning)
        if isinstance(found, InvalidEnvironment):
            raise found
        return found

    def require_valid(self, tell: Listener = silent) -> EnvironmentSpec:
        """What `load` returns. The listener is told of warnings only if it raises, so that `load` can follow.

        Raises:
            InvalidEnvironment: as `load`.
        """
        found, _ = self._found
        return self.load(tell) if isinstance(found, InvalidEnvironment) else found

    @cached_property
    def _found(self) -> tuple[EnvironmentSpec | InvalidEnvironment, tuple[Event, ...]]:
        warnings: list[Event] = []
        try:
            if self.file is None:
                spec = load_values(self.values or {}, self.overrides, warnings.append)
            else:
                spec = load(self.file, self.overrides, warnings.append)
        except InvalidEnvironment as error:
            return error, tuple(warnings)
        return spec, tuple(warnings)

    @property
    def required(self) -> "Source":
        """The source itself.

        Raises:
            UsageError: it is only a name.
        """
        if self.only_name:
            raise UsageError(f"there is no environment file for {self.name!r}", hint="`provision init` writes one")
        return self

    @cached_property
    def name(self) -> str:
        """The name it sets, even if the rest is invalid; without one, the file's.

        Raises:
            InvalidEnvironment: the name is not valid; says where it is, or what keeps it from being read.
            UsageError: the file is no environment file.
        """
        found, _ = self._found
        if not isinstance(found, InvalidEnvironment):
            return found.name
        name = self._written_name()
        if not is_environment_name(name):
            of_name = [problem for problem in found.problems if problem.path == "name"]
            raise InvalidEnvironment(of_name, found.subject) if of_name else found
        return name

    @property
    def has_valid_name(self) -> bool:
        """Whether the name it sets, or without one the file's, can be an environment's; raises UsageError as `name`."""
        found, _ = self._found
        return not isinstance(found, InvalidEnvironment) or is_environment_name(self._written_name())

    @property
    def says_name(self) -> bool:
        """Whether it sets the name, which is the file's otherwise."""
        if self.file is None or any(text.startswith("name=") for text in self.overrides):
            return True
        return said_name(self.file) is not None

    @property
    def overridden(self) -> tuple[str, ...]:
        """The options that were given for it beside the file, without the values, which may be secrets."""
        return tuple(f"--set {without_value(text)}" for text in self.overrides)

    def _written_name(self) -> str:
        data: dict[Any, Any] = {"name": name_in(self.file)} if self.file else dict(self.values or {})
        said = tuple(text for text in self.overrides if text.startswith("name="))
        apply_overrides(data, Positions(str(self)), said)
        name = data.get("name")
        return name if isinstance(name, str) else ""

    def _written(self, overrides: Sequence[str]) -> tuple[dict[Any, Any], Positions]:
        """The unchecked data with overrides, and their positions."""
        data: Any = copied(self.values or {})
        positions = Positions(str(self), has_lines=False)
        if self.file is not None:
            data, positions, _ = parse(self.file.read_text(errors="replace"), str(self.file))
        if not isinstance(data, dict):
            data = {}
        apply_overrides(data, positions, tuple(overrides))
        return data, positions

    def invalid(self, path: KeyPath, message: str, hint: str = "") -> InvalidEnvironment:
        """The error for a value that is well-formed but wrong on this machine, at its position."""
        _, positions = self._written(self.overrides)
        subject = "the environment file" if positions.has_lines else "the environment"
        return InvalidEnvironment([positions.problem(path, message, hint)], subject)

    def line_of(self, path: KeyPath) -> str:
        """`FILE:LINE` of the key at `path` in its file; empty if the file does not have that key."""
        place = self._positions.keys.get(path) if self.file else None
        return f"{self.file}:{place[0]}" if place else ""

    @property
    def written_keys(self) -> tuple[KeyPath, ...]:
        """The paths of all keys in its file, in their order; none without a file."""
        return tuple(self._positions.keys) if self.file else ()

    @cached_property
    def _positions(self) -> Positions:
        """Those in the file; none if it cannot be read."""
        try:
            return self._written(())[1]
        except OSError:
            return Positions(str(self))

    @property
    def external_servers(self) -> str | None:
        """The addresses in its `bootstrap_servers`; None without them, or if it is not valid."""
        found, _ = self._found
        return None if isinstance(found, Exception) else found.bootstrap_servers

    @property
    def base_directory(self) -> str:
        """The absolute directory to which relative paths refer: the file's, or for values the current one.

        Raises:
            UsageError: its name is not UTF-8 text; no message, engine or JVM could be given it.
        """
        directory = str(self.file.absolute().parent if self.file else Path.cwd())
        if not is_text(directory):
            raise UsageError(f"the directory {directory!r} is not UTF-8 text", hint="rename it")
        return directory

    @property
    def required_file(self) -> Path:
        """The file.

        Raises:
            UsageError: the environment is described by values.
        """
        if self.file is None:
            raise UsageError("an environment without a file has no lock", hint="write it to a file first")
        return self.file

    def __str__(self) -> str:
        return str(self.file or "the given values")
