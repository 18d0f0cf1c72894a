"""Totals, rejections, restarts and transactions."""

import json

import pytest
from conftest import processed
from kafka import KafkaConsumer, KafkaProducer


def order(customer, amount):
    return {"key": customer, "value": json.dumps({"customer": customer, "amount": amount})}


def test_an_order_becomes_a_total(kafka, topics, service):
    kafka.produce(topics.orders, [order("ann", 5)])
    processed(service, 1)
    (total,) = kafka.consume(topics.totals, 1)
    assert (total.key, total.value) == (b"ann", b"5")


def test_orders_of_a_customer_are_added_up(kafka, topics, service):
    kafka.produce(topics.orders, [order("ann", amount) for amount in (1, 2, 3)])
    processed(service, 3)
    assert service.totals == {"ann": 6}
    assert [record.value for record in kafka.wait_for_records(topics.totals, 3)][:3] == [b"1", b"3", b"6"]


def test_customers_are_kept_apart(kafka, topics, service):
    kafka.produce(topics.orders, [order("ann", 1), order("bob", 2), order("ann", 3)])
    processed(service, 3)
    assert service.totals == {"ann": 4, "bob": 2}


@pytest.mark.parametrize("value", ["no JSON", "{}", '{"customer": "ann"}', '{"customer": "ann", "amount": "many"}'])
def test_what_is_no_order_is_rejected(kafka, topics, service, value):
    kafka.produce(topics.orders, [value])
    processed(service, 1)
    (rejected,) = kafka.consume(topics.rejected, 1)
    assert rejected.value == value.encode()
    assert [name for name, _ in rejected.headers] == ["reason"]


def test_a_rejection_does_not_stop_the_others(kafka, topics, service):
    kafka.produce(topics.orders, [{"partition": 0, "value": "no JSON"}, {**order("ann", 7), "partition": 0}])
    processed(service, 2)
    assert service.totals == {"ann": 7}


def test_every_order_is_committed(kafka, topics, start):
    group = kafka.group("committed")
    kafka.produce(topics.orders, [order("ann", n) for n in range(20)])
    processed(start(group), 20)
    assert kafka.lag(group, topics.orders) == 0


def test_a_restarted_service_goes_on_where_it_stopped(kafka, topics, start):
    first = start()
    kafka.produce(topics.orders, [order("ann", 1), order("bob", 2)])
    processed(first, 2)
    first.close()
    kafka.produce(topics.orders, [order("ann", 10)])
    second = start()
    processed(second, 1)
    assert second.totals == {"ann": 11, "bob": 2}


def test_two_groups_both_read_everything(kafka, topics, start):
    one, other = start(kafka.group("one")), start(kafka.group("other"))
    kafka.produce(topics.orders, [order("ann", 1), order("bob", 1)])
    processed(one, 2)
    processed(other, 2)
    assert one.totals.keys() == other.totals.keys() == {"ann", "bob"}


def test_what_was_not_committed_is_not_seen(kafka, topics):
    producer = KafkaProducer(**kafka.client_config(transactional_id=kafka.unique("writer")))
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(topics.totals, b"lost", key=b"ann").get(timeout=30)
    producer.abort_transaction()
    producer.begin_transaction()
    producer.send(topics.totals, b"kept", key=b"ann").get(timeout=30)
    producer.commit_transaction()
    producer.close()
    reading = kafka.client_config(
        isolation_level="read_committed", auto_offset_reset="earliest", consumer_timeout_ms=60_000
    )
    with KafkaConsumer(topics.totals, **reading) as consumer:
        assert next(consumer).value == b"kept"


def test_the_lag_shows_what_is_left_to_do(kafka):
    orders, group = kafka.topic("plain", records=["a", "b", "c"]), kafka.group()
    reading = kafka.client_config(group_id=group, auto_offset_reset="earliest", consumer_timeout_ms=60_000)
    with KafkaConsumer(orders.name, **reading) as consumer:
        next(consumer)
        consumer.commit()
    assert kafka.lag(group, orders) == 2
