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

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from provision.errors import Interrupted, NotReady, PartlyApplied, Unavailable
from provision.events import Listener, Progress
from provision.home.throttles import Settings, ThrottleNote
from provision.kafka.admin import Admin
from provision.kafka.brokers import set_beside_file
from provision.kafka.partitions import Replicas
from provision.plan.observed import ObservedCluster, ObservedTopic
from provision.plan.throttle import FOLLOWERS, LEADERS, RATES

_PAUSE_S = 0.3
_SIZES_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How a move is waited for: `stalled_s` without any movement end it, `check` raises when waiting is in vain."""

    stalled_s: float
    check: Callable[[], None]
    tell: Listener


def move(
    admin: Admin,
    cluster: ObservedCluster,
    replicas: Replicas,
    note: ThrottleNote,
    throttle_bytes_per_s: int | None,
    patience: Patience,
) -> dict[str, str]:
    """Bring partitions to these replicas, and wait until they are there.

    Returns:
        The topics of which Kafka refused partitions, with its reasons; all others have moved.

    Raises:
        NotReady: nothing moved for too long. Kafka goes on, within the throttle.
    """
    if throttle_bytes_per_s:
        _throttle(admin, cluster, replicas, note, throttle_bytes_per_s)
    else:  # that of an interrupted command may hold still
        restore_throttle(admin, cluster, note)
    failed = admin.partitions.reassign(replicas)
    wanted = {(topic, number) for topic, numbers in replicas.items() for number in numbers}
    try:
        _wait(admin, wanted, replicas, patience)
    except KeyboardInterrupt as error:
        within = ", within its throttle" if throttle_bytes_per_s else ""
        why = f"Kafka goes on moving replicas by itself{within}"
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


def _throttle(admin: Admin, cluster: ObservedCluster, replicas: Replicas, note: ThrottleNote, bytes_per_s: int) -> None:
    topics = {topic.name: topic for topic in cluster.topics}
    wanted: Settings = {
        ("broker", str(broker.id)): dict.fromkeys(RATES, str(bytes_per_s)) for broker in cluster.brokers
    }
    for name, partitions in replicas.items():
        wanted["topic", name] = _throttled_replicas(topics[name], partitions)
    present = _present(admin, cluster, [topics[name] for name in replicas])
    before: Settings = {at: {key: present.get(at, {}).get(key) for key in keys} for at, keys in wanted.items()}
    # What an interrupted command noted is older, so it is what was there before any throttle.
    note.write(cluster.cluster_id, before | note.read(cluster.cluster_id))
    if failed := admin.settings.alter(wanted):
        why = "\n".join(f"{kind} {name}: {reason}" for (kind, name), reason in failed.items())
        raise PartlyApplied("replication could not be throttled; nothing was moved", why=why)


def _throttled_replicas(topic: ObservedTopic, partitions: Mapping[int, Sequence[int]]) -> dict[str, str | None]:
    have = {p.number: [b for b in p.replicas if b not in p.adding] for p in topic.partitions}
    leaders = [f"{number}:{broker}" for number in sorted(partitions) for broker in have[number]]
    followers = [
        f"{number}:{broker}"
        for number in sorted(partitions)
        for broker in partitions[number]
        if broker not in have[number]
    ]
    return {LEADERS: ",".join(leaders), FOLLOWERS: ",".join(followers)}


def _present(
    admin: Admin, cluster: ObservedCluster, topics: Sequence[ObservedTopic]
) -> dict[tuple[str, str], Mapping[str, str]]:
    brokers = admin.brokers.settings([broker.id for broker in cluster.brokers])
    present: dict[tuple[str, str], Mapping[str, str]] = {
        ("broker", str(broker)): set_beside_file(entries) for broker, entries in brokers.items()
    }
    return present | {("topic", topic.name): topic.config for topic in admin.topics.with_settings(topics)}


def _wait(admin: Admin, wanted: set[tuple[str, int]], replicas: Replicas, patience: Patience) -> None:
    brokers = {broker for numbers in replicas.values() for targets in numbers.values() for broker in targets}
    left: dict[tuple[str, int], int] = dict.fromkeys(wanted, 0)
    seen: tuple[object, ...] = ()
    asked_s = moved_s = time.monotonic()
    size = 0
    while True:
        patience.check()
        with suppress(Unavailable):  # the controller moves, or a broker is on its way: asked again until time is up
            left = {at: count for at, count in admin.partitions.moving().items() if at in wanted}
            if left and time.monotonic() - asked_s > _SIZES_EVERY_S:
                asked_s = time.monotonic()
                size = sum(sum(held.values()) for at, held in admin.partitions.sizes(brokers).items() if at in left)
        if not left:
            return
        patience.tell(Progress("partitions moved", len(wanted) - len(left), len(wanted)))
        if (now_seen := (sorted(left.items()), size)) != seen:
            seen, moved_s = now_seen, time.monotonic()
        if time.monotonic() - moved_s > patience.stalled_s:
            raise _stalled(left, len(wanted), patience.stalled_s)
        time.sleep(_PAUSE_S)


def _stalled(left: Mapping[tuple[str, int], int], total: int, stalled_s: float) -> NotReady:
    (topic, number), *_ = sorted(left)
    return NotReady(
        f"{len(left)} of {total} partitions have not arrived",
        why=f"nothing has moved for {stalled_s:.0f} s; the first is {topic}-{number}",
        hint="Kafka goes on by itself; `provision up` again waits for it",
    )
