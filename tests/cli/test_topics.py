"""`provision topics`: what no topic can be, whoever asks for it."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provision import Environment, InvalidEnvironment, UsageError
from provision.cli.run import run
from provision.kafka.reading import consume
from provision.spec.limits import MAX_PARTITIONS
from provision.spec.loader import load_values
from tests.cli.test_help import COMMANDS
from tests.cli.world import LEAVES, NAME, settle
from tests.fake_kafka import FakeKafka


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeKafka]:
    with pytest.MonkeyPatch.context() as patch:
        yield settle(tmp_path_factory.mktemp("world"), patch)[1]


@pytest.fixture
def kafka(world: FakeKafka) -> Iterator[FakeKafka]:
    """With one topic, `orders`, before and after each test."""
    yield world
    for name in world.topics.keys() - {"orders"}:
        del world.topics[name]
    world.refusals.clear()


def told_of_file(topic: dict[str, Any]) -> str:
    """What a file with that topic is told, without the place."""
    with pytest.raises(InvalidEnvironment) as raised:
        load_values({"name": "xx", "brokers": {"nodes": 3}, "topics": [topic]})
    (problem,) = raised.value.problems
    return f"{problem.path.removeprefix('topics[0].')}: {problem.message}"


@pytest.mark.parametrize(
    ("key", "value", "option"),
    [
        *(("name", name, None) for name in ("", "a b", ".", "..", "a/b", "é", "x" * 250, "__mine", "a\n", 5)),
        *(
            ("partitions", count, f"--partitions={count}")
            for count in (0, -1, MAX_PARTITIONS + 1, 99_999_999, 10**200, "3", 1.5, True)
        ),
        *(("replication_factor", count, f"--replication-factor={count}") for count in (0, -1, "2", 1.5, True)),
        *(("config", {key: value}, f"--config={key}={value}") for key, value in (("a b", "1"), ("é", "1"))),
        *(
            ("config", {key: value}, f"--config={key}={value}")
            for key, value in (
                ("foo", "bar"),
                ("retention.sm", "1"),
                ("log.retention.ms", "1"),
                ("retention.ms", "abc"),
                ("retention.ms", "-2"),
                ("cleanup.policy", "never"),
                ("min.insync.replicas", "4"),
                ("min.insync.replicas", "x"),
            )
        ),
        ("replication_factor", 100, "--replication-factor=100"),
        ("config", {"retention.ms": "1\n2"}, "--config=retention.ms=1\n2"),
        ("config", {"retention.ms": None}, None),
        ("config", ["retention.ms=1"], None),
    ],
)
def test_a_topic_by_hand_is_bound_by_the_rules_of_the_file(
    kafka: FakeKafka,
    capsys: pytest.CaptureFixture[str],
    key: str,
    value: Any,  # noqa: ANN401 anything
    option: str | None,
) -> None:
    told = told_of_file({"name": "fine", key: value})
    arguments = {"name": "fine", key: value}
    with pytest.raises(UsageError) as raised:
        Environment(Path("environments") / f"{NAME}.yaml").create_topic(arguments.pop("name"), **arguments)
    assert raised.value.why == told
    if isinstance(value, str) and key == "name":
        assert run(["topics", "create", NAME, value]) == UsageError.exit_code
        assert (told.splitlines()[0] if value else "an argument is empty") in capsys.readouterr().err
    elif option and not isinstance(value, str):  # on the command line all numbers are texts
        assert run(["topics", "create", NAME, "fine", option]) == UsageError.exit_code
    assert kafka.topics.keys() == {"orders"}


def test_values_mean_what_they_mean_in_a_file(kafka: FakeKafka) -> None:
    config: dict[str, Any] = {"retention.ms": 5, "preallocate": True}
    environment = Environment(Path("environments") / f"{NAME}.yaml")
    environment.create_topic("fine", config=config)
    environment.create_topic("largest", partitions=MAX_PARTITIONS // 100, replication_factor=1)
    assert kafka.topics["fine"].config == {"retention.ms": "5", "preallocate": "true"}
    assert len(kafka.topics["fine"].partitions) == 1
    assert len(kafka.topics["largest"].partitions) == MAX_PARTITIONS // 100


@pytest.mark.parametrize(
    ("arguments", "refused", "code", "told"),
    [
        (["create", NAME, "a_b"], ["a_b"], 1, "topic a_b cannot be created"),
        (["create", NAME, "a", "--config", "retention.ms=1"], ["a"], 1, "topic a cannot be created"),
        (["delete", NAME, "a.b"], ["a.b"], 1, "topic a.b cannot be deleted"),
        (["delete", NAME, "a.b", "a.b"], ["a.b"], 1, "topic a.b cannot be deleted"),
        (["delete", NAME, "a.b", "c"], ["a.b", "c"], 1, "no topic could be deleted"),
        (["delete", NAME, "a.b", "c"], ["c"], 3, "not every topic could be deleted"),
        (["apply", NAME], ["fresh"], 1, "topic fresh could not be applied"),
    ],
)
def test_only_what_is_done_in_part_is_told_to_be(
    kafka: FakeKafka,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    refused: list[str],
    code: int,
    told: str,
) -> None:
    for name in ("a.b", "c"):
        assert run(["topics", "create", NAME, name]) == 0
    before = set(kafka.topics)
    kafka.refusals = dict.fromkeys(refused, "Kafka's own reason")
    assert run(["topics", *arguments]) == code
    written = capsys.readouterr().err
    assert f"error: {told}\n" in written
    assert "Kafka's own reason" in written
    assert (set(kafka.topics) == before) is (code == 1)


class NoTopics:
    """A consumer of a cluster without topics."""

    def partitions_for_topic(self, _topic: str) -> None:
        """Nothing is known of any."""

    def close(self) -> None:
        """As it must be."""


OF_TOPICS = [path for path in LEAVES if any(one.metavar == "TOPIC" for one in COMMANDS[path].params)]


@pytest.mark.parametrize("path", OF_TOPICS)
def test_an_unknown_topic_is_a_usage_error_and_the_hint_names_the_environment(
    kafka: FakeKafka, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: tuple[str, ...]
) -> None:
    if path == ("topics", "create"):
        pytest.skip("its topic is a new one")
    monkeypatch.setattr("provision.kafka.reading._reader", lambda *_, **__: NoTopics())
    monkeypatch.setattr("provision.kafka.reading.consume", consume)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a\n")))
    assert run([*path, NAME, "nope"]) == UsageError.exit_code
    written = capsys.readouterr().err
    whose = "the file" if path == ("topics", "apply") else NAME
    assert f"error: {whose} has no topic nope\n" in written
    assert re.search(rf"`provision topics (list|apply) {NAME}`", written)
    assert kafka.topics.keys() == {"orders"}


def test_every_command_that_takes_a_topic_is_among_them() -> None:
    assert {("consume",), ("produce",), ("topics", "delete"), ("topics", "describe"), ("topics", "apply")} <= {
        *OF_TOPICS
    }
