"""The engines of a runtime that has several, and the nodes that leave theirs. Pure.

A node leaves its engine in one of two ways, in both with an empty storage elsewhere, which Kafka fills again:

- It is *lost* with an engine that is given up, or that the file drains and that does not run it any more. Others have
  all that it had, or it is refused: no partition may have its only in-sync replica there, and of the voters of a KRaft
  quorum, a majority must have caught up without those that are lost.
- It *moves* off an engine that the file drains, while it runs: like a rolling restart, one after the other.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct, field

from provision.cluster.model import Role
from provision.common.counts import counted

if TYPE_CHECKING:
    from provision.plan.observed import ObservedCluster, ObservedEnvironment


_SHOWN = 3


class ObservedEngine(Struct, frozen=True):
    """An engine, by the name that its users know. `is_ready` is whether it answers, `trouble` why it runs no nodes."""

    name: str
    is_ready: bool
    trouble: str = ""


class Place(Struct, frozen=True):
    """Where a node's data are: a volume of an engine. It is `given_up` from when that has begun until it is done."""

    engine: str
    volume: str
    given_up: bool = False


class Departures(Struct, frozen=True):
    """The nodes that leave their engines, each with the cause: those that are lost, and those that move.

    `given_up` is whether an engine of the lost ones is gone for good, which has to be noted before anything is done.
    """

    lost: Mapping[str, str] = field(default_factory=dict)
    moving: Mapping[str, str] = field(default_factory=dict)
    given_up: bool = False

    @property
    def names(self) -> frozenset[str]:
        """All of them."""
        return frozenset({*self.lost, *self.moving})


class Survivors(Struct, frozen=True):
    """What those that answer tell: the cluster, None if no broker does, and the voters that have caught up.

    `caught_up` is None if nobody can tell.
    """

    cluster: "ObservedCluster | None" = None
    caught_up: frozenset[int] | None = None


NOBODY = Survivors()


def departures(observed: "ObservedEnvironment", give_up: Collection[str], drained: Collection[str]) -> Departures:
    """The nodes that leave their engines.

    Args:
        observed: what is there.
        give_up: the names of engines that are gone for good. Where that of one node has been noted, it is that of all.
        drained: those that the file wants to be without nodes.
    """
    gone = {*give_up, *(place.engine for place in observed.places.values() if place.given_up)}
    ready = {engine.name for engine in observed.engines if engine.is_ready}
    lost, moving, is_gone = {}, {}, False
    for name, place in sorted(observed.places.items(), key=_in_order):
        node = observed.node(name)
        if place.engine in gone:
            lost[name], is_gone = f"engine {place.engine} is given up: volume {place.volume} is lost", True
        elif place.engine not in drained or place.engine not in ready:
            continue
        elif node is None or node.waits_for:
            lost[name] = f"engine {place.engine} is drained and runs nothing: volume {place.volume} is given up"
        else:
            moving[name] = f"engine {place.engine} is drained"
    return Departures(lost, moving, is_gone)


def _in_order(item: tuple[str, Place]) -> tuple[int, int]:
    role, number = Role.parse(item[0])
    return list(Role).index(role), number


def objections(
    names: Collection[str], voters: Collection[int], survivors: Survivors, *, run: bool = False
) -> Iterator[tuple[str, str]]:
    """Why what nodes have must not be given up now, each with the node; none if others have all of it.

    Args:
        names: the nodes, all at once.
        voters: the ids of all voters of the KRaft quorum.
        survivors: what the others tell.
        run: whether the nodes run and are still to be stopped.
    """
    going = {Role.parse(name)[1] for name in names if Role.parse(name)[0] is Role.BROKER}
    for name in names:
        role, number = Role.parse(name)
        if role is Role.BROKER and (reason := _only_copy(number, going, survivors, run=run)):
            yield name, reason
    voting = {role.id_of(number): name for name in names for role, number in [Role.parse(name)]}
    voting = {identity: name for identity, name in voting.items() if identity in voters}
    if voting and (reason := _no_majority(frozenset(voting), voters, survivors, run=run)):
        yield from ((name, reason) for name in voting.values())


def _only_copy(broker: int, going: Collection[int], survivors: Survivors, *, run: bool) -> str:
    cluster = survivors.cluster
    if cluster is None:
        return "no broker answers that could tell whether others have what it had"
    partitions = [(f"{t.name}-{p.number}", p) for t in cluster.topics for p in t.partitions if broker in p.settled]
    alone = [at for at, p in partitions if not set(p.settled if run else p.in_sync) - set(going)]
    if alone:
        what = "replica" if run else "in-sync replica"
        return f"it has the only {what} of {_few(alone)}"
    if run:
        return ""
    if broker in {known.id for known in cluster.brokers}:
        return "the other brokers still count it among the living"
    in_sync = [at for at, p in partitions if broker in p.in_sync]
    return f"it still counts as in sync for {_few(in_sync)}" if in_sync else ""


def _no_majority(lost: frozenset[int], voters: Collection[int], survivors: Survivors, *, run: bool) -> str:
    """Why the quorum cannot do without the data of some voters: what it has agreed on may be known to no others."""
    needed, of = len(voters) // 2 + 1, len(voters)
    if len(voters) - len(lost) < needed:
        return f"{len(lost)} of {of} controllers are there: the others are no majority, and may lack what was agreed on"
    caught_up = survivors.caught_up
    if caught_up is None:
        return "nobody tells whether a majority of the controllers has caught up"
    if (others := len(caught_up - lost)) < needed:
        return f"only {others} of the other controllers have caught up, and {needed} of {of} are needed"
    if not run and lost & caught_up:
        return "the active controller has heard of it a moment ago"
    return ""


def _few(partitions: list[str]) -> str:
    more = f" and {counted('more partition', len(partitions) - _SHOWN)}" if partitions[_SHOWN:] else ""
    return f"{', '.join(partitions[:_SHOWN])}{more}"
