"""What `provision doctor` finds in real clusters: nothing in a healthy one, and each failure by its name."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.engine import Provision, write_environment

pytestmark = [pytest.mark.matrix, pytest.mark.row(None)]

THREE = "brokers: {nodes: 3, port: auto, heap: 200m}\ntopics: [{name: t, partitions: 3, replication_factor: 3}]\n"


def examined(provision: Provision, name: str, *options: str) -> dict[str, Any]:
    """What `doctor` says as JSON; it exits with 1 exactly if something is wrong."""
    result = provision("doctor", name, *options, "-o", "json")
    assert result.code in (0, 1), result.err
    said: dict[str, Any] = json.loads(result.out)
    assert result.code == bool(said["findings"]), result.err
    return said


def ids(said: dict[str, Any]) -> set[str]:
    return {finding["id"] for finding in said["findings"]}


@pytest.fixture(scope="module", params=["zookeeper", "kraft"])
def cluster(request: pytest.FixtureRequest, provision: Provision, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A healthy cluster, which every test leaves healthy."""
    name = f"doctor-{provision.runtime}-{request.param}"
    text = f"kafka: {{mode: {request.param}}}\n{THREE}"
    env = write_environment(tmp_path_factory.mktemp("environments"), name, text)
    provision.ok("up", env)
    return env


def test_nothing_is_wrong_with_a_healthy_cluster(provision: Provision, cluster: str) -> None:
    said = examined(provision, cluster)
    assert said["findings"] == []
    assert said["reachability"]
    assert [row for row in said["reachability"] if row["answers"] != row["expected"]] == []


def test_a_paused_node_is_named_and_mended(provision: Provision, cluster: str) -> None:
    name = Path(cluster).stem
    provision.pause(name, "broker-2")
    (finding,) = [one for one in examined(provision, name)["findings"] if one["id"] == "paused-node"]
    assert "broker-2" in finding["title"]
    assert finding["fix"] == f"provision start {name} broker-2"
    assert examined(provision, name, "--fix", "--yes")["findings"] == []
