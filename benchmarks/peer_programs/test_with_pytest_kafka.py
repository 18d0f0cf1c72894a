"""One test with pytest-kafka. Kafka's start scripts are not in its jars, so small ones are written here."""

import os
from pathlib import Path

from kafka import KafkaConsumer, KafkaProducer
from pytest_kafka import make_kafka_server, make_zookeeper_process


def script(name: str, heap: str, main: str) -> str:
    file = Path(os.environ["SCRIPTS"], name)
    g1 = "-server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35"
    java = f"java -Xms{heap} -Xmx{heap} {g1} -XX:+ExplicitGCInvokesConcurrent -XX:MaxInlineLevel=15"
    file.write_text(f"#!/bin/sh\nexec {java} -cp '{os.environ['JARS']}/*' {main} \"$@\"\n")
    file.chmod(0o755)
    return str(file)


zookeeper = make_zookeeper_process(
    script("zookeeper", "64m", "org.apache.zookeeper.server.quorum.QuorumPeerMain"), scope="session"
)
broker = make_kafka_server(script("broker", "256m", "kafka.Kafka"), "zookeeper", scope="session", timeout=60)


def test_a_record_is_read(broker):
    _, port = broker
    producer = KafkaProducer(bootstrap_servers=f"localhost:{port}")
    producer.send("orders", b"a").get(timeout=30)
    producer.close()
    reading = {"auto_offset_reset": "earliest", "consumer_timeout_ms": 30_000}
    consumer = KafkaConsumer("orders", bootstrap_servers=f"localhost:{port}", **reading)
    assert next(consumer).value == b"a"
    consumer.close()
