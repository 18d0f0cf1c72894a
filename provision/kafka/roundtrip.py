"""Check that a cluster takes and returns records, with one written to every broker (a round trip).

The records go through a topic that is created for this and deleted afterwards. Each request is sent on its own
(`provision.kafka.connection`), and not by the library's clients: so there is one deadline for everything, and each
broker is asked itself.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import provision.kafka.library  # noqa: F401 the library first
from kafka.errors import for_code
from kafka.protocol.admin.configs import DescribeConfigsRequest
from kafka.protocol.admin.topics import CreateTopicsRequest, DeleteTopicsRequest
from kafka.protocol.consumer.fetch import FetchRequest
from kafka.protocol.producer import ProduceRequest
from kafka.record import MemoryRecords, MemoryRecordsBuilder

from provision.cluster.model import Role
from provision.common.clocks import now_s
from provision.common.interrupts import shielded
from provision.common.patience import Patience
from provision.common.values import replace
from provision.errors import Interrupted, NotReady, ProvisionError, UsageError
from provision.kafka.access import Access
from provision.kafka.brokers import DELETE_TOPICS
from provision.kafka.connection import NotAnswering, ask
from provision.kafka.metadata import observe_topic
from provision.kafka.readiness import ask_brokers
from provision.kafka.translation import as_provision_error
from provision.plan.observed import ObservedCluster
from provision.plan.placement import Placement

CONFIG: Mapping[str, str] = {
    "cleanup.policy": "delete",
    "compression.type": "producer",
    "file.delete.delay.ms": "0",
    "max.message.bytes": "1048588",
    "message.timestamp.type": "LogAppendTime",
    "min.insync.replicas": "1",
    "preallocate": "false",
    "retention.bytes": "-1",
    "retention.ms": "-1",
    "segment.bytes": "1048576",
    "segment.index.bytes": "4096",
}
"""Settings of the topic, so that what is set on the brokers for other topics does not matter."""
PREFIX = "provision-roundtrip-"
# Brokers from 2.4 on support them, including 4.x.
_CREATE_VERSION, _DELETE_VERSION, _PRODUCE_VERSION, _FETCH_VERSION, _DESCRIBE_VERSION = 5, 4, 8, 11, 1
_BROKER = 4  # as a type of resource
_UNKNOWN_TOPIC, _TOPIC_EXISTS = 3, 36
_MAGIC, _UNCOMPRESSED, _FETCHED_BYTES = 2, 0, 1024 * 1024
_REPLICAS = 3
# Another broker may become the controller meanwhile, so none is waited for too long.
_LOOK_S, _REQUEST_S, _PAUSE_S, _FETCH_MS = 2.0, 10.0, 0.1, 500
# For the deletion, if the time limit has passed already.
_CLEANUP_S = 5.0


def roundtrip(access: Access, patience: Patience) -> None:
    """Write a record to every broker and read it back, through a temporary topic.

    Args:
        access: to all brokers.
        patience: the deadline for all of it. Past it, only the deletion of the topic may take a few seconds more.

    Raises:
        UsageError: the brokers do not allow topics to be deleted; nothing was created.
        NotReady: a record could not be written or read back in time.
        ProvisionError: Kafka refuses the topic or a record, or the topic could not be deleted.
    """
    probe = _Probe(access, patience)
    probe.require_deletable()
    try:
        probe.create()
        for partition in range(len(probe.assignment)):
            probe.write(partition)
            probe.read(partition)
    except (ProvisionError, KeyboardInterrupt) as error:
        with shielded():
            left = probe.delete()
        if isinstance(error, ProvisionError):
            error.add(left)
        elif left:
            raise Interrupted("interrupted", why=left) from error
        raise
    with shielded():
        left = probe.delete()
    if left:
        raise ProvisionError(left)


@dataclass(slots=True)
class _Probe:
    """The topic of one round trip; `assignment` has the brokers of each of its partitions, the leader first."""

    access: Access
    patience: Patience
    topic: str = field(default_factory=lambda: f"{PREFIX}{uuid.uuid4().hex[:8]}")
    assignment: Sequence[Sequence[int]] = ()

    def require_deletable(self) -> None:
        """Refuse to create what could not be deleted."""
        forbidding = [Role.BROKER.node(broker) for broker in self.access.brokers if self._forbids_deletion(broker)]
        if forbidding:
            raise UsageError(
                "a round trip would leave its topic behind",
                why=f"{', '.join(forbidding)}: {DELETE_TOPICS} is false",
                hint="use the level `topics`",
            )

    def create(self) -> None:
        """Create the topic, with a partition led by each broker."""
        self._persist("the topic for a round trip was not created", self._create)

    def write(self, partition: int) -> None:
        """Write a record, acknowledged by all in-sync replicas."""
        self._persist("a record was not acknowledged", lambda: self._write(partition))

    def read(self, partition: int) -> None:
        """Read the record back."""
        self._persist("a record did not come back", lambda: self._read(partition))

    def delete(self) -> str:
        """Delete the topic, and wait until the brokers have forgotten it; returns what is left, if anything."""
        if not self.assignment:  # it was never asked for
            return ""
        self.patience = Patience(max(self.patience.left_s, _CLEANUP_S))
        try:
            self._persist("", self._delete)
        except ProvisionError as error:
            return f"its topic {self.topic} is still there ({error.why}); `provision topics delete` deletes it"
        # In KRaft mode, brokers learn of the deletion a moment later.
        while any(map(self._knows, self.access.brokers)) and self.patience.pause(_PAUSE_S):
            pass
        return ""

    def _persist(self, failure: str, attempt: Callable[[], str]) -> None:
        """Attempt until it has no reason any more to fail for a while."""
        while reason := attempt():
            if not self.patience.pause(_PAUSE_S):
                raise NotReady(f"{failure} within {self.patience.given}", why=reason)

    def _ask(self, broker: int, request: Any) -> Any:  # noqa: ANN401 the library's classes
        return ask(self.access, broker, request, self._limit_s)

    @property
    def _limit_s(self) -> float:
        """For a request: what is left, but not nothing."""
        return min(max(self.patience.left_s, 0.1), _REQUEST_S)

    def _forbids_deletion(self, broker: int) -> bool:
        of = DescribeConfigsRequest.DescribeConfigsResource
        wanted = of(resource_type=_BROKER, resource_name=str(broker), configuration_keys=[DELETE_TOPICS])
        try:
            answer = self._ask(broker, DescribeConfigsRequest(resources=[wanted], version=_DESCRIBE_VERSION))
        except NotAnswering:  # that is told by what follows
            return False
        return any(entry.value == "false" for result in answer.results for entry in result.configs or ())

    def _create(self) -> str:
        try:
            cluster = self._controller()
            there = [broker for broker in cluster.brokers if broker.id in self.access.brokers]
            rows = Placement(there).place(len(there), min(_REPLICAS, len(there)))
            self.assignment = rows
            answer = self._ask(cluster.controller, self._creation(rows))
        except NotAnswering as reason:
            return str(reason)
        (told,) = answer.topics
        return "" if told.error_code == _TOPIC_EXISTS else _reason("creating a topic", told)  # it is our own

    def _creation(self, rows: Sequence[Sequence[int]]) -> Any:  # noqa: ANN401 the library's classes
        of = CreateTopicsRequest.CreatableTopic
        topic = of(
            name=self.topic,
            num_partitions=-1,
            replication_factor=-1,
            assignments=[
                of.CreatableReplicaAssignment(partition_index=number, broker_ids=list(row))
                for number, row in enumerate(rows)
            ],
            configs=[of.CreatableTopicConfig(name=key, value=value) for key, value in CONFIG.items()],
        )
        limit_ms = int(self._limit_s * 1000)
        return CreateTopicsRequest(topics=[topic], timeout_ms=limit_ms, validate_only=False, version=_CREATE_VERSION)

    def _write(self, partition: int) -> str:
        builder = MemoryRecordsBuilder(_MAGIC, _UNCOMPRESSED, _FETCHED_BYTES)
        builder.append(timestamp=int(now_s() * 1000), key=None, value=self._record(partition), headers=[])
        builder.close()
        of = ProduceRequest.TopicProduceData
        data = of.PartitionProduceData(index=partition, records=bytes(builder.buffer()))
        request = ProduceRequest(
            transactional_id=None,
            acks=-1,
            timeout_ms=int(self._limit_s * 1000),
            topic_data=[of(name=self.topic, partition_data=[data])],
            version=_PRODUCE_VERSION,
        )
        try:
            answer = self._ask(self._leader(partition), request)
        except NotAnswering as reason:
            return f"{self._at(partition)}: {reason}"
        ((told,),) = (topic.partition_responses for topic in answer.responses)
        return self._told(partition, "writing a record", told)

    def _read(self, partition: int) -> str:
        of = FetchRequest.FetchTopic
        wanted = of.FetchPartition(
            partition=partition,
            current_leader_epoch=-1,
            fetch_offset=0,
            log_start_offset=-1,
            partition_max_bytes=_FETCHED_BYTES,
        )
        request = FetchRequest(
            replica_id=-1,
            max_wait_ms=min(_FETCH_MS, int(self._limit_s * 1000)),
            min_bytes=1,
            max_bytes=_FETCHED_BYTES,
            isolation_level=0,
            session_id=0,
            session_epoch=-1,
            topics=[of(topic=self.topic, partitions=[wanted])],
            forgotten_topics_data=[],
            rack_id="",
            version=_FETCH_VERSION,
        )
        try:
            answer = self._ask(self._leader(partition), request)
        except NotAnswering as reason:
            return f"{self._at(partition)}: {reason}"
        for topic in answer.responses:
            for told in topic.partitions:
                if failed := self._told(partition, "reading a record", told):
                    return failed
                if self._record(partition) in _values(told.records):
                    return ""
        return f"{self._at(partition)}: it returns no record"

    def _delete(self) -> str:
        limit_ms = int(self._limit_s * 1000)
        request = DeleteTopicsRequest(topic_names=[self.topic], timeout_ms=limit_ms, version=_DELETE_VERSION)
        try:
            answer = self._ask(self._controller().controller, request)
        except NotAnswering as reason:
            return str(reason)
        (told,) = answer.responses
        return "" if told.error_code == _UNKNOWN_TOPIC else _reason("deleting a topic", told)

    def _controller(self) -> ObservedCluster:
        """The cluster as told by the broker that is sent changes; in KRaft mode, any broker passes them on.

        It answers: otherwise it could create the topic later, when nobody would delete it.

        Raises:
            NotAnswering: it does not answer, or none is known.
        """
        answers = ask_brokers(self.access, min(self._limit_s, _LOOK_S), topics=False)
        named = {cluster.controller for cluster in answers.clusters.values()}
        if answering := sorted(named & answers.clusters.keys()):
            return replace(answers.clusters[answering[0]], controller=answering[0])
        reasons = [f"{Role.BROKER.node(broker)}: {reason}" for broker, reason in sorted(answers.silent.items())]
        raise NotAnswering("; ".join(reasons) or "the brokers know no controller yet")

    def _leader(self, partition: int) -> int:
        """The leader of a partition: a broker that has just gone away has another one in its place."""
        preferred = self.assignment[partition][0]
        known = observe_topic(self.access, preferred, self.topic, self._limit_s)
        leaders = [p.leader for p in known.partitions if p.number == partition] if known else []
        return next((leader for leader in leaders if leader in self.access.brokers), preferred)

    def _record(self, partition: int) -> bytes:
        return f"{self.topic}-{partition}".encode()

    def _at(self, partition: int) -> str:
        return Role.BROKER.node(self.assignment[partition][0])

    def _told(self, partition: int, doing: str, told: Any) -> str:  # noqa: ANN401 the library's classes
        failed = _reason(doing, told)
        return f"{self._at(partition)}: {failed}" if failed else ""

    def _knows(self, broker: int) -> bool:
        try:
            return observe_topic(self.access, broker, self.topic, self._limit_s) is not None
        except NotAnswering:
            return False


def _reason(doing: str, told: Any) -> str:  # noqa: ANN401 the library's classes
    """Why it has to be attempted again; empty where it is done.

    Raises:
        KafkaRefused: another attempt would be refused as well.
    """
    if not told.error_code:
        return ""
    error = for_code(told.error_code)(getattr(told, "error_message", None) or "")
    if not error.retriable:
        raise as_provision_error(doing, error)
    return type(error).__name__


def _values(records: bytes | None) -> list[bytes | None]:
    found, batches = list[bytes | None](), MemoryRecords(records or b"")
    while batch := batches.next_batch():
        found += [record.value for record in batch]
    return found
