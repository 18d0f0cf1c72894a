"""What a cluster in KRaft mode must not keep: a broker that has left is no longer registered."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from kafka.protocol.admin import DescribeClusterRequest

from provision.kafka.connection import ask
from tests.engine import Provision, write_environment

NAME = "leaver"
VERSION = "4.3.0"  # from 4.0 on brokers that are away are told too (KIP-1073)

pytestmark = pytest.mark.matrix


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
    answer = ask(address, DescribeClusterRequest(include_fenced_brokers=True, version=2), 10.0)
    return sorted(broker.broker_id for broker in answer.brokers)


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
