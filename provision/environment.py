"""An environment that can be held: what the command line uses, and what programs import.

It never prints, prompts, exits or changes signal handlers. What happens is told to its listener; what fails is raised
as one of the errors in `provision.errors`. An object is used by one thread at a time, any thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from provision.common.patience import Patience
from provision.errors import InvalidEnvironment, UsageError
from provision.events import Event, Listener, of_environment, silent
from provision.home.place import Home
from provision.kafka.levels import Level
from provision.runtime import Runtimes
from provision.spec.names import NAME_IN_WORDS, is_environment_name
from provision.spec.source import Source

if TYPE_CHECKING:
    from provision.cluster.model import Cluster, RenderedFile, Topic
    from provision.kafka.messages import Record
    from provision.observe.readiness import Assessment
    from provision.operations.topics import ReachedCluster
    from provision.pipeline import Prepared, UpOptions, UpResult
    from provision.plan.actions import Plan
    from provision.plan.observed import ObservedEnvironment, ObservedTopic
    from provision.resources.registry import Resources
    from provision.resources.rounds import Agree
    from provision.runtime.base import Runtime, Streams
    from provision.software.pinning import Pinned
    from provision.spec.model import EnvironmentSpec

WAIT_S = 120.0
"""How long each wait may take where nothing else is said."""


class Environment:
    """A Kafka environment: a file, or the values of one, and the cluster that it becomes.

    Args:
        file: an environment file; None where `values` describe the environment.
        overrides: `path.to.key=value` texts, as `--set` takes them, applied in order.
        on_event: is told what happens; see `provision.events`.
        home: where this machine keeps leases, notes, and environments that run as processes; a directory, or None for
            the user's own (`PROVISION_HOME`).
        runtimes: connections to share with other environments; they are not closed with this one then.
        values: the keys of an environment file, for example `name="orders", brokers={"nodes": 3}`.

    Raises:
        UsageError: there is neither a file nor a name, or both a file and values.

    Example:
        >>> from provision import Environment
        >>> with Environment(name="orders", runtime="process", topics=[{"name": "orders"}]) as environment:
        ...     assert environment.validate().name == "orders"
    """

    def __init__(
        self,
        file: str | Path | None = None,
        *,
        overrides: Sequence[str] = (),
        on_event: Listener = silent,
        home: Home | str | Path | None = None,
        runtimes: Runtimes | None = None,
        **values: Any,  # noqa: ANN401 whatever the schema takes; it is checked
    ) -> None:
        if file is not None and values:
            raise UsageError("an environment is described by a file or by values, not both")
        if file is None and not isinstance(values.get("name"), str):
            raise UsageError("an environment without a file needs a name")
        if home is not None and runtimes is not None:
            raise UsageError("runtimes have a home of their own: give either runtimes or a home, not both")
        if isinstance(overrides, str):
            raise UsageError("overrides are a list of KEY=VALUE texts, not one text")
        self.on_event = on_event
        self._own_runtimes = runtimes is None
        self._runtimes = runtimes or Runtimes(_home(home))
        self._source = Source(Path(file) if file is not None else None, tuple(overrides), values or None)
        self._described = True

    @classmethod
    def named(
        cls,
        name: str,
        *,
        on_event: Listener = silent,
        home: Home | str | Path | None = None,
        runtimes: Runtimes | None = None,
    ) -> Self:
        """An environment that runs, or has kept data, by its name alone: what needs its file cannot be asked of it.

        Raises:
            UsageError: no environment can have that name.
        """
        found = cls(name=_checked(name), on_event=on_event, home=home, runtimes=runtimes)
        found._described = False
        return found

    @classmethod
    def all(
        cls,
        *,
        on_event: Listener = silent,
        home: Home | str | Path | None = None,
        runtimes: Runtimes | None = None,
    ) -> tuple[Self, ...]:
        """Every environment that runs or has kept data; those of an engine that does not answer are left out."""
        shared = runtimes or Runtimes(_home(home))
        found = []
        for runtime in shared.answering():
            for name in runtime.environments():
                environment = cls.named(name, on_event=on_event, runtimes=shared)
                environment.__dict__["runtime"] = runtime  # both may have one of that name
                environment._own_runtimes = runtimes is None  # noqa: SLF001 of the same class
                found.append(environment)
        return tuple(found)

    def __enter__(self) -> Self:
        """The environment itself; what runs is left as it is at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back the connections. The cluster is not touched."""
        if self._own_runtimes:
            self._runtimes.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._source.file or self.name)!r})"

    # -- what it is ---------------------------------------------------------------------------------------------------

    @property
    def file(self) -> Path | None:
        """The environment file, where there is one."""
        return self._source.file

    @property
    def source(self) -> Source:
        """Where it is described.

        Raises:
            UsageError: there is only a name.
        """
        if not self._described:
            hint = "`provision init` writes one"
            raise UsageError(f"there is no environment file for {self.name!r}", hint=hint)
        return self._source

    @cached_property
    def name(self) -> str:
        """Its name. A file that is no longer valid still has one, so that its cluster can be removed."""
        spec = self._spec
        return spec.name if spec else _checked(self._source.written_name)

    @property
    def external_servers(self) -> str | None:
        """The addresses of a cluster that others run, where the file has `bootstrap_servers`."""
        return self._spec.bootstrap_servers if self._described and self._spec else None

    @property
    def _spec(self) -> EnvironmentSpec | None:
        """What the file says; None where it is not valid, which is for others to tell."""
        try:
            return self._source.load()
        except InvalidEnvironment:
            return None

    @cached_property
    def runtime(self) -> Runtime:
        """The runtime that has the environment, or would have it."""
        return self._runtimes.holding(self.name, self._tell)

    @property
    def home(self) -> Home:
        """Where this machine keeps what belongs to no runtime."""
        return self._runtimes.home

    def _tell(self, event: Event) -> None:
        of_environment(self._name_in_events, self.on_event)(event)

    @cached_property
    def _name_in_events(self) -> str:
        """Its name; empty where the file gives it none that it could have, which `validate` and `plan` then raise."""
        try:
            return self.name
        except UsageError:
            return ""

    # -- from the file to the cluster ---------------------------------------------------------------------------------

    def validate(self) -> Cluster:
        """What the file means, without asking any engine.

        Raises:
            InvalidEnvironment: with every problem of the file, each with its place.
        """
        from provision import pipeline

        return pipeline.validate(self.source, self._runtimes, self._tell)

    def declared_topics(self) -> Sequence[Topic] | None:
        """The topics of the file; None where there is only a name.

        Raises:
            InvalidEnvironment: as `validate`.
        """
        from provision import pipeline

        return pipeline.validate(self._source, self._runtimes).topics if self._described else None

    def render(self) -> tuple[RenderedFile, ...]:
        """The configuration files of every node, as the nodes would get them."""
        from provision import pipeline

        return pipeline.render(self.source, self._runtimes, self._tell)

    def plan(self, *, frozen: bool = False) -> Prepared:
        """What `up` would do, and why; changes nothing. `frozen` holds it to the lock beside the file."""
        from provision import pipeline

        return pipeline.prepare(self.source, self._runtimes, frozen=frozen, tell=self._tell)

    def up(self, options: UpOptions | None = None, *, agree: Agree | None = None) -> UpResult:
        """Create the environment, or make it what the file says, and wait until it is ready.

        Args:
            options: how far and how long; by default until every topic is in sync.
            agree: is shown each plan before it is carried out, and raises to stop it; by default all is agreed to.

        Raises:
            Refused: the change would lose data or availability; nothing was touched.
            ProvisionError: anything else; a first `up` has removed what it made, unless it is to be retained.
        """
        from provision import pipeline
        from provision.resources.rounds import agree_to_all

        result = pipeline.up(
            self.source,
            self._runtimes,
            options or pipeline.UpOptions(),
            tell=self._tell,
            agree=agree or agree_to_all,
        )
        self.__dict__.pop("runtime", None)  # it may be another one than before
        return result

    # -- its life -----------------------------------------------------------------------------------------------------

    def down(self, *, keep_data: bool = False, delete_data: bool = False) -> int:
        """Remove all that `up` made; returns how many things that were.

        Data in a directory of the user's stay unless `delete_data`; `keep_data` keeps all data for a later `up`.
        """
        from provision.operations.remove import down

        if keep_data and delete_data:
            raise UsageError("keep_data and delete_data contradict each other")
        return down(self.runtime, self.name, self.home, keep_data=keep_data, delete_data=delete_data, tell=self._tell)

    def stop(self, nodes: Sequence[str] = ()) -> int:
        """Stop nodes cleanly, or all of them; their data stay. Returns how many ran."""
        from provision.operations.life import stop

        return stop(self.runtime, self.name, nodes, self._tell)

    def start(self, nodes: Sequence[str] = (), *, timeout_s: float = WAIT_S) -> Assessment:
        """Start stopped nodes, or all of them, and wait until they are ready."""
        from provision.operations.life import start

        return start(self.runtime, self.name, nodes, Patience(timeout_s), self._tell)

    def restart(self, nodes: Sequence[str] = (), *, timeout_s: float = WAIT_S) -> tuple[str, ...]:
        """Restart nodes, or all of them, one at a time, each only while the cluster can do without it.

        Returns their names, in that order.
        """
        from provision.operations.life import restart_rolling

        return restart_rolling(self.runtime, self.name, nodes, Patience(timeout_s), self._tell)

    # -- look ---------------------------------------------------------------------------------------------------------

    def observe(self) -> ObservedEnvironment:
        """What its runtime has of it.

        Raises:
            UsageError: nothing.
        """
        from provision.operations.status import require

        return require(self.runtime, self.name)

    @property
    def bootstrap_servers(self) -> str:
        """Where clients on this machine begin: `host:port`, several with commas."""
        return self.cluster().access.bootstrap_servers

    def status(self, topics: Sequence[Topic] | None = None) -> Assessment:
        """How ready it is; `topics` must be there, None for whichever there are."""
        from provision.operations.status import status

        return status(self.runtime, self.name, topics)

    def wait(
        self, until: Level = Level.TOPICS, topics: Sequence[Topic] | None = None, *, timeout_s: float = WAIT_S
    ) -> Assessment:
        """Wait until it holds a readiness level.

        Raises:
            NotReady: time is up; says what is missing.
            NodeFailed: a node has exited.
        """
        from provision.operations.status import wait_for

        return wait_for(self.runtime, self.name, until, topics, Patience(timeout_s), self._tell)

    def log_lines(self, node: str, *, tail: int | None = None, follow: bool = False) -> Iterator[str]:
        """What a node logged: all of it or its last `tail` lines; `follow` goes on until it exits."""
        return self.runtime.log_lines(self.name, node, tail=tail, follow=follow)

    def inside_address(self, node: str) -> str:
        """`host:port` at which a tool inside the environment's network reaches a node."""
        return self.runtime.inside_address(self.name, node)

    # -- what lives inside Kafka --------------------------------------------------------------------------------------

    def cluster(self) -> ReachedCluster:
        """Its cluster, or the one behind its file's `bootstrap_servers`."""
        from provision.operations.topics import cluster_at, cluster_of

        if address := self.external_servers:
            return cluster_at(self.name, address)
        return cluster_of(self.runtime, self.name)

    def topics(self, names: Sequence[str] = (), *, internal: bool = False) -> tuple[ObservedTopic, ...]:
        """Topics with what is set on them: all, or the named ones; `internal` for Kafka's own too."""
        from provision.operations.topics import topics

        return topics(self.cluster(), names, internal=internal)

    def adopt(self, *, replicas: bool = False) -> dict[str, Any]:
        """What its cluster has, as the sections of an environment file; notices tell what a file cannot express.

        Args:
            replicas: name the brokers of each partition, instead of only how many there are.
        """
        from provision.operations.topics import adopted_sections

        sections = adopted_sections(self.cluster(), self.home, replicas=replicas, tell=self._tell)
        address = self.external_servers
        return {**({"name": self.name, "bootstrap_servers": address} if address else {}), **sections}

    def create_topic(
        self,
        name: str,
        *,
        partitions: int = 1,
        replication_factor: int | None = None,
        config: Mapping[str, str] | None = None,
    ) -> None:
        """Create a topic that is not in the file, and wait until every broker has it.

        Without a replication factor it has three replicas, or as many as there are brokers.
        """
        from provision.operations.topics import NewTopic, create_topic

        create_topic(self.cluster(), NewTopic(name, partitions, replication_factor, config or {}), self._tell)

    def delete_topics(self, names: Sequence[str]) -> None:
        """Delete topics with all their records; never Kafka's own."""
        from provision.operations.topics import delete_topics

        delete_topics(self.cluster(), names, self._tell)

    def plan_resources(self, names: Sequence[str] = ()) -> Plan:
        """What `apply_resources` would do; changes nothing."""
        from provision.operations.topics import plan_for

        cluster, desired = self._desired(names)
        return plan_for(cluster, desired, self.home)[0]

    def apply_resources(
        self, names: Sequence[str] = (), *, timeout_s: float = WAIT_S, agree: Agree | None = None
    ) -> Plan:
        """Make topics and all else inside Kafka as the file says, or only the named topics; nodes are left as they are.

        Returns what was done.
        """
        from provision.operations.topics import apply_for
        from provision.resources.rounds import agree_to_all

        cluster, desired = self._desired(names)
        patience = Patience(timeout_s)
        return apply_for(cluster, desired, self.home, patience=patience, tell=self._tell, agree=agree or agree_to_all)

    def _desired(self, names: Sequence[str]) -> tuple[ReachedCluster, Resources]:
        from provision.operations.topics import only_topics
        from provision.resources.registry import desired_resources

        spec = self.source.load(self._tell)
        cluster = self.cluster()
        desired = desired_resources(spec, len(cluster.access.brokers))
        return cluster, only_topics(desired, names) if names else desired

    def produce(self, topic: str, records: Iterable[tuple[bytes | None, bytes]]) -> int:
        """Write records (key, value) to a topic that exists, acknowledged by all in-sync replicas; returns how many."""
        from provision.kafka.messages import produce
        from provision.operations.topics import topics

        cluster = self.cluster()
        topics(cluster, [topic])
        return produce(cluster.access, topic, records)

    def consume(
        self, topic: str, *, from_beginning: bool = True, limit: int | None = None, idle_s: float | None = None
    ) -> Iterator[Record]:
        """Read a topic without a consumer group; ends after `limit` records, or when none came for `idle_s`."""
        from provision.kafka.messages import consume

        return consume(self.cluster().access, topic, from_beginning=from_beginning, limit=limit, idle_s=idle_s)

    def tool(self, name: str, arguments: Sequence[str], streams: Streams) -> int:
        """Run Kafka's own tool of that name inside the environment; returns its exit code."""
        from provision.operations.tools import run_tool

        return run_tool(self.runtime, self.name, name, arguments, streams)

    # -- software -----------------------------------------------------------------------------------------------------

    def lock(self, *, check: bool = False) -> Pinned:
        """Record which images and jars it runs, beside its file; `check` compares only, and refuses a difference."""
        from provision.software import pinning

        return (pinning.check if check else pinning.pin)(self.source, self._runtimes, self._tell)


def _home(home: Home | str | Path | None) -> Home:
    if isinstance(home, Home):
        return home
    return Home.of_user() if home is None else Home.at(Path(home))


def _checked(name: str) -> str:
    """The name, if it can be one: it becomes a part of paths, where `..` would lead anywhere."""
    if not is_environment_name(name):
        raise UsageError(f"{name!r} is neither an environment's name nor a file", hint=f"a name is {NAME_IN_WORDS}")
    return name
