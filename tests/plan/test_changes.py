"""What a changed file means for the node that has it, class by class."""

import json
from collections.abc import Mapping

import pytest

from provision.cluster.fingerprint import in_order, with_fingerprint
from provision.cluster.layout import container_layout
from provision.cluster.model import Cluster, RenderedFile
from provision.cluster.resolve import resolve
from provision.plan.actions import Verb
from provision.plan.changes import NodeChange, change_of
from provision.plan.observed import NodeState, ObservedNode
from provision.spec.model import EnvironmentSpec

CREATED, RUNNING, EXITED = NodeState.CREATED, NodeState.RUNNING, NodeState.EXITED
BEFORE = {"num.io.threads": "4", "log.retention.ms": "1", "listeners": "A://:1"}
LAUNCH: Mapping[str, object] = {
    "software": "apache/kafka:3.8.1",
    "java": "java",
    "arguments": ["-Xmx256m", "kafka.Kafka"],
    "memory_bytes": 1,
    "host_port": 9092,
    "storage": "volume",
}


def cluster_of(storage: str = "volume", version: str = "3.8.1") -> Cluster:
    spec = EnvironmentSpec.model_validate({"name": "orders", "storage": storage, "kafka": {"version": version}})
    return resolve(spec, container_layout(spec), {})


def node_of(state: NodeState = RUNNING, version: str = "3.8.1") -> ObservedNode:
    return ObservedNode("broker-1", "broker", state, "another", version=version)


def files_of(
    properties: Mapping[str, str] = BEFORE, launch: Mapping[str, object] | None = None, comment: str = "broker 1"
) -> list[RenderedFile]:
    text = "".join(f"{key}={value}\n" for key, value in properties.items())
    return [
        RenderedFile("broker-1", "server.properties", f"# {comment}\n{text}".encode()),
        RenderedFile("broker-1", "launch.json", json.dumps({**LAUNCH, **(launch or {})}).encode()),
        RenderedFile("broker-1", "log4j.properties", b"log4j.rootLogger=INFO\n"),
    ]


def change(after: list[RenderedFile], *dynamic: str, state: NodeState = RUNNING, storage: str = "volume") -> NodeChange:
    found = change_of(cluster_of(storage), node_of(state), files_of(), after, dynamic)
    assert found
    return found


@pytest.mark.parametrize("state", NodeState)
def test_another_comment_or_another_order_means_nothing(state: NodeState) -> None:
    after = files_of(dict(reversed(BEFORE.items())), comment="rewritten")
    assert change_of(cluster_of(), node_of(state), files_of(), after) is None


THREADS, RETENTION = "num.io.threads", "log.retention.ms"
THREADS_TO_8 = BEFORE | {THREADS: "8"}
BOTH = BEFORE | {THREADS: "8", RETENTION: "2"}
ADDED = BEFORE | {"background.threads": "9"}
REMOVED = {key: value for key, value in BEFORE.items() if key != THREADS}


@pytest.mark.parametrize(
    ("properties", "dynamic", "verb"),
    [
        pytest.param(THREADS_TO_8, [THREADS], Verb.CONFIGURE, id="dynamic"),
        pytest.param(BOTH, [THREADS, RETENTION], Verb.CONFIGURE, id="two dynamic ones"),
        pytest.param(ADDED, ["background.threads"], Verb.CONFIGURE, id="a dynamic one is added"),
        pytest.param(THREADS_TO_8, [], Verb.RESTART, id="not dynamic"),
        pytest.param(BOTH, [THREADS], Verb.RESTART, id="one dynamic and one not"),
        pytest.param(REMOVED, [THREADS], Verb.RESTART, id="a key is taken out: it may be dynamic or not"),
        pytest.param(BEFORE | {"listeners": "A://:2"}, ["listeners"], Verb.RESTART, id="listeners"),
        pytest.param(
            BEFORE | {"advertised.listeners": "A://a:1"}, ["advertised.listeners"], Verb.RESTART, id="advertised"
        ),
        pytest.param(
            BEFORE | {"listener.security.protocol.map": "A:SSL"},
            ["listener.security.protocol.map"],
            Verb.RESTART,
            id="listeners' protocols",
        ),
    ],
)
def test_a_property_is_set_on_the_running_broker_where_it_takes_it(
    properties: dict[str, str], dynamic: list[str], verb: Verb
) -> None:
    assert change(files_of(properties), *dynamic).verb is verb


def test_the_key_of_another_file_is_never_dynamic() -> None:
    after = [
        RenderedFile(file.node, file.name, file.content + b"num.io.threads=8\n" * (file.name == "log4j.properties"))
        for file in files_of()
    ]
    assert change(after, THREADS).verb is Verb.RESTART


@pytest.mark.parametrize(
    "launch",
    [
        {"arguments": ["-Xmx512m", "kafka.Kafka"]},
        {"memory_bytes": 2},
        {"host_port": 9093},
        {"host_port": None},
        {"software": "apache/kafka:3.8.1@sha256:1"},
        {"java": "/opt/java"},
    ],
)
def test_what_is_outside_its_files_makes_a_node_anew(launch: dict[str, object]) -> None:
    assert change(files_of(launch=launch)).verb is Verb.RECREATE
    assert change(files_of(THREADS_TO_8, launch), THREADS).verb is Verb.RECREATE


@pytest.mark.parametrize("state", [CREATED, EXITED])
def test_a_node_that_does_not_run_is_recreated_whatever_changes(state: NodeState) -> None:
    assert change(files_of(THREADS_TO_8), THREADS, state=state).verb is Verb.RECREATE
    assert change(files_of(BEFORE | {"listeners": "A://:2"}), state=state).verb is Verb.RECREATE


@pytest.mark.parametrize("state", NodeState)
def test_another_storage_is_refused(state: NodeState) -> None:
    found = change(files_of(THREADS_TO_8, {"storage": "/srv/kafka"}), THREADS, state=state)
    assert (found.verb, found.hint) == (Verb.REFUSE, "`provision down` it first, or undo the change")
    assert found.cause == "storage volume → /srv/kafka: its data would be left behind"


@pytest.mark.parametrize(
    ("after", "dynamic", "state", "verb"),
    [
        (files_of(THREADS_TO_8), [THREADS], RUNNING, Verb.CONFIGURE),
        (files_of(THREADS_TO_8), [], RUNNING, Verb.REFUSE),
        (files_of(launch={"memory_bytes": 2}), [], RUNNING, Verb.REFUSE),
        (files_of(THREADS_TO_8), [], EXITED, Verb.REFUSE),
        (files_of(THREADS_TO_8), [], CREATED, Verb.RECREATE),
    ],
)
def test_data_in_memory_survive_only_what_is_dynamic(
    after: list[RenderedFile], dynamic: list[str], state: NodeState, verb: Verb
) -> None:
    found = change(after, *dynamic, state=state, storage="memory")
    assert found.verb is verb
    assert ("it would lose its data" in found.cause) is (verb is Verb.REFUSE)
    assert bool(found.hint) is (verb is Verb.REFUSE)


def test_what_cannot_be_read_and_is_in_memory_is_refused() -> None:
    found = change_of(cluster_of("memory"), node_of(), [], files_of())
    assert found
    assert found.verb is Verb.REFUSE


@pytest.mark.parametrize("state", [CREATED, EXITED])
def test_files_that_were_never_written_tell_of_no_other_storage_or_quorum(state: NodeState) -> None:
    """A killed command left a node without some of its files."""
    after = files_of({"controller.quorum.voters": "1@one:9093"})
    for before in ([], after[1:], after[:1]):
        found = change_of(cluster_of(), node_of(state), before, after)
        assert found
        assert found.verb is Verb.RECREATE


def test_the_cause_names_what_changes() -> None:
    found = change(files_of(BOTH))
    assert found.cause == "config changed: log.retention.ms 1 → 2; num.io.threads 4 → 8"
    assert [difference.key for difference in found.differences] == [RETENTION, THREADS]


def test_the_cause_of_another_version_is_the_version_and_not_what_follows_from_it() -> None:
    launch = {"software": "apache/kafka:3.9.1", "arguments": ["-cp", "/opt"], "java": "other", "memory_bytes": 2}
    found = change_of(cluster_of(version="3.9.1"), node_of(), files_of(), files_of(THREADS_TO_8, launch))
    assert found
    assert found.verb is Verb.RECREATE
    assert found.cause == "Kafka 3.8.1 → 3.9.1; memory_bytes 1 → 2; num.io.threads 4 → 8"
    assert {difference.key for difference in found.differences} == {*launch, THREADS}


def test_a_node_whose_version_is_not_known_is_told_by_what_changes() -> None:
    found = change_of(cluster_of(version="3.9.1"), node_of(version=""), files_of(), files_of(THREADS_TO_8))
    assert found
    assert found.cause == "config changed: num.io.threads 4 → 8"


@pytest.mark.parametrize("storage", ["volume", "memory"])
@pytest.mark.parametrize("dynamic", [(), (THREADS,)])
@pytest.mark.parametrize(
    ("state", "is_written", "verb", "in_memory"),
    [
        (RUNNING, True, Verb.RESTART, Verb.CONFIGURE),
        (EXITED, True, Verb.RECREATE, Verb.CONFIGURE),
        (CREATED, True, Verb.RECREATE, Verb.RECREATE),
        (RUNNING, False, Verb.RESTART, Verb.REFUSE),
        (EXITED, False, Verb.RECREATE, Verb.REFUSE),
        (CREATED, False, Verb.RECREATE, Verb.RECREATE),
    ],
    ids=str,
)
def test_files_that_were_half_written_are_written_to_the_end(
    storage: str, dynamic: tuple[str, ...], state: NodeState, *, is_written: bool, verb: Verb, in_memory: Verb
) -> None:
    """Where they were not to get just these, it is a change like any other."""
    after = files_of(THREADS_TO_8)
    begun, *_ = in_order(with_fingerprint("broker-1", after if is_written else files_of(BEFORE | {RETENTION: "9"})))
    found = change_of(cluster_of(storage), node_of(state), [begun, *files_of()], after, dynamic)
    assert found
    if state is RUNNING and dynamic:
        verb = in_memory = Verb.CONFIGURE
        assert not found.only_writes  # the broker may not have been given it
    assert found.verb is (in_memory if storage == "memory" else verb)
    assert ("its files were not written to the end: num.io.threads 4 → 8" in found.cause) is is_written
