"""Traffic for tests of loss: Kafka's own producer writes, and whatever was acknowledged to it is looked for later."""

import itertools
import json
import logging
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Self

import psutil
from docker.errors import APIError
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from provision.errors import Interrupted
from tests.engine import Provision, engine
from tests.soak.command import Command

# VerifiableProducer switches retries off, and with them idempotence. A file brings back what a producer has by default,
# and what applications have; in a container, where no file of this machine is seen, it can come as standard input.
_CONFIG = "retries=2147483647\nenable.idempotence=true\n"
_CONFIG_FILE = "/dev/stdin"
_TOOL_CLASS = "org.apache.kafka.tools.VerifiableProducer"
_KEYS = 100  # records without keys stay with one partition for a whole batch; keys reach all partitions at once
_END_S = 30
_READ_S = 120
_IDLE_S = 15
_POLL_MS = 500
_PAUSE_S = 0.5
_SHOWN = 5
_FILL_BYTES, _FILL_RECORD_BYTES = 12 * 1024**2, 64 * 1024

logging.getLogger("kafka").setLevel(logging.WARNING)  # below that it tells of every connection

# Values are `RUN.NUMBER`: traffics over one topic do not meet.
_runs = itertools.count(1)


def fill(bootstrap_servers: str, topic: str) -> None:
    """Write records of no traffic, 12 MiB over the partitions of the topic, so that moving them takes a while."""
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers.split(","))
    partitions = sorted(producer.partitions_for(topic) or ())
    try:
        for number in range(_FILL_BYTES // _FILL_RECORD_BYTES):
            producer.send(topic, b"-" * _FILL_RECORD_BYTES, partition=partitions[number % len(partitions)])
        producer.flush(timeout=_END_S)
    finally:
        producer.close()


class Place(NamedTuple):
    """Where a record is; the offset is -1 where a producer was told that a retry had been stored already."""

    partition: int
    offset: int


class Traffic:
    """Records written with `acks=all` to a topic of a running environment, from `with` until `stop`.

    The producer retries as those of applications do (delivery.timeout.ms is 2 minutes). Records that fail nevertheless
    are counted in `errors`, by exception: they were never promised.
    """

    def __init__(self, provision: Provision, environment: str, topic: str, *, throughput: int = 500) -> None:
        self.run = next(_runs)
        self.errors: Counter[str] = Counter()
        self.longest_pause_s = 0.0
        """The longest time without an acknowledgement from one partition between two that came from it."""
        self._provision, self._environment = provision, environment
        self._options = {
            "--topic": topic,
            "--max-messages": "-1",
            "--acks": "-1",
            "--throughput": str(throughput),
            "--repeating-keys": str(_KEYS),
            "--value-prefix": str(self.run),
            "--producer.config": _CONFIG_FILE,
        }
        self._changed = threading.Condition()
        self._acknowledged: dict[str, Place] = {}
        self._last_ms: dict[int, int] = {}
        self._stopped = False
        self._command: Command

    def __enter__(self) -> Self:
        arguments = [word for option in self._options.items() for word in option]
        tool = ("tool", self._environment, "kafka-verifiable-producer", "--", *arguments)
        process = self._provision.start(*tool, stdin=subprocess.PIPE)
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it is gone already: `wait_for` shows why
            process.stdin.write(_CONFIG)
            process.stdin.close()
        self._command = Command(process, self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stopped:
            return
        if kind is None:
            self.stop()
        else:
            with suppress(AssertionError):  # what went wrong in the block is more interesting
                self.stop()

    @property
    def acknowledged(self) -> Mapping[str, Place]:
        """What was acknowledged until now: values, and where the brokers said that they are."""
        with self._changed:
            return dict(self._acknowledged)

    def wait_for(self, count: int, timeout_s: float = 60) -> None:
        """Wait until `count` more records were acknowledged than when it was called."""
        with self._changed:
            before = len(self._acknowledged)
            process = self._command.process
            began = time.monotonic()
            # It wakes without an acknowledgement too: a producer that died says nothing.
            while (
                len(self._acknowledged) < before + count
                and process.poll() is None
                and time.monotonic() < began + timeout_s
            ):
                self._changed.wait(_PAUSE_S)
            came = len(self._acknowledged) - before
        if came < count:
            state = "goes on" if process.poll() is None else f"exited with {process.poll()}"
            raise AssertionError(
                f"{came} of {count} records were acknowledged, {self.errors.total()} failed; "
                f"after {time.monotonic() - began:.0f} s the producer {state}, and said last:\n{self._command.said()}"
            )

    def stop(self) -> int:
        """End the producer, which must still run and leave nothing behind; returns how many records were acknowledged.

        SIGTERM to `provision` does it on both runtimes: it kills the tool's process, or removes its container. What was
        under way at that moment may be stored, but is not acknowledged.
        """
        process = self._command.process
        died = process.poll() is not None
        self._stopped = True
        process.send_signal(signal.SIGTERM)
        try:
            code = self._command.wait(_END_S)
        finally:
            left = self._end_what_is_left()
            self._command.close()
        assert not died, f"the producer had ended with {code}:\n{self._command.said()}"
        assert code == Interrupted.exit_code, f"the end of the producer failed with {code}:\n{self._command.said()}"
        assert not left, f"the command left {', '.join(left)}"
        return len(self._acknowledged)

    def kill(self) -> None:
        """Kill the command, which cannot end its tool then."""
        self._command.process.kill()
        self._command.process.wait(_END_S)

    def _end_what_is_left(self) -> list[str]:
        """End the tool where its command did not; returns what there was."""
        if self._provision.runtime == "docker":
            labels = [f"provision.environment={self._environment}", "provision.role=tool"]
            containers = engine().api.containers(all=True, filters={"label": labels})
            for container in containers:
                engine().api.remove_container(container["Id"], force=True, v=True)
            return [f"container {container['Id']}" for container in containers]
        mark = f"{self._provision.home}/environments/{self._environment}/"
        left = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                words = process.cmdline()
                if _TOOL_CLASS in words and any(mark in word for word in words):
                    process.kill()
                    left.append(f"process {process.pid}")
        return left

    def _take(self, line: str) -> None:
        try:
            event = json.loads(line)
        except ValueError:  # the last line is cut off when the producer is killed
            return
        with self._changed:
            if event["name"] == "producer_send_success":
                place = Place(event["partition"], event["offset"])
                self._acknowledged[event["value"]] = place
                pause_ms = event["timestamp"] - self._last_ms.get(place.partition, event["timestamp"])
                self._last_ms[place.partition] = event["timestamp"]
                self.longest_pause_s = max(self.longest_pause_s, pause_ms / 1000)
                self._changed.notify_all()
            elif event["name"] == "producer_send_error":
                self.errors[event["exception"]] += 1


# -- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found when nothing was lost."""

    acknowledged: int
    duplicates: int
    """Copies of records beyond the first."""
    unacknowledged: int
    """Records that were stored and never acknowledged: under way when a leader or the producer ended."""


def assert_nothing_lost(
    provision: Provision, environment: str, topic: str, traffic: Traffic, *, at_least: int = 1000
) -> Proof:
    """Every acknowledged record is in the topic where the brokers said; and they are `at_least` so many."""
    promised = traffic.acknowledged
    assert len(promised) >= at_least, f"only {len(promised)} records were acknowledged: that shows nothing"
    status = json.loads(provision.ok("status", environment, "-o", "json"))
    ends = dict[int, int]()
    for place in promised.values():
        ends[place.partition] = max(place.offset + 1, ends.get(place.partition, 0))
    stored = _read(status["bootstrap_servers"], topic, ends)

    ours = {place: value for place, value in stored.items() if value.startswith(f"{traffic.run}.")}
    copies = Counter(ours.values())
    lost = [f"{value} of {place}" for value, place in promised.items() if value not in copies]
    moved = [
        f"{value} of {place}"
        for value, place in promised.items()
        if value in copies and place.offset >= 0 and ours.get(place) != value
    ]
    assert not lost, _shown("lost", lost, promised)
    assert not moved, _shown("not where they were acknowledged", moved, promised)
    return Proof(
        acknowledged=len(promised),
        duplicates=copies.total() - len(copies),
        unacknowledged=len(copies.keys() - promised.keys()),
    )


def _shown(what: str, which: Sequence[str], promised: Mapping[str, Place]) -> str:
    more = ", ..." if len(which) > _SHOWN else ""
    return f"{len(which)} of {len(promised)} acknowledged records are {what}: {', '.join(which[:_SHOWN])}{more}"


def _read(bootstrap_servers: str, topic: str, at_least: Mapping[int, int]) -> dict[Place, str]:
    """All values of a topic, from the first to the end offsets of now, and to those of `at_least`.

    After a change of leaders an end offset may lag behind what was acknowledged before: so reading goes on to there,
    until nothing has come for a while.
    """
    consumer = KafkaConsumer(bootstrap_servers=bootstrap_servers.split(","), group_id=None, enable_auto_commit=False)
    stored: dict[Place, str] = {}
    try:
        partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        goal = {p.partition: max(ends[p], at_least.get(p.partition, 0)) for p in partitions}
        position = {p.partition: offset for p, offset in consumer.beginning_offsets(partitions).items()}
        consumer.seek_to_beginning(*partitions)
        began = last = time.monotonic()
        while any(position[number] < goal[number] for number in goal) and time.monotonic() < last + _IDLE_S:
            assert time.monotonic() < began + _READ_S, f"reading {topic} takes longer than {_READ_S} s"
            for record in _poll(consumer):
                stored[Place(record.partition, record.offset)] = (record.value or b"").decode()
                position[record.partition], last = record.offset + 1, time.monotonic()
    finally:
        consumer.close()
    return stored


def _poll(consumer: KafkaConsumer) -> list:  # type: ignore[type-arg]  # the library's records
    try:
        return [record for batch in consumer.poll(timeout_ms=_POLL_MS).values() for record in batch]
    except KafkaError as error:
        if not error.retriable:
            raise
        time.sleep(_PAUSE_S)
        return []


# -- killing ----------------------------------------------------------------------------------------------------------


def kill_leader(
    provision: Provision, environment: str, topic: str, partition: int = 0, *, timeout_s: float = 60
) -> str:
    """Kill the broker that leads the partition as a crash would; returns the node's name.

    Between two leaders there is none, or one is named that is dead: then it asks again.
    """
    deadline = time.monotonic() + timeout_s
    said = ""
    while time.monotonic() < deadline:
        described = provision("topics", "describe", environment, topic, "-o", "json")
        if described.code == 0:
            (found,) = json.loads(described.out)
            leader = next(entry["leader"] for entry in found["assignment"] if entry["partition"] == partition)
            said = f"leader {leader}"
            with suppress(APIError, ValueError):  # no such container runs, no such process is found
                provision.kill(environment, f"broker-{leader}")
                return f"broker-{leader}"
        else:
            said = described.err
        time.sleep(_PAUSE_S)
    raise AssertionError(f"{topic}-{partition} had no leader that could be killed for {timeout_s:.0f} s: {said}")
