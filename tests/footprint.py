"""What an environment may leave behind, in this process and on this machine: compared before and after many cycles."""

import gc
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.sweeping import sweep

Footprint = dict[str, object]


def of_this_process() -> Footprint:
    """Its open files, sockets, threads and children; what Python only has not collected yet does not count."""
    gc.collect()
    me = psutil.Process()
    files = Counter(file.path for file in me.open_files())
    sockets = Counter((one.family.name, one.status, one.raddr[1] if one.raddr else 0) for one in me.net_connections())
    return {
        "descriptors": me.num_fds(),
        "files": files,
        "sockets": sockets,
        "threads": me.num_threads(),
        "children": sorted(child.pid for child in me.children(recursive=True)),
    }


def of_home(home: Path) -> Footprint:
    """The files of a home, and its leases."""
    leases = home / "ports.json"
    return {
        "home": sorted(str(path.relative_to(home)) for path in home.rglob("*")) if home.is_dir() else [],
        "leases": json.loads(leases.read_text()) if leases.exists() else {},
        "memory": sorted(path.name for path in Path("/dev/shm").glob("provision-*")),
    }


def growth(before: Footprint, after: Footprint) -> Footprint:
    """What is there more than before."""
    grown: Footprint = {}
    for name, now in after.items():
        match before[name], now:
            case int(then), int(count):
                more: object = max(count - then, 0)
            case list(then), list(things):
                more = sorted(set(things) - set(then))
            case Counter() as then, Counter() as things:
                more = things - then
            case dict(then), dict(things):
                more = {key: value for key, value in things.items() if key not in then}
            case then, thing:
                raise AssertionError(f"{name}: {then!r} and {thing!r} cannot be compared")
        if more:
            grown[name] = more
    return grown


def grows_not_by(cycle: Callable[[], object], times: int, footprint: Callable[[], Footprint]) -> None:
    """Assert that nothing grows however often a cycle runs, of which the first two may load and open things."""
    sweep()  # what tests before this one have left is not its own
    for _ in range(2):
        cycle()
    before = footprint()
    for _ in range(times - 2):
        cycle()
    grown = growth(before, footprint())
    assert not grown, grown
