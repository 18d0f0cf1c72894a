"""The shipped examples on real brokers: up to ready, a second time to nothing, down to nothing."""

import json

import pytest
from confluent_kafka.admin import AdminClient

from provision.cluster.resolve import fixed_ports as ports_of
from provision.software.pins import is_lock_file
from provision.spec.source import Source
from tests.e2e.conftest import FixedPorts
from tests.engine import ROOT, Provision, engine

EXAMPLES = sorted(file.stem for file in (ROOT / "environments").glob("*.yaml") if not is_lock_file(file))
GROUPS = {
    "ci": pytest.mark.group(docker="soak"),
    "ensemble": pytest.mark.group(docker="soak", process="matrix"),
    "kraft": pytest.mark.group(docker="soak", process="matrix"),
    "swarm": pytest.mark.group(docker="soak", process="soak"),
    "three-brokers": pytest.mark.group(docker="matrix", process="soak"),
    "three-protocols": pytest.mark.group(docker="soak", process="matrix"),
}
ANSWER_S = 30.0
PROTOCOLS = {"plain": (9092, "PLAINTEXT"), "encrypted": (9093, "SSL"), "secure": (9094, "SASL_SSL")}


@pytest.mark.parametrize("name", [pytest.param(name, marks=GROUPS.get(name, ())) for name in EXAMPLES])
def test_an_example_comes_up_stays_as_it_is_and_goes_without_a_trace(
    provision: Provision, fixed_ports: FixedPorts, name: str
) -> None:
    described = Source(ROOT / "environments" / f"{name}.yaml").load()
    with fixed_ports.held(*ports_of(described).values()):
        _check(provision, name)


def _check(provision: Provision, name: str) -> None:
    first = json.loads(provision.ok("up", name, "-o", "json"))
    assert first["ready"]
    assert first["level"] == "topics"
    assert {"process", "quorum", "brokers", "topics"} <= first["timings"].keys()
    assert {node["state"] for node in first["nodes"]} == {"running"}

    topics = [topic["name"] for topic in first["topics"]]
    assert topics
    described = json.loads(provision.ok("topics", "describe", name, *topics, "-o", "json"))
    for topic in described:
        for partition in topic["assignment"]:
            assert sorted(partition["in_sync"]) == sorted(partition["replicas"])
            assert partition["leader"] == partition["replicas"][0]

    containers = _pids_or_ids(provision, name)
    second = provision("up", name)
    assert second.code == 0
    assert f"{name}: nothing to change" in second.err
    assert _pids_or_ids(provision, name) == containers
    assert provision("plan", name, "--detailed-exitcode").code == 0

    if name == "ensemble":
        _check_ensemble(provision)
    if name == "three-protocols":
        _check_protocols(provision)
    provision.ok("down", name)
    assert provision.traces(name) == []


def _check_ensemble(provision: Provision) -> None:
    """Every partition has a replica in every rack, leaders are dealt evenly, and every ZooKeeper knows every broker."""
    described = json.loads(provision.ok("topics", "describe", "ensemble", "events", "-o", "json"))
    assert {tuple(sorted(partition["replicas"])) for partition in described[0]["assignment"]} == {(1, 2, 3)}
    leaders = [partition["leader"] for partition in described[0]["assignment"]]
    assert sorted(leaders) == [1, 1, 2, 2, 3, 3]
    for port in (2181, 2182, 2183):
        shown = provision.ok("tool", "ensemble", "zookeeper-shell", "--", f"localhost:{port}", "ls", "/brokers/ids")
        assert "[1, 2, 3]" in shown


def _check_protocols(provision: Provision) -> None:
    """What its first lines say gets clients in at each port."""
    for listener, (port, protocol) in PROTOCOLS.items():
        who = ["--user", "app"] if listener == "secure" else []
        told = provision.ok("client-config", "three-protocols", "--listener", listener, *who, "--format", "librdkafka")
        settings = json.loads(told)
        assert (settings["bootstrap.servers"], settings["security.protocol"]) == (f"127.0.0.1:{port}", protocol)
        assert "orders" in AdminClient(settings).list_topics(timeout=ANSWER_S).topics


def _pids_or_ids(provision: Provision, environment: str) -> list[str]:
    """What would change if anything was recreated."""
    if provision.runtime == "process":
        return [trace for trace in provision.traces(environment) if trace.startswith("process ")]
    found = engine().api.containers(all=True, filters={"label": f"provision.environment={environment}"})
    return sorted(container["Id"] for container in found)
