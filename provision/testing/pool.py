"""The environments of a test run: each is started once, by whichever process needs it first, and removed at the end.

The processes of a run (pytest-xdist's workers) agree through a directory of the run in the home: a lock and a note for
each environment. The process that controls the run removes all of them.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provision import Environment, Level, ProvisionError
from provision.common.notes import read_note
from provision.common.whole_files import write_whole
from provision.home.place import Home
from provision.home.runs import directory_of, make_directory
from provision.testing.use import Use

START_S = 300.0
"""How long a process waits for another one to start an environment, longer than the start itself may take."""
_UP_S = 180.0
_STEM = 16

DEFAULT = {"kafka": {"mode": "kraft"}, "brokers": {"nodes": 1, "port": "auto"}, "storage": "memory"}
"""What is started if nothing is asked for: one broker, which keeps its data in memory."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An environment as tests ask for it: a file or values, and `path.to.key=value` overrides for it."""

    file: Path | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The same text for the same environment: for the same file with the same content, or the same values."""
        content = self.file.read_bytes().hex() if self.file and self.file.is_file() else ""
        said = [str(self.file.absolute()) if self.file else "", content, dict(self.values), self.overrides]
        return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:8]

    def named(self, name: str) -> Environment:
        """The environment, under that name."""
        if self.file:
            return Environment(self.file, overrides=(*self.overrides, f"name={name}"))
        return Environment(**{**(self.values or DEFAULT), "name": name}, overrides=self.overrides)

    @property
    def stem(self) -> str:
        """The part of its name that people recognize."""
        written = self.values.get("name")
        if self.file:
            try:
                written = Environment(self.file).name
            except ProvisionError:  # there is no such file, or no name in it; starting it will tell
                written = None
        return written[:_STEM].strip("-") if isinstance(written, str) and written else "tests"


class Pool:
    """The environments of a run.

    Args:
        run: identifies the run in all of its processes.
        controller: the id of the process that controls the run; if it is killed, the environments go with it.
        keep: leave the environments running for the next run, which finds them by what they are.
    """

    def __init__(self, run: str, controller: int, *, keep: bool = False) -> None:
        self._run, self._controller, self._keep = run, controller, keep
        self._home = Home.of_user()
        self._place = "kept" if keep else run
        self._directory = directory_of(self._home.directory, self._place)
        self._open: dict[str, Environment] = {}

    def environment(self, wanted: Wanted) -> Environment:
        """The running environment; the first process that asks for it starts it, the others wait.

        Raises:
            ProvisionError: it cannot be started; every process gets the same error.
        """
        key = wanted.key
        if key not in self._open:
            with self._locked(key):
                self._open[key] = self._started(wanted, key)
        return self._open[key]

    def use(self, wanted: Wanted) -> Use:
        """The use of that environment by one test; it waits while another test has it to itself."""
        return Use(self._directory / f"{wanted.key}.use")

    def _started(self, wanted: Wanted, key: str) -> Environment:
        note = self._directory / f"{key}.json"
        name = f"{wanted.stem}-{key}" if self._keep else f"{wanted.stem}-{key}-{self._run}"
        environment = wanted.named(name)
        environment.lock_timeout_s = START_S  # the tests of other processes create topics in it, too
        known = read_note(note, dict[str, str]) or {}
        if "what" in known:
            raise AlreadyFailed(known["what"], why=known["why"], hint=known["hint"])
        if not known or not self._is_ready(environment):
            write_whole(note, json.dumps({"name": name}))
            try:
                self._up(environment)
            except ProvisionError as error:
                if not self._keep:
                    said = {"name": name, "what": error.what, "why": error.why, "hint": error.hint}
                    write_whole(note, json.dumps(said))
                raise
        return environment

    def _up(self, environment: Environment) -> None:
        from provision import UpOptions  # loads all that starts clusters; where one runs already, no test waits for it

        owner = None if self._keep else self._controller
        environment.up(UpOptions(timeout_s=_UP_S, owner_pid=owner))

    def _is_ready(self, environment: Environment) -> bool:
        """Whether it still runs; a kept one may have been stopped or removed meanwhile."""
        if not self._keep:
            return True
        try:
            return environment.status().level >= Level.TOPICS
        except ProvisionError:
            return False

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        from filelock import FileLock

        make_directory(self._home.directory, self._place, None if self._keep else self._controller)
        with FileLock(self._directory / f"{key}.lock", timeout=START_S):
            yield

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the run's environments, whichever process started them."""
        notes = sorted(self._directory.glob("*.json")) if self._directory.is_dir() else []
        return tuple(known["name"] for note in notes if (known := read_note(note, dict[str, str])))

    def close(self) -> None:
        """Close the connections. The environments are not touched."""
        while self._open:
            self._open.popitem()[1].close()

    def bundle(self, directory: Path) -> None:
        """Write an archive of each environment's logs and state, `NAME.tar.gz`, into a directory.

        Raises:
            ProvisionError, OSError: one could not be written.
        """
        for name in self.names:
            with Environment.named(name) as environment:
                if environment.runtime.observe(name).nodes:
                    directory.mkdir(parents=True, exist_ok=True)
                    environment.bundle(directory / f"{name}.tar.gz")

    def remove(self) -> None:
        """Remove the run's environments, unless they are kept. Only the process that controls the run does this.

        Raises:
            ProvisionError: one could not be removed; the others are.
        """
        self.close()
        if self._keep:
            return
        failed: list[ProvisionError] = []
        for name in self.names:
            with Environment.named(name) as environment:
                environment.lock_timeout_s = START_S
                try:
                    environment.down()
                except ProvisionError as error:
                    failed.append(error)
        shutil.rmtree(self._directory, ignore_errors=True)
        if failed:
            raise failed[0]


class AlreadyFailed(ProvisionError):
    """The environment could not be started, as another process of the run has told already."""
