"""The log of a node that is a process: what one JVM wrote is not taken for another's."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from provision.kafka.failures import explain, telling
from provision.runtime.process import logs

TAKEN = "ERROR: transport error 202: bind failed: Address already in use"
BEGINS = "[now] INFO Registered kafka:type=kafka.Log4jController MBean (kafka.Utils)"


def test_a_jvms_last_words_come_before_the_log_of_the_next_run(tmp_path: Path) -> None:
    node = tmp_path / "broker-1"
    (node / "log").mkdir(parents=True)
    logs.fresh_console(node).write_text(f"{TAKEN}\n")
    assert explain(list(logs.lines(node, None))) is not None
    logs.fresh_console(node).write_text("")
    (node / "log" / "broker-1.log").write_text(f"{BEGINS}\n[now] ERROR of another kind (kafka.Kafka)\n")
    assert next(iter(logs.lines(node, None))) == TAKEN
    assert explain(list(logs.lines(node, None))) is None
    logs.fresh_console(node)  # nothing was written: what the one before said is kept
    assert TAKEN in list(logs.lines(node, None))


@pytest.mark.parametrize(
    "before",
    [
        f"{BEGINS}\n[now] ERROR of the run before (kafka.Kafka)\n[now] INFO shut down completed (kafka.Kafka)\n",
        f"{BEGINS}\n[now] INFO shut down completed (kafka.Kafka)\n",
        "[now] INFO the rest of a log whose beginning was rotated away\n",
        "",
    ],
)
def test_a_jvm_that_dies_before_it_logs_is_not_told_with_the_lines_of_the_one_before(
    tmp_path: Path, before: str
) -> None:
    node = tmp_path / "broker-1"
    (node / "log").mkdir(parents=True)
    logs.fresh_console(node).write_text("OpenJDK 64-Bit Server VM warning: of the one before\n")
    (node / "log" / "broker-1.log").write_text(before)
    logs.fresh_console(node).write_text(f"{TAKEN}\n")
    assert telling(list(logs.lines(node, None))) == [TAKEN]
    assert all(line in list(logs.lines(node, None)) for line in before.splitlines())  # they are kept all the same


@pytest.mark.parametrize("name", ["console.log", "console.log.1", "broker-1.log", "broker-1.log.1", ""])
def test_what_a_link_leads_to_is_no_log_and_is_not_written_to(tmp_path: Path, name: str) -> None:
    node, elsewhere = tmp_path / "broker-1", tmp_path / "elsewhere"
    node.mkdir()
    elsewhere.mkdir()
    for file in ("console.log", "broker-1.log", "secret"):
        (elsewhere / file).write_text("somebody's\n")
    if name:
        (node / "log").mkdir()
        (node / "log" / "broker-1.log.1").write_text("ours\n")
        (node / "log" / name).unlink(missing_ok=True)
    (node / "log" / name).symlink_to(elsewhere / "secret" if name else elsewhere)
    assert list(logs.lines(node, None)) == (["ours"] if name not in ("", "broker-1.log.1") else [])
    assert list(logs.follow(node, lambda: False)) == []
    if name:
        logs.fresh_console(node).write_text("a new run\n")
    assert {file.read_text() for file in elsewhere.iterdir()} == {"somebody's\n"}


@pytest.mark.parametrize("grows", [False, True], ids=["shorter", "longer"])
@pytest.mark.parametrize("rest", ["", "half a line"])
def test_the_log_of_a_new_node_is_followed_from_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grows: bool, rest: str
) -> None:
    log = tmp_path / "broker-1" / "log" / "broker-1.log"
    log.parent.mkdir(parents=True)
    log.write_text("before\n")
    new = ["first", *["more"] * (20 if grows else 0)]
    steps: Iterator[Callable[[], object]] = iter(
        [lambda: None, lambda: log.write_text(f"before\nnext\n{rest}"), log.unlink, lambda: _write(log, new)]
    )

    def is_changing() -> bool:
        if (step := next(steps, None)) is None:
            return False
        step()
        return True

    monkeypatch.setattr(logs, "_FOLLOW_PAUSE_S", 0.0)
    # The system may give the inode of the one that has gone to the new one; here it is held.
    with log.open():
        assert list(logs.follow(log.parent.parent, is_changing)) == ["next", *new]


def _write(log: Path, lines: list[str]) -> None:
    log.write_text("".join(f"{line}\n" for line in lines))
