"""What the commands show on a narrow terminal, with names as long as they may be: whole words, in columns."""

import io
import re
import sys
import time
from pathlib import Path

import pytest

from provision.cli.layout import table_lines
from provision.cli.plans import plan_lines
from provision.cli.progress import progress
from provision.cli.run import run
from provision.events import ActionStarted, Fetching, NodeWaiting, Progress
from provision.plan.actions import Plan
from tests.cli import world
from tests.plan.world import NOTHING, cluster_of, plan

LONG = f"{'e' * 13}-{'f' * 13}-{'g' * 12}"
TOPIC, LONGEST = "orders." + "t" * 59, "z" * 249
FILE = f"""\
name: {LONG}
brokers: {{nodes: 3, racks: [a, b, c]}}
topics:
  - {{name: orders, partitions: 3, replication_factor: 3, config: {{min.insync.replicas: 2}}}}
  - name: {TOPIC}
    partitions: 12
    replication_factor: 3
    config: {{min.insync.replicas: 2, retention.ms: 604800000, max.message.bytes: 1048588}}
"""
CHANGED = f"{FILE}  - {{name: {LONGEST}, partitions: 1, replication_factor: 3}}\n"
LOOKING = (
    ["plan"],
    ["status"],
    ["list"],
    ["endpoints"],
    ["doctor"],
    ["topics", "list"],
    ["topics", "describe", TOPIC],
    ["topics", "describe", "no-such-" + TOPIC],
    ["validate"],
    ["up", "--set", "kafka.version=3.8.1"],
    ["status", "no-such-environment"],
    ["docs"],
    ["docs", "commands"],
)
CHANGING = (
    ["up", "--yes"],
    ["stop", "broker-2"],
    ["status"],
    ["restart", "--rolling"],
    ["start"],
    ["topics", "delete", TOPIC],
    ["lock"],
    ["down"],
)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(line: list[str], patch: pytest.MonkeyPatch, *, terminal: bool = True) -> list[str]:
    """What a command prints, on both streams, on a terminal or elsewhere."""
    stream = _Terminal() if terminal else io.StringIO()
    with patch.context() as on:
        on.setattr(sys, "stdout", stream)
        on.setattr(sys, "stderr", stream)
        run(line)
    return stream.getvalue().splitlines()


def words(lines: list[str]) -> list[str]:
    """The words, as which lines may be divided."""
    return re.findall(r"[^\s,]+,*", " ".join(lines))


@pytest.mark.parametrize("columns", [60, 80])
def test_nothing_is_wider_than_the_terminal_but_a_word_that_is(
    columns: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("NAME", LONG), ("FILE", FILE), ("CHANGED", CHANGED)):
        monkeypatch.setattr(world, name, value)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "dumb")  # in columns, and not redrawn
    world.settle(tmp_path, monkeypatch)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)  # ages are shown, and both looks must have the same
    for line in LOOKING:
        narrow = shown(line, monkeypatch)
        assert words(narrow) == words(shown(line, monkeypatch, terminal=False)), line
        assert [one for one in narrow if len(one) > columns and words([one]) != [one]] == [], line
    for line in CHANGING:
        narrow = shown(line, monkeypatch)
        assert narrow, line
        assert [one for one in narrow if len(one) > columns and words([one]) != [one]] == [], line


@pytest.mark.parametrize("columns", [60, 80])
def test_what_is_redrawn_takes_one_line_each_and_no_number_is_cut(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import rich.console

    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal := _Terminal())
    with progress() as tell:
        tell(ActionStarted(f"topic {LONGEST}", "create"))
        tell(Progress("partitions moved", 3, 12345, "116.2 MiB to go"))
        tell(NodeWaiting("broker-2", f"it does not know topic {TOPIC} yet"))
        tell(Fetching(f"registry/{LONGEST}:3.9.1", 12 * 1024**2, 400 * 1024**2, "bytes"))
        console = rich.console.Console(file=terminal, width=columns, color_system=None)
        with console.capture() as captured:
            console.print(tell._render())  # type: ignore[attr-defined]  # noqa: SLF001 what it draws, once
    lines = captured.get().splitlines()
    assert len(lines) == 5
    assert all(len(line) <= columns for line in lines)
    assert " ".join(lines[1].split()[1:]) == "partitions moved 3 of 12345, 116.2 MiB to go"
    assert re.search(r" topic z{15,}… +creating", lines[2])
    assert re.search(r" 12 of 400 MiB", lines[3])


def test_in_a_list_the_cells_stay_in_columns_and_numbers_end_together() -> None:
    rows = [["a", "3", "10", "x=1"], [TOPIC, "12", "3", "min.insync.replicas=2, retention.ms=1"], ["b", "-", "1", "-"]]
    header, lines = table_lines(("TOPIC", "PARTITIONS", "RF", "CONFIG"), rows, 55)
    assert header == ["TOPIC", "    PARTITIONS  RF  CONFIG"]
    assert lines == [
        "a",
        "             3  10  x=1",
        TOPIC,
        "            12   3  min.insync.replicas=2,",
        "                    retention.ms=1",
        "b",
        "             -   1  -",
    ]


def test_a_cell_whose_words_do_not_fit_beside_the_others_stands_below_them_in_every_row() -> None:
    rows = [["broker-1", "127.0.0.1:9092", f"{LONG}-broker-1:9092"], ["broker-2", "-", "b:9092"]]
    header, lines = table_lines(("NODE", "FROM HERE", "INSIDE"), rows, 60)
    assert header == ["NODE", "    FROM HERE", "      INSIDE"]
    assert lines == [
        "broker-1",
        "    127.0.0.1:9092",
        f"      {LONG}-broker-1:9092",
        "broker-2",
        "    -",
        "      b:9092",
    ]


@pytest.mark.parametrize(
    ("sections", "line"),
    [
        ({"nodes": 1}, "127.0.0.1:9092"),
        ({"nodes": 2}, "127.0.0.1:9092, 9093"),
        ({"nodes": 20}, "127.0.0.1:9092 … 9111"),
        ({"nodes": 3, "racks": ["a", "b", "c"]}, "127.0.0.1:9092 … 9094 in racks a, b, c"),
        ({"nodes": 3, "racks": ["a"]}, "127.0.0.1:9092 … 9094 in rack a"),
        ({"nodes": 6, "racks": ["a", "b"]}, "127.0.0.1:9092 … 9097 in racks a, b in turn"),
        (
            {"nodes": 4, "racks": ["a", "b"], "overrides": {4: {"rack": "a"}}},
            "127.0.0.1:9092 … 9095 in racks a, b, a, a",
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", ["zookeeper", "kraft"])
def test_the_new_brokers_of_a_plan_share_a_line_with_their_addresses(
    mode: str, sections: dict[str, object], line: str
) -> None:
    new = cluster_of(kafka={"version": "3.9.1", "mode": mode}, brokers=sections)
    lines = [re.split("  +", one) for one in plan_lines(Plan("orders", plan(new, NOTHING)))]
    nodes = "broker-1, 2" if sections["nodes"] == 2 else f"broker-1 … {sections['nodes']}"
    brokers = "broker-1" if sections["nodes"] == 1 else nodes
    assert [one for one in lines if one[0] == "+ create" and one[1].startswith("broker")] == [
        ["+ create", brokers, f"not there; {line}"]
    ]
    formats = [one[1] for one in lines if one[0] == "+ format"]
    assert formats == ([f"storage {brokers}"] if mode == "kraft" else [])
