"""The plans of a cluster that is too large to be started here, from what would be observed of it.

    python -m benchmarks.simulated CHANGE    plan one change; prints the seconds and the bytes that it took

It has 100 brokers, 5 on each of 20 engines, which are their racks, and 100,000 partitions with 3 replicas.
"""

import json
import resource
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import ROOT
from benchmarks.measuring import OURS, Aim, Contestants, Row, run
from provision.cli.plans import plan_lines
from provision.cluster.model import Topic, TopicPolicy
from provision.common.values import replace
from provision.plan.actions import Plan
from provision.plan.observed import ObservedBroker, ObservedCluster, ObservedPartition, ObservedTopic
from provision.plan.placement import Placement
from provision.plan.topics import plan_topics

ENGINES, ON_EACH, TOPICS, PARTITIONS, FACTOR = 20, 5, 2000, 50, 3
SIZE_BYTES = 1024**2


@dataclass(frozen=True, slots=True)
class Change:
    """A cluster as it is observed, and which brokers leave it; it is rebalanced, too."""

    cluster: ObservedCluster
    leaving: frozenset[int] = frozenset()

    def plan(self) -> Plan:
        """What `provision plan` plans for its topics."""
        topics = [Topic(topic.name, len(topic.partitions), FACTOR, {}) for topic in self.cluster.topics]
        policy = TopicPolicy(rebalance=True)
        return Plan("large", plan_topics(topics, self.cluster, policy=policy, leaving=self.leaving))


def scale_out() -> Change:
    """The brokers of the last engine are new."""
    brokers = _brokers()
    new = _on_engine(brokers, ENGINES)
    return Change(_cluster(brokers, _topics([broker for broker in brokers if broker.id not in new])))


def drain() -> Change:
    """The brokers of an engine are to be emptied."""
    brokers = _brokers()
    return Change(_cluster(brokers, _topics(brokers)), _on_engine(brokers, 1))


def rack_loss() -> Change:
    """The brokers of an engine are down for good: others lead, and nothing on them is in sync."""
    brokers = _brokers()
    lost = _on_engine(brokers, 1)

    def without(partition: ObservedPartition) -> ObservedPartition:
        in_sync = tuple(broker for broker in partition.replicas if broker not in lost)
        return replace(partition, leader=in_sync[0], in_sync=in_sync, held_bytes=dict.fromkeys(in_sync, SIZE_BYTES))

    topics = (
        replace(topic, partitions=tuple(without(partition) for partition in topic.partitions))
        for topic in _topics(brokers)
    )
    return Change(_cluster(brokers, topics), lost)


CHANGES: dict[str, Callable[[], Change]] = {"scale-out": scale_out, "drain": drain, "rack loss": rack_loss}


def simulated() -> Row:
    """The plans of the large cluster."""
    title = "Simulated, seconds of a processor: the plan for 100 brokers on 20 engines, 100,000 partitions × RF 3"
    aims = [Aim(measure, limit) for name in CHANGES for measure, limit in ((name, 5.0), (f"{name}_bytes", 1000.0**3))]
    return Row("simulated", title, _opened, aims, most=3)


def _opened(_directory: Path) -> AbstractContextManager[Contestants]:
    def ours(_empty: Path) -> dict[str, float]:
        found: dict[str, float] = {}
        for name in CHANGES:
            _, out = run([sys.executable, "-m", "benchmarks.simulated", name], cwd=ROOT)
            taken = json.loads(out)
            found |= {name: taken["seconds"], f"{name}_bytes": taken["bytes"]}
        return found

    return nullcontext({OURS: ours})


def _brokers() -> list[ObservedBroker]:
    return [
        ObservedBroker(number, f"engine-{(number - 1) % ENGINES + 1}") for number in range(1, ENGINES * ON_EACH + 1)
    ]


def _on_engine(brokers: list[ObservedBroker], engine: int) -> frozenset[int]:
    return frozenset(broker.id for broker in brokers if broker.rack == f"engine-{engine}")


def _topics(brokers: list[ObservedBroker]) -> list[ObservedTopic]:
    placement = Placement(brokers)

    def partition(number: int, row: tuple[int, ...]) -> ObservedPartition:
        return ObservedPartition(number, row[0], row, row, held_bytes=dict.fromkeys(row, SIZE_BYTES))

    return [
        ObservedTopic(
            f"topic-{number}", tuple(partition(*one) for one in enumerate(placement.place(PARTITIONS, FACTOR)))
        )
        for number in range(TOPICS)
    ]


def _cluster(brokers: list[ObservedBroker], topics: Iterable[ObservedTopic]) -> ObservedCluster:
    return ObservedCluster("large", brokers[0].id, tuple(brokers), tuple(topics))


def _measured(change: Change) -> dict[str, float]:
    """The processor time until the plan is there as text and as JSON, and the most memory that the process had."""
    began = time.process_time()
    plan = change.plan()
    text, as_json = "\n".join(plan_lines(plan)), json.dumps(plan.as_dict())
    seconds = time.process_time() - began
    if not (plan.changes and text and as_json):
        raise AssertionError("nothing was planned")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"seconds": seconds, "bytes": most}


if __name__ == "__main__":
    print(json.dumps(_measured(CHANGES[sys.argv[1]]())))
