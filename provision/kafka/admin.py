"""A connection for changes inside a cluster, through kafka-python's admin client, with one part per resource type."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from provision.kafka.access import Access
from provision.kafka.brokers import BrokerAdmin
from provision.kafka.connection import REQUEST_TIMEOUT_S
from provision.kafka.groups import GroupAdmin
from provision.kafka.on_demand import OnDemand
from provision.kafka.partitions import PartitionAdmin
from provision.kafka.settings import SettingsAdmin
from provision.kafka.topics import TopicAdmin


class Admin:
    """The requests and changes for each type of resource."""

    def __init__(self, client: Any, access: Access, timeout_s: float = REQUEST_TIMEOUT_S) -> None:  # noqa: ANN401 the library's client, or a fake one
        timeout_ms = int(timeout_s * 1000)
        self.settings = SettingsAdmin(client, access)
        self.topics = TopicAdmin(client, self.settings, timeout_ms)
        self.groups = GroupAdmin(client)
        self.brokers = BrokerAdmin(self.settings)
        self.partitions = PartitionAdmin(client, timeout_ms)


@contextmanager
def connected(access: Access, timeout_s: float = REQUEST_TIMEOUT_S) -> Iterator[Admin]:
    """An `Admin` of the cluster, closed at the end; `timeout_s` limits each request.

    It connects when it is asked something. That raises `Unavailable` if no broker answers in time, and `KafkaRefused`
    if the credentials are not accepted.
    """
    client = OnDemand(access, timeout_s)
    try:
        yield Admin(client, access, timeout_s)
    finally:
        client.close()
