"""The same test with our plugin."""


def test_a_record_is_read(kafka):
    orders = kafka.topic("orders", records=["a"])
    assert [record.value for record in orders.consume(1)] == [b"a"]
