"""Topics as a kind of resource: planned by `provision.plan.topics`, applied through `provision.kafka`.

The throttle of a reassignment belongs to them: what an interrupted one left behind is removed after the topics.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct, field, to_builtins

from provision.cluster.model import Topic, TopicPolicy
from provision.cluster.resolve import resolve_topic_policy, resolve_topics
from provision.common.values import replace
from provision.errors import Unavailable
from provision.events import Listener, Notice
from provision.kafka.readiness import ask_brokers
from provision.observe.inside import agreed
from provision.plan.actions import Action, Verb
from provision.plan.observed import ObservedCluster, ObservedPartition, ObservedTopic, Unfilled
from provision.plan.throttle import THROTTLED_REPLICAS
from provision.plan.topic_changes import THROTTLE, TOPIC, Filling, Growth, PlacedTopic, Reassignment, TopicSettings
from provision.plan.topics import plan_topics
from provision.resources.filling import create, fill, unfilled
from provision.resources.kind import Kind, Outcome, Target, Work
from provision.spec.model import EnvironmentSpec

if TYPE_CHECKING:
    from provision.kafka.admin import Admin

_ANSWER_S = 5.0
DELETE_TOPICS = "delete.topic.enable"


class DesiredTopics(Struct, frozen=True):
    """The desired topics, and the policy for all of them."""

    topics: tuple[Topic, ...]
    policy: TopicPolicy


class ObservedTopics(Struct, frozen=True):
    """The topics of a cluster; the desired ones with their settings.

    `deletable` is the brokers' `delete.topic.enable`; `throttled` are the topics of an interrupted reassignment that
    left its throttle behind, None if there is none. `unfilled` are those whose filling was interrupted.
    """

    cluster: ObservedCluster
    deletable: bool = True
    throttled: frozenset[str] | None = None
    unfilled: Mapping[str, Unfilled] = field(default_factory=dict)


class Topics(Kind[DesiredTopics, ObservedTopics]):
    """Topics, their settings, and the placement of their replicas."""

    name: ClassVar[str] = TOPIC
    section: ClassVar[str] = "topics"
    performs: ClassVar[frozenset[str]] = frozenset({TOPIC, THROTTLE})

    def desired(self, spec: EnvironmentSpec, brokers: int | None = None) -> DesiredTopics:
        """Every topic with its defaults; never None, because leaving brokers hold topics even if the file has none."""
        return DesiredTopics(resolve_topics(spec, brokers), resolve_topic_policy(spec))

    def empty_state(self) -> ObservedTopics:
        """No topics."""
        return ObservedTopics(ObservedCluster("", -1, (), ()))

    def observe(self, admin: "Admin", target: Target, desired: DesiredTopics) -> ObservedTopics:
        """Every topic with its reassignment; the desired ones with their settings."""
        # Reassignments first: one that completes in between is then seen with its final replicas.
        moves = admin.partitions.moves()
        cluster = agreed(target.access)
        if cluster is None:
            raise Unavailable(f"the brokers of {target.name} do not all report the same topics yet")
        cluster = cluster.with_moves(moves)
        declared = {topic.name for topic in desired.topics}
        settled = admin.topics.with_settings([topic for topic in cluster.topics if topic.name in declared])
        known = {topic.name: topic for topic in settled}
        topics = tuple(known.get(topic.name, topic) for topic in cluster.topics)
        first = cluster.brokers[0].id
        (entries,) = admin.brokers.settings([first]).values()
        return ObservedTopics(
            replace(cluster, topics=topics),
            deletable=DELETE_TOPICS not in entries or entries[DELETE_TOPICS]["value"] == "true",
            throttled=target.throttle.topics(cluster.cluster_id),
            unfilled=unfilled(admin, cluster, target.seeds),
        )

    def plan(
        self, desired: DesiredTopics, observed: ObservedTopics, cluster: ObservedCluster, target: Target
    ) -> Sequence[Action]:
        """Compare desired and observed topics."""
        said = target.broker_properties.get(DELETE_TOPICS)  # as it will be when this plan is carried out
        return plan_topics(
            desired.topics,
            replace(observed.cluster, brokers=cluster.brokers),
            policy=desired.policy,
            leaving=target.leaving,
            throttled=observed.throttled,
            unfilled=observed.unfilled,
            deletable=observed.deletable if said is None else said.lower() == "true",
        )

    def with_costs(self, observed: ObservedTopics, actions: Sequence[Action], admin: "Admin") -> ObservedTopics:
        """Add the sizes of partitions on disk, if something is reassigned."""
        if not any(action.verb is Verb.REASSIGN for action in actions):
            return observed
        cluster = observed.cluster
        sizes = admin.partitions.sizes([broker.id for broker in cluster.brokers])

        def sized(topic: ObservedTopic, partition: ObservedPartition) -> ObservedPartition:
            return replace(partition, held_bytes=sizes.get((topic.name, partition.number), {}))

        topics = tuple(
            replace(topic, partitions=tuple(sized(topic, partition) for partition in topic.partitions))
            for topic in cluster.topics
        )
        return replace(observed, cluster=replace(cluster, topics=topics))

    def perform(
        self, admin: "Admin", verb: Verb, actions: Sequence[Action], observed: ObservedTopics, work: Work
    ) -> Outcome:
        """Perform each verb in as few requests as Kafka allows."""
        match verb:
            case Verb.CREATE:
                placed = [a.subject for a in actions if isinstance(a.subject, PlacedTopic)]
                created = create(admin, observed.cluster, placed, work)
                return Outcome(created.failures, created.existing)
            case Verb.FILL:
                wanted = {a.name: a.subject for a in actions if isinstance(a.subject, Filling)}
                return fill(admin, observed.cluster, wanted, work)
            case Verb.CONFIGURE:
                settings = {a.name: a.subject for a in actions if isinstance(a.subject, TopicSettings)}
                return Outcome(admin.topics.configure(settings))
            case Verb.GROW:
                growths = {a.name: a.subject for a in actions if isinstance(a.subject, Growth)}
                return Outcome(admin.topics.grow(growths, work.check))
            case Verb.DELETE:
                return Outcome(admin.topics.delete([a.name for a in actions]))
            case Verb.REASSIGN | Verb.RESTORE:
                return Outcome(_move(admin, actions, observed, work))
            case _:
                raise AssertionError(f"no way to {verb} a topic")

    def fingerprint(self, desired: DesiredTopics, observed: ObservedTopics | None) -> object:
        """Topics without leaders, in-sync replicas and sizes."""
        cluster = observed.cluster if observed else self.empty_state().cluster
        return {
            "topics": [to_builtins(topic) for topic in desired.topics],
            "policy": to_builtins(desired.policy),
            "brokers": [(broker.id, broker.rack) for broker in cluster.brokers],
            "there": [
                (topic.name, dict(topic.config), [(p.number, p.replicas, p.removing) for p in topic.partitions])
                for topic in cluster.topics
            ],
        }

    def again(self, desired: DesiredTopics, actions: Sequence[Action]) -> bool:
        """Whether rebalancing has to include changed topics."""
        return desired.policy.rebalance and bool(actions)

    def adopt(self, admin: "Admin", target: Target, tell: Listener, *, replicas: bool) -> list[dict[str, Any]]:
        """All topics except Kafka's own."""
        best = ask_brokers(target.access, _ANSWER_S).best  # one that answers is enough
        if best is None:
            hint = f"`provision status {target.name}` shows what is missing"
            raise Unavailable(f"no broker of {target.name} answers", hint=hint)
        topics = [topic for topic in best.topics if not topic.internal]
        for topic in topics:
            if len({len(partition.target) for partition in topic.partitions}) > 1:
                text = "its partitions have different numbers of replicas; the file gets that of the first"
                tell(Notice(f"{topic.name}: {text}"))
        return adopted(admin.topics.with_settings(topics), replicas=replicas)


def _move(admin: "Admin", actions: Sequence[Action], observed: ObservedTopics, work: Work) -> Mapping[str, str]:
    """Reassign partitions, or restore the settings that an interrupted reassignment replaced."""
    from provision.kafka.moving import Watch, move, restore_throttle

    target = work.target
    replicas = {a.name: a.subject.replicas for a in actions if isinstance(a.subject, Reassignment)}
    if not replicas:
        restore_throttle(admin, observed.cluster, target.throttle)
        return {}
    watch = Watch(work.patience, work.check, work.tell)
    return move(admin, observed.cluster, replicas, target.throttle, target.throttle_bytes_per_s, watch)


def adopted(topics: Sequence[ObservedTopic], *, replicas: bool = False) -> list[dict[str, Any]]:
    """The `topics` section of a file that describes these topics.

    Args:
        topics: with their settings.
        replicas: list the brokers of each partition instead of only the replication factor, if all have equally many.
    """
    section: list[dict[str, Any]] = []
    for topic in topics:
        if topic.name.startswith("__"):
            continue  # internal to Kafka or another program: no file may name it
        entry: dict[str, Any] = {"name": topic.name}
        entry["partitions"] = len(topic.partitions)
        if replicas and len({len(partition.target) for partition in topic.partitions}) == 1:
            entry["replicas"] = [list(partition.target) for partition in topic.partitions]
        else:
            entry["replication_factor"] = topic.replication_factor
        config = {key: value for key, value in topic.config.items() if key not in THROTTLED_REPLICAS}
        if config:
            entry["config"] = config
        section.append(entry)
    return section
