"""What lives inside Kafka, planned and made as the file says; and the nodes that can go when it is.

It can be planned only against brokers that answer. So `up` plans it when it begins, to show it, and again when the
nodes are there, to do it.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from provision.apply import NodeWork, TopicWork, apply_nodes, apply_topics, require_no_refusal
from provision.cluster.model import Cluster, Role
from provision.errors import NotReady, Unavailable
from provision.home.throttles import ThrottleNote
from provision.kafka.levels import Level
from provision.observe import observe_kafka, with_sizes
from provision.plan.actions import Action, Kind, Plan, Verb
from provision.plan.observed import NodeState, ObservedBroker, ObservedCluster, ObservedEnvironment
from provision.plan.refusals import leaving
from provision.plan.removal import plan_removals
from provision.plan.topics import plan_topics, plan_topics_of_new
from provision.waiting import Wait

KAFKA_KINDS = (Kind.TOPIC, Kind.THROTTLE)
# Once, and again when a broker knew of topics only afterwards.
ROUNDS = 3

Agree = Callable[[Plan], None]


def agree_to_all(_plan: Plan) -> None:
    """Whoever calls without a terminal has decided before."""


def plan_second_wave(
    cluster: Cluster, observed: ObservedEnvironment
) -> tuple[tuple[Action, ...], ObservedCluster | None]:
    """The second wave and the last, and the cluster they are planned against, where all of its brokers answer.

    Before there are brokers it is planned against an empty cluster, and new brokers are taken to be there. While others
    are down nothing can be said: `up` plans again when they are back.
    """
    if not observed.of_role(Role.BROKER):
        return plan_topics_of_new(cluster), None
    if any(node.state is not NodeState.RUNNING for node in observed.nodes):
        return (), None
    try:
        there = observe_kafka(observed.broker_endpoints, cluster.topics)
    except Unavailable:  # they have just come, or lost their ensemble: that is for the waits to tell
        there = None
    if there is None:
        return (), None
    leavers = leaving(cluster, observed)
    known = {broker.id for broker in there.brokers}
    new = tuple(ObservedBroker(node.id, node.rack) for node in cluster.brokers if node.id not in known)
    said = cluster.brokers[0].properties.get("delete.topic.enable")  # as it will be when this wave's turn comes
    deletes = there.deletes_topics if said is None else said.lower() == "true"
    there = replace(there, brokers=(*there.brokers, *new), deletes_topics=deletes)

    plan = partial(
        plan_topics,
        cluster.topics,
        policy=cluster.topic_policy,
        leaving=[node.number for node in leavers],
        throttled=ThrottleNote(cluster.name).topics(there.cluster_id),
    )
    actions, there = with_costs(plan, there, observed.broker_endpoints)
    if any(action.verb is Verb.REFUSE for action in actions):
        return actions, there
    return (*actions, *plan_removals(cluster, observed)), there


def with_costs(
    plan: Callable[[ObservedCluster], tuple[Action, ...]], there: ObservedCluster, endpoints: Mapping[int, str]
) -> tuple[tuple[Action, ...], ObservedCluster]:
    """The plan, with what its reassignments would copy: that costs another question, asked only if there are any."""
    actions = plan(there)
    if not any(action.verb is Verb.REASSIGN for action in actions):
        return actions, there
    there = with_sizes(there, endpoints)
    return plan(there), there


def converge(planned: Plan, work: NodeWork, wait: Wait, agree: Agree) -> bool:
    """Plan the second wave and the last anew now that every broker answers, and do them; whether anything was done.

    What `planned` did not show is agreed to first. There is another round where the first could not see all: a broker
    that has just come back may not have known all topics, and an even spread takes in topics that are new.

    Raises:
        NotReady: the brokers do not say what there is.
    """
    cluster, runtime = work.cluster, work.runtime
    changed = False
    seen = {action.key for action in planned.actions}
    for _ in range(ROUNDS):
        observed = runtime.observe(cluster.name)
        actions, there = plan_second_wave(cluster, observed)
        if there is None:
            wait.until_agreed()
            continue
        plan = Plan(cluster.name, actions)
        require_no_refusal(plan)
        unseen = Plan(cluster.name, tuple(action for action in actions if action.key not in seen))
        if unseen.actions:
            agree(unseen)
        existing = apply_topics(plan.of_kinds(KAFKA_KINDS), _topic_work(work, wait, observed, there))
        wait.nodes = [node.name for node in cluster.nodes]
        apply_nodes(plan.of_kinds((Kind.NODE, Kind.STORAGE)), work, work.roller.cancelled)
        changed |= any(action.name not in existing for action in actions)
        seen |= {action.key for action in actions if action.name not in existing}
        wait.deadline = time.monotonic() + work.roller.timeout_s
        if not existing and not (cluster.topic_policy.rebalance and actions):
            return changed
        wait.until(Level.TOPICS, cluster.topics)
    if there is None:
        raise NotReady(f"the brokers of {cluster.name} do not say what there is", hint="`provision up` again goes on")
    return changed


def _topic_work(work: NodeWork, wait: Wait, observed: ObservedEnvironment, there: ObservedCluster) -> TopicWork:
    return TopicWork(
        bootstrap_servers=observed.bootstrap_servers,
        there=there,
        note=ThrottleNote(work.cluster.name),
        throttle_bytes_per_s=work.cluster.topic_policy.throttle_bytes_per_s,
        timeout_s=work.roller.timeout_s,
        check=wait.check_exits,
        tell=work.tell,
    )
