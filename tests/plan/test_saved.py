"""A plan in a file: read back as it was written, and worth nothing once what it was made from is another."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.cluster.model import RenderedFile, Topic, TopicPolicy
from provision.common.values import replace
from provision.errors import ProvisionError, Refused, UsageError
from provision.plan.actions import Action, Kind, Plan, Verb
from provision.plan.observed import (
    NodeState,
    ObservedBroker,
    ObservedCluster,
    ObservedEnvironment,
    ObservedNode,
    ObservedPartition,
    ObservedTopic,
)
from provision.plan.saved import SavedPlan, saved
from provision.plan.topics import plan_topics
from provision.resources.rounds import Inside, fingerprint
from provision.resources.topics import DesiredTopics, ObservedTopics, Topics
from tests.mutations import mutated

RESTART = Action(Verb.RESTART, Kind.NODE, "broker-1", "config changed: a 1 → 2")
CREATE = Action(Verb.CREATE, "topic", "orders", "not there")


@dataclass(frozen=True)
class Made:
    """All that a plan is made from."""

    plan: Plan
    files: tuple[RenderedFile, ...]
    topics: tuple[Topic, ...]
    policy: TopicPolicy
    observed: ObservedEnvironment
    there: ObservedCluster | None
    authority: bytes = b"certificates"

    @property
    def saved(self) -> SavedPlan:
        """The plan as it is kept."""
        desired = {Topics.name: DesiredTopics(self.topics, self.policy)}
        inside = Inside(self.there, {Topics.name: ObservedTopics(self.there)}) if self.there else None
        cluster_id = self.there.cluster_id if self.there else ""
        resources = fingerprint(desired, inside)
        return saved(self.plan, self.files, self.observed, cluster_id, resources, self.authority)

    def with_node(self, **changes: object) -> "Made":
        """With its node otherwise."""
        (node,) = self.observed.nodes
        node = replace(node, **changes)  # type: ignore[arg-type]
        return replace(self, observed=replace(self.observed, nodes=(node,)))

    def with_partition(self, **changes: object) -> "Made":
        """With its topic's partition otherwise."""
        assert self.there
        (topic,) = self.there.topics
        partition = replace(topic.partitions[0], **changes)  # type: ignore[arg-type]
        topic = replace(topic, partitions=(partition,))
        return replace(self, there=replace(self.there, topics=(topic,)))

    def with_cluster(self, **changes: object) -> "Made":
        """With something else that Kafka says."""
        assert self.there
        return replace(self, there=replace(self.there, **changes))  # type: ignore[arg-type]


NODE = ObservedNode("broker-1", "broker", NodeState.RUNNING, "0123", "127.0.0.1:9092", version="3.9.1")
TOPIC = ObservedTopic("payments", (ObservedPartition(0, 1, (1, 2), (1, 2)),), config={"a": "1"})
BROKERS = (ObservedBroker(1, "a"), ObservedBroker(2, None))
MADE = Made(
    plan=Plan("shop", (RESTART, CREATE)),
    files=(RenderedFile("broker-1", "server.properties", b"a=2\n"),),
    topics=(Topic("orders", 1, 1, {"b": "2"}),),
    policy=TopicPolicy(throttle_bytes_per_s=1024),
    observed=ObservedEnvironment("shop", "docker", network=True, storages=frozenset({"broker-1"}), nodes=(NODE,)),
    there=ObservedCluster("one", 1, BROKERS, (TOPIC,)),
)


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    MADE.saved.write(file)
    read = SavedPlan.read(file)
    assert read == MADE.saved
    assert read.environment == "shop"
    assert read.cluster_id == "one"
    assert read.resources == {("restart", "broker-1"), ("create", "topic orders")}
    read.require_fresh(MADE.saved)
    read.require_known(MADE.plan)


def test_people_can_read_the_file(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    MADE.saved.write(file)
    content = json.loads(file.read_text())
    assert content["provision_plan"] == 1
    assert content["plan"] == MADE.plan.as_dict()
    assert file.read_text().count("\n") > 10


def test_a_plan_for_nothing_that_is_there_can_be_kept_too() -> None:
    made = replace(MADE, observed=ObservedEnvironment("shop", "docker"), there=None)
    assert made.saved.cluster_id == ""
    made.saved.require_fresh(made.saved)


PARTITION = TOPIC.partitions[0]
CHANGES: dict[str, Callable[[], Made]] = {
    "the plan": lambda: replace(MADE, plan=Plan("shop", (RESTART,))),
    "a cause": lambda: replace(MADE, plan=Plan("shop", (replace(RESTART, cause="config changed: a 1 → 3"), CREATE))),
    "the order": lambda: replace(MADE, plan=Plan("shop", (CREATE, RESTART))),
    "a file": lambda: replace(MADE, files=(replace(MADE.files[0], content=b"a=3\n"),)),
    "a new file": lambda: replace(MADE, files=(*MADE.files, RenderedFile("broker-1", "b", b""))),
    "a topic's partitions": lambda: replace(MADE, topics=(replace(MADE.topics[0], partitions=2),)),
    "a topic's config": lambda: replace(MADE, topics=(replace(MADE.topics[0], config={}),)),
    "a topic's consent": lambda: replace(MADE, topics=(replace(MADE.topics[0], grow_compacted=True),)),
    "no topic": lambda: replace(MADE, topics=()),
    "the file's authority": lambda: replace(MADE, authority=b"others"),
    "no authority in the file": lambda: replace(MADE, authority=b""),
    "prune": lambda: replace(MADE, policy=TopicPolicy(prune=True, throttle_bytes_per_s=1024)),
    "the throttle": lambda: replace(MADE, policy=TopicPolicy()),
    "a node's state": lambda: MADE.with_node(state=NodeState.EXITED),
    "a node's fingerprint": lambda: MADE.with_node(config_hash="4567"),
    "a node that came": lambda: replace(
        MADE, observed=replace(MADE.observed, nodes=(NODE, replace(NODE, name="broker-2")))
    ),
    "a storage that went": lambda: replace(MADE, observed=replace(MADE.observed, storages=frozenset())),
    "another cluster": lambda: MADE.with_cluster(cluster_id="two"),
    "a cluster that does not answer": lambda: replace(MADE, there=None),
    "a broker that went": lambda: MADE.with_cluster(brokers=BROKERS[:1]),
    "a broker's rack": lambda: MADE.with_cluster(brokers=(ObservedBroker(1, "b"), BROKERS[1])),
    "a topic that came": lambda: MADE.with_cluster(topics=(TOPIC, replace(TOPIC, name="x"))),
    "what is set on a topic": lambda: MADE.with_cluster(topics=(replace(TOPIC, config={"a": "2"}),)),
    "partitions there": lambda: MADE.with_cluster(
        topics=(replace(TOPIC, partitions=(PARTITION, replace(PARTITION, number=1))),)
    ),
    "replicas": lambda: MADE.with_partition(replicas=(2, 1)),
    "a reassignment": lambda: MADE.with_partition(replicas=(1, 2, 3), adding=(3,), removing=(2,)),
}


@pytest.mark.parametrize("what", sorted(CHANGES))
def test_it_is_stale_when_anything_it_was_made_from_is_another(what: str) -> None:
    with pytest.raises(Refused, match="the plan is stale") as caught:
        MADE.saved.require_fresh(CHANGES[what]().saved)
    assert caught.value.hint
    MADE.saved.require_fresh(MADE.saved)


STAYS: dict[str, Callable[[], Made]] = {
    "a leader": lambda: MADE.with_partition(leader=2),
    "in-sync replicas": lambda: MADE.with_partition(in_sync=(1,)),
    "a size": lambda: MADE.with_partition(held_bytes={1: 1024}),
    "the controller": lambda: MADE.with_cluster(controller=2),
    "an endpoint": lambda: MADE.with_node(endpoint=None),
    "a detail": lambda: replace(MADE, plan=Plan("shop", (replace(RESTART, detail="about 3 s"), CREATE))),
    "an estimate": lambda: replace(MADE, plan=Plan("shop", (replace(RESTART, estimate_s=3.0), CREATE))),
}


@pytest.mark.parametrize("what", sorted(STAYS))
def test_what_changes_by_itself_does_not_make_it_stale(what: str) -> None:
    MADE.saved.require_fresh(STAYS[what]().saved)


def test_a_reassignment_whose_partition_grows_meanwhile_is_not_stale() -> None:
    def made(size_bytes: int) -> Made:
        partition = replace(PARTITION, held_bytes={1: size_bytes})
        there = ObservedCluster("one", 1, BROKERS, (replace(TOPIC, partitions=(partition,)),))
        wanted = Topic("payments", 1, 1, {"a": "1"}, replicas=((2,),))
        actions = plan_topics([wanted], there, policy=TopicPolicy())
        return replace(MADE, plan=Plan("shop", actions), there=there)

    assert made(1).plan.actions[0].verb is Verb.REASSIGN
    made(1024).saved.require_fresh(made(1024**3).saved)


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (replace(MADE, plan=Plan("mall", MADE.plan.actions)), "it is a plan for shop"),
        (MADE.with_cluster(cluster_id="two"), "it is for the cluster one; this one is two"),
        (replace(MADE, there=None), "it is for the cluster one; this one is not there"),
        (MADE.with_node(config_hash="4567"), "the environment or its file has changed since"),
    ],
)
def test_it_says_why_it_is_stale(now: Made, why: str) -> None:
    with pytest.raises(Refused) as caught:
        MADE.saved.require_fresh(now.saved)
    assert caught.value.what == f"the plan is stale: {why}"


def test_a_plan_from_before_the_first_up_is_stale_for_the_cluster_that_came() -> None:
    with pytest.raises(Refused, match="for the cluster that was not there yet; this one is one"):
        replace(MADE, there=None).saved.require_fresh(MADE.saved)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '"text"',
        "null",
        "{}",
        '{"provision_plan": 1}',
        '{"provision_plan": 2, "environment": "a", "cluster_id": "", "fingerprint": "", "plan": {}}',
        '{"environment": "a", "cluster_id": "", "fingerprint": "", "plan": {}}',
        '{"provision_plan": 1, "environment": "a", "cluster_id": "", "plan": {}}',
    ],
)
def test_a_file_that_is_no_plan_is_told(tmp_path: Path, content: str) -> None:
    file = tmp_path / "plan.json"
    file.write_text(content)
    with pytest.raises(UsageError, match=r"plan\.json is not a plan") as caught:
        SavedPlan.read(file)
    assert "--out" in caught.value.hint


@given(data=st.data())
def test_whatever_has_become_of_a_plan_it_is_used_as_it_was_saved_or_told(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    file = tmp_path_factory.mktemp("plans") / "plan.json"
    MADE.saved.write(file)
    content = data.draw(mutated(file.read_bytes()))
    file.write_bytes(content)
    told = ""
    try:
        read = SavedPlan.read(file)
        read.require_fresh(MADE.saved)
        read.require_known(MADE.plan)
        assert (read.environment, read.fingerprint) == (MADE.saved.environment, MADE.saved.fingerprint)
    except (UsageError, Refused) as error:
        told = f"{error.what}{error.why}{error.hint}"
    assert told.replace("\n", "").isprintable()


def test_a_plan_without_an_end_is_no_plan() -> None:
    with pytest.raises(UsageError, match="is not a plan"):
        SavedPlan.read(Path("/dev/zero"))


def test_a_file_that_is_no_text_or_not_there_is_told(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="is not a plan"):
        SavedPlan.read(file)
    with pytest.raises(UsageError, match="cannot read"):
        SavedPlan.read(tmp_path / "other.json")
    with pytest.raises(UsageError, match="cannot read"):
        SavedPlan.read(tmp_path)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(ProvisionError, match="cannot write"):
        MADE.saved.write(tmp_path / "nowhere" / "plan.json")


def test_what_deletes_or_restarts_and_was_not_in_the_plan_is_refused() -> None:
    delete = Action(Verb.DELETE, "topic", "old", "not in the file (prune: true)")
    other = replace(RESTART, name="broker-2")
    with pytest.raises(Refused, match="the plan does not include everything that must be done now") as caught:
        MADE.saved.require_known(Plan("shop", (RESTART, CREATE, delete, other)))
    assert caught.value.why == (
        "topic old delete: not in the file (prune: true)\nbroker-2 restart: config changed: a 1 → 2"
    )


def test_what_disturbs_nobody_must_be_in_it_too() -> None:
    later = Action(Verb.CONFIGURE, "topic", "payments", "config changed")
    with pytest.raises(Refused, match="does not include everything"):
        MADE.saved.require_known(Plan("shop", (CREATE, later)))
    MADE.saved.require_known(Plan("shop", (CREATE,)))
    MADE.saved.require_known(Plan("shop", ()))


def test_another_verb_for_the_same_thing_is_another_thing() -> None:
    with pytest.raises(Refused, match="does not include everything"):
        MADE.saved.require_known(Plan("shop", (replace(RESTART, verb=Verb.RECREATE),)))
