"""The resources of a running cluster: list, create and delete them, apply those of a file, or write such a file.

The cluster is an environment's, or any that answers at an address.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct

from provision.apply.walk import require_no_refusal
from provision.cluster.model import Role, Topic
from provision.common.patience import Patience, Pauses
from provision.common.values import replace
from provision.errors import InvalidEnvironment, KafkaRefused, NotReady, Refused, Unavailable, UsageError
from provision.events import Listener, Notice, Planned, action, silent
from provision.home.place import Home
from provision.kafka.access import Access
from provision.kafka.connection import NotAnswering
from provision.kafka.leaders import missing_for_topics
from provision.kafka.readiness import BrokerAnswers, ask_brokers, missing_for_brokers, no_topic
from provision.observe.exits import check_beside, told_by_exits
from provision.observe.inside import agreed
from provision.observe.waiting import Wait
from provision.operations.clients import access_for, require_brokers
from provision.operations.new_topic import NewTopic
from provision.operations.refusals import require_done
from provision.operations.status import with_nodes
from provision.plan.actions import Action, Plan, Verb
from provision.plan.observed import NodeState, ObservedCluster, ObservedEnvironment, ObservedTopic
from provision.plan.placement import Placement
from provision.plan.topic_changes import TOPIC, PlacedTopic
from provision.resources.kind import Target, Work
from provision.resources.registry import KINDS, Resources, desired_resources
from provision.resources.rounds import (
    ROUNDS,
    Agree,
    Inside,
    accept_all,
    again,
    apply_resources,
    new_actions,
    plan_against,
)
from provision.resources.topics import DesiredTopics, Topics
from provision.resources.users import Users
from provision.runtime.base import Runtime
from provision.spec.loader import load_values
from provision.spec.model import EnvironmentSpec

_ANSWER_S = 5.0
# How long it may take until every broker knows a topic created by hand.
_CREATED_S = 30.0
# How often to look for nodes that have exited, while topics are not ready yet.
_LOOK_S = 0.3
# Kafka's own topics. Not all of them does it call internal: not those that only tiered storage or the controllers use.
_OF_KAFKA = {
    "__consumer_offsets": "groups lose their offsets",
    "__transaction_state": "nobody knows which transactions are open",
    "__share_group_state": "share groups lose what they have acknowledged",
    "__remote_log_metadata": "nobody knows which records are in remote storage",
    "__cluster_metadata": "the controllers know nothing of the cluster",
}
_ADDRESS_HINT = "do they run, and is the address right?"


def _nothing() -> None:
    """Check nothing: of another's cluster only the brokers' answers are known."""


class KafkaCluster(Struct, frozen=True):
    """A reachable cluster: a name for it, and its addresses.

    `check` raises `NodeFailed` if a node has exited that ran; `external` is whether it is no environment's.
    """

    name: str
    access: Access
    check: Callable[[], None] = _nothing
    external: bool = False

    def observe(self) -> ObservedCluster:
        """The cluster as the brokers report it, without settings.

        Raises:
            Unavailable: none answers.
            NodeFailed: none answers, and a node has exited since it was looked at.
        """
        answers = ask_brokers(self.access, timeout_s=_ANSWER_S)
        if answers.best is None:
            self.check()
            raise _silent(self, answers)
        return answers.best

    def target(self, home: Home, throttle_bytes_per_s: int | None = None) -> Target:
        """The target for planning its resources."""
        throttle = home.external_throttle(self.name) if self.external else home.throttle(self.name)
        seeds = home.external_seeds(self.name) if self.external else home.seeds(self.name)
        return Target(self.name, self.access, throttle, seeds, throttle_bytes_per_s)


def cluster_of(runtime: Runtime, observed: ObservedEnvironment, user: str = "", listener: str = "") -> KafkaCluster:
    """The cluster of an environment, for provision itself, or for a user, over that listener.

    Raises:
        UsageError: it has only kept data, or there is no such user.
        Unavailable: no broker of it can be reached.
    """
    name, nodes = observed.name, with_nodes(observed).nodes
    running = [node.name for node in nodes if node.state is NodeState.RUNNING]  # without the others, all still works
    wait = Wait(runtime, name, running, Patience(0.0), silent, restarts=False)
    access = require_brokers(observed, access_for(observed, user, listener))
    return KafkaCluster(name, access, wait.check_exits)


def cluster_at(name: str, bootstrap_servers: str) -> KafkaCluster:
    """The cluster that answers at one of these addresses, whoever runs it.

    Raises:
        Unavailable: none of them answers.
    """
    from provision.kafka.metadata import observe_cluster

    access, reasons = Access.at(bootstrap_servers), dict[str, str]()
    for place, address in access.brokers.items():
        try:
            cluster = observe_cluster(access, place, _ANSWER_S)
        except NotAnswering as reason:
            reasons[address] = str(reason)
        else:
            brokers = {broker.id: broker.address for broker in cluster.brokers}
            return KafkaCluster(name, access.to(brokers), external=True)
    raise Unavailable(f"no broker of {name} answers", why=_lines(reasons), hint=_ADDRESS_HINT)


def _silent(cluster: KafkaCluster, answers: BrokerAnswers) -> Unavailable:
    """The brokers that do not answer, or do not know each other."""
    name, missing = cluster.name, missing_for_brokers(answers)
    hint = _ADDRESS_HINT if cluster.external else f"`provision status {name}` shows what is missing"
    if answers.clusters and not answers.silent:
        return Unavailable(f"the brokers of {name} do not know each other yet", why=_lines(missing), hint=hint)
    which = "not every broker" if answers.clusters else "no broker"
    return Unavailable(f"{which} of {name} answers", why=_lines(missing), hint=hint)


def _lines(reasons: Mapping[str, str]) -> str:
    return "\n".join(f"{at}: {reason}" for at, reason in sorted(reasons.items()))


# -- by hand ----------------------------------------------------------------------------------------------------------


def topics(
    cluster: KafkaCluster, names: Sequence[str] = (), *, internal: bool = False, settings: bool = True
) -> tuple[ObservedTopic, ...]:
    """The topics of the cluster, with their `settings` unless they are not wanted; all, or the named ones.

    Raises:
        UsageError: a named topic does not exist.
        Unavailable: no broker answers.
    """
    from provision.kafka.admin import connected

    there = topics_without_settings(cluster, names)
    chosen = [topic for topic in there if topic.name in names or (not names and (internal or not topic.internal))]
    if not settings:
        return tuple(chosen)
    with connected(cluster.access) as admin:
        return admin.topics.with_settings(chosen)


def topics_without_settings(cluster: KafkaCluster, names: Sequence[str]) -> tuple[ObservedTopic, ...]:
    """All topics of the cluster; the named ones are among them.

    Raises:
        UsageError, Unavailable: as `topics`.
    """
    there = cluster.observe().topics
    if unknown := sorted(set(names) - {topic.name for topic in there}):
        raise no_topic(cluster.name, unknown)
    return there


def create_topic(cluster: KafkaCluster, new: NewTopic, tell: Listener = silent) -> None:
    """Create one topic with an explicit, rack-aware placement, and wait until every broker that runs knows it.

    Raises:
        Refused: it exists already, or fewer brokers run than it has replicas.
        KafkaRefused: Kafka refused it.
    """
    from provision.kafka.admin import connected

    observed = cluster.observe()
    if observed.topic(new.name):
        hint = f"`provision topics describe {cluster.name} {new.name}`"
        raise Refused(f"topic {new.name} exists already", hint=hint)
    access = cluster.access.to(cluster.access.brokers)
    brokers = [broker for broker in observed.brokers if broker.id not in cluster.access.down]
    replication_factor = new.replication_factor or min(3, len(brokers))
    try:
        assignment = Placement(brokers, observed.topics).place(new.partitions, replication_factor)
    except ValueError as error:
        refused = Refused(f"topic {new.name} cannot be created", why=str(error))
        refused.add(cluster.access.why_down)
        raise refused from error
    topic = Topic(new.name, new.partitions, replication_factor, new.config)
    with action(tell, Verb.CREATE, f"{TOPIC} {new.name}"):
        with told_by_exits(cluster.check), connected(cluster.access) as admin:
            created = admin.topics.create([PlacedTopic(topic, assignment)], check=cluster.check)
        require_done(TOPIC, "created", [new.name], created.failures)
        _wait_for(replace(cluster, access=access), [topic.name], Patience(_CREATED_S))


def delete_topics(cluster: KafkaCluster, names: Sequence[str], tell: Listener = silent) -> None:
    """Delete topics by name, never Kafka's own.

    Raises:
        Refused: one of them is Kafka's own; none is deleted.
        UsageError: one does not exist; none is deleted.
        KafkaRefused: Kafka refused all of them.
        PartlyApplied: Kafka refused some.
    """
    from provision.kafka.admin import connected

    names = list(dict.fromkeys(names))
    chosen = [topic for topic in topics_without_settings(cluster, names) if topic.name in names]
    if own := [topic.name for topic in chosen if topic.internal or topic.name in _OF_KAFKA]:
        why = (f"without {name}, {_OF_KAFKA.get(name, 'Kafka cannot do its work')}" for name in own)
        what = f"{', '.join(own)} {'belong' if own[1:] else 'belongs'} to Kafka itself"
        raise Refused(what, why="\n".join(why))
    with action(tell, Verb.DELETE, *(f"{TOPIC} {name}" for name in names)):
        with connected(cluster.access) as admin:
            failures = admin.topics.delete(names)
        require_done(TOPIC, "deleted", names, failures)


# -- from a file ------------------------------------------------------------------------------------------------------


def desired_of(spec: EnvironmentSpec, cluster: KafkaCluster, names: Sequence[str] = ()) -> Resources:
    """What a file wants in a cluster; of the named topics alone, where there are names.

    Not its users: `up` alone finds out what their passwords are.
    """
    desired = desired_resources(spec, cluster.access.size)
    desired.pop(Users.name, None)
    return only_topics(desired, names, spec.name) if names else desired


def only_topics(desired: Resources, names: Sequence[str], environment: str) -> Resources:
    """Only these topics, without pruning or rebalancing: the other topics are not compared.

    Raises:
        UsageError: a name is not in the file.
    """
    declared: DesiredTopics = desired[TOPIC]
    if unknown := sorted(set(names) - {topic.name for topic in declared.topics}):
        hint = f"`provision topics apply {environment}` without a name applies all that it has"
        raise UsageError(f"the file has no topic {', '.join(unknown)}", hint=hint)
    chosen = tuple(topic for topic in declared.topics if topic.name in names)
    return {TOPIC: DesiredTopics(chosen, replace(declared.policy, prune=False, rebalance=False))}


def plan_for(cluster: KafkaCluster, desired: Resources, home: Home) -> tuple[Plan, Inside]:
    """What must change for the cluster to have the desired resources, and the cluster as observed.

    Raises:
        Unavailable: not every broker answers.
    """
    if agreed(cluster.access, topics=False) is None:
        raise _silent(cluster, ask_brokers(cluster.access, _ANSWER_S))
    actions, inside = plan_against(desired, _target(cluster, desired, home))
    return Plan(cluster.name, actions), inside


def apply_for(
    cluster: KafkaCluster,
    desired: Resources,
    home: Home,
    *,
    patience: Patience,
    tell: Listener = silent,
    agree: Agree = accept_all,
) -> Plan:
    """Apply the desired resources, and wait until every broker has the topics; returns what was done.

    `patience` bounds how long a reassignment may stall, and the wait at the end. Another round follows if the first
    could not see all: a topic created meanwhile may differ, and rebalancing includes new topics.

    Raises:
        Refused: something would lose data; nothing was changed.
        KafkaRefused: Kafka refused all of it.
        PartlyApplied: Kafka refused some; the rest is done.
    """
    done: dict[str, Action] = {}
    for _ in range(ROUNDS):
        plan, inside = plan_for(cluster, desired, home)
        require_no_refusal(plan)
        if unseen := tuple(one for one in plan.actions if one.key not in done):
            tell(Planned(Plan(cluster.name, unseen).as_dict()))
            agree(Plan(cluster.name, unseen))
        work = Work(_target(cluster, desired, home), patience, cluster.check, tell)
        existed = apply_resources(plan.actions, inside, work, earlier=bool(done))
        done |= {one.key: one for one in new_actions(plan.actions, existed)}
        _wait_for(cluster, [topic.name for topic in desired[TOPIC].topics], patience)
        if not again(desired, plan.actions, existed):
            break
    return Plan(cluster.name, tuple(done.values()))


def _target(cluster: KafkaCluster, desired: Resources, home: Home) -> Target:
    return cluster.target(home, desired[TOPIC].policy.throttle_bytes_per_s)


def _wait_for(cluster: KafkaCluster, wanted: Collection[str], patience: Patience) -> None:
    """Wait until the topics are ready on every broker."""
    patience, pauses, unlooked = patience.renewed("waiting for topics"), Pauses(), Patience(_LOOK_S)
    while missing := _missing(cluster.access, wanted):
        if unlooked.is_over or patience.is_over:
            check_beside(cluster.check, _lines(missing).splitlines())
            unlooked = unlooked.renewed()
        if not patience.pause(pauses.next_s()):
            raise NotReady(f"the topics of {cluster.name} are not ready after {patience.given}", why=_lines(missing))


def _missing(access: Access, topics: Collection[str]) -> dict[str, str]:
    answers = ask_brokers(access, _ANSWER_S)
    silent_ones = {Role.BROKER.node(broker): reason for broker, reason in answers.silent.items()}
    return silent_ones or missing_for_topics(answers, access, topics)


def adopted_sections(
    cluster: KafkaCluster, home: Home, *, replicas: bool = False, tell: Listener = silent
) -> dict[str, list[dict[str, Any]]]:
    """The sections of a file that describe the cluster, kind by kind; empty ones only for topics.

    Args:
        cluster: what is adopted.
        home: where throttles are noted.
        replicas: list the brokers of each partition instead of only the replication factor.
        tell: receives a notice for whatever the sections cannot express.
    """
    from provision.kafka.admin import connected

    cluster.observe()  # fails at once where nobody answers, with the reason of each broker
    target, sections = cluster.target(home), dict[str, list[dict[str, Any]]]()
    with connected(cluster.access) as admin:
        for kind in KINDS:
            try:
                sections[kind.section] = kind.adopt(admin, target, tell, replicas=replicas)
            except (KafkaRefused, Unavailable) as error:  # an older cluster, or no permission
                if kind.section == Topics.section:
                    raise
                tell(Notice(f"{kind.section} are left out: {error.what}"))
    found = {section: entries for section, entries in sections.items() if entries or section == Topics.section}
    _tell_what_is_refused(found, tell)
    return found


def _tell_what_is_refused(sections: Mapping[str, Any], tell: Listener) -> None:
    """Kafka itself allows what no file may say, such as more in-sync replicas than there are replicas."""
    try:
        load_values({"name": "adopted", "bootstrap_servers": "localhost:1", **sections})
    except InvalidEnvironment as error:
        for problem in error.problems:
            tell(Notice(f"{problem.path}: {problem.message}; `validate` refuses it"))
