"""Totals, rejections, restarts and transactions."""

import json

import pytest
from conftest import consume, lag, processed, produce, unique, until
from kafka import KafkaConsumer, KafkaProducer


def order(customer, amount):
    return {"key": customer.encode(), "value": json.dumps({"customer": customer, "amount": amount}).encode()}


def test_an_order_becomes_a_total(servers, topics, service):
    produce(servers, topics.orders, [order("ann", 5)])
    processed(service, 1)
    (total,) = consume(servers, topics.totals, 1)
    assert (total.key, total.value) == (b"ann", b"5")


def test_orders_of_a_customer_are_added_up(servers, topics, service):
    produce(servers, topics.orders, [order("ann", amount) for amount in (1, 2, 3)])
    processed(service, 3)
    assert service.totals == {"ann": 6}
    assert [record.value for record in consume(servers, topics.totals, 3)] == [b"1", b"3", b"6"]


def test_customers_are_kept_apart(servers, topics, service):
    produce(servers, topics.orders, [order("ann", 1), order("bob", 2), order("ann", 3)])
    processed(service, 3)
    assert service.totals == {"ann": 4, "bob": 2}


@pytest.mark.parametrize("value", ["no JSON", "{}", '{"customer": "ann"}', '{"customer": "ann", "amount": "many"}'])
def test_what_is_no_order_is_rejected(servers, topics, service, value):
    produce(servers, topics.orders, [{"value": value.encode()}])
    processed(service, 1)
    (rejected,) = consume(servers, topics.rejected, 1)
    assert rejected.value == value.encode()
    assert [name for name, _ in rejected.headers] == ["reason"]


def test_a_rejection_does_not_stop_the_others(servers, topics, service):
    produce(servers, topics.orders, [{"partition": 0, "value": b"no JSON"}, {**order("ann", 7), "partition": 0}])
    processed(service, 2)
    assert service.totals == {"ann": 7}


def test_every_order_is_committed(servers, admin, topics, start, group):
    committed = group("committed")
    produce(servers, topics.orders, [order("ann", n) for n in range(20)])
    processed(start(committed), 20)
    until(lambda: lag(servers, admin, committed, topics.orders) == 0)  # what a transaction commits comes a moment later


def test_a_restarted_service_goes_on_where_it_stopped(servers, topics, start):
    first = start()
    produce(servers, topics.orders, [order("ann", 1), order("bob", 2)])
    processed(first, 2)
    first.close()
    produce(servers, topics.orders, [order("ann", 10)])
    second = start()
    processed(second, 1)
    assert second.totals == {"ann": 11, "bob": 2}


def test_two_groups_both_read_everything(servers, topics, start, group):
    one, other = start(group("one")), start(group("other"))
    produce(servers, topics.orders, [order("ann", 1), order("bob", 1)])
    processed(one, 2)
    processed(other, 2)
    assert one.totals.keys() == other.totals.keys() == {"ann", "bob"}


def test_what_was_not_committed_is_not_seen(servers, topics):
    producer = KafkaProducer(bootstrap_servers=servers, transactional_id=unique("writer"))
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(topics.totals, b"lost", key=b"ann").get(timeout=30)
    producer.abort_transaction()
    producer.begin_transaction()
    producer.send(topics.totals, b"kept", key=b"ann").get(timeout=30)
    producer.commit_transaction()
    producer.close()
    reading = {"isolation_level": "read_committed", "auto_offset_reset": "earliest", "consumer_timeout_ms": 10_000}
    with KafkaConsumer(topics.totals, bootstrap_servers=servers, **reading) as consumer:
        assert next(consumer).value == b"kept"


def test_the_lag_shows_what_is_left_to_do(servers, admin, topic, group):
    orders, reader = topic("plain"), group("group")
    produce(servers, orders, [{"value": value} for value in (b"a", b"b", b"c")])
    reading = {"group_id": reader, "auto_offset_reset": "earliest", "consumer_timeout_ms": 10_000}
    with KafkaConsumer(orders, bootstrap_servers=servers, **reading) as consumer:
        next(consumer)
        consumer.commit()
    assert lag(servers, admin, reader, orders) == 2
