"""Plans for 100 brokers on 20 engines and 100,000 partitions. How long they take is measured in `benchmarks/`."""

from collections import Counter
from collections.abc import Iterator

import pytest

from benchmarks.simulated import CHANGES, ENGINES, FACTOR, ON_EACH, PARTITIONS, TOPICS, Change
from provision.plan.actions import Plan, Verb
from provision.plan.observed import ObservedPartition
from provision.plan.topic_changes import Reassignment
from tests.plan.test_reassignment import differ

Row = tuple[int, ...]


def rows_of(change: Change, plan: Plan) -> Iterator[tuple[ObservedPartition, Row]]:
    """Each partition with what it is to have, changed or not."""
    moves = {action.name: action.subject for action in plan.actions if isinstance(action.subject, Reassignment)}
    for topic in change.cluster.topics:
        replicas = moves[topic.name].replicas if topic.name in moves else {}
        for partition in topic.partitions:
            yield partition, replicas.get(partition.number, partition.replicas)


def fewest_copies(change: Change) -> int:
    """What those that stay lack of an even load, if each copy could go anywhere."""
    held = Counter(broker for topic in change.cluster.topics for p in topic.partitions for broker in p.replicas)
    stay = sorted(
        (held[broker.id] for broker in change.cluster.brokers if broker.id not in change.leaving), reverse=True
    )
    each, more = divmod(held.total(), len(stay))
    return sum(max(each + (place < more) - count, 0) for place, count in enumerate(stay))


@pytest.mark.parametrize("name", CHANGES)
def test_a_large_plan_is_even_and_aware_of_racks_and_moves_no_more_than_it_must(name: str) -> None:
    change = CHANGES[name]()
    assert len(change.cluster.brokers) == ENGINES * ON_EACH == 100
    assert TOPICS * PARTITIONS == 100_000
    plan = change.plan()
    assert {action.verb for action in plan.actions} == {Verb.REASSIGN}
    racks = {broker.id: broker.rack for broker in change.cluster.brokers if broker.id not in change.leaving}
    replicas, leaders, copies = Counter[int](), Counter[int](), 0
    for partition, row in rows_of(change, plan):
        assert len({racks[broker] for broker in row}) == len(row) == FACTOR
        replicas.update(row)
        leaders.update(row[:1])
        copies += len(set(row) - set(partition.replicas))
    assert replicas.keys() == leaders.keys() == racks.keys()
    assert differ(list(replicas.values())) <= 1
    assert differ(list(leaders.values())) <= 1
    assert copies <= 1.05 * fewest_copies(change)
