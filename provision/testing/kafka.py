"""The cluster as one test sees it: names of its own, and nothing left behind."""

import hashlib
import re
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from provision import Environment, Interrupted, ProvisionError, Record, UsageError
from provision.common.patience import Patience, Pauses
from provision.common.records import Isolation
from provision.testing.clients import CLIENTS, config_of
from provision.testing.connections import Connections
from provision.testing.content import Content, new_records
from provision.testing.topic import COMMITTED, WAIT_S, TestTopic
from provision.testing.use import Use

_TOKEN = re.compile(r"-t[0-9a-f]{10}(?:-|$)")
_CLOSE_S = 3.0
_DIGITS = 8
_LONGEST = 200  # of a topic's 249 characters, before the token and what applications append


Names = tuple[frozenset[str], frozenset[str]]
"""Of topics and of groups."""


class Leftovers(AssertionError):
    """A test has left topics, consumers, connections or nodes that are down behind."""


class Kafka:
    """A running cluster for one test. Topics and groups of other tests do not get in its way.

    Attributes:
        environment: the environment, which other tests may use at the same time.

    Args:
        environment: is running.
        use: how the test shares it with others.
        alone: whether no other test runs meanwhile, so that whatever is new is this test's.
        spare: whether others than tests may use it too, so that what has no name of this test's is not removed.
    """

    def __init__(self, environment: Environment, use: Use, *, alone: bool = False, spare: bool = False) -> None:
        self.environment, self._client = environment, environment.as_client()
        self._use, self._alone, self._spare = use, alone, spare
        self._token = f"t{secrets.token_hex(5)}"
        self._topics: dict[str, TestTopic] = {}
        self._asked: dict[str, dict[str, object]] = {}
        self._making = threading.Lock()
        self._groups: set[str] = set()
        self._begun: set[str] = set()
        self._stopped: set[str] = set()
        self._start_what_is_down()
        self.bootstrap_servers = self._client.bootstrap_servers
        self._before = self._names() if alone else (frozenset[str](), frozenset[str]())
        self._connections = Connections(self._ports())
        self._observed = None if self._client.external_servers else self._client.observe()

    # -- what a test works with ---------------------------------------------------------------------------------------

    def client_config(
        self, client: str = "kafka-python", *, user: str = "", listener: str = "", **options: object
    ) -> dict[str, Any]:
        """What a client needs to connect, with further options of its own.

        Args:
            client: `kafka-python` or `aiokafka` for their keyword arguments, `librdkafka` or `confluent-kafka` for the
                dictionary of clients that are based on that.
            user: a user of the description, as whom it connects; without one, it may do everything.
            listener: over which one, if there are several; without one, the first that fits.
            options: added as they are.

        Raises:
            UsageError: there is no such client, user or listener.
        """
        if client not in CLIENTS:
            raise UsageError(f"there is no client configuration for {client!r}", hint=f"known: {', '.join(CLIENTS)}")
        return {**config_of(self._client.cluster(user, listener).access, client), **options}

    def topic(
        self,
        name: str,
        *,
        partitions: int | None = None,
        replication_factor: int | None = None,
        config: Mapping[str, str | float | bool] | None = None,
        records: Path | Iterable[Content] = (),
    ) -> TestTopic:
        """A new topic, whose real name begins with `name` and is this test's alone; it is deleted after the test.

        Threads of a test may ask at the same time.

        Args:
            name: what the test calls it; asked for again, it is the same topic.
            partitions: how many; the default is 1.
            replication_factor: the default is 3, or the number of brokers that run if those are fewer.
            config: settings by Kafka's names, as texts, numbers or truth values.
            records: written to it at once; see `TestTopic.produce`.

        Raises:
            UsageError: no topic can be like that, or the test has one of that name that is not like that.
            TypeError, ValueError: `records` has what is no record; the topic is not created.
        """
        __tracebackhide__ = True
        content = new_records(records)
        if not isinstance(name, str) or name.startswith("__"):
            why = f"a topic's name is a text that does not begin with __, as Kafka's own do, not {name!r}"
            raise UsageError(why)
        asked: dict[str, object] = {
            "partitions": partitions,
            "replication_factor": replication_factor,
            "config": config,
        }
        with self._making:
            if made := self._topics.get(name):
                self._require_same(name, asked, content)
                return made
            made = TestTopic(self._client, self.unique(name))
            self._begun.add(made.name)  # Kafka may have it, although the creation fails or is interrupted
            count = 1 if partitions is None else partitions
            self._client.create_topic(made.name, partitions=count, replication_factor=replication_factor, config=config)
            self._topics[name], self._asked[name] = made, asked | {"partitions": count, "config": config or {}}
            if content:
                self._client.produce(made.name, content)
            return made

    def _require_same(self, name: str, asked: Mapping[str, object], content: object) -> None:
        """Raise if a topic that there is would have to be another one."""
        __tracebackhide__ = True
        before = self._asked[name]
        if asked["replication_factor"] is not None and before["replication_factor"] is None:  # Kafka knows the default
            (there,) = self._client.topics([self._topics[name].name], settings=False)
            before["replication_factor"] = there.replication_factor
        for what, value in asked.items():
            if value is not None and _as_said(value) != _as_said(before[what]):
                why = f"it was made with {what}={before[what]!r}, and is asked for with {value!r}"
                raise UsageError(f"the test has a topic {name} already", why=why, hint="use another name")
        if content:
            hint = "call `produce` of the topic"
            raise UsageError(f"the test has a topic {name} already, and `records` is for a new one", hint=hint)

    def group(self, name: str = "group") -> str:
        """The name of a consumer group of this test alone; the group is deleted after the test."""
        group = self.unique(name)
        self._groups.add(group)
        return group

    def unique(self, name: str) -> str:
        """A name that begins with this one and is the test's alone, for whatever else an application names."""
        if not isinstance(name, str):
            raise UsageError(f"a name is a text, not {name!r}")
        if len(name) > _LONGEST:  # two that begin alike are not to become one
            digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:_DIGITS]
            name = f"{name[: _LONGEST - _DIGITS - 1]}-{digest}"
        return f"{name}-{self._token}"

    def produce(self, topic: TestTopic | str, records: Path | Iterable[Content]) -> int:
        """Write records to a topic of any name; see `TestTopic.produce`."""
        __tracebackhide__ = True
        return self._named(topic).produce(records)

    def consume(
        self, topic: TestTopic | str, count: int, timeout: float = WAIT_S, isolation_level: Isolation = COMMITTED
    ) -> list[Record]:
        """Read the first records of a topic of any name; see `TestTopic.consume`."""
        __tracebackhide__ = True
        return self._named(topic).consume(count, timeout, isolation_level)

    def wait_for_records(
        self, topic: TestTopic | str, count: int, timeout: float = WAIT_S, isolation_level: Isolation = COMMITTED
    ) -> list[Record]:
        """Wait for records in a topic of any name; see `TestTopic.wait_for_records`."""
        __tracebackhide__ = True
        return self._named(topic).wait_for_records(count, timeout, isolation_level)

    def lag(self, group: str, topic: TestTopic | str | None = None) -> int:
        """How many records the group has to read yet: of one topic, or of all topics of this test."""
        __tracebackhide__ = True
        topics = [str(topic)] if topic is not None else [made.name for made in self._topics.values()]
        return sum(self._client.lag(group, topics).values())

    # -- the same in async tests: the event loop goes on meanwhile ----------------------------------------------------

    async def atopic(
        self,
        name: str,
        *,
        partitions: int | None = None,
        replication_factor: int | None = None,
        config: Mapping[str, str | float | bool] | None = None,
        records: Path | Iterable[Content] = (),
    ) -> TestTopic:
        """As `topic`, without blocking the event loop."""
        __tracebackhide__ = True
        return await self._client.in_thread(
            self.topic,
            name,
            partitions=partitions,
            replication_factor=replication_factor,
            config=config,
            records=records,
        )

    async def aproduce(self, topic: TestTopic | str, records: Path | Iterable[Content]) -> int:
        """As `produce`, without blocking the event loop."""
        __tracebackhide__ = True
        return await self._named(topic).aproduce(records)

    async def aconsume(
        self,
        topic: TestTopic | str,
        count: int,
        timeout: float = WAIT_S,  # noqa: ASYNC109 the name in the tests
        isolation_level: Isolation = COMMITTED,
    ) -> list[Record]:
        """As `consume`, without blocking the event loop."""
        __tracebackhide__ = True
        return await self._named(topic).aconsume(count, timeout, isolation_level)

    async def await_for_records(
        self,
        topic: TestTopic | str,
        count: int,
        timeout: float = WAIT_S,  # noqa: ASYNC109
        isolation_level: Isolation = COMMITTED,
    ) -> list[Record]:
        """As `wait_for_records`, without blocking the event loop."""
        __tracebackhide__ = True
        return await self._named(topic).await_for_records(count, timeout, isolation_level)

    async def alag(self, group: str, topic: TestTopic | str | None = None) -> int:
        """As `lag`, without blocking the event loop."""
        __tracebackhide__ = True
        return await self._client.in_thread(self.lag, group, topic)

    def _named(self, topic: TestTopic | str) -> TestTopic:
        return topic if isinstance(topic, TestTopic) else TestTopic(self._client, topic)

    # -- failures -----------------------------------------------------------------------------------------------------

    def stop(self, *nodes: str) -> None:
        """Stop nodes cleanly, for example `broker-1`, or all; after the test they are started again.

        From then on the test has the environment to itself: other tests that use it end first, or wait.

        Raises:
            UsageError: there is no such node.
            Refused: records would be lost that no other broker has.
        """
        __tracebackhide__ = True
        chosen = self._alone_with(nodes)
        with self._taking_down(chosen):
            self.environment.stop(chosen)

    def kill(self, *nodes: str, unregister: bool = False) -> None:
        """Kill nodes (SIGKILL), as `stop` otherwise.

        A cluster takes a killed broker for dead when its session expires. With `unregister`, the controllers of a KRaft
        cluster are told at once instead, and have the others lead its partitions; new topics cannot have replicas on it
        then until it is back.
        """
        __tracebackhide__ = True
        chosen = self._alone_with(nodes)
        with self._taking_down(chosen):
            self.environment.kill(chosen, unregister=unregister)

    def start(self, *nodes: str) -> None:
        """Start nodes that were stopped or killed, by default all that are, and wait until they are ready."""
        __tracebackhide__ = True
        chosen = self._known(nodes) or tuple(sorted(self._stopped))
        if chosen:
            self.environment.start(chosen)
            self._note_stopped(self._stopped - set(chosen))

    def _start_what_is_down(self) -> None:
        """Start what a test has left down whose process has died, or that could not start it."""
        if self._use.down:
            self._use.alone()
            if down := self._use.down:  # unless another test has done that meanwhile
                self.environment.start(sorted(down))
                self._use.note_down(())

    def _note_stopped(self, nodes: set[str]) -> None:
        self._stopped = nodes
        self._use.note_down(nodes)

    def _alone_with(self, nodes: Sequence[str]) -> tuple[str, ...]:
        """Have the environment alone; returns the named nodes, or all."""
        __tracebackhide__ = True
        chosen = self._known(nodes) or tuple(node.name for node in self.environment.observe().nodes)
        self._use.alone()
        return chosen

    def _known(self, nodes: Sequence[str]) -> tuple[str, ...]:
        """The nodes that are named, each of which there is."""
        __tracebackhide__ = True
        there = [node.name for node in self.environment.observe().nodes] if nodes else []
        if unknown := [node if isinstance(node, str) and node else repr(node) for node in nodes if node not in there]:
            raise UsageError(f"there is no node {', '.join(unknown)}", hint=f"there are {', '.join(there)}")
        return tuple(nodes)

    @contextmanager
    def _taking_down(self, nodes: Sequence[str]) -> Iterator[None]:
        """Remember which are to be started again: those that ran, as soon as one of them may not any more."""
        __tracebackhide__ = True
        self._note_stopped(self._stopped | set(nodes))
        try:
            yield
        except ProvisionError:
            running = {node.name for node in self.environment.observe().nodes if node.state == "running"}
            self._note_stopped(self._stopped - running)
            raise

    # -- the end ------------------------------------------------------------------------------------------------------

    def close(self, *, check: bool = True, beside: bool = False) -> None:
        """Start what was stopped, or has gone down otherwise, and remove the test's topics and groups.

        Args:
            check: whether what the test has left behind is an error.
            beside: whether what outlives the test uses the cluster too, so that only what has a name of the test's is
                its own.

        Raises:
            Leftovers: topics that it did not get from `topic`, consumers that are not closed, open connections, nodes
                that are down otherwise than by `stop` or `kill`.
            ProvisionError: something of it could not be started or removed; all else was.
        """
        __tracebackhide__ = True
        failed: list[AssertionError | ProvisionError] = []
        left: list[str] = []
        foreign: Names = (frozenset(), frozenset())
        down: tuple[str, ...] = ()
        try:
            with _noted(failed):
                self.start()
            self._alone = self._alone and not beside
            with _noted(failed):
                down = self._started_again() if self._has_changed_nodes else ()
            with _noted(failed):
                try:
                    foreign = self._foreign()
                except ProvisionError as error:
                    if down or not (down := self._started_again()):
                        raise
                    failed.append(error)
                    foreign = self._foreign()
                if check:
                    left = self._left(*foreign, connections=not beside)
            if check:
                left += [f"{node}, which is down: `kafka.stop` and `kafka.kill` have it started again" for node in down]
            with _noted(failed):
                self._remove(*((frozenset(), frozenset()) if self._spare else foreign))
        finally:
            self._use.release()
        if left:
            failed[:] = [Leftovers("the test has left behind:\n" + "\n".join(f"  {line}" for line in left)), *failed]
        if failed:
            for other in failed[1:]:
                failed[0].add_note("\n".join([str(other), *getattr(other, "__notes__", ())]))
            raise failed[0]

    @property
    def _has_changed_nodes(self) -> bool:
        """Whether the test has changed nodes by `environment`, or here: what was seen of them is forgotten then."""
        return self._observed is not None and self._client.observe() is not self._observed

    def _started_again(self) -> tuple[str, ...]:
        """Start what ran when the test began, and is down, but for what `start` has tried; returns what that was."""
        ran = {node.name for node in self._observed.nodes if node.state == "running"} if self._observed else set[str]()
        ran -= self._stopped
        down = [node.name for node in self.environment.observe().nodes if node.name in ran and node.state != "running"]
        if down:
            self.environment.start(down)
        return tuple(down)

    def _foreign(self) -> Names:
        """The topics and groups of the test that it did not get from here."""
        topics, groups = self._names()
        return (
            frozenset(name for name in topics - self._begun if self._is_own(name, self._before[0])),
            frozenset(name for name in groups - self._groups if self._is_own(name, self._before[1])),
        )

    def _left(self, topics: Iterable[str], groups: Iterable[str], *, connections: bool) -> list[str]:
        return [
            *(f"topic {name}, which was not made by `kafka.topic`" for name in sorted(topics)),
            *self._members(sorted({*groups, *self._groups})),
            *(self._connections.left(_CLOSE_S) if connections else ()),
        ]

    def _is_own(self, name: str, before: frozenset[str]) -> bool:
        """Whether a topic or a group is this test's: by its name, or, if it runs alone, because it is new."""
        if self._token in name:
            return True
        return self._alone and name not in before and not name.startswith("__") and not _TOKEN.search(name)

    def _names(self) -> Names:
        topics = frozenset(topic.name for topic in self._client.topics(settings=False))
        return topics, frozenset(group.name for group in self._client.groups())

    def _members(self, groups: Sequence[str]) -> list[str]:
        """Consumers that are still in a group; one that was just closed leaves it within a moment."""
        patience, pauses = Patience(_CLOSE_S), Pauses()
        while busy := [group for group in self._client.groups(groups) if group.members] if groups else []:
            if not patience.pause(pauses.next_s()):
                break
        return [f"consumer {', '.join(group.members)} in group {group.name}: close it" for group in busy]

    def _ports(self) -> frozenset[int]:
        """The ports of the brokers' listeners for this machine."""
        brokers = () if self._client.external_servers else self._client.observe().of_role("broker")
        addresses = [address for broker in brokers for address in broker.endpoints]
        return frozenset(int(one.rpartition(":")[2]) for one in addresses or self.bootstrap_servers.split(","))

    def _remove(self, foreign_topics: frozenset[str], foreign_groups: frozenset[str]) -> None:
        """Remove what is the test's; what cannot be removed keeps nothing else."""
        topics, groups = self._names()
        ours = {topic.name for topic in self._topics.values()} | foreign_topics
        failed: list[ProvisionError] = []
        gone = sorted(name for name in topics if name in ours or self._token in name)
        several: list[ProvisionError] = []
        with _noted(several):
            if gone:
                self._client.delete_topics(gone)
        for name in gone if several else ():
            with _noted(failed):
                if name in self._names()[0]:
                    self._client.delete_topics([name])
        theirs = self._groups | foreign_groups
        with suppress(ProvisionError):  # one with members is told as left behind, and goes with the environment
            self._client.delete_groups(sorted(name for name in groups if name in theirs or self._token in name))
        if failed:
            raise failed[0]


def _as_said(value: object) -> object:
    """As Kafka takes it: settings are texts."""
    return {key: _text(one) for key, one in value.items()} if isinstance(value, Mapping) else value


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@contextmanager
def _noted(failed: list[Any]) -> Iterator[None]:
    """Note an error, and go on, unless it is an interrupt."""
    try:
        yield
    except Interrupted:
        raise
    except ProvisionError as error:
        failed.append(error)
