"""The logs of several nodes as one, in the order of their time."""

import heapq
import queue
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

from provision.common.clocks import running_s
from provision.common.offloading import next_of

LogLine = tuple[str, str]
"""A node's name, and a line of its log."""
Read = Callable[[str], Iterator[str]]
"""Reads the log of a node, line by line."""

_TIME = re.compile(r"\[?(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)[,.](\d+)")
_QUIET_S, _LONGEST_S = 0.1, 0.5
_Arrival = tuple[str, str | Exception | None]  # of a node: a line, why there are no more, or the end
_Entry = tuple[str, int, list[str]]  # its time, the node's index, its lines


def merged(nodes: Sequence[str], read: Read) -> Iterator[LogLine]:
    """What the logs of nodes have now. A line without a time of its own stays behind the one before it."""
    entries = (_entries(index, read(node)) for index, node in enumerate(nodes))
    for _, index, lines in heapq.merge(*entries, key=lambda entry: entry[:2]):
        for line in lines:
            yield nodes[index], line


def followed(nodes: Sequence[str], read: Read) -> Iterator[LogLine]:
    """What the logs of nodes have and get, until every one has ended; sorted as far as it arrives together.

    Args:
        nodes: their names.
        read: follows the log of a node; called in a thread for each.

    Raises:
        ProvisionError: a log cannot be read any more.
    """
    arrived: queue.SimpleQueue[_Arrival] = queue.SimpleQueue()
    for node in nodes:
        # Daemons: a program that ends does not wait for the next line.
        threading.Thread(target=_pass_on, args=(node, read, arrived.put), daemon=True).start()
    open_logs = len(nodes)
    while open_logs:
        lines: dict[str, list[str]] = {}
        failures = []
        for node, line in _together(arrived):
            if isinstance(line, str):
                lines.setdefault(node, []).append(line)
                continue
            open_logs -= 1
            failures += [line] if line else []
            if not open_logs:
                break  # nothing more arrives
        yield from merged([node for node in nodes if node in lines], lambda node, lines=lines: iter(lines[node]))  # type: ignore[misc]
        if failures:
            raise failures[0]


def _together(arrived: "queue.SimpleQueue[_Arrival]") -> Iterator["_Arrival"]:
    """What arrives until nothing does for a moment; at least one thing, and not for long."""
    yield next_of(arrived)
    end = running_s() + _LONGEST_S
    with suppress(queue.Empty):
        while running_s() < end:
            yield arrived.get(timeout=_QUIET_S)


def _pass_on(node: str, read: Read, put: Callable[[_Arrival], None]) -> None:
    try:
        for line in read(node):
            put((node, line))
    except Exception as error:  # noqa: BLE001 raised by the one who reads
        put((node, error))
    else:
        put((node, None))


def _entries(index: int, lines: Iterable[str]) -> Iterator[_Entry]:
    """Lines that belong together, with the time of the first."""
    at, together = "", list[str]()
    for line in lines:
        if match := _TIME.match(line):
            if together:
                yield at, index, together
            at, together = max(at, " ".join(match.groups())), []  # a clock that was set back does not mix up one log
        together.append(line)
    if together:
        yield at, index, together
