"""A broker that goes, in a cluster of its own that can do without one."""

from conftest import consume, produce


def test_records_survive_a_broker_that_is_killed(cluster, replicated):
    servers, orders = replicated
    produce(servers, orders, [{"value": b"before"}])
    cluster[0].get_wrapped_container().kill()
    produce(servers, orders, [{"value": b"after"}])
    assert {record.value for record in consume(servers, orders, 2)} == {b"before", b"after"}


def test_a_stopped_broker_is_back_for_the_next_test(cluster, replicated):
    servers, orders = replicated
    cluster[1].get_wrapped_container().stop()
    cluster[1].get_wrapped_container().start()
    produce(servers, orders, [{"value": b"there"}])
    assert [record.value for record in consume(servers, orders, 1)] == [b"there"]
