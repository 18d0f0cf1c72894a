"""Records through real brokers: round trips, every codec, topics that go, brokers that freeze, sizes."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import psutil
import pytest
from confluent_kafka import Producer
from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition

from provision import Environment
from provision.common.records import Codec, Isolation, NewRecord
from provision.common.values import replace
from provision.errors import Interrupted, KafkaRefused, ProvisionError, UsageError
from provision.kafka import writing
from provision.kafka.partitioning import partition_of
from tests.engine import Provision, wait_until, write_environment
from tests.stopped_clocks import ended, stop_clocks

CODECS: tuple[Codec, ...] = ("gzip", "snappy", "lz4", "zstd")
HOSTILE = {
    "auto.create.topics.enable": "true",
    "compression.type": "zstd",
    "log.cleanup.policy": "compact",
    "log.index.size.max.bytes": "4",
    "log.message.timestamp.before.max.ms": "0",
    "log.preallocate": "true",
    "log.retention.bytes": "1",
    "log.retention.check.interval.ms": "1",
    "log.retention.ms": "1",
    "log.roll.ms": "1",
    "message.max.bytes": "10",
    "min.insync.replicas": "2",
    "num.partitions": "7",
}
"""What may be set on brokers for their topics, and must not matter to the topic of a round trip."""

TIME_LIMIT = "message.timestamp.before.max.ms"

pytestmark = pytest.mark.group(docker="matrix")


def _file(
    directory: Path,
    name: str,
    brokers: int = 1,
    kafka: str = "{}",
    properties: Mapping[str, str] = MappingProxyType({}),
) -> str:
    settings = json.dumps(dict(properties))
    return write_environment(
        directory, name, f"kafka: {kafka}\nbrokers: {{nodes: {brokers}, port: auto, properties: {settings}}}\n"
    )


@pytest.fixture(scope="module")
def running(provision: Provision, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two brokers that make topics of whatever they are asked for."""
    provision.ok(
        "up",
        _file(tmp_path_factory.mktemp("files"), "records", 2, properties={"zookeeper.session.timeout.ms": "6000"}),
        "--until",
        "brokers",
    )
    return "records"


def _topics(provision: Provision, env: str) -> set[str]:
    return {topic["name"] for topic in json.loads(provision.ok("topics", "list", env, "-o", "json"))}


# -- round trips ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "mode"),
    [
        pytest.param("3.9.1", "zookeeper", id="zookeeper"),
        pytest.param("4.3.0", "kraft", id="kraft", marks=pytest.mark.matrix),
        pytest.param("2.8.2", "zookeeper", id="oldest", marks=pytest.mark.matrix),
    ],
)
def test_whatever_is_set_on_the_brokers_a_round_trip_succeeds_and_leaves_nothing(
    provision: Provision, tmp_path: Path, version: str, mode: str
) -> None:
    settings = dict(HOSTILE)
    if version != "3.9.1":  # elsewhere no file may demand more replicas than Kafka's own topics have
        del settings["min.insync.replicas"]
    if version < "3.6":
        settings["log.message.timestamp.difference.max.ms"] = settings.pop("log.message.timestamp.before.max.ms")
    provision = replace(provision, version=version)
    env = _file(tmp_path, "hostile", kafka=f"{{mode: {mode}}}", properties=settings)
    assert json.loads(provision.ok("up", env, "--until", "roundtrip", "-o", "json"))["level"] == "roundtrip"
    assert _topics(provision, "hostile") == set()
    provision.ok("down", "hostile")


@contextmanager
def _frozen(provision: Provision, env: str, node: str) -> Iterator[None]:
    """A broker that does nothing, and does not go away either."""
    (process,) = provision._processes(env, node)  # noqa: SLF001
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@pytest.mark.matrix
def test_a_round_trip_keeps_its_deadline_when_a_broker_freezes_and_undoes_nothing(
    provision: Provision, running: str
) -> None:
    if provision.runtime == "docker":
        pytest.skip("a container is frozen by the engine")
    with _frozen(provision, running, "broker-2"):
        late = provision("wait", running, "--until", "roundtrip", "--timeout", "3s")
    assert late.code == 124
    assert "Traceback" not in late.err
    assert wait_until(lambda: provision("wait", running, "--until", "roundtrip").code == 0)
    assert wait_until(lambda: not [t for t in _topics(provision, running) if t.startswith("provision-")])


# -- codecs -----------------------------------------------------------------------------------------------------------


def test_records_of_every_codec_are_read(provision: Provision, running: str) -> None:
    environment = Environment.named(running, home=provision.home)
    for codec in CODECS:
        environment.create_topic(f"by-{codec}", config={"compression.type": codec})
        environment.create_topic(f"with-{codec}")
        # Kafka's own libraries compress what comes in another way, and ours what a client sends.
        environment.produce(f"by-{codec}", [(None, b"compressed " * 100)])
        with KafkaProducer(bootstrap_servers=environment.bootstrap_servers, compression_type=codec) as client:
            client.send(f"with-{codec}", b"compressed " * 100).get(timeout=30)
        environment.produce(f"with-{codec}", [(None, b"written " * 100)], compression=codec)
        expected = {f"by-{codec}": [b"compressed " * 100], f"with-{codec}": [b"compressed " * 100, b"written " * 100]}
        for topic, values in expected.items():
            read = environment.consume(topic, limit=len(values), idle_s=30.0)
            assert [record.value for record in read] == values


# -- transactions -----------------------------------------------------------------------------------------------------


def test_what_no_transaction_has_committed_is_left_out_where_that_is_wanted(provision: Provision, running: str) -> None:
    environment = Environment.named(running, home=provision.home)
    environment.create_topic("transacted")
    producer = Producer({"bootstrap.servers": environment.bootstrap_servers, "transactional.id": "t"})
    producer.init_transactions(120)
    for value, end in ((b"committed", producer.commit_transaction), (b"aborted", producer.abort_transaction)):
        producer.begin_transaction()
        producer.produce("transacted", value)
        producer.flush(120)  # what is not sent yet is not sent any more once it is aborted
        end(120)
    for limit in (1, None):
        read = environment.consume("transacted", limit=limit, to_end=True, isolation_level="read_committed")
        assert [record.value for record in read] == [b"committed"]
    assert _all_of(environment, "transacted") == [b"committed", b"aborted"]
    options = ["--from-beginning", "--max-messages", "1", "--isolation-level", "read_committed"]
    assert provision.ok("consume", running, "transacted", *options) == "committed\n"
    with pytest.raises(UsageError, match="read_uncommitted or read_committed, not 'committed'"):
        environment.consume("transacted", isolation_level="committed")  # type: ignore[arg-type]
    # An application commits the offset after the last record that it has processed.
    place, servers = TopicPartition("transacted", 0), environment.bootstrap_servers
    with KafkaConsumer(bootstrap_servers=servers, group_id="committing", enable_auto_commit=False) as group:
        group.assign([place])
        group.commit({place: OffsetAndMetadata(1, "", -1)})  # asks again while the group's coordinator is loading
    assert sum(environment.lag("committing", ["transacted"]).values()) == 3  # the marks of both, and what was aborted
    assert wait_until(lambda: environment.has_read_all("committing", ["transacted"]))
    assert not environment.has_read_all("another", ["transacted"])
    producer.begin_transaction()
    producer.produce("transacted", b"open")
    producer.flush(120)
    assert _all_of(environment, "transacted") == [b"committed", b"aborted", b"open"]
    assert _all_of(environment, "transacted", "read_committed") == [b"committed"]
    producer.commit_transaction(120)
    assert wait_until(lambda: len(_all_of(environment, "transacted", "read_committed")) == 2)  # every broker knows it
    assert not environment.has_read_all("committing", ["transacted"])


def _all_of(environment: Environment, topic: str, isolation: Isolation = "read_uncommitted") -> list[bytes | None]:
    return [record.value for record in environment.consume(topic, to_end=True, isolation_level=isolation)]


def test_reading_to_the_end_ends_where_the_topic_ended_when_it_began(provision: Provision, running: str) -> None:
    environment = Environment.named(running, home=provision.home)
    environment.create_topic("ended", partitions=3)
    assert _all_of(environment, "ended") == []
    environment.produce("ended", [NewRecord(b"1", partition=1), NewRecord(b"2", partition=2)])
    assert list(environment.consume("ended", from_beginning=False, to_end=True)) == []
    reading = environment.consume("ended", to_end=True)
    read = {next(reading).value}
    environment.produce("ended", [NewRecord(b"late", partition=number) for number in range(3)])
    assert read | {record.value for record in reading} == {b"1", b"2"}
    lines = provision.ok("consume", running, "ended", "--from-beginning", "--to-end").splitlines()
    assert sorted(lines) == ["1", "2", "late", "late", "late"]


READINGS: Mapping[str, Callable[[Environment], object]] = {
    "so many records": lambda environment: len(list(environment.consume("timed", limit=2))),
    "to the end": lambda environment: len(list(environment.consume("timed", to_end=True))),
    "until nothing comes": lambda environment: len(list(environment.consume("timed", idle_s=0.5))),
    "what is committed": lambda environment: len(_all_of(environment, "timed", "read_committed")),
    "what a group has left": lambda environment: 2 - environment.has_read_all("timed", ["timed"]),
}


@pytest.mark.parametrize("reading", READINGS)
def test_where_the_clocks_of_the_program_stand_still_reading_ends(
    provision: Provision, running: str, monkeypatch: pytest.MonkeyPatch, reading: str
) -> None:
    environment = Environment.named(running, home=provision.home)
    if "timed" not in _topics(provision, running):
        environment.create_topic("timed")
        environment.produce("timed", [(None, b"1"), (None, b"2")])
    stop_clocks(monkeypatch)
    assert ended(lambda: READINGS[reading](environment)) == 2


LEAVES = """
import sys
from provision import Environment
reading = Environment.named(sys.argv[1], home=sys.argv[2]).consume("left")
print(next(reading).value.decode())
"""


def test_who_leaves_in_the_middle_of_a_topic_ends(provision: Provision, running: str) -> None:
    """A reader of the output who has seen enough, and a script that ends with a topic read in part."""
    environment = Environment.named(running, home=provision.home)
    environment.create_topic("left")
    environment.produce("left", [NewRecord(str(number).encode()) for number in range(2000)])
    for _ in range(4):
        _read_and_leave(provision.start("consume", running, "left", "--from-beginning"), lines=1)
        script = [sys.executable, "-c", LEAVES, running, str(provision.home)]
        assert subprocess.run(script, capture_output=True, text=True, timeout=60, check=True).stdout == "0\n"


@pytest.mark.parametrize(
    "line",
    [
        ["consume", "records", "seen-as-lines", "--from-beginning"],
        ["consume", "records", "seen-as-json", "--from-beginning", "-o", "json"],
        ["logs", "records", "broker-1", "--follow", "--tail", "3"],
        ["status", "records", "--watch"],
        ["status", "records", "--watch", "-o", "json"],
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("running")
def test_who_leaves_while_nothing_comes_ends_the_command(provision: Provision, line: list[str]) -> None:
    if line[0] == "consume":
        provision.ok("topics", "create", "records", line[2])
        provision.ok("produce", "records", line[2], stdin="1\n2\n3\n")
    _read_and_leave(provision.start(*line), lines=1 if line[0] == "status" else 3)


def _read_and_leave(process: "subprocess.Popen[str]", lines: int) -> None:
    """Read so many lines of a command that has more to say, or is waiting for more; it ends well and without a word."""
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        assert all(process.stdout.readline() for _ in range(lines))
        process.stdout.close()
        assert (process.wait(60), process.stderr.read()) == (0, "")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


# -- files of records -------------------------------------------------------------------------------------------------


def test_a_new_topic_is_filled_once_and_a_file_is_written_as_it_says(
    provision: Provision, running: str, tmp_path: Path
) -> None:
    seed = tmp_path / "seed.jsonl"
    lines = [{"key": str(n % 5), "value": {"n": n}, "headers": {"h": "x"}, "timestamp": 1000 + n} for n in range(2000)]
    seed.write_text("".join(json.dumps(line) + "\n" for line in lines))
    file = tmp_path / "records.yaml"
    kept = "config: {retention.ms: '-1'}"  # records of 1970
    file.write_text(f"name: records\ntopics: [{{name: seeded, partitions: 3, {kept}, records: seed.jsonl}}]\n")
    for _ in range(2):  # the second time, it is there
        provision.ok("topics", "apply", str(file), "--take-over", "--yes")
    environment = Environment.named(running, home=provision.home)
    read = list(environment.consume("seeded", limit=2000, idle_s=30.0))
    assert sum(environment.lag("nobody", ["seeded"]).values()) == 2000  # the second time has added none
    assert sorted(json.loads(record.value or b"")["n"] for record in read) == list(range(2000))
    assert {record.partition for record in read if record.key == b"1"} == {partition_of(b"1", 3)}
    assert all(record.headers == (("h", b"x"),) and record.timestamp_ms >= 1000 for record in read)
    provision.ok("topics", "create", running, "by-hand", "--partitions", "2")
    (tmp_path / "by-hand.csv").write_text("id,value,partition\n1,a,1\n2,,0\n")
    options = ["--key", "id", "--header", "h=1", "--rate", "1000"]
    provision.ok("produce", running, "by-hand", "--from", str(tmp_path / "by-hand.csv"), *options)
    found = sorted(environment.consume("by-hand", limit=2, idle_s=30.0), key=lambda record: record.partition)
    told = [(one.partition, one.key, one.value, one.headers) for one in found]
    assert told == [(0, b"2", b"", (("h", b"1"),)), (1, b"1", b"a", (("h", b"1"),))]


def test_empty_keys_tombstones_and_partitions_that_are_not_there(provision: Provision, running: str) -> None:
    environment = Environment.named(running, home=provision.home)
    environment.create_topic("odd", partitions=2)
    written = [NewRecord(None, b""), NewRecord(b"", None, (("a", b""), ("a", b"2")), 1), NewRecord(b"v", b"k")]
    assert environment.produce("odd", written) == 3
    read = [(one.key, one.value, one.headers) for one in environment.consume("odd", limit=3, idle_s=30.0)]
    assert sorted(read, key=repr) == sorted([(one.key, one.value, one.headers) for one in written], key=repr)
    with pytest.raises(ProvisionError, match="odd does not have the partition of record 2") as wrong:
        environment.produce("odd", [NewRecord(b"fine"), NewRecord(b"lost", partition=2)])
    assert "1 record was acknowledged" in wrong.value.why


def test_a_record_that_a_topic_does_not_take_is_named_with_the_reason(provision: Provision, running: str) -> None:
    environment = Environment.named(running, home=provision.home)
    environment.create_topic("by-key", config={"cleanup.policy": "compact"})
    environment.create_topic("timely", config={"message.timestamp.type": "CreateTime", TIME_LIMIT: "3600000"})
    keyless = [NewRecord(b"a", b"1"), NewRecord(b"b"), NewRecord(b"c", b"3")]
    old = [NewRecord(b"a"), NewRecord(b"b"), NewRecord(b"c", timestamp_ms=1)]
    for topic, records, what, why in (
        ("by-key", keyless, "by-key does not take record 2, which has no key", "cleanup.policy is compact"),
        ("timely", old, "timely does not take record 3, whose time is 1970-01-01T00:00:00Z", f"its {TIME_LIMIT} is"),
    ):
        with pytest.raises(KafkaRefused) as refused:
            environment.produce(topic, records)
        assert refused.value.what == what
        assert why in refused.value.why
        assert "acknowledged" in refused.value.why


# -- topics that are not there ----------------------------------------------------------------------------------------


def test_nobody_makes_a_topic_by_asking_for_it(provision: Provision, running: str) -> None:
    environment = Environment.named(running, home=provision.home)
    access, before = environment.cluster().access, {topic.name for topic in environment.topics()}
    for ask in (
        lambda: list(environment.consume("nowhere", limit=1)),
        lambda: environment.produce("nowhere", [(None, b"lost")]),
        lambda: writing.produce(access, "nowhere", [NewRecord(b"lost")], cluster=running),
        lambda: environment.topics(["nowhere"]),
        lambda: environment.delete_topics(["nowhere"]),
    ):
        with pytest.raises(UsageError, match=f"{running} has no topic nowhere"):
            ask()
    assert {topic.name for topic in environment.topics()} == before


@pytest.mark.matrix
def test_a_topic_that_goes_ends_who_reads_and_who_writes_and_does_not_come_back(
    provision: Provision, running: str
) -> None:
    environment = Environment.named(running, home=provision.home)
    environment.create_topic("doomed")

    def records() -> Iterator[tuple[None, bytes]]:
        yield None, b"first"
        assert next(reader).value == b"first"
        environment.delete_topics(["doomed"])
        assert wait_until(lambda: "doomed" not in _topics(provision, running))
        yield None, b"second"

    reader = environment.consume("doomed")
    with pytest.raises(ProvisionError, match="there is no topic doomed any more") as written:
        environment.produce("doomed", records())
    assert "1 record was acknowledged" in written.value.why
    with pytest.raises(ProvisionError, match="there is no topic doomed any more"):
        next(reader)
    assert "doomed" not in _topics(provision, running)


def test_whatever_ends_it_what_was_acknowledged_is_told(provision: Provision, running: str) -> None:
    environment = Environment.named(running, home=provision.home)
    environment.create_topic("counted", partitions=2)

    def then(error: BaseException) -> Iterator[tuple[None, bytes]]:
        yield from ((None, str(number).encode()) for number in range(3))
        raise error

    for error, kind in ((ProvisionError("line 4 has no key"), ProvisionError), (KeyboardInterrupt(), Interrupted)):
        with pytest.raises(kind) as raised:
            environment.produce("counted", then(error))
        assert isinstance(raised.value, ProvisionError)
        assert raised.value.why == "3 records were acknowledged"
    assert len(list(environment.consume("counted", limit=6, idle_s=30.0))) == 6
    for other in (ValueError("mine"), SystemExit(1)):
        with pytest.raises(type(other)) as others:
            environment.produce("counted", then(other))
        assert others.value is other
        assert other.__notes__ == ["3 records were acknowledged"]
    with pytest.raises(UsageError, match=r"records\[1\]: partition") as usage:
        environment.produce("counted", [NewRecord(b"fine"), NewRecord(b"wrong", partition=-1)])
    assert usage.value.why == "1 record was acknowledged"
    assert len(list(environment.consume("counted", to_end=True))) == 13


# -- sizes ------------------------------------------------------------------------------------------------------------


def test_what_is_too_large_names_the_limit_that_it_is_beyond(provision: Provision, running: str) -> None:
    environment = Environment.named(running, home=provision.home)
    records = [(None, b"small"), (None, b"x" * 2 * 1024 * 1024)]
    environment.create_topic("large")
    with pytest.raises(ProvisionError, match=r"record 2 is too large to be sent: 2\.0 MiB") as ours:
        environment.produce("large", records)
    assert ours.value.why == "the limit of this client is 1.0 MiB\n1 record was acknowledged"
    assert ours.value.hint.endswith("--max-record-size 3m")
    with pytest.raises(KafkaRefused, match=r"large does not take record 2, which is too large: 2\.0 MiB") as theirs:
        environment.produce("large", records, max_bytes=3 * 1024 * 1024)
    limit = "its max.message.bytes is 1048588 (Kafka's default)"
    assert theirs.value.why == f"{limit}\n1 record was acknowledged"
    environment.create_topic("small", config={"max.message.bytes": "100"})
    with pytest.raises(KafkaRefused) as small:
        environment.produce("small", [(None, b"y" * 1000)])
    assert small.value.why.splitlines()[0] == "its max.message.bytes is 100 (set on the topic)"
    environment.create_topic("larger", config={"max.message.bytes": "3000000"})
    assert environment.produce("larger", records, max_bytes=3 * 1024 * 1024) == 2
    assert [(None, record.value) for record in environment.consume("larger", limit=2, idle_s=30.0)] == records


@pytest.mark.matrix
def test_a_broker_that_freezes_is_told_with_what_was_acknowledged(provision: Provision, running: str) -> None:
    if provision.runtime == "docker":
        pytest.skip("a container is frozen by the engine")
    provision.ok("topics", "create", running, "halting", "--partitions", "2", "-r", "1")
    with _frozen(provision, running, "broker-2"):
        # Keys reach both partitions for certain; records without one may all go to the broker that works.
        lines = "".join(f"{n}:record\n" for n in range(1000))
        told = provision("produce", running, "halting", "--key-separator", ":", stdin=lines)
    assert told.code == 69
    assert "Traceback" not in told.err
    assert "acknowledged" in told.err
    assert psutil.pid_exists(provision._processes(running, "broker-2")[0].pid)  # noqa: SLF001
