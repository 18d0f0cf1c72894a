"""Plan and apply the resources inside Kafka, kind by kind, and the removal of nodes that depends on them.

Resources can only be planned against brokers that answer. So `up` plans them at the start, to show the plan, and again
once the nodes are running, to apply it. A round observes, plans and applies; another follows if it could not see all.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from msgspec import Struct

from provision.apply.leaving import StillHolds
from provision.apply.nodes import NodeWork
from provision.apply.walk import apply_nodes, require_no_refusal
from provision.cluster.model import Cluster, Role
from provision.common.values import replace
from provision.errors import KafkaRefused, NotReady, PartlyApplied, ProvisionError, Unavailable
from provision.events import Ending, Notice, Planned, action
from provision.home.place import Home
from provision.kafka.levels import Level
from provision.observe.exits import check_beside, told_by_exits
from provision.observe.inside import agreed
from provision.observe.reach import access_to, known_listeners
from provision.observe.waiting import Wait
from provision.plan.actions import Action, Kind, Plan, Verb
from provision.plan.observed import NodeState, ObservedBroker, ObservedCluster, ObservedEnvironment
from provision.plan.refusals import leaving
from provision.plan.removal import plan_removals
from provision.resources.kind import Outcome, Target, Work
from provision.resources.registry import KINDS, RESOURCE_KINDS, Resources, performer_of

# Once, and once more if a broker learned of resources only afterwards.
ROUNDS = 3
_TOLD_BY_NAME = 20
_EXISTED = "existed already"
REST_IS_DONE = "the rest is done"
"""The end of the hint of what is partly applied."""

Agree = Callable[[Plan], None]
Key = tuple[str, str]
"""A resource as (kind, name)."""


def accept_all(_plan: Plan) -> None:
    """Accept every plan: for callers that have decided beforehand."""


class Inside(Struct, frozen=True):
    """What the brokers of a cluster report when all of them answer.

    `cluster` has the brokers, including those that will join, without topics; `observed` has what exists of each kind,
    by the kind's name.
    """

    cluster: ObservedCluster
    observed: Mapping[str, Any]


class Known(Struct, frozen=True):
    """A plan that was shown, and the observation it was made from; that is None if it may not hold any more."""

    plan: Plan
    observed: ObservedEnvironment
    inside: Inside | None = None


def fingerprint(desired: Resources, inside: Inside | None) -> dict[str, object]:
    """The desired and observed resources by kind, as plain data, without what changes by itself."""
    observed = inside.observed if inside else {}
    return {
        kind.name: kind.fingerprint(desired[kind.name], observed.get(kind.name))
        for kind in KINDS
        if kind.name in desired
    }


# -- plan -------------------------------------------------------------------------------------------------------------


def plan_for_new(desired: Resources, brokers: Sequence[ObservedBroker], target: Target) -> tuple[Action, ...]:
    """The actions for a new cluster, once its brokers answer for the first time."""
    nothing = {kind.name: kind.empty_state() for kind in KINDS if kind.name in desired}
    return _plan(desired, Inside(ObservedCluster("", -1, tuple(brokers), ()), nothing), target)


def plan_against(desired: Resources, target: Target) -> tuple[tuple[Action, ...], Inside]:
    """Observe a cluster and compare; if anything is refused, only the refusals are returned.

    Raises:
        Unavailable: not all of its brokers answer, or they do not agree yet.
    """
    from provision.kafka.admin import connected

    # The admin client would keep retrying brokers that do not answer.
    cluster = agreed(target.access, topics=False)
    if cluster is None:
        what = f"the brokers of {target.name} do not all answer, or do not know each other yet"
        raise Unavailable(what, hint=f"`provision status {target.name}` shows what is missing")
    with connected(target.access) as admin:
        wanted = [kind for kind in KINDS if kind.name in desired]
        observed = {kind.name: kind.observe(admin, target, desired[kind.name]) for kind in wanted}
        inside = Inside(replace(cluster, brokers=_brokers(cluster, target)), observed)
        actions = _plan(desired, inside, target)
        costed = {kind.name: kind.with_costs(observed[kind.name], actions, admin) for kind in wanted}
    if any(costed[name] is not observed[name] for name in costed):
        inside = replace(inside, observed=costed)
        actions = _plan(desired, inside, target)
    return actions, inside


def left_alone(desired: Resources, inside: Inside | None) -> Iterator[str]:
    """A sentence for each kind that says what the cluster has beyond the file, and keeps."""
    for kind in KINDS:
        if (
            inside
            and kind.name in inside.observed
            and (text := kind.left_alone(desired[kind.name], inside.observed[kind.name]))
        ):
            yield text


def _brokers(cluster: ObservedCluster, target: Target) -> tuple[ObservedBroker, ...]:
    known = {broker.id for broker in cluster.brokers}
    return (*cluster.brokers, *(broker for broker in target.joining if broker.id not in known))


def _plan(desired: Resources, inside: Inside, target: Target) -> tuple[Action, ...]:
    actions = tuple(
        action
        for kind in KINDS
        if kind.name in inside.observed
        for action in kind.plan(desired[kind.name], inside.observed[kind.name], inside.cluster, target)
    )
    return tuple(one for one in actions if one.verb is Verb.REFUSE) or actions


def plan_resources(
    cluster: Cluster, desired: Resources, observed: ObservedEnvironment, home: Home
) -> tuple[tuple[Action, ...], Inside | None]:
    """The actions inside Kafka and the removals that follow, with what was observed if all brokers answer.

    Before any broker exists, the plan assumes an empty cluster; brokers to be added count as present. While existing
    brokers are down nothing can be planned: `up` plans again when they are back.
    """
    target = target_of(cluster, observed, home)
    if not observed.of_role(Role.BROKER):
        return plan_for_new(desired, target.joining, target), None
    if any(node.state is not NodeState.RUNNING for node in observed.nodes):
        return (), None
    try:
        actions, inside = plan_against(desired, target)
    except Unavailable:  # they are just starting, or have lost their ensemble: the waits report that
        return (), None
    if any(one.verb is Verb.REFUSE for one in actions):
        return actions, inside
    return (*actions, *plan_removals(cluster, observed)), inside


def in_order(nodes: Sequence[Action], resources: Sequence[Action], observed: ObservedEnvironment) -> tuple[Action, ...]:
    """The actions on nodes and resources: nodes first, but for what whoever is let in now would miss meanwhile.

    So a user who changes from PLAIN, of which the nodes' files are about, to SCRAM always gets in by one of them. The
    brokers that run have to let users with SCRAM in: by that it is seen whether they know one.
    """
    first: tuple[Action, ...] = ()
    if nodes and any(profile.scram for profile in known_listeners(observed).values()):
        first = tuple(one for kind in KINDS for one in resources if one.kind == kind.name and one.verb in kind.ahead)
    return (*first, *nodes, *(one for one in resources if one not in first))


def target_of(cluster: Cluster, observed: ObservedEnvironment, home: Home) -> Target:
    """The cluster of an environment as it will be when its nodes match the file."""
    return Target(
        name=cluster.name,
        access=access_to(observed),
        throttle=home.throttle(cluster.name),
        seeds=home.seeds(cluster.name),
        throttle_bytes_per_s=cluster.topic_policy.throttle_bytes_per_s,
        leaving=frozenset(node.number for node in leaving(cluster, observed)),
        joining=tuple(ObservedBroker(node.id, node.rack) for node in cluster.brokers),
        broker_properties=cluster.brokers[0].properties,
    )


# -- apply ------------------------------------------------------------------------------------------------------------


def apply_resources(actions: Sequence[Action], inside: Inside, work: Work, *, earlier: bool) -> frozenset[Key]:
    """Perform actions in order, those with the same verb together; returns those to create that already existed.

    `earlier` is whether the same command has changed anything before.

    Raises:
        KafkaRefused: Kafka refused all of them, each with its reason, and nothing was changed before.
        PartlyApplied: Kafka refused some, each with its reason. Everything that does not depend on them is done.
    """
    existed: set[Key] = set()
    failed: dict[Key, str] = {}
    hints = ["correct them in the file and apply it again"]
    if not actions:
        return frozenset()
    from provision.kafka.admin import connected

    try:
        with told_by_exits(work.check), connected(work.target.access) as admin:
            for (kind, verb), group in groupby(actions, key=lambda one: (performer_of(one.kind), one.verb)):
                if kind is None:
                    raise AssertionError(f"no kind performs {verb} here")
                if batch := [one for one in group if _key(one) not in failed]:
                    with action(work.tell, verb, *_told(batch, kind.section)) as ending:
                        outcome = kind.perform(admin, verb, batch, inside.observed[kind.name], work)
                        _end(ending, batch, kind.section, outcome)
                    hints += filter(None, [outcome.hint])
                    failed |= {_key(one): outcome.failed[one.name] for one in batch if one.name in outcome.failed}
                    existed |= {_key(one) for one in batch if one.name in outcome.existed}
                    earlier |= any(one.name not in {*outcome.failed, *outcome.existed} for one in batch)
    except ProvisionError as error:  # earlier failures must be reported too
        error.add(*_reasons(failed))
        raise
    if failed:
        check_beside(work.check, _reasons(failed))
        what, why = _failed_of(failed, {_key(one) for one in actions}), "\n".join(_reasons(failed))
        if earlier:
            raise PartlyApplied(f"{what} could not be applied", why=why, hint="; ".join([*hints, REST_IS_DONE]))
        raise KafkaRefused(f"{what} could not be applied", why=why, hint="; ".join(hints))
    return frozenset(existed)


def _end(ending: Ending, batch: Sequence[Action], plural: str, outcome: Outcome) -> None:
    """Tell how each resource ended, or all of them as they were announced."""
    failed = {one.resource: outcome.failed[one.name] for one in batch if one.name in outcome.failed}
    existed = [one.resource for one in batch if one.name in outcome.existed and one.resource not in failed]
    told = _told(batch, plural)
    if len(told) == len(batch):
        ending.failed = {
            resource: KafkaRefused(f"{resource} could not be applied", why=why) for resource, why in failed.items()
        }
        ending.skipped = dict.fromkeys(existed, _EXISTED)
    elif failed:
        why = "\n".join(f"{resource}: {reason}" for resource, reason in failed.items())
        what = f"{len(failed)} of them could not be applied"
        ending.failed = dict.fromkeys(told, KafkaRefused(what, why=why))
    elif len(existed) == len(batch):
        ending.skipped = dict.fromkeys(told, _EXISTED)


def _key(one: Action) -> Key:
    return one.kind, one.name


def _reasons(failed: Mapping[Key, str]) -> list[str]:
    return [f"{kind} {name}: {reason}" for (kind, name), reason in sorted(failed.items())]


def _told(actions: Sequence[Action], plural: str) -> list[str]:
    """The resources as reported: by name, or as a count if there are too many to list."""
    if len(actions) > _TOLD_BY_NAME:
        return [f"{len(actions)} {plural}"]
    return [one.resource for one in actions]


def _failed_of(failed: Collection[Key], keys: Collection[Key]) -> str:
    """`1 of 2 topics`, or `2 of 3 resources` for several kinds; a single one by its name."""
    if len(keys) == 1:
        return " ".join(*keys)
    sections = {kind.section for kind in KINDS for name, _ in keys if name in kind.performs}
    return f"{len(failed)} of {len(keys)} {sections.pop() if len(sections) == 1 else 'resources'}"


def again(desired: Resources, actions: Sequence[Action], existed: frozenset[Key]) -> bool:
    """Whether another round may be needed."""
    return bool(existed) or any(kind.again(desired[kind.name], actions) for kind in KINDS if kind.name in desired)


def new_actions(actions: Sequence[Action], existed: frozenset[Key]) -> Iterator[Action]:
    """The actions without those whose resource already existed."""
    return (one for one in actions if _key(one) not in existed)


def converge(known: Known, desired: Resources, work: NodeWork, wait: Wait, home: Home, agree: Agree) -> bool:
    """Plan the resources again, now that every broker answers, and apply them; returns whether anything was done.

    What is `known` to hold still is not asked for again at first. Anything that its plan did not show needs agreement
    first. A broker that has just come back may not have known all
    topics, and rebalancing includes new topics: hence the rounds.

    Raises:
        NotReady: the brokers do not report what exists.
    """
    cluster, runtime = work.cluster, work.runtime
    changed = False
    seen = {one.key for one in known.plan.actions}
    for rounds_left in reversed(range(ROUNDS)):
        observed, actions, inside = known.observed, known.plan.actions, known.inside
        if inside is None or rounds_left < ROUNDS - 1:
            observed = runtime.observe(cluster.name)
            actions, inside = plan_resources(cluster, desired, observed, home)
        if inside is None:
            wait.until_agreed()
            continue
        plan = Plan(cluster.name, actions)
        require_no_refusal(plan)
        unseen = Plan(cluster.name, tuple(one for one in actions if one.key not in seen))
        if unseen.actions:
            work.tell(Planned(unseen.as_dict()))
            agree(unseen)
        resource_work = Work(target_of(cluster, observed, home), work.patience, wait.check_exits, work.tell)
        resources, earlier = plan.of_kinds(RESOURCE_KINDS), changed or bool(known.plan.first_wave)
        existed = apply_resources(resources, inside, resource_work, earlier=earlier)
        done = list(new_actions(actions, existed))
        changed |= bool(done)
        seen |= {one.key for one in done}
        if not _remove(plan, work, wait, last=not rounds_left):
            wait.until(Level.BROKERS, None)
            continue
        if not again(desired, actions, existed):
            return changed
        wait.until(Level.TOPICS, cluster.topic_names)
    if inside is None:
        hint = "run `provision up` again to continue"
        raise NotReady(f"the brokers of {cluster.name} do not report their state", hint=hint)
    return changed


def _remove(plan: Plan, work: NodeWork, wait: Wait, *, last: bool) -> bool:
    """Remove the brokers that leave; False if another round has to empty one that something has come to since.

    Raises:
        StillHolds: that was the last round.
    """
    cluster = work.cluster
    wait.nodes = [node.name for node in cluster.nodes]
    try:
        apply_nodes(plan.of_kinds((Kind.NODE, Kind.STORAGE)), work.anew())
    except StillHolds as error:
        if last:
            raise
        work.tell(Notice(f"{error}: {error.why}, which moves first"))
        leavers = leaving(cluster, work.runtime.observe(cluster.name))
        wait.nodes = [*wait.nodes, *(node.name for node in leavers)]
        return False
    return True
