"""Quorums, data, files and notes: each named with its evidence and its place, and nothing said of what is well."""

import time
from pathlib import Path

import pytest

from provision.catalogue.versions import KRAFT, ZOOKEEPER
from provision.cluster.fingerprint import with_fingerprint
from provision.cluster.model import LAUNCH_FILE, MAIN_FILES, UNREADABLE, RenderedFile, Role
from provision.common.values import replace
from provision.kafka.quorum import Quorum
from provision.kafka.readiness import BrokerAnswers
from provision.operations.doctor.checks import findings
from provision.operations.doctor.facts import Damage, Facts, Inside, NodeFacts, Unasked, known
from provision.plan.observed import NodeState, ObservedCluster, ObservedNode
from provision.plan.stored import StoredData
from provision.runtime.health import Surroundings, Vitals
from tests.operations.doctor.world import described, facts, found, node
from tests.plan.world import cluster_of

EXITED, RUNNING = NodeState.EXITED, NodeState.RUNNING
OURS, OTHER = "AAAAAAAAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBBBBBBBB"
JUST = Vitals(started_s=time.time() + 1e6)
ZOOKEEPERS = ("zookeeper-1", "zookeeper-2", "zookeeper-3")
CONTROLLERS = ("controller-1", "controller-2", "controller-3")
VOTERS = "controller.quorum.voters=1001@a:1,1002@b:1,1003@c:1\n"


def of_mode(of: Facts, mode: str) -> Facts:
    """The facts of a cluster in that mode."""
    observed = known(of.observed)
    assert observed
    stored = {name: data for name, about in of.nodes.items() if (data := known(about.stored))}
    return replace(of, observed=replace(observed, mode=mode, stored=stored))


def having(of: Facts, node: str, text: str | bytes, name: str = "") -> Facts:
    """The facts with one file of a node."""
    content = text.encode() if isinstance(text, str) else text
    file = RenderedFile(node, name or MAIN_FILES[Role.parse(node)[0]], content)
    return replace(of, nodes={**of.nodes, node: replace(of.nodes[node], files=(file,))})


def storing(of: Facts, *stored: StoredData) -> Facts:
    """The facts with what some storages contain."""
    return replace(of, nodes={**of.nodes, **{d.node: replace(of.nodes[d.node], stored=d) for d in stored}})


# -- quorums ----------------------------------------------------------------------------------------------------------


def ensemble(*states: NodeState, modes: dict[str, str | None], vitals: Vitals | None = None) -> Facts:
    """A ZooKeeper ensemble of three beside a broker."""
    nodes = [node(name, state, exit_code=137) for name, state in zip(ZOOKEEPERS, states, strict=True)]
    about = dict.fromkeys(ZOOKEEPERS, vitals or Vitals())
    return of_mode(facts(*nodes, node("broker-1"), vitals=about, inside=Inside(modes=modes)), ZOOKEEPER)


def test_an_ensemble_without_a_majority() -> None:
    every = findings(ensemble(RUNNING, EXITED, EXITED, modes={"zookeeper-1": None}))
    (told,) = [one for one in every if one.id == "zookeeper-quorum-lost"]
    assert told.title == "ZooKeeper has no majority: 0 of 3 members serve, 2 are needed"
    assert told.evidence == (
        "zookeeper-2: it has exited",
        "zookeeper-3: it has exited",
        "zookeeper-1: it runs, and is not part of a quorum",
    )
    assert told.fix == "provision start shop zookeeper-2 zookeeper-3"
    assert list(map(str, told.repairs)) == ["start zookeeper-2", "start zookeeper-3"]


def test_an_ensemble_with_a_majority_is_not_lost() -> None:
    modes: dict[str, str | None] = {"zookeeper-1": "leader", "zookeeper-2": "follower"}
    assert "zookeeper-quorum-lost" not in found(ensemble(RUNNING, RUNNING, EXITED, modes=modes))


def test_members_that_were_just_started_look_for_each_other() -> None:
    modes: dict[str, str | None] = dict.fromkeys(ZOOKEEPERS)
    assert found(ensemble(RUNNING, RUNNING, RUNNING, modes=modes, vitals=JUST)) == {}
    assert "zookeeper-quorum-lost" in found(ensemble(RUNNING, RUNNING, RUNNING, modes=modes))


def quorum(*states: NodeState, told: Quorum | None = None) -> Facts:
    """Three controllers beside a broker that answers."""
    answers = BrokerAnswers({1: ObservedCluster("id", 1, (), ())}, {})
    nodes = [node(name, state, exit_code=137) for name, state in zip(CONTROLLERS, states, strict=True)]
    of = of_mode(facts(*nodes, node("broker-1"), inside=Inside(answers=answers, quorum=told)), KRAFT)
    for name in (*CONTROLLERS, "broker-1"):
        of = having(of, name, VOTERS)
    return of


def test_voters_without_a_majority() -> None:
    told = found(quorum(EXITED, NodeState.PAUSED, RUNNING))["kraft-quorum-lost"]
    assert told.title == "the KRaft quorum has no majority: 1 of 3 voters run, 2 are needed"
    assert told.evidence[0] == "controller-1: it has exited"
    assert told.fix == "provision start shop controller-1 controller-2"


def test_voters_that_find_no_leader() -> None:
    assert "no active controller" in found(quorum(RUNNING, RUNNING, RUNNING))["kraft-quorum-lost"].title
    assert found(quorum(RUNNING, RUNNING, RUNNING, told=Quorum(1001, {}, {}))) == {}
    assert "kraft-quorum-lost" not in found(quorum(RUNNING, RUNNING, EXITED, told=Quorum(1001, {}, {})))


def test_what_is_down_altogether_has_lost_no_quorum() -> None:
    stopped = [node(name, EXITED, exit_code=143) for name in (*CONTROLLERS, "broker-1")]
    of = of_mode(facts(*stopped), KRAFT)
    for name in CONTROLLERS:
        of = having(of, name, VOTERS)
    assert found(of) == {}


def test_voters_that_differ() -> None:
    of = having(
        quorum(RUNNING, RUNNING, RUNNING, told=Quorum(1001, {}, {})), "controller-2", "# edited\n" + VOTERS[:-8]
    )
    of = replace(of, surroundings=Surroundings(configured={"controller-2": "/there"}))
    told = found(of)["voters-differ"]
    assert told.title == "controller-2 has other voters of the KRaft quorum than controller-1, controller-3, broker-1"
    assert told.file == "/there/controller.properties:2"


# -- data -------------------------------------------------------------------------------------------------------------


def brokers(*ids: tuple[str, str]) -> Facts:
    """Brokers that do not run, with their data's cluster id and node id."""
    nodes = [node(f"broker-{n}", EXITED, exit_code=143) for n in range(1, len(ids) + 1)]
    stored = [
        StoredData(one.name, f"/{one.name}", {"cluster.id": cluster, "broker.id": number}, written=True)
        for one, (cluster, number) in zip(nodes, ids, strict=True)
    ]
    return of_mode(storing(facts(*nodes), *stored), ZOOKEEPER)


def test_data_of_another_cluster_or_node() -> None:
    assert found(brokers((OURS, "1"), (OURS, "2"))) == {}
    other = found(brokers((OURS, "1"), (OURS, "2"), (OTHER, "3")))["cluster-id-mismatch"]
    assert (other.node, other.file) == ("broker-3", "/broker-3")
    assert OTHER in other.evidence[0]
    assert found(brokers((OURS, "1"), (OURS, "1")))["node-id-mismatch"].node == "broker-2"


def test_what_the_log_says_of_it_is_one_finding() -> None:
    log = "[2026-01-01 10:00:00,000] ERROR no (kafka.Kafka$)\nkafka.common.InconsistentClusterIdException: it differs"
    of = brokers((OURS, "1"), (OURS, "2"), (OTHER, "3"))
    of = replace(of, nodes={**of.nodes, "broker-3": replace(of.nodes["broker-3"], log=tuple(log.splitlines()))})
    ended = tuple(replace(one, exit_code=1) if one.name == "broker-3" else one for one in of.there)
    there = known(of.observed)
    assert there
    of = replace(of, observed=replace(there, nodes=ended))
    (told,) = (one for one in findings(of) if one.id == "cluster-id-mismatch")
    assert OTHER in told.evidence[0]
    assert any("InconsistentClusterId" in line for line in told.evidence)


def test_an_ensemble_that_lost_its_data() -> None:
    keeper = node("zookeeper-1", EXITED, exit_code=143)
    of = brokers((OURS, "1"))
    stored = known(of.nodes["broker-1"].stored)
    assert stored
    both = storing(facts(keeper, *of.there), StoredData("zookeeper-1", "/zookeeper-1"), stored)
    told = found(of_mode(both, ZOOKEEPER))["ensemble-data-lost"]
    assert (told.node, told.file) == ("zookeeper-1", "/zookeeper-1")


def test_a_storage_that_is_not_formatted() -> None:
    of = storing(facts(node("broker-1", EXITED, exit_code=143)), StoredData("broker-1", "/b", {}, written=True))
    assert found(of_mode(of, ZOOKEEPER)) == {}
    told = found(of_mode(of, KRAFT))["not-formatted"]
    assert told.evidence == ("/b: no meta.properties with a cluster.id",)
    assert told.fix.startswith("provision start shop broker-1")


@pytest.mark.parametrize(
    ("key", "version", "identity"),
    [
        ("node.id", "4.3.0", "kept-data-newer"),
        ("broker.id", "3.9.1", "kept-data-other-mode"),
        ("node.id", "3.9.1", ""),
        ("node.id", "3.8.1", ""),
    ],
)
def test_data_that_were_kept(key: str, version: str, identity: str) -> None:
    cluster = cluster_of(kafka={"mode": "kraft", "version": "3.9.1"})
    launch = RenderedFile("broker-1", LAUNCH_FILE, f'{{"kafka": "{version}"}}'.encode())
    data = StoredData("broker-1", "/kept", {"cluster.id": OURS, key: "1"}, True, (launch,))
    of = replace(storing(facts(node("broker-1")), data), cluster=cluster)
    observed = known(of.observed)
    assert observed
    gone = replace(of, observed=replace(observed, nodes=(), mode=""))
    assert list(found(gone)) == ([identity] if identity else [])


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "identity", "line"),
    [
        ("server.properties", b"a=1\n# caf\xe9\n", "file-not-text", ":2"),
        ("server.properties", b"a=1\na=2\n", "file-damaged", ""),
        ("server.properties", b"a=\\u12\n", "file-damaged", ""),
        ("server.properties", UNREADABLE, "file-damaged", ""),
        ("launch.json", b'{\n"kafka" }', "file-damaged", ":2"),
        ("log4j.properties", b"\xff\xfe", "file-not-text", ":1"),
    ],
)
def test_files_that_are_not_what_they_should_be(name: str, content: bytes, identity: str, line: str) -> None:
    of = having(facts(node("broker-1")), "broker-1", content, name)
    told = found(replace(of, surroundings=Surroundings(configured={"broker-1": "/there"})))[identity]
    assert told.file == f"/there/{name}{line}"


def _edited(of: Facts, written: bytes, now: bytes, wanted: bytes | None = None) -> Facts:
    """A broker whose file was written as one thing and is another, which the file may want to be a third."""
    was = RenderedFile("broker-1", "server.properties", written)
    (fingerprint,) = with_fingerprint("broker-1", (was,))[1:]
    rendered = replace(was, content=written if wanted is None else wanted)
    about = NodeFacts("broker-1", files=(replace(was, content=now), fingerprint))
    return replace(of, rendered=(rendered,), nodes={"broker-1": about})


def test_a_node_whose_storage_is_gone_from_under_it() -> None:
    lost = Unasked("the volume shop-broker-1 has lost its directory", "`docker rm` and `docker volume rm` it")
    told = found(replace(facts(node("broker-1", EXITED)), nodes={"broker-1": NodeFacts("broker-1", stored=lost)}))
    assert told["volume-lost"].title == "broker-1 has lost its data"
    assert told["volume-lost"].evidence == (lost.why,)
    assert told["volume-lost"].fix == lost.mend


def test_files_that_were_edited() -> None:
    of = facts(node("broker-1"), surroundings=Surroundings(configured={"broker-1": "/there"}))
    told = found(_edited(of, b"a=1\nb=1\n", b"a=1\nb=2\n"))["file-edited"]
    assert told.evidence == ("b 1 → 2",)
    assert told.file == "/there/server.properties:2"
    comment = found(_edited(of, b"a=1\n", b"a=1\n# another\n"))["file-edited"]
    assert comment.evidence == ("their fingerprint is another one",)
    assert set(found(_edited(of, b"a=1\n", b"a=2\na=1\n"))) == {"file-damaged"}
    assert found(_edited(of, b"a=1\n", b"a=1\n")) == {}
    assert found(_edited(of, b"a=1\n", b"a=1\n", wanted=b"a=3\n")) == {}  # a change that `up` has still to make


@pytest.mark.parametrize("state", [RUNNING, EXITED])
def test_what_a_broker_was_given_while_it_ran_was_not_edited(state: NodeState) -> None:
    given = _edited(
        facts(node("broker-1", state)), b"num.io.threads=6\n", b"num.io.threads=6\n", wanted=b"num.io.threads=3\n"
    )
    assert "file-edited" not in found(given)


def test_notes_that_are_damaged() -> None:
    told = found(facts(node("broker-1"), damaged={"/there/node.json": Damage("Invalid JSON", "delete it")}))[
        "note-damaged"
    ]
    assert (told.file, told.evidence, told.fix) == ("/there/node.json", ("Invalid JSON",), "delete it")


# -- changes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("second", "evidence"),
    [
        (node("broker-2", NodeState.CREATED, version="3.9.1"), ("broker-2 was never started",)),
        (node("broker-2", version="3.8.1"), ("broker-1: Kafka 3.9.1", "broker-2: Kafka 3.8.1")),
    ],
)
def test_a_change_that_was_interrupted(second: ObservedNode, evidence: tuple[str, ...]) -> None:
    first = node("broker-1", version="3.9.1")
    assert found(facts(first, second))["change-interrupted"].evidence == evidence
    assert found(facts(first, second, vitals={"broker-1": JUST})) == {}  # it may be going on


def test_a_property_by_the_class_that_its_value_names(tmp_path: Path) -> None:
    source = described(tmp_path, "brokers:\n  properties:\n    metric.reporters: no.such.Plugin\n")
    cluster = cluster_of(brokers={"properties": {"metric.reporters": "no.such.Plugin"}})
    log = "[2026-01-01 10:00:00,000] ERROR no (kafka.Kafka$)\nClassNotFoundException: no.such.Plugin"
    exited = node("broker-1", EXITED, exit_code=1)
    told = found(facts(exited, logs={"broker-1": log}, source=source, cluster=cluster))["class-missing"]
    assert told.file == f"{source.file}:3"
