"""A topic that somebody makes on a broker at the last moment before it leaves, on real brokers."""

from pathlib import Path

import pytest

from provision.cluster.model import Topic
from provision.environment import Environment
from provision.events import silent
from provision.home.place import Home
from provision.kafka.access import Access
from provision.plan.topic_changes import PlacedTopic
from provision.runtime import Runtimes
from tests.engine import java

pytestmark = [pytest.mark.matrix, pytest.mark.process, pytest.mark.row(None)]

RECORDS = [f"{number}".encode() for number in range(100)]
# What does not change with the number of brokers restarts none of them.
ALIKE = {"offsets.topic.replication.factor": 1, "transaction.state.log.replication.factor": 1}


@pytest.mark.parametrize(("version", "mode"), [("3.9.1", "zookeeper"), ("4.3.0", "kraft")])
def test_no_record_is_lost_that_comes_to_a_leaving_broker_just_before_its_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, mode: str
) -> None:
    java(version)
    runtimes = Runtimes(Home.at(tmp_path / "home"))
    runtime = runtimes.of_kind("process")
    stop_node, stopped = runtime.stop_node, list[str]()

    def environment(brokers: int) -> Environment:
        return Environment(
            name="leaving",
            runtime="process",
            kafka={"version": version, "mode": mode},
            controllers={"nodes": 1 if mode == "kraft" else 0},
            brokers={"nodes": brokers, "port": "auto", "properties": ALIKE},
            topic_defaults={"replication_factor": 1},
            topics=[{"name": "t"}],
            runtimes=runtimes,
        )

    def come_and_stop(name: str, node: str, patience_s: float) -> None:
        if node == "broker-3" and node not in stopped:
            _make_on_broker(Access(runtime.observe(name).broker_endpoints), 3)
            environment(3).produce("late", [(None, record) for record in RECORDS])
        stopped.append(node)
        stop_node(name, node, patience_s)

    with environment(3) as made:
        try:
            made.up()
            monkeypatch.setattr(runtime, "stop_node", come_and_stop)
            smaller = environment(2)
            smaller.up()
            assert stopped.count("broker-3") == 2
            assert {node.name for node in made.observe().of_role("broker")} == {"broker-1", "broker-2"}
            assert [record.value for record in smaller.consume("late", limit=100, idle_s=10)] == RECORDS
            assert smaller.plan().plan.actions == ()
        finally:
            made.down()


def _make_on_broker(access: Access, broker: int) -> None:
    from provision.kafka.admin import connected

    with connected(access) as admin:
        created = admin.topics.create([PlacedTopic(Topic("late", 1, 1, {}), ((broker,),))], silent)
    assert created.failures == {}
