"""The environment as an object: what the command line uses, and what programs import.

It never prints, prompts, exits or changes signal handlers. It reports events to its listener, and raises failures as
the errors in `provision.errors`. Any thread may use an object, but only one at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from provision.common.patience import Patience
from provision.errors import InvalidEnvironment, UsageError
from provision.events import Event, Listener, of_environment, silent
from provision.home.place import Home
from provision.kafka.levels import Level
from provision.operations.entered import Entered
from provision.operations.inside import WAIT_S, InsideKafka
from provision.runtime import Runtimes
from provision.spec.names import is_environment_name, require_environment_name
from provision.spec.source import Source

if TYPE_CHECKING:
    from provision.cluster.model import Cluster, RenderedFile, Topic
    from provision.home.journals import Run
    from provision.home.trainers import Trainer
    from provision.observe.readiness import Assessment
    from provision.operations.changing import Change
    from provision.operations.doctor.examine import Choose, Diagnosis
    from provision.operations.doctor.machine import MachineDiagnosis
    from provision.operations.gc.collector import Collector
    from provision.operations.topics import KafkaCluster
    from provision.operations.variables import Addresses
    from provision.pipeline import Prepared, UpOptions, UpResult
    from provision.plan.observed import ObservedEnvironment
    from provision.resources.rounds import Agree
    from provision.runtime.base import Runtime, Streams
    from provision.software.pinning import Pinned
    from provision.warming import Warmed

Place = Home | str | Path | None
"""A home, its directory, or None for the user's own."""


class Environment(Entered, InsideKafka):
    """A Kafka environment: a file, or the values of one, and the cluster created from it.

    Args:
        file: an environment file; None if `values` describe the environment.
        overrides: `path.to.key=value` texts, as `--set` takes them, applied in order.
        on_event: receives the events; see `provision.events`.
        take_over: also changes and removes an environment of that name that was made from another file.
        lock_timeout_s: how long to wait for another command that is changing the environment; not at all by default.
        home: where this machine keeps leases, notes, and environments that run as processes; a directory, or None for
            the user's own (`PROVISION_HOME`).
        runtimes: connections to share with other environments; `close` leaves them open.
        values: the keys of an environment file, for example `name="orders", brokers={"nodes": 3}`.

    Raises:
        UsageError: there is neither a file nor a name, or both a file and values.

    Example:
        >>> from provision import Environment
        >>> environment = Environment(name="orders", runtime="process", topics=[{"name": "orders"}])
        >>> assert environment.validate().name == "orders"
    """

    def __init__(  # noqa: PLR0913 what it is, and with what it works
        self,
        file: str | Path | None = None,
        *,
        overrides: Sequence[str] = (),
        on_event: Listener = silent,
        lock_timeout_s: float = 0.0,
        home: Place = None,
        runtimes: Runtimes | None = None,
        take_over: bool = False,
        **values: Any,  # noqa: ANN401 whatever the schema takes; it is checked
    ) -> None:
        if home is not None and runtimes is not None:
            raise UsageError("runtimes have a home of their own: give either runtimes or a home, not both")
        super().__init__()
        self._source = Source.of(file, overrides, values)
        self.on_event = on_event
        self.take_over = take_over
        self.lock_timeout_s = lock_timeout_s
        self._change: Change | None = None
        self._own_runtimes = runtimes is None
        self._kind: str | None = None
        self._runtimes = runtimes or Runtimes(Home.of(home))

    @classmethod
    def from_file(cls, file: str | Path, **arguments: Any) -> Self:  # noqa: ANN401 those of the class
        """The environment of a file; `arguments` as for the class, without values."""
        return cls(file, **arguments)

    @classmethod
    def named(
        cls,
        name: str,
        *,
        on_event: Listener = silent,
        lock_timeout_s: float = 0.0,
        home: Place = None,
        runtimes: Runtimes | None = None,
    ) -> Self:
        """An existing environment, running or with kept data, by name alone; methods that need its file do not work.

        Raises:
            UsageError: the name is not valid.
        """
        found = cls(
            name=require_environment_name(name),
            on_event=on_event,
            lock_timeout_s=lock_timeout_s,
            home=home,
            runtimes=runtimes,
        )
        found._source = replace(found._source, only_name=True)
        return found

    @classmethod
    def all(
        cls, *, on_event: Listener = silent, home: Place = None, runtimes: Runtimes | None = None
    ) -> tuple[Self, ...]:
        """Every environment that is running or has kept data; those of an engine that does not answer are left out."""
        looking = runtimes or Runtimes(Home.of(home))
        found = []
        for kind, runtime in looking.answering().items():
            for name in filter(is_environment_name, runtime.environments()):
                environment = cls.named(name, on_event=on_event, home=home, runtimes=runtimes)
                environment._kind = kind  # noqa: SLF001 both runtimes may have one of that name
                found.append(environment)
        if runtimes is None:
            looking.close()
        return tuple(found)

    @classmethod
    @contextmanager
    def collector(
        cls,
        *,
        older_than_s: float = 0.0,
        jobs_ended: Sequence[str] = (),
        on_event: Listener = silent,
        home: Place = None,
        runtimes: Runtimes | None = None,
    ) -> Iterator[Collector]:
        """What finds and removes what is left over in a home, and in the runtimes that answer.

        `older_than_s` leaves alone what is younger, `jobs_ended` names owners that have ended.
        """
        from provision.operations.gc.collector import Collector

        looking = runtimes or Runtimes(Home.of(home))
        try:
            yield Collector(looking, older_than_s, frozenset(jobs_ended), on_event)
        finally:
            if runtimes is None:
                looking.close()

    @classmethod
    def examine_machine(cls, *, home: Place = None, runtimes: Runtimes | None = None) -> MachineDiagnosis:
        """Whether environments can run on this machine, as what, and what is wrong with it; changes nothing."""
        from provision.operations.doctor.machine import examine_machine

        looking = runtimes or Runtimes(Home.of(home))
        try:
            return examine_machine(looking)
        finally:
            if runtimes is None:
                looking.close()

    def _is_described(self) -> bool:
        if self._source.only_name:
            return False
        return not self._source.require_valid(self._tell).bootstrap_servers

    def _is_absent(self) -> bool:
        return self.runtime.observe(self.name).is_absent

    def _bring_up(self, agree: Agree) -> None:
        self.up(agree=agree)

    def _remove(self) -> None:
        self.down()

    def close(self) -> None:
        """Close the connections. The cluster is not touched."""
        if self._own_runtimes:
            self._runtimes.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._source.file or self.name)!r})"

    # -- what it is ---------------------------------------------------------------------------------------------------

    @property
    def file(self) -> Path | None:
        """The environment file, if there is one."""
        return self._source.file

    @property
    def source(self) -> Source:
        """The file or values that describe it.

        Raises:
            UsageError: only its name is known.
        """
        return self._source.required

    @property
    def name(self) -> str:
        """Its name. A file that is no longer valid still has one, so that its cluster can be removed.

        Raises:
            UsageError: no environment can have the name that the file gives.
        """
        return self._source.name

    @property
    def external_servers(self) -> str | None:
        """The addresses of a cluster that provision did not start, where the file has `bootstrap_servers`."""
        return self._source.external_servers

    @property
    def runtime(self) -> Runtime:
        """The runtime that hosts the environment, or would host it."""
        if self._kind is None:
            self._kind = self._runtimes.holding(self.name, self._tell).kind
        return self._runtimes.of_kind(self._kind)

    @property
    def home(self) -> Home:
        """The directories of this machine for what belongs to no runtime."""
        return self._runtimes.home

    def _tell(self, event: Event) -> None:
        self._require_wanted()
        try:
            name = self.name
        except UsageError:  # `validate` and `plan` raise it with its place
            name = ""
        of_environment(name, self.on_event)(event)

    # -- from the file to the cluster ---------------------------------------------------------------------------------

    def validate(self) -> Cluster:
        """Resolve the file without asking any engine.

        Raises:
            InvalidEnvironment: lists every problem in the file, each with its position.
        """
        from provision.operations.files import validate

        return validate(self.source, self._runtimes, self._tell)

    def declared_topics(self) -> Sequence[Topic] | None:
        """The topics of the file; None if only the name is known.

        Raises:
            InvalidEnvironment: as `validate`.
        """
        from provision.operations.files import validate

        return None if self._source.only_name else validate(self._source, self._runtimes).topics

    def render(self) -> tuple[RenderedFile, ...]:
        """The configuration files of every node, as `up` would write them."""
        from provision.operations.files import render

        return render(self.source, self._runtimes, self._tell)

    def plan(self, *, frozen: bool = False) -> Prepared:
        """What `up` would do, and why; changes nothing. `frozen` enforces the lock next to the file."""
        from provision import pipeline

        return pipeline.prepare(self.source, self._runtimes, frozen=frozen, take_over=self.take_over, tell=self._tell)

    def up(self, options: UpOptions | None = None, *, agree: Agree | None = None) -> UpResult:
        """Create the environment or update it to match the file, and wait until it is ready.

        Args:
            options: the level to reach and the time limit; by default until every topic is in sync.
            agree: called with each plan before it is carried out; raises to stop it. By default every plan is accepted.

        Raises:
            Busy: another command is changing it.
            Refused: the change would lose data or availability; nothing was changed.
            ProvisionError: anything else; a first `up` has removed what it created, unless `retain` is set.
        """
        from provision import pipeline
        from provision.operations import trainers
        from provision.operations.files import require_nodes
        from provision.operations.whose import named_owner
        from provision.resources.rounds import accept_all

        chosen, agree = options or pipeline.UpOptions(), agree or accept_all
        require_nodes(self.source.require_valid(self._tell))  # what is wrong with the file comes before the lock
        chosen = replace(chosen, take_over=chosen.take_over or self.take_over)
        owned = chosen.owner_pid is not None or chosen.owner or named_owner()
        with self._changing("up") as change:
            try:
                result = pipeline.up(self.source, self._runtimes, chosen, agree=agree, change=change)
            finally:
                self._kind = None  # it may have moved to another runtime
            if result.cold and chosen.warm and not owned and trainers.could_begin(self.source):
                trainers.begin(self.home, self.source, self.runtime, change.tell)
            return result

    @contextmanager
    def changing(self, command: str) -> Iterator[None]:
        """Let the changes inside the block be one: nobody else comes between, and they are one run of the history.

        Args:
            command: what the history calls it.

        Raises:
            Busy: another command is changing it.
        """
        with self._changed(command):
            yield

    @contextmanager
    def _changing(self, command: str, *, force: bool = False) -> Iterator[Change]:
        """Change the environment with the lock of the home; `up` chooses the runtime only then."""
        from provision.operations.changing import changing

        if self._change:  # one step of a larger change
            yield self._change
            return
        wait_s, name = self.lock_timeout_s, self.name
        with changing(self.home, name, command, tell=self._tell, timeout_s=wait_s, force=force) as change:
            self._change = change
            try:
                yield change
            finally:
                self._change = None

    @contextmanager
    def _changed(self, command: str, *, force: bool = False) -> Iterator[Listener]:
        """Change the environment where it is, with both locks; yields the listener.

        First, because a lock may be taken over: a file that has nothing to do with it must not end anybody's command.
        """
        from provision.operations.whose import require_same_file

        if self._change is None and not self._source.only_name:
            about = self.runtime.about(self.name)
            require_same_file(self.name, about, self._source, take_over=self.take_over, tell=self._tell)
        with self._changing(command, force=force) as change:
            change.hold(self.runtime)
            yield change.tell

    @contextmanager
    def _changed_inside(self, command: str) -> Iterator[Listener]:
        """Change what is inside Kafka; a cluster that others run has no lock."""
        if self.external_servers:
            yield self._tell
        else:
            with self._changed(command) as tell:
                yield tell

    def warm(self, *, timeout_s: float = WAIT_S, when_idle: bool = False) -> tuple[Warmed, ...]:
        """Train the archives with which its nodes start faster, where they are missing; the environment is left alone.

        With `when_idle`, this whole process has only what others leave from then on: it waits until the machine has
        little else to do, and gives up, and returns nothing, if that does not come soon, or the environment is removed.

        Raises:
            UsageError: it is not up (only with `when_idle`).
            Unavailable: its Java is too old for archives.
            ProvisionError: the training failed; nothing is left of it.
        """
        from provision.warming import warm, warm_when_idle

        if when_idle:
            return warm_when_idle(self.source, self._runtimes, self.runtime, timeout_s=timeout_s, tell=self._tell)
        return warm(self.source, self._runtimes, timeout_s=timeout_s, tell=self._tell)

    @property
    def trainer(self) -> Trainer | None:
        """What trains archives in the background since its `up`, if something does."""
        return self.home.trainers.running(self.name)

    # -- its life -----------------------------------------------------------------------------------------------------

    def down(self, *, keep_data: bool = False, delete_data: bool = False, force: bool = False) -> int:
        """Remove everything that `up` created; returns how many things were removed.

        Data in a user's directory are kept unless `delete_data`; `keep_data` keeps all data for a later `up`. With
        `force`, a command that is changing the environment is made to end first.
        """
        from provision.operations.remove import down

        data = {"keep_data": keep_data, "delete_data": delete_data}
        with self._changed("down", force=force) as tell:
            return down(self.runtime, self.name, self.home, **data, tell=tell, elsewhere=self._runtimes.elsewhere)

    def stop(self, nodes: Sequence[str] = ()) -> int:
        """Stop the named nodes, or all, cleanly; their data are kept. Returns how many were running."""
        from provision.operations.life import stop

        with self._changed("stop") as tell:
            return stop(self.runtime, self.name, nodes, tell)

    def start(self, nodes: Sequence[str] = (), *, timeout_s: float = WAIT_S) -> Assessment:
        """Start the named nodes, or all, and wait until they are ready."""
        from provision.operations.life import start

        with self._changed("start") as tell:
            return start(self.runtime, self.name, nodes, Patience(timeout_s), tell)

    def restart(self, nodes: Sequence[str] = (), *, timeout_s: float = WAIT_S) -> tuple[str, ...]:
        """Restart the named nodes, or all, one at a time, each only while the cluster can do without it.

        Returns their names, in that order.
        """
        from provision.operations.life import restart_rolling

        with self._changed("restart") as tell:
            return restart_rolling(self.runtime, self.name, nodes, Patience(timeout_s), tell)

    # -- look ---------------------------------------------------------------------------------------------------------

    def observe(self) -> ObservedEnvironment:
        """What its runtime has of the environment.

        Raises:
            UsageError: it has nothing.
        """
        from provision.operations.status import require

        return require(self.runtime, self.name)

    @property
    def bootstrap_servers(self) -> str:
        """The bootstrap servers for clients on this machine: `host:port`, separated by commas."""
        return (self.cluster().access if self.external_servers else self.observe()).bootstrap_servers

    def addresses(self) -> Addresses:
        """Where clients on this machine find its cluster; `variables` has them as environment variables.

        Raises:
            UsageError: it has no nodes.
        """
        from provision.operations.status import require_nodes
        from provision.operations.variables import Addresses

        if self.external_servers:
            return Addresses(self.name, self.external_servers)
        observed = require_nodes(self.runtime, self.name)
        return Addresses(self.name, observed.bootstrap_servers, observed.zookeeper_connect)

    def status(self, topics: Sequence[Topic] | None = None) -> Assessment:
        """How ready it is; `topics` are those that must exist, None for whichever do."""
        from provision.operations.status import status

        return status(self.runtime, self.name, topics)

    def wait(
        self, until: Level = Level.TOPICS, topics: Sequence[Topic] | None = None, *, timeout_s: float = WAIT_S
    ) -> Assessment:
        """Wait until it reaches a readiness level.

        Raises:
            NotReady: the time limit has passed; `why` names what is missing.
            NodeFailed: a node has exited.
        """
        from provision.operations.status import wait_for

        return wait_for(self.runtime, self.name, until, topics, Patience(timeout_s), self._tell)

    def history(self) -> tuple[Run, ...]:
        """Which commands have changed it, the oldest first; the history outlives the environment."""
        from provision.home.journals import Journal

        return Journal(self.home.directory, self.name).runs()

    def examine(self) -> Diagnosis:
        """What is wrong with it, why, and what mends it; changes nothing.

        Raises:
            UsageError: there is neither a file nor an environment of that name.
        """
        from provision.operations.doctor.examine import examine

        return examine(self._source, self._runtimes)[0]

    def mend(self, choose: Choose) -> Diagnosis:
        """Carry out the safe repairs that `choose` accepts, and examine it again.

        Raises:
            Busy: another command is changing it.
        """
        from provision.operations.doctor.examine import mend

        changing = self._changed("doctor --fix")
        return mend(self._source, self._runtimes, self.home, choose=choose, changing=changing)[0]

    def log_lines(self, node: str, *, tail: int | None = None, follow: bool = False) -> Iterator[str]:
        """A node's log: all of it or its last `tail` lines; `follow` continues until the node exits."""
        return self.runtime.log_lines(self.name, node, tail=tail, follow=follow)

    def logs(self, nodes: Sequence[str], *, tail: int | None = None, follow: bool = False) -> Iterator[tuple[str, str]]:
        """The logs of several nodes in the order of time, as (node, line); arguments as for `log_lines`."""
        from provision.operations import logs

        return (logs.followed if follow else logs.merged)(nodes, partial(self.log_lines, tail=tail, follow=follow))

    def bundle(self, file: str | Path, *, tail: int | None = None) -> tuple[str, ...]:
        """Write all that tells of the environment's state into one archive, without secrets; also if it is broken.

        Args:
            file: the archive (`.tar.gz`), which only its owner may read.
            tail: only the last lines of each log.

        Returns:
            What could not be had, each with the reason; the archive says it, too.

        Raises:
            UsageError: there is neither a file nor an environment of that name.
            OSError: the archive cannot be written; then there is none.
        """
        from provision import __version__
        from provision.operations.bundle import Contents, write_bundle

        if self._source.only_name and self.runtime.observe(self.name).is_absent and not self.history():
            self.observe()  # raises
        quiet, self.on_event = self.on_event, silent  # what is wrong is in the archive
        try:
            contents = Contents(
                name=self.name,
                version=__version__,
                runtime=lambda: self.runtime,
                status=lambda: self.status(self._valid_topics()),
                plan=None if self._source.only_name else lambda: ((made := self.plan()).plan, made.files),
                render=None if self._source.only_name else self.render,
                history=self.history,
            )
            return write_bundle(Path(file), contents, tail)
        finally:
            self.on_event = quiet

    def _valid_topics(self) -> Sequence[Topic] | None:
        """The topics of the file; None if there is none, or it is not valid."""
        try:
            return self.declared_topics()
        except InvalidEnvironment:
            return None

    def inside_address(self, node: str) -> str:
        """The `host:port` of a node for tools inside the environment's network."""
        return self.runtime.inside_address(self.name, node)

    # -- what lives inside Kafka --------------------------------------------------------------------------------------

    def cluster(self) -> KafkaCluster:
        """Its cluster, or the external one at its file's `bootstrap_servers`."""
        from provision.operations.topics import cluster_at, cluster_of

        if address := self.external_servers:
            return cluster_at(self.name, address)
        return cluster_of(self.runtime, self.name)

    def tool(self, name: str, arguments: Sequence[str], streams: Streams) -> int:
        """Run one of Kafka's own tools inside the environment; returns its exit code."""
        from provision.operations.tools import run_tool

        return run_tool(self.runtime, self.name, name, arguments, streams)

    def lock(self, *, check: bool = False) -> Pinned:
        """Record its images and jars in a lock next to its file; `check` only compares, and refuses a difference."""
        from provision.software import pinning

        return (pinning.check if check else pinning.pin)(self.source, self._runtimes, self._tell)
