"""What lives inside Kafka, planned and made as the file says, kind by kind; and the nodes that can go when it is.

It can be planned only against brokers that answer. So `up` plans it when it begins, to show it, and again when the
nodes are there, to do it. A round looks, plans and does; there is another one where the first could not see all.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from provision.apply.nodes import NodeWork
from provision.apply.walk import apply_nodes, require_no_refusal
from provision.cluster.model import Cluster, Role
from provision.errors import KafkaRefused, NotReady, PartlyApplied, ProvisionError, Unavailable
from provision.events import Planned, action
from provision.home.throttles import ThrottleNote
from provision.kafka.levels import Level
from provision.observe.inside import agreed
from provision.observe.reach import access_to
from provision.observe.waiting import Wait
from provision.plan.actions import Action, Kind, Plan, Verb
from provision.plan.observed import NodeState, ObservedBroker, ObservedCluster, ObservedEnvironment
from provision.plan.refusals import leaving
from provision.plan.removal import plan_removals
from provision.resources.kind import Target, Work
from provision.resources.registry import KINDS, RESOURCE_KINDS, Resources, performer_of

# Once, and again when a broker knew of resources only afterwards.
ROUNDS = 3
_TOLD_BY_NAME = 20

Agree = Callable[[Plan], None]
Key = tuple[str, str]
"""A resource by its kind and its name."""


def agree_to_all(_plan: Plan) -> None:
    """Whoever calls without a terminal has decided before."""


@dataclass(frozen=True, slots=True)
class Inside:
    """What the brokers of a cluster say, all of which answer.

    `cluster` has the brokers, those that will join included, without topics; `observed` what there is of each kind, by
    the kind's name.
    """

    cluster: ObservedCluster
    observed: Mapping[str, Any]


def fingerprint(desired: Resources, inside: Inside | None) -> dict[str, object]:
    """By kind what must be and what there is, as plain data, without what changes by itself."""
    observed = inside.observed if inside else {}
    return {
        kind.name: kind.fingerprint(desired[kind.name], observed.get(kind.name))
        for kind in KINDS
        if kind.name in desired
    }


# -- plan -------------------------------------------------------------------------------------------------------------


def plan_for_new(desired: Resources, brokers: Sequence[ObservedBroker], target: Target) -> tuple[Action, ...]:
    """What is to be done once the brokers of a new cluster answer for the first time."""
    nothing = {kind.name: kind.of_new() for kind in KINDS if kind.name in desired}
    return _plan(desired, Inside(ObservedCluster("", -1, tuple(brokers), ()), nothing), target)


def plan_against(desired: Resources, target: Target) -> tuple[tuple[Action, ...], Inside]:
    """Look at a cluster and compare; refusals come alone.

    Raises:
        Unavailable: not all of its brokers answer, or they do not agree yet.
    """
    from provision.kafka.admin import connected

    # The client for changes would be patient with brokers that do not answer.
    cluster = agreed(target.access, topics=False)
    if cluster is None:
        raise Unavailable(f"not every broker of {target.name} answers", hint="`provision status` shows what is missing")
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
    cluster: Cluster, desired: Resources, observed: ObservedEnvironment, throttle: ThrottleNote
) -> tuple[tuple[Action, ...], Inside | None]:
    """What is to be done inside Kafka and the removals after it, and what was found there, where all brokers answer.

    Before there are brokers it is planned against an empty cluster, and new brokers are taken to be there. While others
    are down nothing can be said: `up` plans again when they are back.
    """
    target = target_of(cluster, observed, throttle)
    if not observed.of_role(Role.BROKER):
        return plan_for_new(desired, target.joining, target), None
    if any(node.state is not NodeState.RUNNING for node in observed.nodes):
        return (), None
    try:
        actions, inside = plan_against(desired, target)
    except Unavailable:  # they have just come, or lost their ensemble: that is for the waits to tell
        return (), None
    if any(one.verb is Verb.REFUSE for one in actions):
        return actions, inside
    return (*actions, *plan_removals(cluster, observed)), inside


def target_of(cluster: Cluster, observed: ObservedEnvironment, throttle: ThrottleNote) -> Target:
    """The cluster of an environment as it will be when its nodes are as the file says."""
    return Target(
        name=cluster.name,
        access=access_to(observed),
        throttle=throttle,
        throttle_bytes_per_s=cluster.topic_policy.throttle_bytes_per_s,
        leaving=frozenset(node.number for node in leaving(cluster, observed)),
        joining=tuple(ObservedBroker(node.id, node.rack) for node in cluster.brokers),
        broker_properties=cluster.brokers[0].properties,
    )


# -- do ---------------------------------------------------------------------------------------------------------------


def apply_resources(actions: Sequence[Action], inside: Inside, work: Work) -> frozenset[Key]:
    """Do actions in their order, equal ones together; returns what was to be created and existed after all.

    Raises:
        PartlyApplied: Kafka refused some; each with its reason. All that did not depend on them is done.
    """
    existed: set[Key] = set()
    failed: dict[Key, str] = {}
    if not actions:
        return frozenset()
    from provision.kafka.admin import connected

    with connected(work.target.access) as admin:
        for (kind, verb), group in groupby(actions, key=lambda one: (performer_of(one.kind), one.verb)):
            if kind is None:
                raise AssertionError(f"no kind performs {verb} here")
            batch = [one for one in group if _key(one) not in failed]
            told = _told(batch, kind.section)
            try:
                with action(work.tell, verb, *told) as ending:
                    outcome = kind.perform(admin, verb, batch, inside.observed[kind.name], work)
                    ended = [one for one in batch if one.name not in outcome.failed and one.name not in outcome.existed]
                    ending.failed = {
                        one.resource: KafkaRefused(f"{one.resource} could not be made as planned", why=reason)
                        for one in batch
                        if (reason := outcome.failed.get(one.name))
                    }
                    ending.done = _told(ended, kind.section)
            except ProvisionError as error:  # what failed before must be told too
                error.add(*_reasons(failed))
                raise
            failed |= {_key(one): outcome.failed[one.name] for one in batch if one.name in outcome.failed}
            existed |= {_key(one) for one in batch if one.name in outcome.existed}
    if failed:
        raise PartlyApplied(
            f"{_count(failed)} of {_count(map(_key, actions))} could not be made as the file says",
            why="\n".join(_reasons(failed)),
            hint="correct them in the file and run `provision up` again; the rest is done",
        )
    return frozenset(existed)


def _key(one: Action) -> Key:
    return one.kind, one.name


def _reasons(failed: Mapping[Key, str]) -> list[str]:
    return [f"{kind} {name}: {reason}" for (kind, name), reason in sorted(failed.items())]


def _told(actions: Sequence[Action], plural: str) -> list[str]:
    """What is told: each by name, or how many where nobody would read the names."""
    if len(actions) > _TOLD_BY_NAME:
        return [f"{len(actions)} {plural}"]
    return [one.resource for one in actions]


def _count(keys: Any) -> str:  # noqa: ANN401 any keys
    """`2 topics`; of several kinds `2 topics and 1 quotas` would read badly: `3 resources`."""
    distinct = set(keys)
    sections = {kind.section for kind in KINDS for name, _ in distinct if name in kind.performs}
    return f"{len(distinct)} {sections.pop() if len(sections) == 1 else 'resources'}"


def again(desired: Resources, actions: Sequence[Action], existed: frozenset[Key]) -> bool:
    """Whether another round may find more to do."""
    return bool(existed) or any(kind.again(desired[kind.name], actions) for kind in KINDS if kind.name in desired)


def new_actions(actions: Sequence[Action], existed: frozenset[Key]) -> Iterator[Action]:
    """Those that were done: not what existed after all."""
    return (one for one in actions if _key(one) not in existed)


def converge(
    planned: Plan, desired: Resources, work: NodeWork, wait: Wait, throttle: ThrottleNote, agree: Agree
) -> bool:
    """Plan again what lives inside Kafka, now that every broker answers, and do it; whether anything was done.

    What `planned` did not show is agreed to first. A broker that has just come back may not have known all topics, and
    an even spread takes in topics that are new: hence the rounds.

    Raises:
        NotReady: the brokers do not say what there is.
    """
    cluster, runtime = work.cluster, work.runtime
    changed = False
    seen = {one.key for one in planned.actions}
    for _ in range(ROUNDS):
        observed = runtime.observe(cluster.name)
        actions, inside = plan_resources(cluster, desired, observed, throttle)
        if inside is None:
            wait.until_agreed()
            continue
        plan = Plan(cluster.name, actions)
        require_no_refusal(plan)
        unseen = Plan(cluster.name, tuple(one for one in actions if one.key not in seen))
        if unseen.actions:
            work.tell(Planned(unseen.as_dict()))
            agree(unseen)
        resource_work = Work(target_of(cluster, observed, throttle), work.patience, wait.check_exits, work.tell)
        existed = apply_resources(plan.of_kinds(RESOURCE_KINDS), inside, resource_work)
        wait.nodes = [node.name for node in cluster.nodes]
        apply_nodes(plan.of_kinds((Kind.NODE, Kind.STORAGE)), work)
        done = list(new_actions(actions, existed))
        changed |= bool(done)
        seen |= {one.key for one in done}
        if not again(desired, actions, existed):
            return changed
        wait.until(Level.TOPICS, cluster.topics)
    if inside is None:
        hint = "run `provision up` again to continue"
        raise NotReady(f"the brokers of {cluster.name} do not say what there is", hint=hint)
    return changed
