"""Commands measured in turn, so that a noisy moment meets all of them alike."""

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


def measured_s(commands: Mapping[str, Sequence[str]], runs: int, cwd: Path | None = None) -> dict[str, list[float]]:
    """How long each command takes, in seconds, so many times; each must succeed."""
    taken_s: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, cwd=cwd, check=True, capture_output=True)
            taken_s[name].append(time.perf_counter() - began)
    return taken_s
