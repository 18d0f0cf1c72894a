"""Whether a cluster that others have started is ready: asked with librdkafka, which is not ours, as often as it can.

What these clusters take is therefore theirs: the imports are done and the client is made before the clock begins.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from benchmarks.measuring import Failed
from benchmarks.shapes import Shape

WAIT_S, _PAUSE_S, _ASK_S = 120.0, 0.01, 1.0


def client(servers: Sequence[str]) -> AdminClient:
    """A client that tries to connect again at once."""
    quick = {"reconnect.backoff.ms": 5, "reconnect.backoff.max.ms": 20, "log_level": 0}
    return AdminClient({"bootstrap.servers": ",".join(servers), **quick}, logger=_Quiet())


class _Quiet:
    """Refused connections are what is expected."""

    def log(self, *_: object) -> None:
        """Say nothing."""


def until_in_sync(admin: AdminClient, shape: Shape, alive: Callable[[], None]) -> None:
    """Create the topics as soon as all brokers are there, and wait until every replica is in sync.

    Args:
        admin: of `client`.
        shape: the cluster.
        alive: raises if a node has ended.
    """
    end = time.monotonic() + WAIT_S
    missing = set(shape.names)
    while _brokers(admin) != shape.brokers:
        _go_on(end, "the brokers are not there", alive)
    while missing:
        missing -= _created(admin, shape, missing)
        if missing:
            _go_on(end, "the topics cannot be created", alive)
    while not _in_sync(admin, shape):
        _go_on(end, "the topics are not in sync", alive)


def _go_on(end: float, why: str, alive: Callable[[], None]) -> None:
    alive()
    if time.monotonic() > end:
        raise Failed(f"{why} after {WAIT_S:.0f} s")
    time.sleep(_PAUSE_S)


def _brokers(admin: AdminClient) -> int:
    try:
        return len(admin.list_topics(timeout=_ASK_S).brokers)
    except KafkaException:
        return 0


def _created(admin: AdminClient, shape: Shape, names: set[str]) -> set[str]:
    """Which of them are there after one request."""
    asked = [
        NewTopic(name, num_partitions=shape.partitions, replication_factor=shape.replication_factor)
        for name in sorted(names)
    ]
    return {name for name, future in admin.create_topics(asked).items() if _is_there(future)}


def _is_there(future: "Future[None]") -> bool:
    try:
        future.result(timeout=30)
    except KafkaException as error:
        return bool(error.args[0].name() == "TOPIC_ALREADY_EXISTS")
    return True


def _in_sync(admin: AdminClient, shape: Shape) -> bool:
    try:
        topics = admin.list_topics(timeout=_ASK_S).topics
    except KafkaException:
        return False
    ours = [topics[name].partitions for name in shape.names if name in topics]
    return len(ours) == len(shape.names) and all(
        len(found) == shape.partitions
        and all(len(partition.isrs) == shape.replication_factor for partition in found.values())
        for found in ours
    )
