"""What lives inside the Kafka of an environment: its topics, ACLs, quotas, records and consumer groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, Self

from provision.common.arguments import Texts, one_text, several, whole
from provision.common.offloading import require_wanted
from provision.common.patience import Patience, require_seconds
from provision.common.records import ISOLATIONS, Codec, Isolation, NewRecord
from provision.environment.changing import Changing
from provision.environment.looking import WAIT_S, Seen
from provision.errors import UsageError
from provision.events import Progress

if TYPE_CHECKING:
    from pathlib import Path

    from provision.common.records import Record
    from provision.kafka.groups import Group
    from provision.plan.actions import Plan
    from provision.plan.observed import ObservedTopic
    from provision.resources.rounds import Agree


_TOPIC = "the name of a topic"


class InsideKafka(Changing):
    """The part of `Environment` that asks and changes the cluster itself, whoever runs its nodes."""

    def as_client(self) -> Self:
        """The same environment, for work inside its Kafka as any other client does it.

        Its nodes are looked at once, and again after they were changed through this object or the returned one; whose
        it is is asked now. Topics are created and deleted side by side with other commands, without the environment's
        lock, and without a note in its history. It is closed with the environment itself.

        Raises:
            Refused: the environment was made from another file.
        """
        self._require_own()
        self._seen = self._seen or Seen()
        self._seen.observed = None
        client = copy(self)
        client._is_client = True  # noqa: SLF001 of the same class
        return client

    def topics(self, names: Texts = (), *, internal: bool = False, settings: bool = True) -> tuple[ObservedTopic, ...]:
        """Topics, with their `settings` unless they are not wanted: all, or the named ones.

        `internal` includes Kafka's own.
        """
        from provision.operations.topics import topics

        return topics(self.cluster(), several(names, "names of topics"), internal=internal, settings=settings)

    def adopt(self, *, replicas: bool = False) -> dict[str, Any]:
        """Its cluster as sections of an environment file; `replicas` lists the brokers of each partition."""
        from provision.operations.topics import adopted_sections

        sections = adopted_sections(self.cluster(), self.home, replicas=replicas, tell=self._tell)
        address = self.external_servers
        return {**({"name": self.name, "bootstrap_servers": address} if address else {}), **sections}

    def create_topic(
        self,
        name: str,
        *,
        partitions: int | None = None,
        replication_factor: int | None = None,
        config: Mapping[str, str | float | bool] | None = None,
    ) -> None:
        """Create a topic that is not in the file, and wait until every broker knows it.

        It has one partition unless another number is said. The default replication factor is 3, or the number of
        brokers if there are fewer.

        Raises:
            UsageError: no topic of this cluster can be like that: the rules are those of a file's `topics`.
            Refused: it exists already, or fewer brokers answer than it is to have replicas.
            KafkaRefused: Kafka refused it.
        """
        from provision.operations.new_topic import ELSEWHERE, NewTopic, sections_of
        from provision.operations.topics import create_topic

        with self._changed_inside("topics create") as tell:
            there = ELSEWHERE if self.external_servers else sections_of(self.observe())
            new = NewTopic.of(name, partitions, replication_factor, config, cluster=there)
            create_topic(self.cluster(), new, tell)

    def delete_topics(self, names: Texts) -> None:
        """Delete topics with all their records; never Kafka's own.

        Raises:
            UsageError: one does not exist; none is deleted.
            KafkaRefused: Kafka refused all of them.
            PartlyApplied: Kafka refused some; the others are deleted.
        """
        from provision.operations.topics import delete_topics

        chosen = several(names, "names of topics")
        with self._changed_inside("topics delete") as tell:
            delete_topics(self.cluster(), chosen, tell)

    def plan_resources(self, names: Texts = ()) -> Plan:
        """What `apply_resources` would do; changes nothing."""
        from provision.operations.topics import desired_of, plan_for

        chosen, spec, cluster = several(names, "names of topics"), self.source.load(self._tell), self.cluster()
        return plan_for(cluster, desired_of(spec, cluster, chosen), self.home)[0]

    def apply_resources(self, names: Texts = (), *, timeout_s: float = WAIT_S, agree: Agree | None = None) -> Plan:
        """Update topics, ACLs and quotas to match the file, or only the named topics; nodes are left alone.

        Returns what was done.
        """
        from provision.operations.topics import apply_for, desired_of
        from provision.resources.rounds import accept_all

        chosen, spec = several(names, "names of topics"), self.source.load(self._tell)
        with self._changed_inside("topics apply") as tell:
            cluster = self.cluster()
            desired, patience = desired_of(spec, cluster, chosen), Patience(timeout_s)
            return apply_for(cluster, desired, self.home, patience=patience, tell=tell, agree=agree or accept_all)

    def produce(
        self,
        topic: str,
        records: Path | Iterable[NewRecord | tuple[bytes | None, bytes | None]],
        *,
        max_bytes: int = 1024**2,
        compression: Codec = "none",
        rate: float | None = None,
    ) -> int:
        """Write records, or pairs of key and value, to an existing topic with `acks=all`; returns how many.

        Args:
            topic: its name.
            records: in order; or the path of a file of them, whose ending says its format, as for `topics[].records`.
            max_bytes: limits the size of one.
            compression: of what is sent: `gzip`, `snappy`, `lz4`, `zstd`, or `none`.
            rate: at most so many records a second.

        Raises:
            UsageError: there is no such topic or file, or what is given is no record.
            Refused: the environment was made from another file.
            ProvisionError: a line of the file is no record, or not all were acknowledged; says how many were.
        """
        from provision.common.pacing import paced
        from provision.kafka import writing
        from provision.operations.records import new_records
        from provision.operations.topics import topics_without_settings

        self._require_own()
        there = topics_without_settings(cluster := self.cluster(), [one_text(topic, _TOPIC)])
        partitions = next(len(one.partitions) for one in there if one.name == topic)
        new = new_records(records, partitions, max_bytes)

        def told(acknowledged: int) -> None:
            self._tell(Progress(f"records written to {topic}", acknowledged, 0))

        return writing.produce(
            cluster.access,
            topic,
            new if rate is None else paced(new, rate),
            cluster=cluster.name,
            largest_bytes=max_bytes,
            compression=compression,
            told=told,
        )

    def consume(
        self,
        topic: str,
        *,
        from_beginning: bool = True,
        limit: int | None = None,
        idle_s: float | None = None,
        isolation_level: Isolation = "read_uncommitted",
        to_end: bool = False,
    ) -> Iterator[Record]:
        """Read a topic without a consumer group; ends after `limit` records, or after `idle_s` without any.

        With `to_end` it ends at the end of the topic, as it is when the reading begins.

        With the `isolation_level` `read_committed`, nothing is read of aborted transactions, nor past the start of an
        open one.

        Raises:
            UsageError: there is no such isolation level or limit; or no such topic, once the first record is asked for.
        """
        from provision.kafka.reading import ReadOptions, consume

        if isolation_level not in ISOLATIONS:
            raise UsageError(f"an isolation level is {' or '.join(ISOLATIONS)}, not {isolation_level!r}")
        one_text(topic, _TOPIC)
        if limit is not None:
            whole(limit, "a limit of records")
        if idle_s is not None:
            require_seconds(idle_s)
        options = ReadOptions(from_beginning, limit, idle_s, isolation_level, to_end)
        cluster = self.cluster()
        return consume(cluster.access, topic, options, require_wanted, cluster=cluster.name)

    def groups(self, names: Texts = ()) -> tuple[Group, ...]:
        """Consumer groups with their members: all, or the named ones; one that does not exist is `Dead`."""
        from provision.operations.groups import groups

        return groups(self.cluster(), several(names, "names of groups"))

    def lag(self, group: str, topics: Texts) -> dict[tuple[str, int], int]:
        """How many records of these topics the group has not committed yet, by topic and partition."""
        from provision.operations.groups import lag

        require_wanted()
        return lag(self.cluster(), group, several(topics, "names of topics"))

    def has_read_all(self, group: str, topics: Texts) -> bool:
        """Whether the group has committed all records of these topics, but for those of aborted transactions.

        Its lag need not be 0 then: what ends a transaction has an offset, too.
        """
        from provision.operations.groups import has_read_all

        require_wanted()
        return has_read_all(self.cluster(), group, several(topics, "names of topics"))

    def delete_groups(self, names: Texts) -> None:
        """Delete consumer groups with their offsets; those that do not exist are ignored.

        Raises:
            KafkaRefused: Kafka refused all of them, because they have members.
            PartlyApplied: Kafka refused some; the others are deleted.
            Refused: the environment was made from another file.
        """
        from provision.operations.groups import delete_groups

        chosen = several(names, "names of groups")
        self._require_own()
        delete_groups(self.cluster(), chosen)
