"""The environments of a test run: each is started once, by whichever process needs it first, and removed at the end.

The processes of a run (pytest-xdist's workers) agree through a directory of the run in the home: a lock and a note for
each environment. The process that controls the run removes all of them.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from msgspec import Struct, field

from provision import Environment, Interrupted, InvalidEnvironment, Level, PortTaken, ProvisionError
from provision.common.notes import read_note
from provision.common.values import replace
from provision.common.whole_files import write_whole
from provision.home.place import Home, Place
from provision.home.runs import KEPT, directory_of, is_used, make_directory
from provision.testing import kept
from provision.testing.ahead import Ahead
from provision.testing.defaults import overrides_of
from provision.testing.use import Use

START_S = 300.0
"""How long a process waits for another one to start an environment, longer than the start itself may take."""
_UP_S = 180.0
_STEM, _DIGITS = 16, 8
_NO_DIRECTORY = ("volume", "memory")
_SIDE_BY_SIDE = 4

DEFAULT = {"kafka": {"mode": "kraft"}, "brokers": {"nodes": 1, "port": "auto"}, "storage": "memory"}
"""What is started if nothing is asked for: one broker, which keeps its data in memory."""


class Wanted(Struct, frozen=True, dict=True):
    """An environment as tests ask for it: a file or values, and `path.to.key=value` overrides for it.

    `given_by` says where the values are written, and stays the same if they change.
    """

    file: Path | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    given_by: str = ""

    @classmethod
    def described(cls, said: Mapping[str, Any]) -> Self:
        """As `description` said it."""
        return cls(Path(said["file"]) if said["file"] else None, said["values"], tuple(said["overrides"]))

    @property
    def description(self) -> dict[str, Any]:
        """It for another process of the run, as plain data if its values are."""
        file = str(self.file.absolute()) if self.file else ""
        return {"file": file, "values": dict(self.values), "overrides": list(self.overrides)}

    @cached_property
    def key(self) -> str:
        """The same text for the same environment, however it is described: by what it means, whatever its name is.

        It is found out once for each test. What is not valid has a text of its own; starting it will tell.
        """
        said: list[object] = [str(self.file.absolute().parent) if self.file else ""]  # paths in the file are below it
        try:
            said.append(self.named("any").source.load().model_dump(mode="json"))
        except ProvisionError:
            content = self.file.read_bytes().hex() if self.file and self.file.is_file() else ""
            said += [str(self.file), content, dict(self.values), self.overrides]
        return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:_DIGITS]

    @cached_property
    def kept_key(self) -> str:
        """As `key`, also by the contents of what it names: files of records, templates, passwords."""
        try:
            with closing(self.named("any")) as described:
                named = described.digest_of_named()
        except ProvisionError:
            return self.key
        return hashlib.sha256(f"{self.key} {named}".encode()).hexdigest()[:_DIGITS] if named else self.key

    @property
    def wrong_overrides(self) -> ProvisionError | None:
        """What is wrong with the overrides; None if nothing is, or if it would not be valid without them either."""
        problem = self.problem if self.overrides else None
        return problem if problem and replace(self, overrides=()).problem is None else None

    @property
    def problem(self) -> ProvisionError | None:
        """What is wrong with the description; None if it is valid."""
        try:
            self.named("any").source.load()
        except ProvisionError as error:
            return error
        return None

    @property
    def origin(self) -> str:
        """Where it is described, whatever is written there now."""
        place = str(self.file.absolute()) if self.file else self.given_by or str(Path.cwd())
        return json.dumps([place, bool(self.values), self.overrides])

    def named(self, name: str, home: Place = None) -> Environment:
        """The environment, under that name, in a home; the user's, if it is None.

        Raises:
            UsageError: it is given a name that no environment can have.
        """
        with closing(self._anywhere(name)) as described:
            return self._under(name, overrides_of(described), home)

    def require_startable(self, name: str, home: Place = None) -> None:
        """Find out what keeps it from starting, but for what others have of its ports and its directory.

        Raises:
            ProvisionError: something does.
        """
        with closing(self._anywhere(name, home)) as described:
            described.plan()

    def place_of(self, error: ProvisionError) -> frozenset[str]:
        """The port or the directory for want of which it could not be started; none if it is another reason."""
        if isinstance(error, PortTaken):
            return frozenset({str(error.port)})
        if isinstance(error, InvalidEnvironment) and {problem.path for problem in error.problems} == {"storage"}:
            return self._storage
        return frozenset()

    @property
    def takes(self) -> frozenset[str]:
        """What no other environment can have at the same time: its fixed ports of this machine, and its directory.

        Raises:
            ProvisionError: it is not valid.
        """
        with closing(self._anywhere("any")) as described:
            nodes = described.validate().nodes
        listeners = (listener for node in nodes for listener in (*node.listeners, *node.java_ports))
        ports = frozenset(str(listener.host_port) for listener in listeners if listener.host_port)
        return ports | self._storage

    @property
    def _storage(self) -> frozenset[str]:
        """The directory with its data, if that is one."""
        with closing(self._under("any")) as described:
            storage, base_directory = described.source.load().storage, described.source.base_directory
        return frozenset([] if storage in _NO_DIRECTORY else [os.path.normpath(Path(base_directory, storage))])

    def _anywhere(self, name: str, home: Place = None) -> Environment:
        """It as if its data were in no directory: one in which there are those of another one is not valid."""
        return self._under(name, ("storage=memory",), home)

    def _under(self, name: str, further: tuple[str, ...] = (), home: Place = None) -> Environment:
        if self.file:
            return Environment(self.file, overrides=(*self.overrides, *further, f"name={name}"), home=home)
        values = self.values or DEFAULT
        if "name" in values:
            with closing(Environment(**values)) as described:
                _ = described.name  # raises
        return Environment(**{**values, "name": name}, overrides=(*self.overrides, *further), home=home)

    @property
    def stem(self) -> str:
        """The part of its name that people recognize."""
        try:
            described = Environment(self.file) if self.file else Environment(**{"name": "tests", **self.values})
            with closing(described):
                written = described.name
        except ProvisionError:  # there is no such file, or no name in it; starting it will tell
            return "tests"
        return written[:_STEM].strip("-") or "tests"


class Pool:
    """The environments of a run.

    Args:
        run: identifies the run in all of its processes.
        controller: the id of the process that controls the run; if it is killed, the environments go with it.
        keep: leave the environments running for the next run, which finds them by what they are.
        home: the same in all processes of the run and at its end, whatever tests set; None for the user's at this time.
    """

    def __init__(self, run: str, controller: int, *, keep: bool = False, home: Place = None) -> None:
        self._run, self._controller, self._keep = run, controller, keep
        self._home = Home.of(home)
        self._place = KEPT if keep else run
        self._directory = directory_of(self._home.directory, self._place)
        self._open: dict[str, Environment] = {}
        self._keys: dict[str, str] = {}
        self._ahead = Ahead(self._home, run, controller)

    def environment(self, wanted: Wanted) -> Environment:
        """The running environment; the first process that asks for it starts it, the others wait.

        Raises:
            ProvisionError: it cannot be started; every process gets the same error.
        """
        key = self._key(wanted)
        if key not in self._open:
            with self._locked(key):
                self._open[key] = self._started(wanted, key)
        return self._open[key]

    def start_ahead(self, wanted: Wanted) -> bool:
        """Have an environment started meanwhile that a later test needs; returns whether that is begun.

        Only the process that controls the run does this, and not for environments that are kept.
        """
        key = wanted.key
        return key not in self._open and self._ahead.begin(key, wanted.description)

    @property
    def is_starting_ahead(self) -> bool:
        """Whether one is being started so."""
        return self._ahead.is_busy

    def use(self, wanted: Wanted) -> Use:
        """The use of that environment by one test; it waits while another test has it to itself."""
        return Use(self._directory / f"{self._key(wanted)}.use")

    def _key(self, wanted: Wanted) -> str:
        """Under which it is noted; what it names is read once, so that it stays the same if a test changes that."""
        if not self._keep:
            return wanted.key
        if wanted.key not in self._keys:
            self._keys[wanted.key] = wanted.kept_key
        return self._keys[wanted.key]

    def _started(self, wanted: Wanted, key: str) -> Environment:
        note = self._directory / f"{key}.json"
        known = read_note(note, dict[str, str]) or {}
        if "what" in known:
            failure_of = ProvisionError if self._ahead.is_untold(key) else AlreadyFailed
            raise failure_of(known["what"], why=known["why"], hint=known["hint"])
        name = known.get("name") or "-".join([wanted.stem, key, *([] if self._keep else [self._run])])
        said = {"name": name, "origin": wanted.origin}
        try:
            environment = self._running(wanted, key, known, said)
        except Interrupted:
            raise
        except ProvisionError as error:
            self._explain(error, wanted)
            failure = {"what": error.what, "why": error.why, "hint": error.hint}
            if not self._keep:
                write_whole(note, json.dumps(said | failure))
            raise
        write_whole(note, json.dumps(said))
        if self._keep:
            kept.replace(self._home, key, wanted.origin)
        return environment

    def _running(self, wanted: Wanted, key: str, known: dict[str, str], said: dict[str, str]) -> Environment:
        """The environment, started unless it runs.

        Args:
            wanted: the environment.
            key: its key.
            known: what its note says.
            said: what it will say; what it takes is added.
        """
        environment = wanted.named(said["name"], self._home)
        environment.lock_timeout_s = START_S  # the tests of other processes create topics in it, too
        is_first = True
        if self._keep:
            is_first = kept.use(self._home, key, self._run, self._controller)
            said["takes"] = known["takes"] if "takes" in known else "\n".join(sorted(wanted.takes))
        with ExitStack() as held:
            if self._keep:  # a broker that a test of another process has killed is not started again before it ends
                held.callback(self.use(wanted).release)
            if not known or "starting" in known or not self._is_ready(environment, with_topics=is_first):
                # Until it is ready the note says so: whoever finds it like that goes on where another was killed.
                write_whole(self._directory / f"{key}.json", json.dumps(said | {"starting": "yes"}))
                self._start(environment, wanted, key)
        return environment

    def _start(self, environment: Environment, wanted: Wanted, key: str) -> None:
        """Start it, with the place of what is kept of an earlier content of the same description if it needs that.

        What is kept goes with its data, so whatever else keeps the new one from starting is found out first.
        """
        try:
            self._up(environment)
        except (PortTaken, InvalidEnvironment) as error:
            place = wanted.place_of(error)
            if not (self._keep and place):
                raise
            wanted.require_startable(environment.name, self._home)
            if not kept.make_room(self._home, key, wanted.origin, place):
                raise
            self._up(environment)

    def _explain(self, error: ProvisionError, wanted: Wanted) -> None:
        """If it is a kept environment that has the port or the directory, say so, and what to do about that."""
        place = wanted.place_of(error)
        holder = kept.holder(self._home, place, self._run) if place else None
        if holder is None:
            return
        option = "" if isinstance(error, PortTaken) else " --delete-data"
        if isinstance(error, PortTaken):
            error.why = ""  # it was said to be another program
        error.hint = f"`provision down {holder.name}{option}` removes it"
        if self._keep and holder.name in self.names:
            error.add(f"{holder.name} uses it, for other tests of this run")
            error.hint = "clusters of one run need ports and directories of their own: `port: auto`, `storage: memory`"
        elif holder.is_used:
            error.add(f"{holder.name} uses it, for a test run that goes on")
            error.hint = f"wait until that run has ended; {error.hint}"
        else:
            error.add(f"{holder.name} uses it, which `--kafka-keep` has left running")
            if not self._keep and holder.origin == wanted.origin:
                error.hint += "; with `--kafka-keep`, a run uses it again, or puts another one in its place"

    def _up(self, environment: Environment) -> None:
        from provision import UpOptions  # loads all that starts clusters; where one runs already, no test waits for it

        owner = None if self._keep else self._controller
        environment.up(UpOptions(timeout_s=_UP_S, owner_pid=owner))

    def _is_ready(self, environment: Environment, *, with_topics: bool) -> bool:
        """Whether it still runs; a kept one may have been stopped or removed meanwhile.

        With its topics, too, unless a test of this run may just have deleted one of them.
        """
        if not self._keep:
            return True
        try:
            topics = environment.declared_topics() if with_topics else None
            return environment.status(topics).level >= Level.TOPICS
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
        """The names of the run's environments, whichever process started or used them."""
        if self._keep:
            return kept.names(self._home, self._run)
        notes = sorted(self._directory.glob("*.json")) if self._directory.is_dir() else []
        return tuple(known["name"] for note in notes if (known := read_note(note, dict[str, str])))

    def has_alone(self, wanted: Wanted) -> bool:
        """Whether no other test run uses that environment, as far as it is known."""
        return not (self._keep and is_used(self._directory, self._key(wanted), beside=self._run))

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
            with Environment.named(name, home=self._home) as environment:
                if environment.runtime.observe(name).nodes:
                    environment.bundle(directory / f"{name}.tar.gz")

    def prepare_removal(self) -> None:
        """Look at the run's environments, so that all that is needed for that is loaded; nothing is changed."""
        for name in () if self._keep else self.names:
            with suppress(ProvisionError), Environment.named(name, home=self._home) as environment:
                environment.observe()

    def remove(self) -> None:
        """Remove the run's environments, unless they are kept: of those, notes about what is gone.

        Only the process that controls the run does this.

        Raises:
            ProvisionError: one could not be removed; the others are.
        """
        self._ahead.end()
        self.close()
        if self._keep:
            kept.end(self._home, self._run)
            return
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as threads:
            failed = [error for error in threads.map(self._removed, self.names) if error]
        shutil.rmtree(self._directory, ignore_errors=True)
        if failed:
            raise failed[0]

    def _removed(self, name: str) -> ProvisionError | None:
        """Remove an environment; returns why that was not possible."""
        with Environment.named(name, home=self._home) as environment:
            environment.lock_timeout_s = START_S
            try:
                environment.down(delete_data=True)  # also in a directory: no other run could use them
            except ProvisionError as error:
                return error
        return None


class AlreadyFailed(ProvisionError):
    """The environment could not be started, as another process of the run has told already."""
