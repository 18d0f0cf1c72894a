"""What a machine has to spare: what its control groups allow, and that what stands back does so with all it starts."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from provision.common import spare

MIB = 1024**2
V2 = {"memory.max": str(10 * MIB), "memory.current": str(4 * MIB)}
V1 = {"cpu/cpu.cfs_period_us": "100000", "memory/memory.usage_in_bytes": str(MIB)}


def found(directory: Path, own: str, files: Mapping[str, str]) -> spare.Spare:
    """What there is with these files of control groups."""
    for name, content in files.items():
        file = directory / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n")
    (directory / "own").write_text(own)
    return spare.spare(directory / "cgroup", directory / "own")


@pytest.mark.parametrize(
    ("own", "files", "processors"),
    [
        ("0::/\n", {"cpu.max": "50000 100000"}, 0.5),
        ("0::/docker/a\n", {"docker/a/cpu.max": "max 100000", "docker/cpu.max": "25000 100000"}, 0.25),
        ("0::/docker/a\n", {"docker/a/cpu.max": "25000 100000", "docker/cpu.max": "50000 100000"}, 0.25),
        ("1:cpu:/a\n", {"cpu/cpu.cfs_quota_us": "20000", **V1}, 0.2),
    ],
)
def test_processors_are_what_every_group_around_allows(
    tmp_path: Path, own: str, files: Mapping[str, str], processors: float
) -> None:
    assert found(tmp_path, own, files).processors == processors


@pytest.mark.parametrize(
    ("own", "files", "memory"),
    [
        ("0::/\n", {"memory.max": str(10 * MIB), "memory.current": str(4 * MIB)}, 6 * MIB),
        ("0::/a/b\n", {"a/memory.max": str(3 * MIB), "a/b/memory.max": "max"}, 3 * MIB),
        ("0::/a\n", {"a/memory.max": str(MIB), "a/memory.current": str(2 * MIB)}, 0),
        ("", {"memory/memory.limit_in_bytes": str(5 * MIB), **V1}, 4 * MIB),
        # What the page cache holds and nobody uses is free, as it is in what the system itself calls available.
        ("0::/\n", {**V2, "memory.stat": f"anon 7\nfile {9 * MIB}\ninactive_file {3 * MIB}\nslab 1"}, 9 * MIB),
        ("0::/\n", {**V2, "memory.stat": f"inactive_file {8 * MIB}"}, 10 * MIB),
        ("0::/\n", {**V2, "memory.stat": "anon 7\nactive_file 5"}, 6 * MIB),
        ("0::/\n", {**V2, "memory.stat": "inactive_file much\nanon"}, 6 * MIB),
        ("0::/\n", {"memory.max": str(MIB), "memory.stat": f"inactive_file {MIB}"}, MIB),
        (
            "",
            {
                "memory/memory.limit_in_bytes": str(5 * MIB),
                "memory/memory.stat": f"inactive_file 1\ntotal_inactive_file {MIB // 2}",
                **V1,
            },
            4 * MIB + MIB // 2,
        ),
    ],
)
def test_memory_is_what_every_group_around_leaves(
    tmp_path: Path, own: str, files: Mapping[str, str], memory: int
) -> None:
    assert found(tmp_path, own, files).memory_bytes == memory


@pytest.mark.parametrize(
    ("own", "files"),
    [
        ("", {}),
        ("0::/\n", {"cpu.max": "max 100000", "memory.max": "max"}),
        ("0::/../..\n", {"cpu.max": "", "memory.max": "much"}),
        ("0::/gone\n", {"cpu.max": "0 0 0"}),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", **V1}),
    ],
)
def test_without_limits_it_is_what_the_machine_has(tmp_path: Path, own: str, files: Mapping[str, str]) -> None:
    there = found(tmp_path, own, files)
    assert there.processors == (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    assert 0 < there.memory_bytes <= psutil.virtual_memory().total


@pytest.mark.skipif(sys.platform != "linux", reason="other systems offer less")
def test_what_stands_back_does_so_with_all_that_it_starts() -> None:
    asked = "import json, os; print(json.dumps([os.nice(0), os.sched_getscheduler(0), len(os.sched_getaffinity(0))]))"
    script = (
        "import subprocess, sys; from provision.common import spare; spare.stand_back(1); "
        "print(subprocess.run([sys.executable, '-c', sys.argv[1]], stdout=subprocess.PIPE, text=True).stdout)"
    )
    told = subprocess.run([sys.executable, "-c", script, asked], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert json.loads(told) == [19, os.SCHED_IDLE, 1]


def test_the_busy_share_is_one() -> None:
    assert 0 <= spare.busy_share(0.01) <= 1
