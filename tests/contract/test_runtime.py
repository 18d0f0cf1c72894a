"""One suite for every runtime: what the port promises, shown on each adapter."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.cluster.fingerprint import config_hash
from provision.cluster.model import Cluster, RenderedFile
from provision.cluster.render import render
from provision.cluster.resolve import resolve
from provision.errors import ProvisionError
from provision.events import silent
from provision.home.ports import port_is_free
from provision.plan.observed import NodeState
from provision.runtime import layout_for, runtime_of_kind
from provision.runtime.base import JavaCommand, Runtime, Streams
from provision.runtime.fake import FakeRuntime
from provision.spec.loader import load
from tests.engine import DEFAULT_VERSION, image, java

NAME = "contract"
FILE = """
name: contract
zookeeper: {port: auto}
brokers: {port: auto}
"""


@pytest.fixture(params=["fake", "process", pytest.param("docker", marks=pytest.mark.engine)])
def runtime(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    monkeypatch.setenv("PROVISION_HOME", str(tmp_path / "home"))
    if request.param == "docker":
        image()
    if request.param == "process":
        java(DEFAULT_VERSION)
    adapter = FakeRuntime() if request.param == "fake" else runtime_of_kind(request.param)
    yield adapter
    for node in adapter.observe(NAME).nodes:
        adapter.remove_node(NAME, node.name)
    for storage in adapter.observe(NAME).storages:
        adapter.remove_storage(NAME, storage, delete_data=True)
    adapter.remove_network(NAME)
    assert adapter.observe(NAME).is_nothing


@pytest.fixture
def cluster(runtime: Runtime, tmp_path: Path) -> Cluster:
    file = tmp_path / "contract.yaml"
    file.write_text(FILE)
    spec = load(file, (f"kafka.image={image()}",) if runtime.kind == "docker" else ())
    layout = layout_for("docker" if runtime.kind == "fake" else runtime.kind, spec, str(tmp_path))
    free = (port for port in range(30100, 30200) if port_is_free(port))
    ports = {"zookeeper-1": next(free), "broker-1": next(free)}
    return resolve(spec, layout, ports, str(tmp_path))


@pytest.fixture
def files(cluster: Cluster) -> tuple[RenderedFile, ...]:
    return render(cluster)


def _create(runtime: Runtime, cluster: Cluster, files: tuple[RenderedFile, ...]) -> None:
    if not runtime.has_software(cluster):
        runtime.fetch_software(cluster, silent)
    runtime.create_network(cluster)
    for node in cluster.nodes:
        runtime.create_storage(cluster, node)
        own = [file for file in files if file.node == node.name]
        runtime.create_node(cluster, node, own, config_hash(node.name, files))


def test_nothing_is_observed_where_nothing_was_made(runtime: Runtime) -> None:
    observed = runtime.observe(NAME, ["broker-1"])
    assert observed.is_nothing
    assert observed.foreign == ()
    assert NAME not in runtime.environments()


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
    assert runtime.observe(NAME).is_nothing


def test_a_node_that_is_not_there_cannot_be_started(runtime: Runtime) -> None:
    with pytest.raises(ProvisionError, match="no node broker-7"):
        runtime.start_node(NAME, "broker-7")
    with pytest.raises(ProvisionError, match="no node broker-7"):
        list(runtime.log_lines(NAME, "broker-7"))


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
