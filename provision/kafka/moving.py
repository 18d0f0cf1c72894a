"""Carry out reassignments: throttle, move, wait, take the throttle back, let preferred leaders lead.

1. Where a throttle is asked for, the present settings are noted on this machine, then the throttle is put on: a rate on
   every broker, and on each topic the replicas it holds for (KIP-73). The replicas in sync already are never throttled
   as followers, so that they stay in sync.
2. All partitions are reassigned at once with their full target lists (KIP-455). Kafka goes on with that by itself, also
   without this program.
3. Until none moves any more it is told how far they are. It ends with an error when nothing has moved for a while.
4. The noted settings are restored and the note forgotten. A command that dies before leaves the note, and the next one
   restores them.
5. The first replica of every moved partition is elected to lead.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from provision.common.patience import Patience
from provision.errors import Interrupted, NotReady, PartlyApplied, Unavailable
from provision.events import Listener, Progress
from provision.home.throttles import Settings, ThrottleNote
from provision.kafka.admin import Admin
from provision.kafka.brokers import set_beside_file
from provision.kafka.partitions import Replicas
from provision.plan.observed import ObservedCluster, ObservedTopic
from provision.plan.throttle import FOLLOWERS, LEADERS, RATES
from provision.spec.units import size_text

_PAUSE_S = 0.3
_SIZES_EVERY_S = 2.0
_LONGEST_SETTING = 32767
"""Characters of a value that fits a record of KRaft's metadata."""
Partition = tuple[str, int]
"""A topic's name and the partition's number."""


@dataclass(frozen=True, slots=True)
class Watch:
    """How a move is waited for.

    It ends when nothing has moved for as long as the `patience` allows, or when `check` raises because waiting is
    pointless.
    """

    patience: Patience
    check: Callable[[], None]
    tell: Listener


def move(
    admin: Admin,
    cluster: ObservedCluster,
    replicas: Replicas,
    note: ThrottleNote,
    throttle_bytes_per_s: int | None,
    watch: Watch,
) -> dict[str, str]:
    """Bring partitions to these replicas, and wait until they are there.

    Returns:
        The topics of which Kafka refused partitions, with its reasons; all others have moved.

    Raises:
        NotReady: nothing moved for too long. Kafka goes on, within the throttle.
    """
    failed: dict[str, str] = {}
    if throttle_bytes_per_s:
        failed = _throttle(admin, cluster, replicas, note, throttle_bytes_per_s)
        replicas = {topic: rows for topic, rows in replicas.items() if topic not in failed}
    else:  # that of an interrupted command may hold still
        restore_throttle(admin, cluster, note)
    failed |= admin.partitions.reassign(replicas)
    try:
        _wait(admin, cluster, replicas, watch)
    except (KeyboardInterrupt, Interrupted) as error:
        within = ", within its throttle" if throttle_bytes_per_s else ""
        why = f"Kafka continues to move replicas by itself{within}"
        raise Interrupted("interrupted", why=why, hint="the same command again waits for it") from error
    restore_throttle(admin, cluster, note)
    admin.partitions.elect_preferred_leaders({topic: list(numbers) for topic, numbers in replicas.items()})
    return failed


def restore_throttle(admin: Admin, cluster: ObservedCluster, note: ThrottleNote) -> None:
    """Put the settings back that were noted before a throttle was put on.

    Raises:
        PartlyApplied: Kafka refused some; the note stays.
    """
    registered = {("broker", str(broker.id)) for broker in cluster.brokers}
    before = {
        (kind, name): settings
        for (kind, name), settings in note.read(cluster.cluster_id).items()
        if kind != "broker" or (kind, name) in registered  # its settings are asked of the broker itself
    }
    failed = admin.settings.alter(before)
    # a topic that is gone by now needs nothing taken back
    failed = {at: reason for at, reason in failed.items() if "does not exist" not in reason}
    if failed:
        why = "\n".join(f"{kind} {name}: {reason}" for (kind, name), reason in failed.items())
        raise PartlyApplied("the throttle of replication could not be taken back", why=why)
    note.forget(cluster.cluster_id)


def _throttle(
    admin: Admin, cluster: ObservedCluster, replicas: Replicas, note: ThrottleNote, bytes_per_s: int
) -> dict[str, str]:
    """Put the throttle on; returns the topics of which Kafka refused it, with its reasons.

    Raises:
        PartlyApplied: a broker refused it.
    """
    topics = {topic.name: topic for topic in cluster.topics}
    wanted: Settings = {
        ("broker", str(broker.id)): dict.fromkeys(RATES, str(bytes_per_s)) for broker in cluster.brokers
    }
    for name, partitions in replicas.items():
        wanted["topic", name] = _throttled_replicas(topics[name], partitions)
    present = _present(admin, cluster, [topics[name] for name in replicas])
    before: Settings = {at: {key: present.get(at, {}).get(key) for key in keys} for at, keys in wanted.items()}
    # What an interrupted command noted is older, so it is what was there before any throttle.
    older = note.read(cluster.cluster_id)
    note.write(cluster.cluster_id, before | older)
    failed = admin.settings.alter(wanted)
    if brokers := {name: reason for (kind, name), reason in failed.items() if kind == "broker"}:
        why = "\n".join(f"broker {name}: {reason}" for name, reason in brokers.items())
        raise PartlyApplied("replication could not be throttled; nothing was moved", why=why)
    if failed:  # they have nothing that would have to be taken back
        note.write(cluster.cluster_id, {at: old for at, old in before.items() if at not in failed} | older)
    return {name: f"it could not be throttled: {reason}" for (_, name), reason in failed.items()}


def _throttled_replicas(topic: ObservedTopic, partitions: Mapping[int, Sequence[int]]) -> dict[str, str | None]:
    moving = [partition for partition in topic.partitions if partition.number in partitions]
    leaders = [f"{p.number}:{broker}" for p in moving for broker in p.replicas if not p.is_new_on(broker)]
    followers = [f"{p.number}:{broker}" for p in moving for broker in partitions[p.number] if p.is_new_on(broker)]
    lists = {LEADERS: ",".join(leaders), FOLLOWERS: ",".join(followers)}
    # All of them, where KRaft would not keep the list. Replicas in sync are not slowed down by that.
    return {key: value if len(value) <= _LONGEST_SETTING else "*" for key, value in lists.items()}


def _present(
    admin: Admin, cluster: ObservedCluster, topics: Sequence[ObservedTopic]
) -> dict[tuple[str, str], Mapping[str, str]]:
    brokers = admin.brokers.settings([broker.id for broker in cluster.brokers])
    present: dict[tuple[str, str], Mapping[str, str]] = {
        ("broker", str(broker)): set_beside_file(entries) for broker, entries in brokers.items()
    }
    return present | {("topic", topic.name): topic.config for topic in admin.topics.with_settings(topics)}


def _wait(admin: Admin, cluster: ObservedCluster, replicas: Replicas, watch: Watch) -> None:
    newcomers = _newcomers(cluster, replicas)
    brokers = [broker.id for broker in cluster.brokers]
    left: dict[Partition, int] = dict.fromkeys(newcomers, 0)
    seen: tuple[object, ...] = ()
    sizes_are_fresh = Patience(_SIZES_EVERY_S)
    stalled = watch.patience.renewed("waiting for replicas to move")
    arrived, lacking = 0, 0
    while True:
        watch.check()
        with suppress(Unavailable):  # the controller moves, or a broker is on its way: asked again until time is up
            left = {at: len(move.adding) for at, move in admin.partitions.moves().items() if at in newcomers}
            if left and sizes_are_fresh.is_over:
                sizes_are_fresh = sizes_are_fresh.renewed()
                arrived, lacking = _bytes_of({at: newcomers[at] for at in left}, admin.partitions.sizes(brokers))
        if not left:
            return
        detail = f"{size_text(lacking)} to go" if lacking else ""
        watch.tell(Progress("partitions moved", len(newcomers) - len(left), len(newcomers), detail))
        if (now_seen := (sorted(left.items()), arrived)) != seen:
            seen, stalled = now_seen, stalled.renewed()
        if not stalled.pause(_PAUSE_S):
            raise _stalled(left, len(newcomers), stalled)


def _newcomers(cluster: ObservedCluster, replicas: Replicas) -> dict[Partition, tuple[int, ...]]:
    """The brokers that each moved partition is new on."""
    there = {(topic.name, partition.number): partition for topic in cluster.topics for partition in topic.partitions}
    return {
        (topic, number): tuple(broker for broker in row if there[topic, number].is_new_on(broker))
        for topic, rows in replicas.items()
        for number, row in rows.items()
    }


def _bytes_of(
    newcomers: Mapping[Partition, Sequence[int]], sizes: Mapping[Partition, Mapping[int, int]]
) -> tuple[int, int]:
    """What has arrived on the newcomers, and what they lack. Only the former shows movement: producers add to both."""
    arrived = lacking = 0
    for at, brokers in newcomers.items():
        held = sizes.get(at, {})
        for broker in brokers:
            has = held.get(broker, 0)
            arrived += has
            lacking += max(held.values(), default=0) - has
    return arrived, lacking


def _stalled(left: Mapping[tuple[str, int], int], total: int, patience: Patience) -> NotReady:
    (topic, number), *_ = sorted(left)
    return NotReady(
        f"{len(left)} of {total} partitions have not arrived",
        why=f"nothing has moved for {patience.given}; the first is {topic}-{number}",
        hint="Kafka continues by itself; `provision up` again waits for it",
    )
