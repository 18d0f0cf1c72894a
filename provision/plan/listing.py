"""Many nodes in few words: `broker-1 … 3, 5`."""

import re
from collections.abc import Iterable, Sequence
from itertools import cycle

from provision.cluster.model import Node

_NUMBERED = re.compile(r"(.*\b(?:zookeeper|controller|broker)-)([1-9][0-9]*)")


def listed(names: Iterable[str]) -> str:
    """Names one after the other, each once; nodes that differ only in their number together, as ranges of numbers."""
    numbers: dict[str, set[int]] = {}
    for name in names:
        stem, number = split(name)
        numbers.setdefault(stem, set()).update(number)
    return ", ".join(stem + _ranges(sorted(known)) if known else stem for stem, known in numbers.items())


def split(name: str) -> tuple[str, tuple[int, ...]]:
    """What the names of nodes of a role have in common, and the node's number; any other name has none."""
    match = _NUMBERED.fullmatch(name)
    return (match[1], (int(match[2]),)) if match else (name, ())


def placed(nodes: Sequence[Node]) -> str:
    """Where nodes are reached, and their racks: `127.0.0.1:9092 … 9094 in racks a, b, c`."""
    ports: dict[tuple[str, str], list[int]] = {}
    for node in nodes:
        for name, endpoint in _endpoints(node):
            host, _, port = endpoint.rpartition(":")
            ports.setdefault((name, host), []).append(int(port))
    found = (f"{name} {host}:{_ranges(sorted(known))}".lstrip() for (name, host), known in ports.items())
    addresses = ", ".join(found) or "no host port"
    racks = [node.rack for node in nodes if node.rack]
    if not racks:
        return addresses
    distinct = list(dict.fromkeys(racks))
    if len(distinct) == 1:
        return f"{addresses} in rack {racks[0]}"
    in_turn = all(rack == next_one for rack, next_one in zip(racks, cycle(distinct), strict=False))
    if len(distinct) < len(racks) and in_turn:
        return f"{addresses} in racks {', '.join(distinct)} in turn"
    return f"{addresses} in racks {', '.join(racks)}"


def _endpoints(node: Node) -> list[tuple[str, str]]:
    """Where a node is reached, with the names of its listeners if it has several."""
    if len(node.host_listeners) > 1:
        return [(one.name, one.endpoint) for one in node.host_listeners]
    return [("", node.endpoint)] if node.endpoint else []


def _ranges(numbers: list[int]) -> str:
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]} … {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)  # noqa: PLR2004 two are as short
