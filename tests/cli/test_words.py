"""`ENV` is left out wherever the other words say what they are."""

import sys
from pathlib import Path

import pytest

from provision.cli.run import run
from provision.cli.words import env_and_nodes, env_and_one, env_and_tool, env_and_topics
from provision.errors import UsageError
from tests.cli.world import settle

TOOLS = frozenset({"kafka-topics", "zookeeper-shell"})


@pytest.mark.parametrize(
    ("words", "env", "nodes"),
    [
        ([], None, []),
        (["dev"], "dev", []),
        (["broker-1"], None, ["broker-1"]),
        (["broker-1", "zookeeper-2"], None, ["broker-1", "zookeeper-2"]),
        (["dev", "broker-1", "controller-1"], "dev", ["broker-1", "controller-1"]),
        (["environments/broker-1.yaml", "broker-1"], "environments/broker-1.yaml", ["broker-1"]),
        (["broker-x"], "broker-x", []),
        (["broker-01"], "broker-01", []),
    ],
)
def test_before_nodes_their_form_says_it(words: list[str], env: str | None, nodes: list[str]) -> None:
    assert env_and_nodes(words[0] if words else None, words[1:]) == (env, nodes)


def test_before_one_word_the_number_of_words_says_it() -> None:
    assert env_and_one("orders", None, "TOPIC") == (None, "orders")
    assert env_and_one("dev", "orders", "TOPIC") == ("dev", "orders")
    with pytest.raises(UsageError, match="missing TOPIC"):
        env_and_one(None, None, "TOPIC")


@pytest.mark.parametrize(
    ("words", "at_least", "env", "topics"),
    [
        (["orders"], 1, None, ["orders"]),
        (["dev", "orders"], 1, "dev", ["orders"]),
        (["orders", "payments"], 1, None, ["orders", "payments"]),
        (["dev"], 1, None, ["dev"]),
        (["dev"], 0, "dev", []),
        (["orders"], 0, None, ["orders"]),
        ([], 0, None, []),
    ],
)
def test_before_topics_it_is_what_there_is(words: list[str], at_least: int, env: str | None, topics: list[str]) -> None:
    first = words[0] if words else None
    assert env_and_topics(first, words[1:], {"dev"}.__contains__, at_least=at_least) == (env, topics)


@pytest.mark.parametrize(
    ("words", "env", "rest"),
    [
        (["kafka-topics", "--list"], None, ["kafka-topics", "--list"]),
        (["kafka-topics.sh", "--list"], None, ["kafka-topics.sh", "--list"]),
        (["dev", "kafka-topics", "--list"], "dev", ["kafka-topics", "--list"]),
        (["kafka-nothing", "--list"], None, ["kafka-nothing", "--list"]),
        (["zookeeper-shell", "localhost:2181", "ls", "/"], None, ["zookeeper-shell", "localhost:2181", "ls", "/"]),
        (["kafka-topics"], None, ["kafka-topics"]),
    ],
)
def test_before_a_tool_its_name_says_it(words: list[str], env: str | None, rest: list[str]) -> None:
    assert env_and_tool(words[0], words[1] if words[1:] else None, words[2:], TOOLS) == (env, rest)


def test_every_command_does_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settle(tmp_path, monkeypatch)
    monkeypatch.setattr("sys.stdin", sys.__stdin__)  # a file of the system, which pytest's own is not
    for line, said in [
        (["logs", "broker-1"], "broker-1 → starts"),
        (["logs"], "broker-1    | [2026"),
        (["topics", "describe", "orders"], "orders"),
        (["topics", "create", "more"], "topic more is created"),
        (["topics", "delete", "more", "orders"], "deleted more, orders"),
        (["topics", "apply", "fresh"], "1 action done"),
        (["consume", "fresh", "-n", "1"], ""),
        (["tool", "kafka-topics", "--", "--list"], "--list"),
        (["stop", "broker-1"], "1 node stopped"),
        (["start", "broker-1"], "shop is ready"),
        (["restart", "zookeeper-1"], "shop is ready"),
    ]:
        capsys.readouterr()
        assert run(line) == 0, (line, capsys.readouterr())
        shown = capsys.readouterr()
        assert said in shown.out + shown.err, line


def test_logs_of_several_nodes_are_in_the_order_of_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runtime, _ = settle(tmp_path, monkeypatch)
    # All are read before the first is shown, however late a busy machine lets the last begin.
    monkeypatch.setattr("provision.operations.logs._QUIET_S", 60.0)
    monkeypatch.setattr("provision.operations.logs._LONGEST_S", 60.0)
    logs = runtime._environments["shop"].logs  # noqa: SLF001 a running node has no log of its own
    logs |= {
        "broker-1": ["[2026-01-01 10:00:00,100] one", "\tat of one", "[2026-01-01 10:00:03,000] four"],
        "broker-2": ["no time yet", "[2026-01-01 10:00:02,000] three"],
        "broker-3": ["2026-01-01 10:00:01,000 two"],
        "zookeeper-1": [],
    }
    for line in (["logs"], ["logs", "-f"], ["logs", "broker-2", "broker-1", "broker-3", "--follow"]):
        capsys.readouterr()
        assert run(line) == 0
        shown = [text.rpartition(" | ")[2].split()[-1] for text in capsys.readouterr().out.splitlines()]
        assert shown == ["yet", "one", "one", "two", "three", "four"]
    assert run(["logs", "broker-1", "-n", "1"]) == 0
    assert capsys.readouterr().out == "[2026-01-01 10:00:03,000] four\n"


@pytest.mark.parametrize(
    "line",
    [
        ["restart", "--timeout", "90"],
        ["restart", "--rolling", "--timeout", "90"],
        ["start", "--timeout", "90"],
        ["up", "--timeout", "90"],
        ["up", "--until", "soon"],
        ["stop", "broker-9"],
        ["restart", "broker-9"],
        ["down", "--keep-data", "--delete-data"],
    ],
)
def test_a_wrong_option_is_told_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: list[str]
) -> None:
    runtime, _ = settle(tmp_path, monkeypatch)
    done: list[str] = []
    runtime.on_verb = lambda verb, subject: done.append(f"{verb} {subject}")
    assert run(line) == 64
    assert done == []
