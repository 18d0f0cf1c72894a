"""How time and memory grow with brokers, topics, and environments at once, all as processes in KRaft mode."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.measuring import OURS, Aim, Contestants, Failed, Row, measured, run
from benchmarks.ours import Program, running, unique
from benchmarks.shapes import ONE_KRAFT, THREE_KRAFT, Shape, written

BROKERS, TOPICS, ENVIRONMENTS = (1, 3, 9), (10, 100, 1000, 5000), (1, 5, 10, 20)
MOST = 3
LIMIT_S = 400.0
"""For one command."""
_MEASURED = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL).returncode
taken_s = time.perf_counter() - began
print(taken_s, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
sys.exit(code)
"""
SERIES = {
    "brokers": ("Brokers", "1 topic × 3 partitions", BROKERS),
    "topics": ("Topics", "3 brokers, 1 partition each, RF 1", TOPICS),
    "environments": ("Environments at once", "1 broker and 1 topic each", ENVIRONMENTS),
}


def measure(cache: Path, repeat: int, keep: Callable[[str, dict[str, Any]], None], say: Callable[[str], None]) -> bool:
    """Measure all points and keep each series; returns whether something failed."""
    opened = {"brokers": _brokers, "topics": _topics, "environments": _environments}
    failed = False
    for series, (_, _, numbers) in SERIES.items():
        points: dict[str, Any] = {}
        for number in numbers:
            row = Row(f"{series} {number}", f"{series}: {number}", partial(opened[series], cache, number), most=MOST)
            points[str(number)] = measured(row, repeat, say).as_dict() | {"program": machine.program()}
            failed |= bool(points[str(number)]["failed"])
            keep(series, points)
    return failed


def many_partitions(cache: Path) -> Row:
    """`plan` and `status` with 10,000 partitions."""
    title = "`plan` and `status` with 10,000 partitions: processes, 3 KRaft brokers, 1,000 topics × 10 × RF 1"
    limit = 300.0 * 1000**2
    aims = (Aim("plan", 3.0), Aim("status", 3.0), Aim("plan_bytes", limit), Aim("status_bytes", limit))
    shape = THREE_KRAFT.of(topics=1000, partitions=10, replication_factor=1)
    return Row("partitions", title, partial(_commands, cache, shape, ("plan", "status")), aims, most=MOST)


def _with_memory(program: Program, *arguments: str) -> tuple[float, float]:
    """The seconds that a command of ours takes, and the most that it had in memory, in bytes."""
    command = [sys.executable, "-c", _MEASURED, *program.command(*arguments)]
    _, out = run(command, cwd=program.directory, env=program.variables(), timeout_s=LIMIT_S)
    taken_s, most_bytes = out.split()
    return float(taken_s), float(most_bytes)


def _brokers(cache: Path, number: int, _directory: Path) -> "contextlib.AbstractContextManager[Contestants]":
    shape = ONE_KRAFT.of(brokers=number)

    def ours(empty: Path) -> Mapping[str, float]:
        name, program = unique(), Program(empty, cache)
        file = written(empty, name, shape.text())
        try:
            ready_s, command_bytes = _with_memory(program, "up", file)
            nodes_bytes = program.resident_bytes(name) * number
        finally:
            down_s, _ = program("down", file)
        return {"ready": ready_s, "down": down_s, "nodes_bytes": nodes_bytes, "command_bytes": command_bytes}

    return nullcontext({OURS: ours})


@contextmanager
def _topics(cache: Path, number: int, directory: Path) -> Iterator[Contestants]:
    """The topics are created once, in a cluster that runs; the commands after it are repeated."""
    shape = THREE_KRAFT.of(topics=1, partitions=1, replication_factor=1)
    with running(directory, cache, shape) as (program, file):
        written(directory, Path(file).stem, shape.of(topics=number).text())
        created_s, created_bytes = _with_memory(program, "up", file)
        yield {
            OURS: lambda _empty: {
                "create": created_s,
                "create_bytes": created_bytes,
                **_each(program, file, ("up", "plan", "status")),
            }
        }


@contextmanager
def _commands(cache: Path, shape: Shape, commands: tuple[str, ...], directory: Path) -> Iterator[Contestants]:
    with running(directory, cache, shape) as (program, file):
        yield {OURS: lambda _empty: _each(program, file, commands)}


def _each(program: Program, file: str, commands: tuple[str, ...]) -> dict[str, float]:
    found = {}
    for command in commands:
        found[command], found[f"{command}_bytes"] = _with_memory(program, command, file)
    return found


def _environments(cache: Path, number: int, _directory: Path) -> "contextlib.AbstractContextManager[Contestants]":
    def ours(empty: Path) -> Mapping[str, float]:
        program = Program(empty, cache)
        files = [written(empty, unique(), ONE_KRAFT.text()) for _ in range(number)]
        try:
            ready_s = _at_once(program, "up", files)
            nodes_bytes = sum(program.resident_bytes(Path(file).stem) for file in files)
        finally:
            down_s = _at_once(program, "down", files)
        return {"ready": ready_s, "down": down_s, "nodes_bytes": nodes_bytes}

    return nullcontext({OURS: ours})


def _at_once(program: Program, command: str, files: list[str]) -> float:
    """Run a command for all of them at the same time; returns the seconds until the last has ended."""
    began = time.perf_counter()
    with ExitStack() as stack:
        for file in files:
            words = program.command(command, file)
            log = stack.enter_context(Path(file).with_suffix(f".{command}").open("w", encoding="utf-8"))
            process = subprocess.Popen(
                words, cwd=program.directory, env=program.variables(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
            stack.callback(_ended, process, Path(log.name), began + LIMIT_S)
    return time.perf_counter() - began


def _ended(process: "subprocess.Popen[bytes]", log: Path, end_s: float) -> None:
    try:
        code = process.wait(timeout=max(end_s - time.perf_counter(), 1))
    except subprocess.TimeoutExpired:
        process.terminate()
        raise Failed(f"{log.name} did not end within {LIMIT_S:.0f} s") from None
    if code:
        raise Failed(f"{log.name} exited with {code}: {log.read_text(encoding='utf-8')[-800:]}")
