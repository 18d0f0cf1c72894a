"""Whose storages are read before nodes are started."""

from typing import cast

import pytest

from provision.cluster.model import RenderedFile, Role
from provision.observe.nodes import with_stored_of_stopped
from provision.plan.observed import NodeState, ObservedEnvironment, ObservedNode
from provision.plan.stored import StoredData
from provision.runtime.base import Runtime

CLUSTER_ID = "fwAAAAAAAAAAAAAAAAAAAA"
NODES = ("broker-1", "broker-2", "broker-3")
VOTERS = b"controller.quorum.voters=1@one:9093,2@two:9093,3@three:9093\n"


class Storages:
    """A runtime that has these and nothing else."""

    def __init__(self, lost: tuple[str, ...] = ()) -> None:
        self.lost, self.read = lost, list[str]()

    def read_storage(self, _name: str, node: str) -> StoredData:
        """What is in it, noting that it was asked for."""
        self.read.append(node)
        if node in self.lost:
            return StoredData(node, node, {}, written=False)
        file = RenderedFile(node, "server.properties", VOTERS)
        return StoredData(node, node, {"cluster.id": CLUSTER_ID}, written=True, files=(file,))


def environment(stopped: tuple[str, ...], cluster_id: str = CLUSTER_ID) -> ObservedEnvironment:
    states = {name: NodeState.EXITED if name in stopped else NodeState.RUNNING for name in NODES}
    nodes = tuple(ObservedNode(name, Role.BROKER, states[name], "") for name in NODES)
    return ObservedEnvironment("three", "fake", nodes=nodes, storages=frozenset(NODES), cluster_id=cluster_id)


@pytest.mark.parametrize(
    ("stopped", "lost", "cluster_id", "read"),
    [
        (("broker-2",), (), CLUSTER_ID, ["broker-2"]),
        (("broker-1", "broker-3"), (), CLUSTER_ID, ["broker-1", "broker-3"]),
        (("broker-1", "broker-3"), ("broker-3",), CLUSTER_ID, ["broker-1", "broker-3"]),
        # Nobody but the running one knows who votes, so that a lost majority would not be seen.
        (("broker-1", "broker-3"), ("broker-1", "broker-3"), CLUSTER_ID, ["broker-1", "broker-3", *NODES]),
        (("broker-2",), (), "", list(NODES)),  # the ensemble has noted it
        ((), (), CLUSTER_ID, []),
    ],
)
def test_storages_of_running_nodes_are_read_only_if_need_be(
    stopped: tuple[str, ...], lost: tuple[str, ...], cluster_id: str, read: list[str]
) -> None:
    storages = Storages(lost)
    found = with_stored_of_stopped(environment(stopped, cluster_id), cast(Runtime, storages))
    assert sorted(storages.read) == sorted(read)
    assert found.stored.keys() == set(read)
