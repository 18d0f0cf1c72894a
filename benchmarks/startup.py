"""How long a command takes before it does anything, beside Python's own start: medians of runs one after the other.

The targets, on a machine with 2 cores: `--help` under 150 ms, `validate` under 300 ms. It prints
and does not fail: machines differ, ratios less so.
"""

import statistics
import sys
from pathlib import Path

from in_turn import measured_s

ROOT = Path(__file__).parent.parent
RUNS = 15
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "provision --help": [sys.executable, "-m", "provision", "--help"],
    "provision validate": [sys.executable, "-m", "provision", "validate", "environments/three-brokers.yaml"],
    "provision render": [
        sys.executable, "-m", "provision", "render", "environments/three-brokers.yaml", "--out", "/dev/shm/rendered",  # noqa: S108
    ],
}  # fmt: skip


def main() -> None:
    """Measure every command in turn, `RUNS` times, so that a noisy moment meets all of them alike."""
    taken_s = measured_s(COMMANDS, RUNS, ROOT)
    taken_ms = {name: [one_s * 1000 for one_s in times] for name, times in taken_s.items()}
    base_ms = statistics.median(taken_ms["python -c pass"])
    print(f"{'command':<20} {'median':>9} {'best':>9} {'× python':>9}")
    for name, times in taken_ms.items():
        median = statistics.median(times)
        print(f"{name:<20} {median:6.0f} ms {min(times):6.0f} ms {median / base_ms:8.1f}")


if __name__ == "__main__":
    main()
