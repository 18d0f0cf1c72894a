"""Who leads, as the members of an ensemble tell it."""

import pytest

from provision.errors import ProvisionError
from provision.observe.leaders import ensemble_modes
from provision.runtime.base import JavaCommand
from provision.runtime.fake import FakeRuntime
from tests.plan.world import cluster_of, files_of


class Speechless(FakeRuntime):
    """Nothing can be run in its nodes."""

    answer = (0, "")

    def run_in_node(self, name: str, node: str, command: JavaCommand) -> tuple[int, str]:  # noqa: ARG002
        """As an engine tells it."""
        return self.answer


@pytest.mark.parametrize(
    ("code", "output"),
    [
        (127, "OCI runtime exec failed: exec: no such file or directory: /opt/bitnami/java/bin/java"),
        (126, "OCI runtime exec failed: permission denied"),
        (1, "Error: Could not find or load main class org.apache.zookeeper.client.FourLetterWordMain"),
    ],
)
def test_a_member_in_which_nothing_runs_is_an_error_and_no_member_to_wait_for(code: int, output: str) -> None:
    runtime, cluster = Speechless(), cluster_of(zookeeper={"nodes": 3})
    for node in cluster.zookeepers:
        runtime.create_node(cluster, node, files_of(cluster, node.name))
        runtime.start_node("orders", node.name)
    assert ensemble_modes(runtime, runtime.observe("orders"))["zookeeper-1"] is None  # just not yet
    runtime.answer = code, output
    with pytest.raises(ProvisionError, match="zookeeper-1 cannot be asked for its status") as caught:
        ensemble_modes(runtime, runtime.observe("orders"))
    assert caught.value.why == output
