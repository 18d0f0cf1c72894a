"""The service and its topics, for each test."""

import time

import pytest
from orders import Service, Topics


@pytest.fixture
def topics(kafka):
    """The three topics of the service."""
    return Topics(
        orders=kafka.topic("orders", partitions=3).name,
        totals=kafka.topic("totals", config={"cleanup.policy": "compact"}).name,
        rejected=kafka.topic("rejected").name,
    )


@pytest.fixture
def start(kafka, topics):
    """Starts services of one group, and closes them after the test."""
    group, started = kafka.group("service"), []

    def start(group=group):
        started.append(Service(kafka.bootstrap_servers, topics, group))
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
