"""Topics of a cluster that runs: look, create, delete, make them as a file says, or write such a file.

The cluster is an environment's, or any that answers under an address.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from provision.apply import TopicWork, apply_topics, require_no_refusal
from provision.cluster.model import Topic, TopicPolicy
from provision.errors import NotReady, PartlyApplied, Refused, Unavailable, UsageError
from provision.events import Listener, silent
from provision.home.throttles import ThrottleNote
from provision.kafka.connection import NotAnswering
from provision.kafka.readiness import BrokerAnswers, ask_brokers, missing_for_topics
from provision.observe import ADMIN_TIMEOUT_S, admin_of, observe_kafka
from provision.operations import require
from provision.plan.actions import Action, PlacedTopic, Plan
from provision.plan.observed import ObservedCluster, ObservedTopic
from provision.plan.placement import Placement
from provision.plan.throttle import THROTTLED_REPLICAS
from provision.plan.topics import plan_topics
from provision.runtime.base import Runtime
from provision.second_wave import ROUNDS, Agree, agree_to_all, with_costs

_ANSWER_S = 5.0
_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class Reached:
    """A cluster that can be spoken to: a name for it, and the `host:port` of each broker by its id."""

    name: str
    endpoints: Mapping[int, str]

    @property
    def bootstrap_servers(self) -> str:
        """Where a client begins."""
        return ",".join(self.endpoints.values())

    def observe(self) -> ObservedCluster:
        """What the brokers say, without settings.

        Raises:
            Unavailable: none answers.
        """
        answers = ask_brokers(self.endpoints, timeout_s=_ANSWER_S)
        if answers.best is None:
            raise _silent(self.name, answers.silent)
        return answers.best


def of_environment(runtime: Runtime, name: str) -> Reached:
    """The cluster of an environment.

    Raises:
        UsageError: there is none of that name.
    """
    return Reached(name, require(runtime, name).broker_endpoints)


def at_address(name: str, bootstrap_servers: str) -> Reached:
    """The cluster that answers under one of these addresses, whoever runs it.

    Raises:
        Unavailable: none of them answers.
    """
    from provision.kafka.metadata import observe_cluster

    silent_ones: dict[str, str] = {}
    for address in bootstrap_servers.split(","):
        try:
            cluster = observe_cluster(address, _ANSWER_S)
        except NotAnswering as reason:
            silent_ones[address] = str(reason)
        else:
            return Reached(name, {broker.id: broker.address for broker in cluster.brokers})
    raise _silent(name, silent_ones)


def _silent(name: str, reasons: Mapping[Any, str]) -> Unavailable:
    why = "\n".join(
        f"{f'broker-{at}' if isinstance(at, int) else at}: {reason}" for at, reason in sorted(reasons.items())
    )
    return Unavailable(f"no broker of {name} answers", why=why, hint="do they run, and is the address right?")


# -- by hand ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NewTopic:
    """A topic to create by hand; `replication_factor` None means three, or as many as there are brokers."""

    name: str
    partitions: int
    replication_factor: int | None
    config: Mapping[str, str]


def topics(reached: Reached, names: Sequence[str] = (), *, internal: bool = False) -> tuple[ObservedTopic, ...]:
    """The topics of the cluster with what is set on them; all, or the named ones.

    Raises:
        UsageError: a named topic does not exist.
        Unavailable: no broker answers.
    """
    there = reached.observe().topics
    known = {topic.name for topic in there}
    if unknown := [topic for topic in names if topic not in known]:
        hint = f"`provision topics list {reached.name}`"
        raise UsageError(f"{reached.name} has no topic {', '.join(unknown)}", hint=hint)
    chosen = [topic for topic in there if topic.name in names or (not names and (internal or not topic.internal))]
    with admin_of(reached.bootstrap_servers) as admin:
        return admin.topics.with_settings(chosen)


def create_topic(reached: Reached, new: NewTopic) -> None:
    """Create one topic with an explicit, rack-aware placement, and wait until every broker has it.

    Raises:
        Refused: it exists already, or there are fewer brokers than replicas.
        PartlyApplied: Kafka refused it.
    """
    cluster = reached.observe()
    if cluster.topic(new.name):
        hint = f"`provision topics describe {reached.name} {new.name}`"
        raise Refused(f"topic {new.name} exists already", hint=hint)
    replication_factor = new.replication_factor or min(3, len(cluster.brokers))
    try:
        assignment = Placement(cluster.brokers, cluster.topics).place(new.partitions, replication_factor)
    except ValueError as error:
        raise Refused(f"topic {new.name} cannot be created", why=str(error)) from error
    topic = Topic(new.name, new.partitions, replication_factor, new.config)
    with admin_of(reached.bootstrap_servers) as admin:
        created = admin.topics.create([PlacedTopic(topic, assignment)])
    _raise_failures("created", created.failures)
    _wait_for(reached, [topic], ADMIN_TIMEOUT_S)


def delete_topics(reached: Reached, names: Sequence[str]) -> None:
    """Delete topics by name, never Kafka's own.

    Raises:
        Refused: one of them is internal; none is deleted.
        UsageError: one does not exist; none is deleted.
        PartlyApplied: Kafka refused some.
    """
    if internal := [topic for topic in names if topic.startswith("__")]:
        raise Refused(f"{', '.join(internal)} belongs to Kafka itself", why="without it groups lose their offsets")
    topics(reached, names)
    with admin_of(reached.bootstrap_servers) as admin:
        failures = admin.topics.delete(names)
    _raise_failures("deleted", failures)


def _raise_failures(done: str, failures: Mapping[str, str]) -> None:
    if failures:
        why = "\n".join(f"topic {topic}: {reason}" for topic, reason in sorted(failures.items()))
        raise PartlyApplied(f"not every topic could be {done}", why=why)


# -- as a file says ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Declared:
    """What a file says of topics: those it names, and what holds for all."""

    topics: tuple[Topic, ...]
    policy: TopicPolicy

    def only(self, names: Sequence[str]) -> "Declared":
        """These topics alone; then nothing is deleted or evened out: what is not looked at is not known as unwanted.

        Raises:
            UsageError: a name is not in the file.
        """
        if unknown := sorted(set(names) - {topic.name for topic in self.topics}):
            raise UsageError(f"the file has no topic {', '.join(unknown)}")
        chosen = tuple(topic for topic in self.topics if topic.name in names)
        return Declared(chosen, replace(self.policy, prune=False, rebalance=False))


def plan_for(reached: Reached, declared: Declared) -> tuple[Plan, ObservedCluster]:
    """What must change for the cluster to have the topics as declared, and the cluster as it is.

    Raises:
        Unavailable: not every broker answers.
    """
    there = observe_kafka(reached.endpoints, declared.topics)
    if there is None:
        answers = ask_brokers(reached.endpoints, _ANSWER_S)
        raise _silent(reached.name, answers.silent or {reached.bootstrap_servers: "they do not know each other yet"})
    throttled = ThrottleNote(reached.name).topics(there.cluster_id)
    plan = partial(plan_topics, declared.topics, policy=declared.policy, throttled=throttled)
    actions, there = with_costs(plan, there, reached.endpoints)
    return Plan(reached.name, actions), there


def apply_for(
    reached: Reached,
    declared: Declared,
    *,
    timeout_s: float = 120.0,
    tell: Listener = silent,
    agree: Agree = agree_to_all,
) -> Plan:
    """Make the topics as declared, and wait until they are so on every broker; returns what was done.

    `timeout_s` bounds how long nothing may move, and the wait at the end. There is another round where the first could
    not see all: a topic that came meanwhile may be another one, and an even spread takes in topics that are new.

    Raises:
        Refused: something would lose data; nothing was touched.
        PartlyApplied: Kafka refused some; the rest is done.
    """
    done: dict[str, Action] = {}
    for _ in range(ROUNDS):
        plan, there = plan_for(reached, declared)
        require_no_refusal(plan)
        if unseen := tuple(action for action in plan.actions if action.key not in done):
            agree(Plan(reached.name, unseen))
        existing = apply_topics(plan.actions, _work(reached, there, declared, timeout_s, tell))
        done |= {action.key: action for action in plan.actions if action.name not in existing}
        _wait_for(reached, declared.topics, timeout_s)
        if not existing and not (declared.policy.rebalance and plan.changes):
            break
    return Plan(reached.name, tuple(done.values()))


def _work(reached: Reached, there: ObservedCluster, declared: Declared, timeout_s: float, tell: Listener) -> TopicWork:
    return TopicWork(
        bootstrap_servers=reached.bootstrap_servers,
        there=there,
        note=ThrottleNote(reached.name),
        throttle_bytes_per_s=declared.policy.throttle_bytes_per_s,
        timeout_s=timeout_s,
        check=lambda: None,
        tell=tell,
    )


def _wait_for(reached: Reached, topics: Sequence[Topic], timeout_s: float) -> None:
    """Wait until every broker has the topics with all replicas in sync."""
    deadline = time.monotonic() + timeout_s
    while missing := _missing(ask_brokers(reached.endpoints, _ANSWER_S), topics):
        if time.monotonic() > deadline:
            why = "\n".join(f"{node}: {reason}" for node, reason in missing.items())
            raise NotReady(f"the topics of {reached.name} are not in sync within {timeout_s:.0f} s", why=why)
        time.sleep(_PAUSE_S)


def _missing(answers: BrokerAnswers, topics: Sequence[Topic]) -> dict[str, str]:
    silent_ones = {f"broker-{broker}": reason for broker, reason in answers.silent.items()}
    return {**missing_for_topics(answers, topics), **silent_ones}


def adopted(topics: Sequence[ObservedTopic], *, replicas: bool = False) -> list[dict[str, Any]]:
    """The `topics` section of a file that describes these topics as they are.

    Args:
        topics: with what is set on them.
        replicas: name the brokers of each partition, instead of only how many there are.
    """
    section: list[dict[str, Any]] = []
    for topic in topics:
        if topic.name.startswith("__"):
            continue  # it is Kafka's, or another program's; no file may name it
        entry: dict[str, Any] = {"name": topic.name}
        entry["partitions"] = len(topic.partitions)
        if replicas:
            entry["replicas"] = [list(partition.target) for partition in topic.partitions]
        else:
            entry["replication_factor"] = topic.replication_factor
        config = {key: value for key, value in topic.config.items() if key not in THROTTLED_REPLICAS}
        if config:
            entry["config"] = config
        section.append(entry)
    return section
