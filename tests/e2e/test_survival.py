"""Records survive: stopping and starting, and the loss of any one of three brokers."""

import json
from collections.abc import Iterator

import pytest

from tests.engine import Provision

# A short session lets ZooKeeper notice a killed broker sooner than the default of 18 s. The last broker to be stopped
# has nobody to give its leaderships to, and need not try for 10 s.
_SETTINGS = {
    "brokers.port": "auto",
    "brokers.properties.zookeeper.session.timeout.ms": 6000,
    "brokers.properties.controlled.shutdown.retry.backoff.ms": 500,
}
SETTINGS = tuple(word for key, value in _SETTINGS.items() for word in ("--set", f"{key}={value}"))
RECORDS = [f"record {number}" for number in range(50)]


@pytest.fixture(scope="module")
def cluster(provision: Provision) -> Iterator[Provision]:
    provision.ok("up", "three-brokers", *SETTINGS)
    provision.ok("produce", "three-brokers", "orders", stdin="\n".join(RECORDS) + "\n")
    yield provision
    provision.ok("down", "three-brokers")


def _records(provision: Provision) -> list[str]:
    read = provision.ok("consume", "three-brokers", "orders", "--from-beginning", "-n", "50", "--timeout", "30s")
    return sorted(read.splitlines())


@pytest.mark.group(process="soak")
def test_stop_and_start_keep_every_record(cluster: Provision) -> None:
    cluster.ok("stop", "three-brokers")
    stopped = json.loads(cluster.ok("status", "three-brokers", "-o", "json"))
    assert {node["state"] for node in stopped["nodes"]} == {"exited"}
    assert not stopped["ready"]
    cluster.ok("start", "three-brokers")
    assert _records(cluster) == sorted(RECORDS)


@pytest.mark.soak
def test_killing_any_broker_loses_nothing_and_up_brings_it_back(cluster: Provision) -> None:
    # A container and a process die alike: on processes one broker shows it.
    for broker in (1, 2, 3) if cluster.runtime == "docker" else (1,):
        _kill_and_bring_back(cluster, broker)


def _kill_and_bring_back(cluster: Provision, broker: int) -> None:
    cluster.kill("three-brokers", f"broker-{broker}")
    assert _records(cluster) == sorted(RECORDS)

    shown = json.loads(cluster.ok("status", "three-brokers", "-o", "json"))
    states = {node["name"]: node["state"] for node in shown["nodes"]}
    assert states[f"broker-{broker}"] == "exited"
    plan = cluster("plan", "three-brokers", *SETTINGS, "-o", "json", "--detailed-exitcode")
    assert plan.code == 2
    cause = "exited with 137" if cluster.runtime == "docker" else "stopped"  # only a parent is told an exit code
    assert json.loads(plan.out)["actions"] == [
        {"resource": f"broker-{broker}", "verb": "start", "class": "none", "cause": cause, "detail": ""}
    ]

    back = json.loads(cluster.ok("up", "three-brokers", *SETTINGS, "-o", "json"))
    assert back["ready"]
    assert all(topic["under_replicated"] == 0 for topic in back["topics"])
    assert _records(cluster) == sorted(RECORDS)


@pytest.mark.group(process="soak")
def test_restarting_one_broker_keeps_every_record(cluster: Provision) -> None:
    cluster.ok("restart", "three-brokers", "broker-2")
    assert _records(cluster) == sorted(RECORDS)
