"""The service, its topics and clusters, for each test: the sample project as it is written with testcontainers.

The container is started once a session, which with pytest-xdist is once a worker. Of the start script see `adapted.py`.
"""

import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from adapted import Kafka, free_port
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError, UnknownTopicOrPartitionError
from orders import Service, Topics
from testcontainers.core.network import Network

IMAGE = os.environ["KAFKA_IMAGE"]


@pytest.fixture(scope="session")
def servers():
    with Kafka(IMAGE) as kafka:
        yield kafka.get_bootstrap_server()


@pytest.fixture(scope="session")
def admin(servers):
    client = KafkaAdminClient(bootstrap_servers=servers)
    yield client
    client.close()


@pytest.fixture
def topic(admin):
    made = []

    def topic(name, partitions=1, config=None):
        made.append(unique(name))
        options = {"num_partitions": partitions, "replication_factor": 1, "configs": config or {}}
        admin.create_topics({made[-1]: options}, wait_for_metadata=True)
        return made[-1]

    yield topic
    if made:
        admin.delete_topics(made)


@pytest.fixture
def group(admin):
    made = []

    def group(name):
        made.append(unique(name))
        return made[-1]

    yield group
    if made:
        admin.delete_groups(made)


@pytest.fixture(scope="session")
def cluster():
    """Three brokers, on ports of their own: a container that is started again would get another one."""
    voters = ",".join(f"{number}@broker-{number}:9094" for number in (1, 2, 3))
    with Network() as network:
        brokers = [
            Kafka(IMAGE, number, voters)
            .with_network(network)
            .with_network_aliases(f"broker-{number}")
            .with_bind_ports(9093, free_port())
            for number in (1, 2, 3)
        ]
        try:
            with ThreadPoolExecutor() as pool:
                list(pool.map(Kafka.start, brokers))
            yield brokers
        finally:
            for broker in brokers:
                broker.stop()


@pytest.fixture
def replicated(cluster):
    servers = [broker.get_bootstrap_server() for broker in cluster]
    admin, name = KafkaAdminClient(bootstrap_servers=servers), unique("orders")
    options = {"num_partitions": 1, "replication_factor": 3, "configs": {"min.insync.replicas": "2"}}
    admin.create_topics({name: options}, wait_for_metadata=True)
    yield servers, name
    for broker in cluster:
        broker.get_wrapped_container().start()
    until(lambda: known_brokers(admin) == len(cluster) and deleted(admin, name))
    admin.close()


def known_brokers(admin):
    try:
        return len(admin.describe_cluster()["brokers"])
    except KafkaError:  # the broker that was asked is just starting
        return 0


def deleted(admin, name):
    try:
        admin.delete_topics([name])
    except UnknownTopicOrPartitionError:  # it was, and the answer was lost
        return True
    except KafkaError:
        return False
    return True


def unique(name):
    return f"{name}-{uuid.uuid4().hex[:8]}"


def until(condition, timeout_s=30.0):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def produce(servers, topic, records):
    producer = KafkaProducer(bootstrap_servers=servers, acks="all")
    try:
        for future in [producer.send(topic, **record) for record in records]:
            future.get(timeout=30)
    finally:
        producer.close()


def consume(servers, topic, count, timeout_s=30.0):
    reading = {"auto_offset_reset": "earliest", "consumer_timeout_ms": int(timeout_s * 1000)}
    consumer = KafkaConsumer(topic, bootstrap_servers=servers, **reading)
    try:
        read = [record for _, record in zip(range(count), consumer, strict=False)]
    finally:
        consumer.close()
    assert len(read) == count
    return read


def lag(servers, admin, group, topic):
    committed = admin.list_group_offsets(group)[group]
    consumer = KafkaConsumer(bootstrap_servers=servers)
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        ends = consumer.end_offsets(partitions)
    finally:
        consumer.close()
    return sum(ends[one] - (committed[one].offset if one in committed else 0) for one in partitions)


@pytest.fixture
def topics(topic):
    """The three topics of the service."""
    return Topics(
        orders=topic("orders", partitions=3),
        totals=topic("totals", config={"cleanup.policy": "compact"}),
        rejected=topic("rejected"),
    )


@pytest.fixture
def start(servers, group, topics):
    """Starts services of one group, and closes them after the test."""
    shared, started = group("service"), []

    def start(group=shared):
        started.append(Service(servers, topics, group))
        return started[-1]

    yield start
    for service in started:
        service.close()


@pytest.fixture
def service(start):
    """One service."""
    return start()


def processed(service, count, timeout_s=30.0):
    """Let the service process until it has done that many orders."""
    done, end = 0, time.monotonic() + timeout_s
    while done < count:
        assert time.monotonic() < end, f"{done} of {count} orders were processed within {timeout_s:.0f} s"
        done += service.process(0.2)
    return done
