"""How ready a cluster is, determined through the protocol and never from a log.

Levels, each including those before it:

1. `process`: every node runs (known from the runtime, and given here).
2. `quorum`: every ZooKeeper node answers, and one of them leads.
3. `brokers`: each broker, asked over its listener for this machine, names all brokers and a controller. It learns of
   the others from the controller over the listener between brokers (UpdateMetadata), so one answer proves that both
   listeners work; and there is a controller only while ZooKeeper has a quorum.
4. `topics`: each broker names every topic, and each partition has a leader, which also serves it, and all its replicas
   in sync (`provision.kafka.leaders`).
5. `roundtrip`: a record can be written and read back (`provision.kafka.roundtrip`).
"""

import importlib
from collections.abc import Collection, Mapping, Sequence
from functools import partial

from msgspec import Struct

from provision.cluster.model import Role
from provision.errors import UsageError
from provision.kafka.access import Access
from provision.kafka.connection import NotAnswering, NotServing, ask_side_by_side
from provision.kafka.metadata import observe_cluster, observe_topic
from provision.plan.observed import ObservedCluster, ObservedTopic

STARTING = "it is starting: it serves no connection yet"


class BrokerAnswers(Struct, frozen=True):
    """The brokers' answers by id: `clusters` of those that answered, `silent` with the reason for each other one.

    `unserved` are the silent ones to which a connection is not even served.
    """

    clusters: Mapping[int, ObservedCluster]
    silent: Mapping[int, str]
    unserved: frozenset[int] = frozenset()

    @property
    def best(self) -> ObservedCluster | None:
        """The answer with the most brokers and topics."""
        answers = sorted(self.clusters.values(), key=lambda c: (len(c.brokers), len(c.topics)))
        return answers[-1] if answers else None


def ask_brokers(access: Access, timeout_s: float = 2.0, *, topics: bool = True) -> BrokerAnswers:
    """Ask all brokers concurrently, for brokers and topics or for the brokers alone; who is down is not asked."""
    if not access.brokers:
        return BrokerAnswers({}, access.down)
    importlib.import_module("provision.kafka.library")
    answers = ask_side_by_side(
        {broker: partial(observe_cluster, access, broker, timeout_s, topics=topics) for broker in access.brokers}
    )
    return BrokerAnswers(
        clusters={broker: answer for broker, answer in answers.items() if isinstance(answer, ObservedCluster)},
        silent={
            **access.down,
            **{broker: str(answer) for broker, answer in answers.items() if isinstance(answer, NotAnswering)},
        },
        unserved=frozenset(broker for broker, answer in answers.items() if isinstance(answer, NotServing)),
    )


def is_gone(access: Access, topic: str, timeout_s: float = 2.0) -> bool:
    """Whether there is no such topic: no broker that answers knows of it, and one does answer."""
    importlib.import_module("provision.kafka.library")
    answers = ask_side_by_side(
        {broker: partial(observe_topic, access, broker, topic, timeout_s) for broker in access.brokers}
    )
    found = [answer for answer in answers.values() if not isinstance(answer, NotAnswering)]
    return bool(found) and not any(found)


def no_topic(cluster: str, topics: Sequence[str]) -> UsageError:
    """What is told whoever asks for topics that a cluster, or environment, of that name does not have."""
    return UsageError(f"{cluster} has no topic {', '.join(topics)}", hint=f"`provision topics list {cluster}`")


def missing_for_brokers(answers: BrokerAnswers) -> dict[str, str]:
    """What the level `brokers` lacks, of brokers that run: node name to reason; empty when it holds."""
    expected = answers.clusters.keys() | answers.silent.keys()
    missing = {
        Role.BROKER.node(broker): STARTING if broker in answers.unserved else reason
        for broker, reason in answers.silent.items()
    }
    for broker, cluster in answers.clusters.items():
        unknown = sorted(expected - {known.id for known in cluster.brokers})
        if unknown:
            missing[Role.BROKER.node(broker)] = f"it does not know broker {', '.join(map(str, unknown))} yet"
        elif cluster.controller < 0:
            missing[Role.BROKER.node(broker)] = "it knows no controller yet"
    return dict(sorted(missing.items()))


def missing_for_agreement(answers: BrokerAnswers) -> dict[str, str]:
    """Why the brokers do not report the same partitions: node name to reason; empty if they do."""
    known = {broker: _partitions_of(cluster) for broker, cluster in sorted(answers.clusters.items())}
    every = frozenset[tuple[str, int]]().union(*known.values())
    missing: dict[str, str] = {}
    for broker, own in known.items():
        if unknown := every - own:
            topic, number = min(unknown)
            missing[Role.BROKER.node(broker)] = f"it does not know {topic}-{number} yet"
    return missing


def _partitions_of(cluster: ObservedCluster) -> frozenset[tuple[str, int]]:
    return frozenset((topic.name, partition.number) for topic in cluster.topics for partition in topic.partitions)


def missing_in_metadata(answers: BrokerAnswers, topics: Collection[str] | None) -> dict[str, str]:
    """What the brokers do not report of topics of these names, as `missing_for_brokers`; None means whichever exist."""
    missing: dict[str, str] = {}
    for broker, cluster in sorted(answers.clusters.items()):
        known = {topic.name: topic for topic in cluster.topics}
        names = known if topics is None else topics
        reasons = [reason for name in names if (reason := _missing_of_topic(name, known.get(name)))]
        if reasons:
            missing[Role.BROKER.node(broker)] = first_of(reasons)
    return missing


def first_of(reasons: Sequence[object]) -> str:
    """The first reason, and how many more there are; empty where there is none."""
    more = f", and {len(reasons) - 1} more" if len(reasons) > 1 else ""
    return f"{reasons[0]}{more}" if reasons else ""


def _missing_of_topic(name: str, topic: ObservedTopic | None) -> str:
    if topic is None:
        return f"it does not know topic {name} yet"
    lagging = [partition for partition in topic.partitions if partition.under_replicated]
    if not lagging:
        return ""
    first = lagging[0]
    if first.leader < 0:
        return f"{name}-{first.number} has no leader"
    absent = sorted(set(first.replicas) - set(first.in_sync))
    return f"{name}-{first.number} waits for the replica on broker {', '.join(map(str, absent))}"
