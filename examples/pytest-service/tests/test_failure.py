"""A broker that goes, in a cluster of its own that can do without one."""

import pytest


@pytest.mark.kafka(brokers=3)
def test_records_survive_a_broker_that_is_killed(kafka):
    orders = kafka.topic("orders", replication_factor=3, config={"min.insync.replicas": "2"})
    orders.produce(["before"])
    kafka.kill("broker-1", unregister=True)  # the others lead at once, and not when its session has expired
    orders.produce(["after"])
    assert {record.value for record in orders.consume(2)} == {b"before", b"after"}


@pytest.mark.kafka(brokers=3)
def test_a_stopped_broker_is_back_for_the_next_test(kafka):
    orders = kafka.topic("orders", replication_factor=3)
    kafka.stop("broker-2")
    kafka.start("broker-2")
    orders.produce(["there"])
    assert [record.value for record in orders.consume(1)] == [b"there"]
