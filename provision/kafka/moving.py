"""Carry out reassignments: throttle, move, wait, remove the throttle, elect preferred leaders.

1. If a throttle is requested, the present settings are noted on this machine, then the throttle is set: a rate on
   every broker, and on each topic the replicas it applies to (KIP-73). Replicas already in sync are never throttled as
   followers, so that they stay in sync.
2. All partitions are reassigned at once with their full target lists (KIP-455). Kafka completes that on its own, even
   without this program.
3. Progress is reported until nothing moves any more. If there is no progress for a while, this ends with an error.
4. The noted settings are restored and the note is deleted. A command that dies before that leaves the note, and the
   next one restores the settings.
5. The preferred leader of every moved partition is elected.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from msgspec import Struct

from provision.common.counts import counted, plural
from provision.common.patience import Patience
from provision.errors import Interrupted, NotReady, PartlyApplied, Unavailable
from provision.events import Listener, Progress
from provision.home.throttles import Settings, ThrottleNote
from provision.kafka.admin import Admin
from provision.kafka.brokers import dynamic_overrides
from provision.kafka.partitions import Replicas
from provision.plan.observed import ObservedCluster, ObservedTopic
from provision.plan.throttle import FOLLOWERS, LEADERS, RATES
from provision.spec.units import size_text

_LONGEST_SETTING = 32767
"""The longest value, in characters, that fits into a record of KRaft's metadata."""
Partition = tuple[str, int]
"""A topic's name and a partition's number."""


class Watch(Struct, frozen=True):
    """How to wait for a reassignment.

    The wait ends when there was no progress for as long as `patience` allows, or when `check` raises because waiting
    is pointless. It polls every `pause_s`, and every `sizes_every_s` for the sizes of replicas, which costs the brokers
    more.
    """

    patience: Patience
    check: Callable[[], None]
    tell: Listener
    pause_s: float = 0.3
    sizes_every_s: float = 2.0


def move(
    admin: Admin,
    cluster: ObservedCluster,
    replicas: Replicas,
    note: ThrottleNote,
    throttle_bytes_per_s: int | None,
    watch: Watch,
) -> dict[str, str]:
    """Reassign partitions to these replicas, and wait until that is complete.

    Returns:
        The topics of which Kafka rejected partitions, with its reasons; all others have moved.

    Raises:
        NotReady: there was no progress for too long. Kafka continues, within the throttle.
    """
    failed: dict[str, str] = {}
    if throttle_bytes_per_s:
        failed = _throttle(admin, cluster, replicas, note, throttle_bytes_per_s)
        replicas = {topic: rows for topic, rows in replicas.items() if topic not in failed}
    else:  # an interrupted command may have left one
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
    """Restore the settings that were noted before a throttle was set.

    Raises:
        PartlyApplied: Kafka rejected some; the note is kept.
    """
    registered = {("broker", str(broker.id)) for broker in cluster.brokers}
    before = {
        (kind, name): settings
        for (kind, name), settings in note.read(cluster.cluster_id).items()
        if kind != "broker" or (kind, name) in registered  # a broker's settings are sent to the broker itself
    }
    failed = admin.settings.alter(before)
    # a topic deleted meanwhile has nothing to restore
    failed = {at: reason for at, reason in failed.items() if "does not exist" not in reason}
    if failed:
        why = "\n".join(f"{kind} {name}: {reason}" for (kind, name), reason in failed.items())
        raise PartlyApplied("the replication throttle could not be removed", why=why)
    note.forget(cluster.cluster_id)


def _throttle(
    admin: Admin, cluster: ObservedCluster, replicas: Replicas, note: ThrottleNote, bytes_per_s: int
) -> dict[str, str]:
    """Set the throttle; returns the topics for which Kafka rejected it, with its reasons.

    Raises:
        PartlyApplied: a broker rejected it.
    """
    topics = {topic.name: topic for topic in cluster.topics}
    wanted: Settings = {
        ("broker", str(broker.id)): dict.fromkeys(RATES, str(bytes_per_s)) for broker in cluster.brokers
    }
    for name, partitions in replicas.items():
        wanted["topic", name] = _throttled_replicas(topics[name], partitions)
    present = _present(admin, cluster, [topics[name] for name in replicas])
    before: Settings = {at: {key: present.get(at, {}).get(key) for key in keys} for at, keys in wanted.items()}
    # A note of an interrupted command is older, so it has the settings from before any throttle.
    older = note.read(cluster.cluster_id)
    note.write(cluster.cluster_id, before | older)
    failed = admin.settings.alter(wanted)
    if brokers := {name: reason for (kind, name), reason in failed.items() if kind == "broker"}:
        why = "\n".join(f"broker {name}: {reason}" for name, reason in brokers.items())
        raise PartlyApplied("replication could not be throttled; nothing was moved", why=why)
    if failed:  # nothing was set on them that has to be restored
        note.write(cluster.cluster_id, {at: old for at, old in before.items() if at not in failed} | older)
    return {name: f"it could not be throttled: {reason}" for (_, name), reason in failed.items()}


def _throttled_replicas(topic: ObservedTopic, partitions: Mapping[int, Sequence[int]]) -> dict[str, str | None]:
    moving = [partition for partition in topic.partitions if partition.number in partitions]
    leaders = [f"{p.number}:{broker}" for p in moving for broker in p.replicas if not p.is_new_on(broker)]
    followers = [f"{p.number}:{broker}" for p in moving for broker in partitions[p.number] if p.is_new_on(broker)]
    lists = {LEADERS: ",".join(leaders), FOLLOWERS: ",".join(followers)}
    # All replicas, if the list is too long for KRaft. Replicas in sync are not slowed down by that.
    return {key: value if len(value) <= _LONGEST_SETTING else "*" for key, value in lists.items()}


def _present(
    admin: Admin, cluster: ObservedCluster, topics: Sequence[ObservedTopic]
) -> dict[tuple[str, str], Mapping[str, str]]:
    brokers = admin.brokers.settings([broker.id for broker in cluster.brokers])
    present: dict[tuple[str, str], Mapping[str, str]] = {
        ("broker", str(broker)): dynamic_overrides(entries) for broker, entries in brokers.items()
    }
    return present | {("topic", topic.name): topic.config for topic in admin.topics.with_settings(topics)}


def _wait(admin: Admin, cluster: ObservedCluster, replicas: Replicas, watch: Watch) -> None:
    newcomers = _newcomers(cluster, replicas)
    brokers = [broker.id for broker in cluster.brokers]
    left: dict[Partition, int] = dict.fromkeys(newcomers, 0)
    seen: tuple[object, ...] = ()
    sizes_are_fresh = Patience(watch.sizes_every_s)
    stalled = watch.patience.renewed("waiting for replicas to move")
    arrived, lacking = 0, 0
    while True:
        watch.check()
        with suppress(Unavailable):  # the controller is changing, or a broker is starting: try again
            left = {at: len(move.adding) for at, move in admin.partitions.moves().items() if at in newcomers}
            if left and sizes_are_fresh.is_over:
                sizes_are_fresh = sizes_are_fresh.renewed()
                arrived, lacking = _bytes_of({at: newcomers[at] for at in left}, admin.partitions.sizes(brokers))
        if not left:
            return
        detail = f"{size_text(lacking)} to go" if lacking else ""
        moved = f"{plural('partition', len(newcomers))} moved"
        watch.tell(Progress(moved, len(newcomers) - len(left), len(newcomers), detail))
        if (now_seen := (sorted(left.items()), arrived)) != seen:
            seen, stalled = now_seen, stalled.renewed()
        if not stalled.pause(watch.pause_s):
            raise _stalled(left, len(newcomers), stalled)


def _newcomers(cluster: ObservedCluster, replicas: Replicas) -> dict[Partition, tuple[int, ...]]:
    """The brokers that gain a replica of each moved partition."""
    there = {(topic.name, partition.number): partition for topic in cluster.topics for partition in topic.partitions}
    return {
        (topic, number): tuple(broker for broker in row if there[topic, number].is_new_on(broker))
        for topic, rows in replicas.items()
        for number, row in rows.items()
    }


def _bytes_of(
    newcomers: Mapping[Partition, Sequence[int]], sizes: Mapping[Partition, Mapping[int, int]]
) -> tuple[int, int]:
    """Bytes copied to new replicas, and bytes still missing. Only the former shows progress: producers add to both."""
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
        f"{len(left)} of {counted('partition', total)} {'has' if total == 1 else 'have'} not arrived",
        why=f"nothing has moved for {patience.given}; the first is {topic}-{number}",
        hint="Kafka continues by itself; `provision up` again waits for it",
    )
