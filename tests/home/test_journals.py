"""The journal: what was begun and how it ended, also after a kill; bounded, and read whatever has become of it."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.errors import Busy, Interrupted, NotReady
from provision.events import ActionDone, ActionFailed, ActionSkipped, ActionStarted, NodeReady
from provision.home.holders import Holder
from provision.home.journals import LARGEST_BYTES, Journal, Run
from tests.holders import dead, elsewhere


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path, "orders")


def run(journal: Journal, command: str = "up", actions: int = 1, error: BaseException | None = None) -> Holder:
    holder = Holder.of(command)
    journal.begin(holder)
    for number in range(actions):
        journal.tell(holder.token, ActionStarted(f"broker-{number}", "start"))
        journal.tell(holder.token, ActionDone(f"broker-{number}", "start", 0.5))
    journal.end(holder.token, holder.since + 2, 2.0, error, rolled_back=False)
    return holder


def test_it_tells_who_did_what_and_how_it_ended(journal: Journal) -> None:
    holder = Holder.of("up")
    journal.begin(holder)
    journal.tell(holder.token, ActionStarted("broker-1", "start"))
    journal.tell(holder.token, ActionStarted("broker-2", "start"))
    journal.tell(holder.token, NodeReady("broker-1", None))
    journal.tell(holder.token, ActionFailed("broker-2", "start", 0.25, NotReady("no\nanswer")))
    journal.tell(holder.token, ActionSkipped("broker-1", "start", 1.5, "it was there"))
    journal.end(holder.token, holder.since + 3, 3.0, NotReady("it is not ready"), rolled_back=True)
    (told,) = journal.runs()
    assert told.holder == holder
    assert (told.state, told.exit_code, told.seconds, told.error) == ("failed", 124, 3.0, "it is not ready")
    assert told.rolled_back
    assert [(one.resource, one.verb, one.seconds, one.error) for one in told.actions] == [
        ("broker-1", "start", 1.5, ""),
        ("broker-2", "start", 0.25, "no\\nanswer"),
    ]
    assert journal.file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [
        (None, "done", 0),
        (KeyboardInterrupt(), "interrupted", 130),
        (Interrupted("interrupted"), "interrupted", 130),
        (Busy("taken over"), "failed", 75),
        (RuntimeError("a mistake"), "failed", 1),
    ],
)
def test_every_end_has_its_name(journal: Journal, error: BaseException | None, state: str, code: int) -> None:
    run(journal, error=error)
    last = journal.last()
    assert last
    assert (last.state, last.exit_code) == (state, code)
    assert journal.ended_well is (state == "done")


def test_what_has_not_ended_runs_or_was_killed(journal: Journal) -> None:
    holder = Holder.of("up")
    journal.begin(holder)
    journal.tell(holder.token, ActionStarted("broker-1", "start"))
    (told,) = journal.runs()
    assert told.state == "running"
    assert not journal.ended_well
    assert told.actions[0].seconds is None
    journal.begin(dead())
    assert [one.state for one in journal.runs()] == ["running", "killed"]
    assert Run(elsewhere()).state == "unfinished"


def test_a_cut_line_spoils_neither_the_next_run_nor_the_one_before(journal: Journal) -> None:
    first = run(journal)
    whole = journal.file.read_bytes()
    for cut in (1, 10, len(whole.splitlines()[-1])):
        journal.file.write_bytes(whole[:-cut])
        assert journal.ended_well is (cut < 20)
        second = run(journal, "down")
        assert [one.id for one in journal.runs()] == [first.token, second.token]
        last = journal.last()
        assert last
        assert (last.id, last.state) == (second.token, "done")


@pytest.mark.parametrize(
    "damage",
    [b"", b"\n\n", b"\x00\xff\xfe\n", b"{}\n", b"[1]\n", b'{"run": "x", "at": 1, "what": "ended"}\n', b'{"what": 5}\n'],
)
def test_whatever_stands_in_it_is_read(journal: Journal, damage: bytes) -> None:
    first = run(journal)
    content = journal.file.read_bytes()
    journal.file.write_bytes(damage + content + damage)
    assert [one.id for one in journal.runs()] == [first.token]
    second = run(journal)
    assert [one.id for one in journal.runs()] == [first.token, second.token]


def test_the_oldest_runs_make_room_and_stay_whole(journal: Journal) -> None:
    tokens = [run(journal, actions=20).token for _ in range(150)]
    assert journal.file.stat().st_size < 1.2 * LARGEST_BYTES
    kept = journal.runs()
    assert [one.id for one in kept] == tokens[-len(kept) :]
    assert 10 < len(kept) < len(tokens)
    assert {(one.state, len(one.actions)) for one in kept} == {("done", 20)}


def test_a_run_of_very_many_actions_is_bounded(journal: Journal) -> None:
    run(journal, actions=20_000)
    assert journal.file.stat().st_size < 1.5 * LARGEST_BYTES
    (told,) = journal.runs()
    assert (told.state, len(told.actions)) == ("done", 1000)


def test_a_run_that_is_too_large_itself_is_dropped_by_the_next(journal: Journal) -> None:
    run(journal, actions=1000)
    journal.file.write_bytes(journal.file.read_bytes() * 4)
    last = run(journal)
    assert [one.id for one in journal.runs()][-1] == last.token


def test_without_one_nothing_is_known(journal: Journal, tmp_path: Path) -> None:
    assert journal.runs() == ()
    assert journal.last() is None
    assert journal.ended_well
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "journals").mkdir(mode=0o700)
    journal.file.mkdir()
    assert journal.runs() == ()


def test_each_line_is_json_by_itself(journal: Journal) -> None:
    run(journal)
    lines = [json.loads(line) for line in journal.file.read_text().splitlines()]
    assert [line["what"] for line in lines] == ["begun", "action begun", "action ended", "ended"]


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda file: file.symlink_to("/etc/passwd")])
def test_what_is_no_file_is_neither_waited_for_nor_followed(journal: Journal, make: Callable[[Path], object]) -> None:
    journal.file.parent.mkdir(mode=0o700)
    make(journal.file)
    for _ in range(2):
        with pytest.raises(OSError, match=r"orders\.jsonl"):
            journal.begin(Holder.of("up"))
    assert journal.runs() == ()
    assert journal.last() is None
