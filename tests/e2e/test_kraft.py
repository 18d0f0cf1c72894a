"""What is special about KRaft: who has left is no longer registered, and leaders are ready when they serve."""

import json
from pathlib import Path

import pytest
from kafka.protocol.admin import DescribeClusterRequest

from provision.common.values import replace
from provision.kafka.access import Access
from provision.kafka.connection import ask
from provision.kafka.leaders import missing_for_leaders
from provision.kafka.metadata import observe_cluster
from tests.engine import Provision, write_environment

NAME = "leaver"
VERSION = "4.3.0"  # from 4.0 on brokers that are away are told too (KIP-1073)


def _file(directory: Path, brokers: int) -> str:
    return write_environment(
        directory,
        NAME,
        f"kafka: {{mode: kraft}}\nbrokers: {{nodes: {brokers}, port: auto}}\n"
        "topics: [{name: t, partitions: 4, replication_factor: 2}]\n",
    )


def _registered(provision: Provision) -> list[int]:
    """The ids of all brokers that the cluster knows, whether they are there or not."""
    status = json.loads(provision.ok("status", NAME, "-o", "json"))
    address = status["nodes"][0]["endpoint"]
    answer = ask(Access.at(address), -1, DescribeClusterRequest(include_fenced_brokers=True, version=2), 10.0)
    return sorted(broker.broker_id for broker in answer.brokers)


@pytest.mark.group(docker="matrix", process="soak")
def test_a_broker_that_has_left_is_forgotten_and_may_come_again(provision: Provision, tmp_path: Path) -> None:
    provision = replace(provision, version=VERSION)
    provision.ok("up", _file(tmp_path, 4))
    assert _registered(provision) == [1, 2, 3, 4]
    provision.ok("up", _file(tmp_path, 3), "--yes")
    assert _registered(provision) == [1, 2, 3]
    provision.ok("up", _file(tmp_path, 4))
    assert _registered(provision) == [1, 2, 3, 4]
    assert provision("plan", _file(tmp_path, 4), "--detailed-exitcode").code == 0
    provision.ok("down", NAME)
    assert provision.traces(NAME) == []


@pytest.mark.matrix
def test_leaders_are_asked_whether_they_serve(provision: Provision, tmp_path: Path) -> None:
    provision = replace(provision, version=VERSION)
    nodes = json.loads(provision.ok("up", _file(tmp_path, 2), "-o", "json"))["nodes"]
    endpoints = {int(node["name"][-1]): node["endpoint"] for node in nodes}
    access = Access(endpoints)
    cluster = observe_cluster(access, 1)
    assert missing_for_leaders(cluster, access, None) == {}
    swapped = {1: endpoints[2], 2: endpoints[1]}  # each is asked for what the other one leads
    assert missing_for_leaders(cluster, access.to(swapped), ["t"]) == {
        f"broker-{broker}": f"it does not serve t-{number} yet, and 1 more"
        for broker in (1, 2)
        for number in [min(p.number for p in cluster.topics[0].partitions if p.leader == broker)]
    }
    provision.ok("down", NAME)
