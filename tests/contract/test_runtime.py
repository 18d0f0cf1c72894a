"""One suite for every runtime: what the port promises, shown on each adapter."""

import io
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest

from provision.catalogue.versions import KafkaVersion
from provision.cluster.fingerprint import FINGERPRINT_FILE, config_hash, is_edited, with_fingerprint
from provision.cluster.model import Cluster, Node, RenderedFile, SwarmOptions
from provision.cluster.properties import parse
from provision.cluster.render import render
from provision.cluster.resolve import resolve, resolve_without_ports
from provision.common.patience import Patience
from provision.common.process_identity import ProcessIdentity
from provision.common.values import replace
from provision.errors import Busy, NodeGone, ProvisionError
from provision.events import silent
from provision.home.holders import Holder
from provision.home.locks import HomeLock
from provision.home.place import Home
from provision.home.ports import port_is_free
from provision.observe.files import files_of
from provision.operations.remove import down
from provision.plan.about import About, Change
from provision.plan.observed import NodeState
from provision.runtime import Runtimes
from provision.runtime.base import Hold, JavaCommand, Runtime, Streams
from provision.runtime.fake import FakeRuntime
from provision.spec.loader import load
from tests.engine import DEFAULT_VERSION, engine, image, java, wait_until
from tests.holders import dead, living, reused

pytestmark = pytest.mark.row("apart")

NAME = "contract"
FILE = """
name: contract
zookeeper: {port: auto}
brokers: {port: auto}
"""
KRAFT_FILE = """
name: contract
kafka: {mode: kraft}
controllers: {nodes: 1}
brokers: {port: auto}
"""
CLUSTER_ID, ANOTHER_ID = "fwAAAAAAAAAAAAAAAAAAAA", "fwAAAAAAAAAAAAAAAAAAAQ"


@pytest.fixture(
    params=[
        "fake",
        pytest.param("process", marks=pytest.mark.process),
        pytest.param("docker", marks=pytest.mark.engine),
        pytest.param("swarm", marks=[pytest.mark.engine, pytest.mark.soak, pytest.mark.row("swarm")]),
    ]
)
def runtime(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    yield from made_runtime(request, tmp_path, monkeypatch)


def made_runtime(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """The adapter that the request asks for, on which nothing is left afterwards."""
    if request.param == "docker":
        image()
    if request.param == "swarm":
        monkeypatch.setenv("DOCKER_HOST", request.getfixturevalue("swarm").hosts[0].docker_host)
    if request.param == "process":
        java(DEFAULT_VERSION)
    runtimes = _runtimes(tmp_path)
    adapter = FakeRuntime() if request.param == "fake" else runtimes.of_kind(request.param)
    before = _volumes(request.param)  # an interrupted run may have left some
    yield adapter
    for node in adapter.observe(NAME).nodes:
        adapter.remove_node(NAME, node.name)
    for storage in adapter.observe(NAME).storages:
        adapter.remove_storage(NAME, storage, delete_data=True)
    adapter.remove_network(NAME)
    assert adapter.observe(NAME).is_absent
    assert _volumes(request.param) <= before
    if request.param == "swarm":
        assert wait_until(lambda: not request.getfixturevalue("swarm").traces(NAME))
    runtimes.close()


def _volumes(kind: str) -> set[str]:
    """The engine's volumes of the environment, its notes among them."""
    if kind != "docker":
        return set()
    found = engine().api.volumes(filters={"label": f"provision.environment={NAME}"})["Volumes"]
    return {str(volume["Name"]) for volume in found or ()}


def _runtimes(directory: Path) -> Runtimes:
    return Runtimes(Home.at(directory / "home", Home.of_user().cache))


@pytest.fixture
def cluster(runtime: Runtime, request: pytest.FixtureRequest, tmp_path: Path) -> Cluster:
    return _resolved(runtime, request, tmp_path, FILE)


def _resolved(runtime: Runtime, request: pytest.FixtureRequest, tmp_path: Path, text: str) -> Cluster:
    file = tmp_path / "contract.yaml"
    file.write_text(text)
    spec = load(file, (f"kafka.image={image()}",) if runtime.kind in ("docker", "swarm") else ())
    layout = _runtimes(tmp_path).layout("docker" if runtime.kind == "fake" else runtime.kind, spec, str(tmp_path))
    located = runtime.located(layout, resolve_without_ports(spec, layout, str(tmp_path)))
    made = resolve(spec, located, _ports(runtime, *layout.leased_ports(spec)), str(tmp_path))
    if runtime.kind != "swarm":
        return made
    hosts = request.getfixturevalue("swarm").hosts
    reached = {host.name: host.docker_host for host in hosts}
    return replace(made, swarm=SwarmOptions(encrypted=False, reached=reached))


def _ports(runtime: Runtime, *names: str) -> dict[str, int]:
    first = {"fake": 30100, "process": 30130, "docker": 30160, "swarm": 30190}[
        runtime.kind
    ]  # they may run side by side
    free = (port for port in range(first, first + 30) if port_is_free(port))
    return {name: next(free) for name in names}


@pytest.fixture
def kraft(runtime: Runtime, request: pytest.FixtureRequest, tmp_path: Path) -> Cluster:
    """A dedicated controller and a broker; the cluster's id is chosen."""
    return replace(_resolved(runtime, request, tmp_path, KRAFT_FILE), cluster_id=CLUSTER_ID)


@pytest.fixture
def files(cluster: Cluster) -> tuple[RenderedFile, ...]:
    """The files of all nodes, with their fingerprints."""
    rendered = render(cluster)
    own = ([file for file in rendered if file.node == node.name] for node in cluster.nodes)
    return tuple(file for some in own for file in with_fingerprint(some[0].node, some))


def _create(runtime: Runtime, cluster: Cluster, files: tuple[RenderedFile, ...]) -> None:
    for software in runtime.missing_software(cluster):
        runtime.fetch_software(cluster, software, silent)
    runtime.create_network(cluster)
    for node in cluster.nodes:
        runtime.create_storage(cluster, node)
        own = [file for file in files if file.node == node.name]
        runtime.create_node(cluster, node, own)


def test_nothing_is_observed_where_nothing_was_made(runtime: Runtime) -> None:
    observed = runtime.observe(NAME, ["broker-1"])
    assert observed.is_absent
    assert observed.foreign == ()
    assert NAME not in runtime.environments()


def test_what_an_environment_knows_of_itself_is_no_trace_of_it_and_goes_with_the_last(
    runtime: Runtime, cluster: Cluster
) -> None:
    first = About(file="/one/orders.yaml", host="here", home="/h", user="ada", created_s=1.5, ttl_s=60)
    change = Change(
        run="0123456789ab",
        command="up",
        user="ada",
        process=ProcessIdentity.of(),
        began_s=1.5,
        seconds=0.25,
        outcome="done",
        exit_code=0,
    )
    second = About(file="/other/orders.yaml", owner="job 7", created_s=2, changes=(change,) * 10)
    runtime.write_about(NAME, first)
    assert (runtime.observe(NAME).about, runtime.about(NAME)) == (first, first)
    assert runtime.observe(NAME).is_absent
    assert NAME not in runtime.environments()
    runtime.create_network(cluster)
    runtime.create_storage(cluster, cluster.brokers[0])
    for about in (second, first, second):
        runtime.write_about(NAME, about)
        assert (runtime.observe(NAME).about, runtime.abouts()[NAME]) == (about, about)
        assert runtime.observe(NAME).ttl_s == about.ttl_s
    runtime.remove_network(NAME)
    assert runtime.about(NAME) == second  # the storage's
    runtime.remove_storage(NAME, "broker-1", delete_data=True)
    assert runtime.observe(NAME).storages == frozenset()
    runtime.remove_network(NAME)
    assert runtime.about(NAME) is None
    assert NAME not in runtime.abouts()
    assert runtime.observe(NAME).is_absent


@pytest.mark.parametrize("before", ["nothing", "its network", "its data"])
def test_of_a_node_that_is_gone_nothing_is_told_but_that(
    runtime: Runtime, cluster: Cluster, files: tuple[RenderedFile, ...], before: str
) -> None:
    broker = cluster.brokers[0].name
    if before == "its network":
        runtime.create_network(cluster)
    if before == "its data":
        _create(runtime, cluster, files)
        runtime.remove_node(NAME, broker)
    asks: list[Callable[[], object]] = [
        lambda: list(runtime.log_lines(NAME, broker)),
        lambda: runtime.run_in_node(NAME, broker, JavaCommand("Main", ())),
        lambda: runtime.start_node(NAME, broker),
    ]
    if before != "its data":  # which some runtimes tell the files of
        asks.append(lambda: runtime.read_files(NAME, broker))
    for ask in asks:
        with pytest.raises(NodeGone, match=f"{NAME} has no node {broker}"):
            ask()


def test_a_storage_that_somebody_removes_before_its_node_is_created_does_not_come_back_as_nobodys(
    runtime: Runtime, cluster: Cluster, files: tuple[RenderedFile, ...]
) -> None:
    for software in runtime.missing_software(cluster):
        runtime.fetch_software(cluster, software, silent)
    runtime.create_network(cluster)
    broker = cluster.brokers[0]
    runtime.create_storage(cluster, broker)
    runtime.remove_storage(NAME, broker.name, delete_data=True)
    runtime.create_node(cluster, broker, [file for file in files if file.node == broker.name])
    runtime.remove_node(NAME, broker.name)
    for storage in runtime.observe(NAME).storages:
        runtime.remove_storage(NAME, storage, delete_data=True)
    runtime.remove_network(NAME)
    observed = runtime.observe(NAME, [broker.name])
    assert observed.is_absent
    assert observed.foreign == ()


def test_what_was_made_is_observed_with_its_hash(
    runtime: Runtime, cluster: Cluster, files: tuple[RenderedFile, ...]
) -> None:
    _create(runtime, cluster, files)
    observed = runtime.observe(NAME)
    assert observed.network
    assert observed.storages == {"broker-1", "zookeeper-1"}
    assert [(node.name, node.role, node.state) for node in observed.nodes] == [
        ("broker-1", "broker", NodeState.CREATED),
        ("zookeeper-1", "zookeeper", NodeState.CREATED),
    ]
    assert [node.config_hash for node in observed.nodes] == [
        config_hash(name, files) for name in ("broker-1", "zookeeper-1")
    ]
    assert (observed.version, observed.mode, observed.software) == ("3.9.1", "zookeeper", cluster.software)
    assert NAME in runtime.environments()


def test_every_making_verb_can_be_repeated(runtime: Runtime, cluster: Cluster, files: tuple[RenderedFile, ...]) -> None:
    _create(runtime, cluster, files)
    before = runtime.observe(NAME)
    _create(runtime, cluster, files)
    assert runtime.observe(NAME) == before


def test_the_files_of_a_node_can_be_read_back(
    runtime: Runtime, cluster: Cluster, files: tuple[RenderedFile, ...]
) -> None:
    _create(runtime, cluster, files)
    for node in cluster.nodes:
        read = sorted(runtime.read_files(NAME, node.name), key=lambda file: file.name)
        assert read == sorted((file for file in files if file.node == node.name), key=lambda file: file.name)


def test_a_node_knows_its_kafka_version_and_software(
    runtime: Runtime, cluster: Cluster, files: tuple[RenderedFile, ...]
) -> None:
    _create(runtime, cluster, files)
    known = {node.name: (node.version, node.software) for node in runtime.observe(NAME).nodes}
    assert known == dict.fromkeys(("broker-1", "zookeeper-1"), ("3.9.1", cluster.software))


def test_software_is_identified_by_its_content(
    runtime: Runtime, cluster: Cluster, files: tuple[RenderedFile, ...]
) -> None:
    _create(runtime, cluster, files)
    identities = runtime.identify_software(cluster)
    assert identities == runtime.identify_software(cluster)
    assert all(re.fullmatch("sha256:[0-9a-f]{64}", identity.checksum) for identity in identities.values())
    made_from = {node.software_id for node in runtime.observe(NAME).nodes}
    if runtime.kind == "process":
        assert {"kafka_2.13-3.9.1.jar", "kafka-clients-3.9.1.jar"} <= identities.keys()
        assert made_from == {""}
    else:
        assert list(identities) == [cluster.software]
        assert made_from == {identities[cluster.software].checksum}


def test_software_that_is_not_there_has_no_identity(runtime: Runtime, cluster: Cluster, tmp_path: Path) -> None:
    name = str(tmp_path / "nowhere") if runtime.kind == "process" else f"{cluster.software}-nowhere"
    nodes = tuple(replace(node, software=name) for node in cluster.nodes)
    assert runtime.identify_software(replace(cluster, software=name, nodes=nodes)) == {}


def test_files_are_updated_for_the_next_start_and_the_node_runs_on(
    runtime: Runtime, cluster: Cluster, files: tuple[RenderedFile, ...]
) -> None:
    _create(runtime, cluster, files)
    runtime.start_node(NAME, "zookeeper-1")
    before = runtime.observe(NAME)
    updated = _changed(files, "zookeeper-1", "# a comment\n")
    runtime.update_files(NAME, "zookeeper-1", updated)
    runtime.update_files(NAME, "zookeeper-1", updated)
    assert _files(runtime, "zookeeper-1") == {file.name: file.text for file in updated}
    assert _files(runtime, "broker-1") == {file.name: file.text for file in files if file.node == "broker-1"}
    assert runtime.observe(NAME) == before


def test_files_that_are_just_being_written_do_not_look_edited(
    runtime: Runtime, cluster: Cluster, files: tuple[RenderedFile, ...]
) -> None:
    _create(runtime, cluster, files)
    (zookeeper,) = cluster.zookeepers
    seen, ended = set[bool | None](), threading.Event()

    def look() -> None:
        while not ended.is_set():
            with suppress(NodeGone):  # it is just being replaced
                seen.add(is_edited("zookeeper-1", files_of(runtime, NAME, "zookeeper-1")))

    with ThreadPoolExecutor() as pool:
        looking = pool.submit(look)
        try:
            for number in range(20):
                runtime.update_files(NAME, "zookeeper-1", _changed(files, "zookeeper-1", f"# {number}\n"))
                runtime.replace_node(cluster, zookeeper, _changed(files, "zookeeper-1", f"# again {number}\n"))
        finally:
            ended.set()
        looking.result()
    assert True not in seen
    assert False in seen  # it has looked, and not only in between
    assert is_edited("zookeeper-1", runtime.read_files(NAME, "zookeeper-1")) is False


@pytest.mark.parametrize("storage", ["volume", "directory"])
def test_what_is_stored_outlives_the_replacement_of_its_node_while_others_read_it(
    runtime: Runtime, request: pytest.FixtureRequest, tmp_path: Path, storage: str
) -> None:
    """An engine before Docker 24 deletes what is in the volumes of a container that is removed while it is copied."""
    if runtime.kind in ("fake", "swarm"):
        pytest.skip("it stores nothing, or copies nothing")
    text = KRAFT_FILE + (f"storage: {tmp_path / 'data'}\n" if storage == "directory" else "")
    kraft = replace(_resolved(runtime, request, tmp_path, text), cluster_id=CLUSTER_ID)
    rendered, (controller,), ended = render(kraft), kraft.controllers, threading.Event()
    files = with_fingerprint(controller.name, [file for file in rendered if file.node == controller.name])
    _create(runtime, kraft, rendered)
    runtime.format_storage(NAME, controller.name, CLUSTER_ID)

    def look() -> int:
        looks = 0
        while not ended.is_set():
            with suppress(ProvisionError):  # it is just being replaced
                runtime.read_files(NAME, controller.name)
                runtime.read_storage(NAME, controller.name)
                looks += 1
        return looks

    with ThreadPoolExecutor() as pool:
        looking = [pool.submit(look) for _ in range(4)]
        try:
            for _ in range(15):
                runtime.replace_node(kraft, controller, files)
        finally:
            ended.set()
        assert sum(one.result() for one in looking) > 0
    data = runtime.read_storage(NAME, controller.name)
    assert data is not None
    assert (data.cluster_id, data.node_id) == (CLUSTER_ID, str(controller.id))


def test_a_node_that_was_replaced_has_its_new_files_and_mark_and_its_storage(
    runtime: Runtime, cluster: Cluster, files: tuple[RenderedFile, ...]
) -> None:
    _create(runtime, cluster, files)
    before = runtime.observe(NAME)
    (zookeeper,) = cluster.zookeepers
    for comment in ("# one\n", "# two\n", "# two\n"):  # changed, and again: writing the same twice is harmless
        changed = _changed(files, "zookeeper-1", comment)
        runtime.replace_node(cluster, zookeeper, changed)
        assert _files(runtime, "zookeeper-1") == {file.name: file.text for file in changed}
        marked = tuple(
            replace(node, config_hash=config_hash(node.name, changed)) if node.name == "zookeeper-1" else node
            for node in before.nodes
        )
        assert runtime.observe(NAME) == replace(before, nodes=marked)
    assert _files(runtime, "broker-1") == {file.name: file.text for file in files if file.node == "broker-1"}


def test_a_node_that_has_run_is_replaced_and_starts_again(
    runtime: Runtime, cluster: Cluster, files: tuple[RenderedFile, ...]
) -> None:
    _create(runtime, cluster, files)
    (zookeeper,) = cluster.zookeepers
    runtime.start_node(NAME, "zookeeper-1")
    runtime.stop_node(NAME, "zookeeper-1", patience_s=30)
    changed = _changed(files, "zookeeper-1", "# another\n")
    runtime.replace_node(cluster, zookeeper, changed)
    assert _state(runtime, "zookeeper-1") in (NodeState.CREATED, NodeState.EXITED)
    runtime.start_node(NAME, "zookeeper-1")
    assert _state(runtime, "zookeeper-1") is NodeState.RUNNING
    assert _files(runtime, "zookeeper-1") == {file.name: file.text for file in changed}


def test_a_node_that_was_replaced_for_another_version_knows_it(
    runtime: Runtime, cluster: Cluster, files: tuple[RenderedFile, ...]
) -> None:
    _create(runtime, cluster, files)
    newer = replace(cluster, version=KafkaVersion(3, 9, 2))
    (zookeeper,) = cluster.zookeepers
    own = _changed(files, "zookeeper-1", "")
    runtime.replace_node(newer, zookeeper, own)
    assert {node.name: node.version for node in runtime.observe(NAME).nodes} == {
        "broker-1": "3.9.1",
        "zookeeper-1": "3.9.2",
    }


def test_a_node_that_is_not_there_is_made_when_it_is_replaced(
    runtime: Runtime, cluster: Cluster, files: tuple[RenderedFile, ...]
) -> None:
    _create(runtime, cluster, files)
    (zookeeper,) = cluster.zookeepers
    before = runtime.observe(NAME)
    runtime.remove_node(NAME, "zookeeper-1")
    own = _changed(files, "zookeeper-1", "")
    runtime.replace_node(cluster, zookeeper, own)
    assert runtime.observe(NAME) == before
    assert _files(runtime, "zookeeper-1") == {file.name: file.text for file in own}


def test_nodes_that_were_recreated_later_leave_an_environment_as_old_as_it_is(
    runtime: Runtime, cluster: Cluster, files: tuple[RenderedFile, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    began_s = int(time.time())
    _create(runtime, cluster, files)
    created_s = runtime.observe(NAME).created_s
    if runtime.kind != "fake":  # it keeps no time
        assert created_s is not None
        assert began_s <= created_s <= time.time()
    an_hour_later_s = time.time() + 3600
    with monkeypatch.context() as clock:
        clock.setattr(time, "time", lambda: an_hour_later_s)
        for node in cluster.nodes:
            own = _changed(files, node.name, "# later\n")
            runtime.replace_node(cluster, node, own)
    assert runtime.observe(NAME).created_s == created_s


def _changed(files: tuple[RenderedFile, ...], node: str, comment: str) -> tuple[RenderedFile, ...]:
    """The node's files with a comment that means nothing."""
    own = [file for file in files if file.node == node and file.name != FINGERPRINT_FILE]
    changed = (
        replace(file, content=file.content + comment.encode() * file.name.endswith(".properties")) for file in own
    )
    return with_fingerprint(node, tuple(changed))


def _files(runtime: Runtime, node: str) -> dict[str, str]:
    return {file.name: file.text for file in runtime.read_files(NAME, node)}


def test_a_node_starts_runs_stops_and_starts_again(
    runtime: Runtime, cluster: Cluster, files: tuple[RenderedFile, ...]
) -> None:
    _create(runtime, cluster, files)
    runtime.start_node(NAME, "zookeeper-1")
    runtime.start_node(NAME, "zookeeper-1")
    assert _state(runtime, "zookeeper-1") is NodeState.RUNNING
    runtime.stop_node(NAME, "zookeeper-1", patience_s=30)
    runtime.stop_node(NAME, "zookeeper-1", patience_s=30)
    assert _state(runtime, "zookeeper-1") is NodeState.EXITED
    stopped = runtime.observe(NAME).node("zookeeper-1")
    assert stopped is not None
    assert stopped.exit_code == 143
    runtime.start_node(NAME, "zookeeper-1")
    assert _state(runtime, "zookeeper-1") is NodeState.RUNNING


def test_a_killed_node_has_exited_with_137(runtime: Runtime, cluster: Cluster, files: tuple[RenderedFile, ...]) -> None:
    _create(runtime, cluster, files)
    runtime.start_node(NAME, "zookeeper-1")
    runtime.kill_node(NAME, "zookeeper-1")
    runtime.kill_node(NAME, "zookeeper-1")
    killed = runtime.observe(NAME).node("zookeeper-1")
    assert killed is not None
    assert (killed.state, killed.exit_code) == (NodeState.EXITED, 137)


def test_a_paused_node_is_one_that_goes_on_stops_dies_or_is_removed(
    runtime: Runtime, cluster: Cluster, files: tuple[RenderedFile, ...]
) -> None:
    _create(runtime, cluster, files)
    runtime.start_node(NAME, "zookeeper-1")
    before = runtime.observe(NAME)
    _pause(runtime, "zookeeper-1")
    assert _files(runtime, "zookeeper-1")
    runtime.start_node(NAME, "zookeeper-1")
    assert runtime.observe(NAME) == before
    for end, exit_code in ((lambda node: runtime.stop_node(NAME, node, 30), 143), (_kill(runtime), 137)):
        _pause(runtime, "zookeeper-1")
        end("zookeeper-1")
        ended = runtime.observe(NAME).node("zookeeper-1")
        assert ended is not None
        assert (ended.state, ended.exit_code) == (NodeState.EXITED, exit_code)
        runtime.start_node(NAME, "zookeeper-1")
    for _ in range(2):
        runtime.pause_node(NAME, "zookeeper-1")
        assert _state(runtime, "zookeeper-1") is NodeState.PAUSED
    runtime.remove_node(NAME, "zookeeper-1")
    assert runtime.observe(NAME).node("zookeeper-1") is None


def _kill(runtime: Runtime) -> Callable[[str], None]:
    return lambda node: runtime.kill_node(NAME, node)


def _pause(runtime: Runtime, node: str) -> None:
    if isinstance(runtime, FakeRuntime):
        runtime.pause_node(NAME, node)
    elif runtime.kind == "docker":
        engine().containers.get(f"{NAME}-{node}").pause()
    elif runtime.kind == "swarm":
        runtime.pause_node(NAME, node)
    else:
        _freeze(_process_of(runtime, node))
    assert _state(runtime, node) is NodeState.PAUSED


def test_removing_can_be_repeated_and_leaves_nothing(
    runtime: Runtime, cluster: Cluster, files: tuple[RenderedFile, ...]
) -> None:
    _create(runtime, cluster, files)
    runtime.start_node(NAME, "zookeeper-1")
    for _ in range(2):
        for node in cluster.nodes:
            runtime.remove_node(NAME, node.name)
    assert runtime.observe(NAME).storages == {"broker-1", "zookeeper-1"}
    for _ in range(2):
        for node in cluster.nodes:
            runtime.remove_storage(NAME, node.name, delete_data=False)
        runtime.remove_network(NAME)
    assert runtime.observe(NAME).is_absent


@pytest.mark.parametrize("keep_data", [True, False])
def test_an_environment_that_is_removed_twice_has_nothing_to_remove_then(
    runtime: Runtime, cluster: Cluster, files: tuple[RenderedFile, ...], tmp_path: Path, keep_data: bool
) -> None:
    _create(runtime, cluster, files)
    home = Home.at(tmp_path / "home", tmp_path / "cache")
    assert down(runtime, NAME, home, keep_data=keep_data) >= len(cluster.nodes)
    for _ in range(2):
        assert down(runtime, NAME, home, keep_data=keep_data) == 0
        assert runtime.observe(NAME).storages == ({"broker-1", "zookeeper-1"} if keep_data else set())
    if keep_data:
        assert down(runtime, NAME, home) >= len(cluster.nodes)


def test_the_cluster_id_is_kept_with_the_environment(runtime: Runtime, kraft: Cluster) -> None:
    _create(runtime, kraft, render(kraft))
    observed = runtime.observe(NAME)
    assert (observed.cluster_id, observed.mode) == (CLUSTER_ID, "kraft")


def test_without_a_cluster_id_there_is_none(
    runtime: Runtime, cluster: Cluster, files: tuple[RenderedFile, ...]
) -> None:
    _create(runtime, cluster, files)
    assert runtime.observe(NAME).cluster_id == ""


def test_storages_are_formatted_and_formatting_can_be_repeated(runtime: Runtime, kraft: Cluster) -> None:
    _create(runtime, kraft, render(kraft))
    before = runtime.observe(NAME)
    for _ in range(2):
        for node in kraft.nodes:
            runtime.format_storage(NAME, node.name, kraft.cluster_id)
    assert runtime.observe(NAME) == before
    if runtime.kind == "process":
        assert {_formatted_with(node) for node in kraft.nodes} == {CLUSTER_ID}


def test_a_storage_is_formatted_without_a_jvm_and_as_the_node_would_write_it(
    runtime: Runtime, kraft: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    if runtime.kind == "fake":
        pytest.skip("it formats nothing")
    for tool in ("provision.runtime.process.runtime.format_command", "provision.runtime.docker.formatting.run_format"):
        monkeypatch.setattr(tool, None)
    _create(runtime, kraft, render(kraft))
    for node in kraft.nodes:
        runtime.format_storage(NAME, node.name, kraft.cluster_id)
    for node in kraft.nodes:
        data = runtime.read_storage(NAME, node.name)
        assert data is not None
        assert (data.cluster_id, data.node_id, data.written) == (CLUSTER_ID, str(node.id), False)
        assert data.meta["version"] == "1"


def test_a_storage_with_anything_in_it_is_left_to_the_tool(runtime: Runtime, kraft: Cluster) -> None:
    if runtime.kind != "process":
        pytest.skip("its files cannot be put there by hand")
    _create(runtime, kraft, render(kraft))
    (controller,) = kraft.controllers
    note = Path(controller.data_dir, "meta.properties")
    note.write_text(f"node.id=7\nversion=1\ncluster.id={ANOTHER_ID}\n")
    with pytest.raises(ProvisionError, match="the storage of controller-1 could not be formatted"):
        runtime.format_storage(NAME, controller.name, kraft.cluster_id)
    assert parse(note.read_text())["cluster.id"] == ANOTHER_ID


@pytest.mark.parametrize("made_again", [False, True], ids=["the same node", "another one"])
def test_a_formatted_storage_keeps_its_id(runtime: Runtime, kraft: Cluster, made_again: bool) -> None:
    if runtime.kind == "fake":
        pytest.skip("it formats nothing")
    _create(runtime, kraft, render(kraft))
    (controller,) = kraft.controllers
    runtime.format_storage(NAME, controller.name, kraft.cluster_id)
    if made_again:
        runtime.remove_node(NAME, controller.name)
        _create(runtime, kraft, render(kraft))
    with pytest.raises(ProvisionError, match="the storage of controller-1 could not be formatted") as caught:
        runtime.format_storage(NAME, controller.name, ANOTHER_ID)
    assert f"Expected {ANOTHER_ID}, but read {CLUSTER_ID}" in caught.value.why
    if runtime.kind == "process":
        assert _formatted_with(controller) == CLUSTER_ID


def test_a_storage_that_cannot_be_formatted_is_an_error_with_what_the_tool_said(
    runtime: Runtime, kraft: Cluster
) -> None:
    if runtime.kind == "fake":
        pytest.skip("it formats nothing")
    (controller,) = kraft.controllers
    broken = tuple(
        replace(file, content=file.content.replace(b"node.id=1001", b"node.id=none")) for file in render(kraft)
    )
    _create(runtime, kraft, broken)
    with pytest.raises(ProvisionError, match="the storage of controller-1 could not be formatted") as caught:
        runtime.format_storage(NAME, controller.name, kraft.cluster_id)
    assert "Invalid value none" in caught.value.why
    assert "log4j" not in caught.value.why
    assert "\tat " not in caught.value.why


def _formatted_with(node: Node) -> str:
    return parse(Path(node.data_dir, "meta.properties").read_text())["cluster.id"]


def test_a_node_that_is_not_there_cannot_be_started(runtime: Runtime) -> None:
    with pytest.raises(ProvisionError, match="no node broker-7"):
        runtime.start_node(NAME, "broker-7")
    with pytest.raises(ProvisionError, match="no node broker-7"):
        list(runtime.log_lines(NAME, "broker-7"))


@pytest.mark.parametrize("how", ["replaced", "restarted"])
def test_a_log_that_is_followed_goes_on_with_a_node_that_a_command_replaces(
    runtime: Runtime,
    cluster: Cluster,
    files: tuple[RenderedFile, ...],
    hold: Callable[..., Hold],
    tmp_path: Path,
    how: str,
) -> None:
    if runtime.kind in ("fake", "swarm"):
        pytest.skip("it has no processes, or its engines do not tell the end of a log")
    _create(runtime, cluster, files)
    (node,) = cluster.zookeepers
    own = [file for file in files if file.node == node.name]
    runtime.start_node(NAME, node.name)
    lines: list[str] = []

    def has_begun(times: int) -> bool:
        return wait_until(lambda: sum("binding to port" in line for line in lines) == times)

    with ThreadPoolExecutor() as pool:
        following = pool.submit(lambda: lines.extend(runtime.log_lines(NAME, node.name, follow=True)))
        try:
            assert has_begun(1)
            held, at_home = hold(living("up")), HomeLock(tmp_path / "home", NAME)
            at_home.take(living("up"))
            runtime.stop_node(NAME, node.name, 30)
            if how == "replaced":
                runtime.replace_node(cluster, node, own)
            runtime.start_node(NAME, node.name)
            assert has_begun(2)
            held.release()
            at_home.release()
        finally:
            runtime.kill_node(NAME, node.name)
        following.result(30)
    assert sum("binding to port" in line for line in lines) == 2


def test_a_tool_writes_to_the_callers_streams(
    runtime: Runtime, cluster: Cluster, files: tuple[RenderedFile, ...]
) -> None:
    _create(runtime, cluster, files)
    assert re.fullmatch(r"[\w.-]+:\d+", runtime.inside_address(NAME, "broker-1"))
    out, err = io.BytesIO(), io.BytesIO()
    command = JavaCommand("kafka.tools.StorageTool", ("random-uuid",))
    code = runtime.run_tool(runtime.observe(NAME), command, Streams(None, out, err))
    assert code == 0, err.getvalue()
    assert out.getvalue().strip()


def _state(runtime: Runtime, node: str) -> NodeState | None:
    observed = runtime.observe(NAME).node(node)
    return observed.state if observed else None


@pytest.mark.matrix
def test_a_node_that_does_not_act_on_sigterm_is_killed_when_time_is_up(
    runtime: Runtime, cluster: Cluster, files: tuple[RenderedFile, ...]
) -> None:
    """Here there is no time at all."""
    if runtime.kind != "docker":
        pytest.skip("a process gets SIGTERM in any case, and may be faster")
    _create(runtime, cluster, files)
    runtime.start_node(NAME, "zookeeper-1")
    runtime.stop_node(NAME, "zookeeper-1", patience_s=0.0)
    stopped = runtime.observe(NAME).node("zookeeper-1")
    assert stopped is not None
    assert (stopped.state, stopped.exit_code) == (NodeState.EXITED, 137)


@pytest.mark.matrix
def test_a_node_that_was_stopped_by_a_signal_is_resumed_to_stop_and_to_go_on(
    runtime: Runtime, cluster: Cluster, files: tuple[RenderedFile, ...]
) -> None:
    if runtime.kind in ("fake", "swarm"):
        pytest.skip("it has no processes here")
    _create(runtime, cluster, files)
    runtime.start_node(NAME, "zookeeper-1")
    process = _process_of(runtime, "zookeeper-1")
    _freeze(process)
    halted = runtime.halted(NAME, ["zookeeper-1"]) == {"zookeeper-1"}
    assert halted or _state(runtime, "zookeeper-1") is NodeState.PAUSED
    runtime.start_node(NAME, "zookeeper-1")
    assert _state(runtime, "zookeeper-1") is NodeState.RUNNING
    assert not runtime.halted(NAME, ["zookeeper-1"])
    assert _process_of(runtime, "zookeeper-1") == process
    _freeze(process)
    runtime.stop_node(NAME, "zookeeper-1", patience_s=60.0)
    stopped = runtime.observe(NAME).node("zookeeper-1")
    assert stopped is not None
    assert stopped.state is NodeState.EXITED
    assert stopped.exit_code == 143


def _freeze(pid: int) -> None:
    """Stop a process by a signal, and wait until it has stopped: until then a thread of it still acts on SIGTERM."""
    os.kill(pid, signal.SIGSTOP)
    patience = Patience(10.0)
    while any(_state_of(thread) != "T" for thread in Path(f"/proc/{pid}/task").iterdir()):
        assert patience.pause(0.02), f"process {pid} does not stop"


def _state_of(thread: Path) -> str:
    try:
        return (thread / "stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return ""  # it has just ended


def _process_of(runtime: Runtime, node: str) -> int:
    if runtime.kind == "docker":
        return int(engine().containers.get(f"{NAME}-{node}").attrs["State"]["Pid"])
    found: list[int] = []

    def is_there() -> bool:  # one that has just been started has no command line while Java's launcher replaces itself
        lines = {process.pid: " ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])}
        found[:] = [pid for pid, line in lines.items() if f"/{NAME}/{node} " in line]
        return bool(found)

    assert wait_until(is_there)
    (pid,) = found
    return pid


@pytest.fixture
def hold(runtime: Runtime) -> Iterator[Callable[..., Hold]]:
    """Holds the environment. In the end every hold is given up: one whose holder is dead has a heartbeat as well."""
    with ExitStack() as stack:

        def held(holder: Holder, force: Patience | None = None) -> Hold:
            made = runtime.hold(NAME, holder, force)
            stack.callback(made.release)
            return made

        yield held


def test_an_environment_is_held_by_one_command_at_a_time(runtime: Runtime, hold: Callable[..., Hold]) -> None:
    first = hold(up := living("up"))
    first.require_held()
    assert runtime.observe(NAME).is_absent  # a lock is no trace of an environment
    assert NAME not in runtime.environments()
    assert runtime.holder(NAME) == (None if runtime.kind == "process" else up)
    if runtime.kind != "process":  # there, the home's lock is enough
        with pytest.raises(Busy, match="contract is being changed by `provision up`"):
            hold(living("down"))
    first.release()
    assert runtime.holder(NAME) is None
    again = hold(living("down"))
    again.require_held()
    again.release()
    again.release()


@pytest.mark.parametrize("gone", [dead, reused], ids=["killed", "its id was reused"])
def test_what_a_dead_command_held_is_free(
    runtime: Runtime, hold: Callable[..., Hold], gone: Callable[[], Holder]
) -> None:
    hold(left := gone())
    assert runtime.holder(NAME) is None
    assert runtime.killed_holder(NAME) == (None if runtime.kind == "process" else left)
    hold(living("down")).require_held()
    assert runtime.killed_holder(NAME) is None


def test_a_living_command_that_does_not_end_loses_what_it_held(runtime: Runtime, hold: Callable[..., Hold]) -> None:
    mine = hold(living("up"))
    theirs = hold(living("down"), Patience(0.2))
    theirs.require_held()
    mine.release()
    theirs.require_held()
    theirs.release()
    hold(living("up"))
