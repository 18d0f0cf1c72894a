"""The page of speed, written from the results alone: what was not measured is not on it.

python -m benchmarks.page [RESULTS]
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import plots, results
from benchmarks.machine import ROOT
from benchmarks.measuring import OURS, shown
from benchmarks.results import Outcome, Results
from benchmarks.scale import SERIES

PAGE = ROOT / "docs" / "speed.md"
_FAILED = "it failed in one of its turns"
_INTRODUCTION = """# Speed

This page is written by `make bench`, which starts the same clusters with `provision` and with what people use instead,
in turn and on the same machine. Seconds are medians; a ratio is ours divided by the other's median, followed by the
lowest and the highest of single repetitions. Machines differ; ratios do so less. How to run it is in
[CONTRIBUTING.md](../CONTRIBUTING.md#measuring).
"""
_CONTESTANTS = {
    "provision": "the command as people run it, from its start until it returns, after [`provision warm`]"
    "(reference/software.md#warm)",
    "provision, no archives": "the same with nodes that use no archive of loaded classes",
    "limit": "bare JVMs with the same files, options and archives, started at once by a script; in KRaft mode, "
    "Kafka's tool formats all storages first, at the same time",
    "bare JVMs, no archives": "the same without archives",
    "bare JVMs, default options": "what people do by hand: the options of Kafka's start scripts with the same heap, "
    "without our settings for small clusters; ZooKeeper first until it answers, or one storage formatted after the "
    "other",
    "docker compose": "`docker compose up --wait` with the same image, the options of Kafka's start scripts and a "
    "health check every second, then the topics in one request; `docker compose down --volumes`",
    "testcontainers": "testcontainers-python with the same image and a start script for it, without its reaper; in the "
    "sample project, its controllers notice a killed broker when its session expires, while `kafka.kill` is asked to "
    "tell them",
    "pytest-kafka": "pytest-kafka with start scripts that do nothing but start Java",
}


def write(found: Results, page: Path) -> None:
    """Write the page, and its plots into a directory of its name."""
    page.parent.mkdir(parents=True, exist_ok=True)
    images = plots.drawn(found, page.with_suffix(""))
    parts = [
        _INTRODUCTION,
        _machine(found),
        _aims(found),
        _contestants(found),
        *_rows(found, images),
        *_scale(found, images),
    ]
    text = "\n".join(part.strip("\n") + "\n" for part in parts if part)
    page.write_text(text, encoding="utf-8")


def _machine(found: Results) -> str:
    lines = [f"| {what} | {is_} |" for what, is_ in found["machine"].items() if is_]
    return "\n".join(["## The machine", "", "| | |", "|---|---|", *lines])


def _contestants(found: Results) -> str:
    """Those that were measured."""
    there = {who for row in found["rows"].values() for who in row["times"]}
    lines = [f"| {who} | {what} |" for who, what in _CONTESTANTS.items() if who in there]
    return "\n".join(["## Beside what", "", "| | |", "|---|---|", *lines])


# -- aims -------------------------------------------------------------------------------------------------------------


def _aims(found: Results) -> str:
    lines = [_aim(row, outcome) for row in found["rows"].values() for outcome in results.outcomes(row)]
    header = ["| what | measure | beside | ours | aim | |", "|---|---|---|---|---|---|"]
    return "\n".join(["## What was aimed at, and what was reached", "", *header, *lines])


def _aim(row: Mapping[str, Any], outcome: Outcome) -> str:
    reached = "not measured" if outcome.value is None else "reached" if outcome.is_met else "**not reached**"
    measure = outcome.measure.replace("_bytes", ", memory")
    aim = f"≤ {_value(outcome, outcome.at_most)}"
    return f"| {row['title']} | {measure} | {outcome.beside or ''} | {_ours(outcome)} | {aim} | {reached} |"


def _ours(outcome: Outcome) -> str:
    if outcome.value is None or outcome.lowest is None or outcome.highest is None:
        return ""
    spread = f" ({_value(outcome, outcome.lowest)}–{_value(outcome, outcome.highest)})"
    return _value(outcome, outcome.value) + ("" if outcome.lowest == outcome.highest else spread)


def _value(outcome: Outcome, value: float) -> str:
    return f"{value:.2f}" if outcome.beside else shown(outcome.measure, value)


# -- rows -------------------------------------------------------------------------------------------------------------


def _rows(found: Results, images: Mapping[str, str]) -> Iterator[str]:
    yield "## All that was measured"
    for name, row in found["rows"].items():
        yield "\n".join(_row(name, row, images))


def _row(name: str, row: Mapping[str, Any], images: Mapping[str, str]) -> Iterator[str]:
    yield f"### {row['title']}\n"
    count = max((len(values) for one in row["times"].values() for values in one.values()), default=0)
    times = "once" if count == 1 else f"{count} times"
    if count:
        yield f"Measured {times} on {row['date']}, commit `{row['program'].split()[-1]}`; load before: {row['load']}.\n"
        if row["note"]:
            yield f"{row['note']}\n"
        yield from _medians(row)
    for who, why in (row["cannot"] | dict.fromkeys(row["failed"], _FAILED)).items():
        yield f"\nNot measured{'' if who == 'all' else f' for {who}'}: {why}."
    if image := images.get(name):
        yield f"\n![{row['title']}]({image})"
    if profile := results.profile(row):
        yield from _profile(profile, images.get(f"{name}-phases"))


def _medians(row: Mapping[str, Any]) -> Iterator[str]:
    medians = results.medians(row)
    measures = list(dict.fromkeys(measure for one in medians.values() for measure in one))
    yield "| | " + " | ".join(measure.replace("_bytes", ", memory") for measure in measures) + " |"
    yield "|---|" + "---|" * len(measures)
    for who, one in medians.items():
        cells = (shown(measure, one[measure]) if measure in one else "" for measure in measures)
        yield f"| {who} | {' | '.join(cells)} |"


def _profile(phases: Sequence[Mapping[str, Any]], image: str | None) -> Iterator[str]:
    """Where the time of one `up` went."""
    yield "\nWhere the time goes in a typical repetition, by `up --timings`; stretches that overlap are done at once:\n"
    if image:
        yield f"![phases]({image})\n"
    yield "| phase | what | began | seconds | waited for |\n|---|---|---|---|---|"
    for span in phases:
        waited = span["waited_for"].replace("|", "\\|")
        yield f"| {span['phase']} | {span['what']} | {span['began_s']:.2f} | {span['seconds']:.2f} | {waited} |"


# -- scale ------------------------------------------------------------------------------------------------------------


def _scale(found: Results, images: Mapping[str, str]) -> Iterator[str]:
    if found["scale"]:
        yield "## How it grows"
    for series, points in found["scale"].items():
        title, each, _ = SERIES[series]
        yield "\n".join(_series(title, each, points, images.get(f"scale-{series}")))


def _series(title: str, each: str, points: Mapping[str, Any], image: str | None) -> Iterator[str]:
    yield f"### {title}\n"
    yield f"As processes in KRaft mode, with {each}. Memory is what is resident, `nodes` of all nodes together.\n"
    medians = {number: results.medians(point).get(OURS, {}) for number, point in points.items()}
    measures = list(dict.fromkeys(measure for one in medians.values() for measure in one))
    yield f"| {title.lower()} | " + " | ".join(measure.replace("_bytes", ", memory") for measure in measures) + " |"
    yield "|---|" + "---|" * len(measures)
    for number, one in medians.items():
        cells = (shown(measure, one[measure]) if measure in one else "" for measure in measures)
        yield f"| {number} | {' | '.join(cells)} |" if one else f"| {number} | not measured: {_FAILED} |"
    if image:
        yield f"\n![{title}]({image})"


if __name__ == "__main__":
    write(results.read(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "benchmarks" / "results.json")), PAGE)
