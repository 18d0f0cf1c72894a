"""What every runtime promises of secret files: their node can read them, nobody else, and they are known as secret."""

import io
import os
import stat
import tarfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from provision.cluster.fingerprint import with_fingerprint
from provision.cluster.model import MAIN_FILES, Cluster, Node, RenderedFile
from provision.cluster.render import render
from provision.common.values import replace
from provision.errors import ProvisionError
from provision.events import silent
from provision.kafka.zookeeper import mode, server_status
from provision.plan.observed import NodeState
from provision.runtime.base import SECRET_MODE, Runtime
from tests.contract import test_runtime as contract
from tests.engine import engine, wait_until

pytestmark = pytest.mark.row("apart")

# A fixture belongs to the modules that have it.
runtime, cluster, kraft = contract.runtime, contract.cluster, contract.kraft

CREDENTIALS = "credentials.properties"
Files = tuple[RenderedFile, ...]


def files_of(cluster: Cluster, word: str = "xyzzy") -> Files:
    """The files of all nodes: the main file of each is secret, and each has one more."""
    mains = set(MAIN_FILES.values())
    beside = [RenderedFile(node.name, CREDENTIALS, f"word={word}\n".encode(), secret=True) for node in cluster.nodes]
    return (*(replace(file, secret=file.name in mains) for file in render(cluster)), *beside)


def own(files: Files, node: Node) -> list[RenderedFile]:
    """The files of a node, with their fingerprint."""
    of_node = [file for file in files if file.node == node.name]
    return sorted(with_fingerprint(node.name, of_node), key=lambda file: file.name)


def require_read_back(runtime: Runtime, node: Node, files: Sequence[RenderedFile]) -> None:
    """That a node has these files and no others; a swarm tells of secret ones only what identifies them."""
    there = sorted(runtime.read_files(contract.NAME, node.name), key=lambda file: file.name)
    if runtime.kind == "swarm":
        assert [(file.name, file.secret, file.identity) for file in there] == [
            (file.name, file.secret, file.identity) for file in files
        ]
        assert all(file.content == b"" for file in there if file.secret)
    else:
        assert there == list(files)


def create(runtime: Runtime, cluster: Cluster, files: Files) -> None:
    for software in runtime.missing_software(cluster):
        runtime.fetch_software(cluster, software, silent)
    runtime.create_network(cluster)
    for node in cluster.nodes:
        runtime.create_storage(cluster, node)
        runtime.create_node(cluster, node, own(files, node))


def require_private(runtime: Runtime, node: Node, files: Sequence[RenderedFile]) -> None:
    """That the secret ones among the files, and no others, are for the node's account alone."""
    if runtime.kind in ("fake", "swarm"):  # in a swarm, only a running container has files (tests/matrix/test_swarm.py)
        return
    found = _in_container(node) if runtime.kind == "docker" else _on_disk(node)
    for file in files:
        permissions, owner, account = found[file.name]
        assert (permissions == SECRET_MODE) is file.secret, file
        assert owner == account, file


def _on_disk(node: Node) -> dict[str, tuple[int, str, str]]:
    """Permissions, owner and the node's account, by name."""
    there = {file.name: file.stat() for file in Path(node.config_dir).iterdir()}
    account = f"{os.getuid()}:{os.getgid()}"
    return {n: (stat.S_IMODE(s.st_mode), f"{s.st_uid}:{s.st_gid}", account) for n, s in there.items()}


def _in_container(node: Node) -> dict[str, tuple[int, str, str]]:
    """The same of a container, as the engine has it."""
    api, container = engine().api, f"{contract.NAME}-{node.name}"
    account = api.inspect_container(container)["Config"]["User"]
    stream, _ = api.get_archive(container, node.config_dir)
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        members = [member for member in tar.getmembers() if member.isfile()]
    return {Path(m.name).name: (stat.S_IMODE(m.mode), f"{m.uid}:{m.gid}", account) for m in members}


def test_a_secret_file_is_put_in_place_for_its_node_alone_and_read_back_as_secret(
    runtime: Runtime, cluster: Cluster
) -> None:
    files = files_of(cluster)
    for _ in range(2):  # what is there already stays
        create(runtime, cluster, files)
        for node in cluster.nodes:
            require_read_back(runtime, node, own(files, node))
            require_private(runtime, node, own(files, node))


def test_a_secret_file_can_be_written_over_while_its_node_runs_and_while_it_does_not(
    runtime: Runtime, cluster: Cluster
) -> None:
    files, later = files_of(cluster), files_of(cluster, "plugh")
    create(runtime, cluster, files)
    (zookeeper,) = cluster.zookeepers
    runtime.start_node(contract.NAME, zookeeper.name)
    for change in (later, later, files):
        runtime.update_files(contract.NAME, zookeeper.name, own(change, zookeeper))
        require_read_back(runtime, zookeeper, own(change, zookeeper))
        require_private(runtime, zookeeper, own(change, zookeeper))
    runtime.stop_node(contract.NAME, zookeeper.name, patience_s=30)
    runtime.replace_node(cluster, zookeeper, own(later, zookeeper))
    require_read_back(runtime, zookeeper, own(later, zookeeper))
    require_private(runtime, zookeeper, own(later, zookeeper))


@pytest.mark.parametrize("secret", [True, False], ids=["from now on", "no longer"])
def test_a_file_can_become_secret_and_cease_to_be(runtime: Runtime, cluster: Cluster, *, secret: bool) -> None:
    (zookeeper,) = cluster.zookeepers
    before = tuple(replace(file, secret=not secret) for file in files_of(cluster))
    after = tuple(replace(file, secret=secret) for file in before)
    create(runtime, cluster, before)
    require_private(runtime, zookeeper, own(before, zookeeper))
    runtime.update_files(contract.NAME, zookeeper.name, own(after, zookeeper))
    require_read_back(runtime, zookeeper, own(after, zookeeper))
    require_private(runtime, zookeeper, own(after, zookeeper))


def test_a_node_reads_the_secret_file_that_it_is_started_with(runtime: Runtime, cluster: Cluster) -> None:
    files = files_of(cluster)
    create(runtime, cluster, files)
    (zookeeper,) = cluster.zookeepers
    for change in (files, files_of(cluster, "plugh")):  # also one that was written over
        runtime.update_files(contract.NAME, zookeeper.name, own(change, zookeeper))
        runtime.start_node(contract.NAME, zookeeper.name)
        if runtime.kind != "fake":  # nobody answers there
            log = runtime.log_lines(contract.NAME, zookeeper.name, tail=20)
            assert wait_until(partial(_answers, zookeeper)), list(log)
        there = runtime.observe(contract.NAME).node(zookeeper.name)
        assert there is not None
        assert there.state is NodeState.RUNNING
        runtime.stop_node(contract.NAME, zookeeper.name, patience_s=30)


def _answers(zookeeper: Node) -> bool:
    return mode(server_status(zookeeper.endpoint or "")) == "standalone"


def test_a_storage_is_formatted_by_the_secret_file_of_its_node(runtime: Runtime, kraft: Cluster) -> None:
    files = files_of(kraft)
    create(runtime, kraft, files)
    for node in kraft.nodes:
        runtime.format_storage(contract.NAME, node.name, kraft.cluster_id)
        require_read_back(runtime, node, own(files, node))
        require_private(runtime, node, own(files, node))


def test_what_a_failure_says_of_a_secret_file_has_nothing_of_it(runtime: Runtime, kraft: Cluster) -> None:
    if runtime.kind == "fake":
        pytest.skip("it formats nothing")
    (controller,) = kraft.controllers
    broken = tuple(
        replace(file, content=file.content.replace(b"node.id=1001", b"node.id=none\nssl.key.password=xyzzy"))
        for file in files_of(kraft)
    )
    create(runtime, kraft, broken)
    with pytest.raises(ProvisionError, match="the storage of controller-1 could not be formatted") as caught:
        runtime.format_storage(contract.NAME, controller.name, kraft.cluster_id)
    assert "Invalid value none" in caught.value.why
    assert "xyzzy" not in f"{caught.value!r} {caught.value.why} {caught.value.hint}"


def test_nothing_is_left_of_a_secret_file(runtime: Runtime, cluster: Cluster) -> None:
    create(runtime, cluster, files_of(cluster))
    for node in cluster.nodes:
        runtime.remove_node(contract.NAME, node.name)
        runtime.remove_storage(contract.NAME, node.name, delete_data=False)
    runtime.remove_network(contract.NAME)
    assert runtime.observe(contract.NAME).is_absent
    if runtime.kind == "process":
        assert not Path(cluster.nodes[0].config_dir).parents[1].exists()
