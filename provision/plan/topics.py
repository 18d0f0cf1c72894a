"""The second wave: what must change inside Kafka. Pure.

In this order, each step for all topics together:

1. new topics, with an explicit placement;
2. settings, and then the records of topics that have a file of them;
3. reassignments: another replication factor, declared replicas, leaving brokers, rebalancing. A topic that gets more
   replicas gets its settings afterwards: `min.insync.replicas` of 2 with one replica would block its producers;
4. more partitions: after the reassignment, because Kafka adds none to a topic that is being reassigned, and with the
   new replication factor from the start;
5. deletions, only with `prune`.

Topics that the file does not name are left alone, but their replicas are moved off leaving brokers and take part in
rebalancing; so are Kafka's own topics.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from types import MappingProxyType

from provision.cluster.model import Role, Topic, TopicPolicy
from provision.common.counts import counted
from provision.common.values import replace
from provision.plan.actions import Action, Kind, Verb
from provision.plan.copying import Traffic, copies, total_bytes
from provision.plan.differences import Difference, same_setting
from provision.plan.filling import fillings, not_to_be_continued
from provision.plan.keeping import is_kept
from provision.plan.listing import listed
from provision.plan.observed import ObservedBroker, ObservedCluster, ObservedTopic, Unfilled
from provision.plan.placement import Placement
from provision.plan.reassignment import Wish, targets
from provision.plan.throttle import THROTTLED_REPLICAS
from provision.plan.topic_changes import THROTTLE, TOPIC, Growth, PlacedTopic, Reassignment, TopicSettings
from provision.spec.units import duration_text, size_text

# The assumed rate at which a broker sends and receives without a throttle: a guess for a small machine.
UNTHROTTLED_BYTES_PER_S = 50 * 1024**2
_SHRINK_HINT = "create a topic with fewer partitions, copy the records, delete the old one; or undo the change"
_GROW_HINT = "add `grow_compacted: true` to the topic if that is meant"


def plan_topics(  # noqa: PLR0913 what is known of the topics
    topics: Sequence[Topic],
    there: ObservedCluster,
    *,
    policy: TopicPolicy,
    leaving: Collection[int] = (),
    throttled: Collection[str] | None = None,
    deletable: bool = True,
    unfilled: Mapping[str, Unfilled] = MappingProxyType({}),
) -> tuple[Action, ...]:
    """Compare the desired topics with the observed ones.

    Args:
        topics: the desired ones.
        there: the cluster as observed; the desired topics with their settings.
        policy: what applies to all topics.
        leaving: ids of brokers that must be emptied.
        throttled: the topics of an interrupted reassignment that left its throttle behind; None if there is none.
            While they move they are waited for, because the throttle is removed afterwards.
        deletable: the brokers' `delete.topic.enable`.
        unfilled: existing topics whose filling was interrupted.

    Raises:
        InvalidEnvironment: a file of records is not valid.
    """
    pruned = list(_prune(topics, there, policy))
    doomed = {action.name for action in pruned}
    undeletable = [_undeletable(action) for action in pruned if not deletable]
    there = replace(there, topics=tuple(topic for topic in there.topics if topic.name not in doomed))
    staying = [broker for broker in there.brokers if broker.id not in leaving]
    existing = {topic.name: topic for topic in there.topics}
    pairs = [(topic, existing[topic.name]) for topic in topics if topic.name in existing]
    refusals = [r for topic, old in pairs for r in _refusals(topic, old)]
    refusals += _absent(there)
    refusals += _without_room(topics, there, staying, leaving)
    refusals += undeletable
    refusals += [r for topic, _ in pairs if topic.name in unfilled for r in not_to_be_continued(topic, unfilled)]
    if refusals:
        return tuple(refusals)
    moves = _moves(pairs, there, staying, leaving, policy, throttled or ())
    new = [topic for topic in topics if topic.name not in existing]
    is_more = bool(new) or any(topic.partitions > len(old.partitions) for topic, old in pairs)
    after = [_with_replicas(topic, moves.get(topic.name, {})) for topic in there.topics] if is_more else []
    placement = Placement(staying, after)
    grown = [action for topic, old in pairs for action in _grow(topic, old, placement)]
    created = [_create(topic, placement) for topic in new]
    gains = {topic.name for topic, old in pairs if topic.replication_factor > _replicas_now(old)}
    settings = [action for topic, old in pairs for action in _configure(topic, old)]
    reassigned = _reassign(topics, there, moves, leaving, policy)
    return (
        *created,
        *(action for action in settings if action.name not in gains),
        *fillings(topics, existing, unfilled),
        *reassigned,
        *(action for action in settings if action.name in gains),
        *grown,
        *pruned,
        *_restore(throttled),
    )


# -- what is refused --------------------------------------------------------------------------------------------------


def _refusals(topic: Topic, there: ObservedTopic) -> Iterator[Action]:
    before, after = len(there.partitions), topic.partitions
    if after < before:
        cause = f"partitions {before} → {after}: Kafka cannot take partitions away"
        yield Action(Verb.REFUSE, TOPIC, topic.name, cause, _SHRINK_HINT)
    policies = (there.config.get("cleanup.policy", ""), topic.config.get("cleanup.policy", ""))
    if after > before and any("compact" in policy for policy in policies) and not topic.grow_compacted:
        cause = f"partitions {before} → {after}: it is compacted, and keys would go to other partitions than before"
        yield Action(Verb.REFUSE, TOPIC, topic.name, cause, _GROW_HINT)


def _absent(there: ObservedCluster) -> Iterator[Action]:
    """Refuse to move replicas off a broker that is only down."""
    registered = {broker.id for broker in there.brokers}
    absent = {b for topic in there.topics for partition in topic.partitions for b in partition.target} - registered
    for broker in sorted(absent):
        cause = "it holds replicas and is not there"
        yield Action(Verb.REFUSE, Kind.NODE, Role.BROKER.node(broker), cause, "bring it back first")


def _without_room(
    topics: Sequence[Topic], there: ObservedCluster, staying: Sequence[ObservedBroker], leaving: Collection[int]
) -> Iterator[Action]:
    """Refuse topics with more replicas than there are brokers to hold them."""
    for topic in topics:
        wanted = max(map(len, topic.replicas)) if topic.replicas else topic.replication_factor
        if wanted > len(staying):
            cause = f"{wanted} replicas need as many; there {_are(len(staying))}"
            yield Action(Verb.REFUSE, TOPIC, topic.name, cause, "lower its replication_factor, or add brokers")
    names = ", ".join(Role.BROKER.node(broker) for broker in sorted(leaving))
    declared = {topic.name for topic in topics}
    for old in there.topics:
        held = _most_replicas(old)
        if leaving and old.name not in declared and not old.internal and held > len(staying):
            cause = f"it has {counted('replica', held)}, and without {names} there {_are(len(staying))}"
            hint = f"declare {old.name} in the file with a smaller replication_factor, or keep the brokers"
            yield Action(Verb.REFUSE, TOPIC, old.name, cause, hint)


def _most_replicas(topic: ObservedTopic) -> int:
    """The most replicas of any partition: they differ if a reassignment was interrupted."""
    return max((len(partition.target) for partition in topic.partitions), default=0)


def _undeletable(action: Action) -> Action:
    cause = "it is not in the file, and the brokers have delete.topic.enable=false"
    return replace(action, verb=Verb.REFUSE, cause=cause, detail="declare it, or take `prune` out")


def _are(brokers: int) -> str:
    return "is one broker" if brokers == 1 else f"are {brokers} brokers"


# -- what is done -----------------------------------------------------------------------------------------------------


def _create(topic: Topic, placement: Placement) -> Action:
    assignment = topic.replicas or placement.place(topic.partitions, topic.replication_factor)
    detail = f"{topic.partitions} × RF {topic.replication_factor}"
    if topic.config:
        detail += ", " + ", ".join(f"{key}={value}" for key, value in topic.config.items())
    return Action(Verb.CREATE, TOPIC, topic.name, "not there", detail, subject=PlacedTopic(topic, assignment))


def _configure(topic: Topic, there: ObservedTopic) -> Iterator[Action]:
    changes = tuple(
        Difference(key, there.config.get(key), topic.config.get(key))
        for key in sorted(topic.config.keys() | there.config.keys() - THROTTLED_REPLICAS)
        if not same_setting(there.config.get(key), topic.config.get(key))
    )
    if changes:
        values = {change.key: topic.config[change.key] for change in changes if change.after is not None}
        reset = tuple(change.key for change in changes if change.after is None)
        cause = f"config changed: {'; '.join(map(str, changes))}"
        yield Action(Verb.CONFIGURE, TOPIC, topic.name, cause, subject=TopicSettings(values, reset), changes=changes)


def _grow(topic: Topic, there: ObservedTopic, placement: Placement) -> Iterator[Action]:
    before, after = len(there.partitions), topic.partitions
    if after > before:
        placed = (
            topic.replicas[before:] if topic.replicas else placement.place(after - before, topic.replication_factor)
        )
        change = Difference("partitions", str(before), str(after))
        yield Action(Verb.GROW, TOPIC, topic.name, str(change), subject=Growth(after, placed), changes=(change,))


def _prune(topics: Sequence[Topic], there: ObservedCluster, policy: TopicPolicy) -> Iterator[Action]:
    declared = {topic.name for topic in topics}
    for topic in there.topics if policy.prune else ():
        internal = topic.internal or topic.name.startswith("__")
        if topic.name not in declared and not internal and not is_kept(f"{TOPIC} {topic.name}", policy.keep):
            detail = f"{len(topic.partitions)} × RF {topic.replication_factor}, with all its records"
            yield Action(Verb.DELETE, TOPIC, topic.name, "not in the file (prune: true)", detail)


def _restore(throttled: Collection[str] | None) -> Iterator[Action]:
    if throttled is not None:
        cause = "an interrupted reassignment left it behind"
        yield Action(Verb.RESTORE, THROTTLE, "of replication", cause)


# -- reassignments ----------------------------------------------------------------------------------------------------

Moves = Mapping[str, Mapping[int, tuple[int, ...]]]


def _moves(
    pairs: Sequence[tuple[Topic, ObservedTopic]],
    there: ObservedCluster,
    staying: Sequence[ObservedBroker],
    leaving: Collection[int],
    policy: TopicPolicy,
    throttled: Collection[str],
) -> Moves:
    """The target replicas of partitions that change, and of those still moving there."""
    wishes = {
        topic.name: Wish(len(staying))
        for topic in there.topics
        if leaving and topic.internal and _most_replicas(topic) > len(staying)
    }
    wishes |= {topic.name: Wish(topic.replication_factor, topic.replicas) for topic, _ in pairs}
    moves = targets(there.topics, staying, wishes, rebalance=policy.rebalance)
    # Ongoing moves are waited for only if they are ours: others may be moving topics that the file does not name.
    ours = {topic.name for topic, _ in pairs} | set(throttled)
    under_way = {
        topic.name: {p.number: p.target for p in topic.partitions if p.moves}
        for topic in there.topics
        if topic.name in ours or policy.rebalance or any(set(leaving) & set(p.replicas) for p in topic.partitions)
    }
    names = sorted(name for name in moves.keys() | under_way.keys() if moves.get(name) or under_way.get(name))
    return {name: {**under_way.get(name, {}), **moves.get(name, {})} for name in names}


def _replicas_now(topic: ObservedTopic) -> int:
    """The number of replicas that every partition has already, whatever an ongoing reassignment adds."""
    return min((len(p.replicas) - len(p.adding) for p in topic.partitions), default=0)


def _with_replicas(topic: ObservedTopic, replicas: Mapping[int, tuple[int, ...]]) -> ObservedTopic:
    """The topic with its new replicas."""
    partitions = tuple(
        replace(p, replicas=replicas.get(p.number, p.target), adding=(), removing=()) for p in topic.partitions
    )
    return replace(topic, partitions=partitions)


def _reassign(
    topics: Sequence[Topic],
    there: ObservedCluster,
    moves: Moves,
    leaving: Collection[int],
    policy: TopicPolicy,
) -> Iterator[Action]:
    declared = {topic.name: topic for topic in topics}
    copied = {old.name: copies(old, moves[old.name]) for old in there.topics if old.name in moves}
    rate = policy.throttle_bytes_per_s or UNTHROTTLED_BYTES_PER_S
    traffic = Traffic(chain.from_iterable(copied.values()), rate)
    for old in there.topics:
        if not (replicas := moves.get(old.name)):
            continue
        size = total_bytes(copied[old.name])
        estimate_s = round(traffic.longest_s(copied[old.name]), 1)
        cost = f"{size_text(size)} to move, about {duration_text(estimate_s)}" if size else "nothing to copy"
        yield Action(
            Verb.REASSIGN,
            TOPIC,
            old.name,
            _cause(declared.get(old.name), old, replicas, leaving, policy),
            f"{len(replicas)} of {counted('partition', len(old.partitions))}, {cost}",
            subject=Reassignment(replicas, size),
            estimate_s=estimate_s,
        )


def _cause(
    topic: Topic | None,
    old: ObservedTopic,
    replicas: Mapping[int, tuple[int, ...]],
    leaving: Collection[int],
    policy: TopicPolicy,
) -> str:
    causes = []
    moving = [p for p in old.partitions if p.number in replicas]
    counts = sorted({(len(p.target), len(replicas[p.number])) for p in moving})
    if changes := ", ".join(f"{before} → {after}" for before, after in counts if before != after):
        causes.append(f"replication factor {changes}")
    if leavers := sorted({broker for p in moving for broker in p.target if broker in leaving}):
        names = [Role.BROKER.node(broker) for broker in leavers]
        causes.append(f"{' and '.join(names) if len(names) <= 2 else listed(names)} to be emptied")  # noqa: PLR2004 both
    if all(p.moves and p.target == replicas[p.number] for p in moving):
        causes = ["an earlier reassignment is still under way"]
    if not causes and topic and topic.replicas:
        causes.append("replicas as the file names them")
    if not causes and policy.rebalance:
        causes.append("evened out (rebalance: true)")
    return "; ".join(causes) or "an earlier reassignment is still under way"
