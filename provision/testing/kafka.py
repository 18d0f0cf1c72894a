"""The cluster as one test sees it: names of its own, and nothing left behind."""

import os
import re
import secrets
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from provision import Environment, ProvisionError, Record, UsageError
from provision.common.patience import Patience
from provision.testing.clients import CLIENTS, config_of
from provision.testing.topic import WAIT_S, Content, TestTopic
from provision.testing.use import Use

_TOKEN = re.compile(r"-t[0-9a-f]{10}(?:-|$)")
_CLOSE_S, _PAUSE_S = 3.0, 0.1
_LONGEST = 200  # of a topic's 249 characters, before the token and what applications append


class Leftovers(AssertionError):
    """A test has left topics, consumers or connections behind."""


class Kafka:
    """A running cluster for one test. Topics and groups of other tests do not get in its way.

    Attributes:
        environment: the environment, which other tests may use at the same time.

    Args:
        environment: is running.
        use: how the test shares it with others.
        alone: whether no other test runs meanwhile, so that whatever is new is this test's.
    """

    def __init__(self, environment: Environment, use: Use, *, alone: bool = False) -> None:
        self.environment = environment
        self._use, self._alone = use, alone
        self._token = f"t{secrets.token_hex(5)}"
        self._topics: dict[str, TestTopic] = {}
        self._making = threading.Lock()
        self._groups: set[str] = set()
        self._stopped: set[str] = set()
        self.bootstrap_servers = environment.bootstrap_servers
        self._before = self._names() if alone else (frozenset[str](), frozenset[str]())
        self._connections = self._connected()

    # -- what a test works with ---------------------------------------------------------------------------------------

    def client_config(self, client: str = "kafka-python", **options: object) -> dict[str, object]:
        """What a client needs to connect, with further options of its own.

        Args:
            client: `kafka-python` or `aiokafka` for their keyword arguments, `librdkafka` or `confluent-kafka` for the
                dictionary of clients that are based on that.
            options: added as they are.
        """
        if client not in CLIENTS:
            raise UsageError(f"there is no client configuration for {client!r}", hint=f"known: {', '.join(CLIENTS)}")
        return {**config_of(self.environment.cluster().access, client), **options}

    def topic(
        self,
        name: str,
        *,
        partitions: int = 1,
        replication_factor: int | None = None,
        config: Mapping[str, str] | None = None,
        records: Iterable[Content] = (),
    ) -> TestTopic:
        """A new topic, whose real name begins with `name` and is this test's alone; it is deleted after the test.

        Args:
            name: what the test calls it; asked for again, it is the same topic.
            partitions: how many.
            replication_factor: the default is 3, or the number of brokers if there are fewer.
            config: settings by Kafka's names.
            records: written to it at once; see `TestTopic.produce`.
        """
        if name not in self._topics:
            made = TestTopic(self.environment, self.unique(name))
            self.environment.create_topic(
                made.name, partitions=partitions, replication_factor=replication_factor, config=config
            )
            self._topics[name] = made
            if content := list(records):
                made.produce(content)
        return self._topics[name]

    def group(self, name: str = "group") -> str:
        """The name of a consumer group of this test alone; the group is deleted after the test."""
        group = self.unique(name)
        self._groups.add(group)
        return group

    def unique(self, name: str) -> str:
        """A name that begins with this one and is the test's alone, for whatever else an application names."""
        return f"{name[:_LONGEST]}-{self._token}"

    def produce(self, topic: TestTopic | str, records: Iterable[Content]) -> int:
        """Write records to a topic of any name; see `TestTopic.produce`."""
        return self._named(topic).produce(records)

    def consume(self, topic: TestTopic | str, count: int, timeout: float = WAIT_S) -> list[Record]:
        """Read the first records of a topic of any name; see `TestTopic.consume`."""
        return self._named(topic).consume(count, timeout)

    def wait_for_records(self, topic: TestTopic | str, count: int, timeout: float = WAIT_S) -> list[Record]:
        """Wait for records in a topic of any name; see `TestTopic.wait_for_records`."""
        return self._named(topic).wait_for_records(count, timeout)

    def lag(self, group: str, topic: TestTopic | str | None = None) -> int:
        """How many records the group has to read yet: of one topic, or of all topics of this test."""
        topics = [str(topic)] if topic is not None else [made.name for made in self._topics.values()]
        return sum(self.environment.lag(group, topics).values())

    # -- the same in async tests: the event loop goes on meanwhile ----------------------------------------------------

    async def atopic(
        self,
        name: str,
        *,
        partitions: int = 1,
        replication_factor: int | None = None,
        config: Mapping[str, str] | None = None,
        records: Iterable[Content] = (),
    ) -> TestTopic:
        """As `topic`, without blocking the event loop."""

        def made() -> TestTopic:
            with self._making:  # the environment is changed by one at a time
                return self.topic(
                    name, partitions=partitions, replication_factor=replication_factor, config=config, records=records
                )

        return await self.environment.in_thread(made)

    async def aproduce(self, topic: TestTopic | str, records: Iterable[Content]) -> int:
        """As `produce`, without blocking the event loop."""
        return await self._named(topic).aproduce(records)

    async def aconsume(self, topic: TestTopic | str, count: int, timeout: float = WAIT_S) -> list[Record]:  # noqa: ASYNC109 the name in the tests
        """As `consume`, without blocking the event loop."""
        return await self._named(topic).aconsume(count, timeout)

    async def await_for_records(self, topic: TestTopic | str, count: int, timeout: float = WAIT_S) -> list[Record]:  # noqa: ASYNC109
        """As `wait_for_records`, without blocking the event loop."""
        return await self._named(topic).await_for_records(count, timeout)

    async def alag(self, group: str, topic: TestTopic | str | None = None) -> int:
        """As `lag`, without blocking the event loop."""
        return await self.environment.in_thread(self.lag, group, topic)

    def _named(self, topic: TestTopic | str) -> TestTopic:
        return topic if isinstance(topic, TestTopic) else TestTopic(self.environment, topic)

    # -- failures -----------------------------------------------------------------------------------------------------

    def stop(self, *nodes: str) -> None:
        """Stop nodes cleanly, for example `broker-1`; after the test they are started again.

        From then on the test has the environment to itself: other tests that use it end first, or wait.
        """
        self._use.alone()
        self._stopped |= set(nodes)
        self.environment.stop(nodes)

    def kill(self, *nodes: str) -> None:
        """Kill nodes (SIGKILL), as `stop` otherwise."""
        self._use.alone()
        self._stopped |= set(nodes)
        for node in nodes:
            self.environment.runtime.kill_node(self.environment.name, node)

    def start(self, *nodes: str) -> None:
        """Start nodes that were stopped or killed, and wait until they are ready."""
        self.environment.start(nodes or sorted(self._stopped))
        self._stopped -= set(nodes or self._stopped)

    # -- the end ------------------------------------------------------------------------------------------------------

    def close(self, *, check: bool = True) -> None:
        """Start what was stopped, and remove the test's topics and groups.

        Args:
            check: whether what the test has left behind is an error.

        Raises:
            Leftovers: topics that it did not get from `topic`, consumers that are not closed, open connections.
        """
        try:
            if self._stopped:
                self.environment.start(sorted(self._stopped))
            left = self._left() if check else []
            self._remove()
        finally:
            self._use.release()
        if left:
            raise Leftovers("the test has left behind:\n" + "\n".join(f"  {line}" for line in left))

    def _left(self) -> list[str]:
        made = {topic.name for topic in self._topics.values()}
        topics, groups = self._names()
        strange = sorted(name for name in topics - made if self._is_own(name, self._before[0]))
        named = {name for name in groups if name in self._groups or self._is_own(name, self._before[1])}
        return [
            *(f"topic {name}, which was not made by `kafka.topic`" for name in strange),
            *self._members(sorted(named)),
            *self._open(),
        ]

    def _is_own(self, name: str, before: frozenset[str]) -> bool:
        """Whether a topic or a group is this test's: by its name, or, if it runs alone, because it is new."""
        if self._token in name:
            return True
        return self._alone and name not in before and not name.startswith("__") and not _TOKEN.search(name)

    def _names(self) -> tuple[frozenset[str], frozenset[str]]:
        topics = frozenset(topic.name for topic in self.environment.topics(settings=False))
        return topics, frozenset(group.name for group in self.environment.groups())

    def _members(self, groups: Sequence[str]) -> list[str]:
        """Consumers that are still in a group; one that was just closed leaves it within a moment."""
        patience = Patience(_CLOSE_S)
        while busy := [group for group in self.environment.groups(groups) if group.members] if groups else []:
            if not patience.pause(_PAUSE_S):
                break
        return [f"consumer {', '.join(group.members)} in group {group.name}: close it" for group in busy]

    def _open(self) -> list[str]:
        patience = Patience(_CLOSE_S)
        while new := self._connected() - self._connections:
            if not patience.pause(_PAUSE_S):
                break
        servers = sorted({f"{host}:{port}" for _, (host, port) in new})
        count = "1 open connection" if len(new) == 1 else f"{len(new)} open connections"
        return [f"{count} to {', '.join(servers)}: close the client"] if new else []

    def _connected(self) -> frozenset[tuple[int, tuple[str, int]]]:
        """The connections of this process to the brokers: local port and remote address."""
        import psutil

        ports = {int(server.rpartition(":")[2]) for server in self.bootstrap_servers.split(",")}
        connections = psutil.Process(os.getpid()).net_connections("tcp")
        return frozenset(
            (one.laddr.port, (one.raddr.ip, one.raddr.port))
            for one in connections
            if one.raddr and one.raddr.port in ports and one.status == psutil.CONN_ESTABLISHED
        )

    def _remove(self) -> None:
        topics, groups = self._names()
        made = {topic.name for topic in self._topics.values()}
        gone = sorted(name for name in topics if name in made or self._token in name)
        if gone:
            self.environment.delete_topics(gone)
        ours = sorted(name for name in groups if name in self._groups or self._token in name)
        with suppress(ProvisionError):  # one with members is told as left behind, and goes with the environment
            self.environment.delete_groups(ours)
