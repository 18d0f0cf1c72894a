"""A connection for changes inside a cluster, through kafka-python's admin client: one part a kind of resource."""

from collections.abc import Iterator
from contextlib import contextmanager

from kafka import KafkaAdminClient

from provision.kafka.brokers import BrokerAdmin
from provision.kafka.partitions import PartitionAdmin
from provision.kafka.session import Session, translated
from provision.kafka.settings import SettingsAdmin
from provision.kafka.topics import TopicAdmin


class Admin:
    """What can be asked and changed, by kind of resource."""

    def __init__(self, session: Session) -> None:
        self.settings = SettingsAdmin(session)
        self.topics = TopicAdmin(session, self.settings)
        self.brokers = BrokerAdmin(self.settings)
        self.partitions = PartitionAdmin(session)


@contextmanager
def connected(bootstrap_servers: str, timeout_s: float) -> Iterator[Admin]:
    """An `Admin` of the cluster behind `bootstrap_servers`, closed at the end.

    Raises:
        Unavailable: no broker answers within `timeout_s`.
    """
    with translated(f"connecting to {bootstrap_servers}"):
        client = KafkaAdminClient(
            bootstrap_servers=bootstrap_servers.split(","),
            client_id="provision",
            bootstrap_timeout_ms=int(timeout_s * 1000),
            request_timeout_ms=int(timeout_s * 1000),
        )
    try:
        yield Admin(Session(client, int(timeout_s * 1000)))
    finally:
        client.close()
