"""The program as on a machine with nothing else to do: two processors are enough for it, and it takes what it likes.

Run like the program itself: `python idle_machine.py ARGUMENTS`.
"""

import os
import sys
import time
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[2])  # in place of this directory

from provision.cli.run import run  # noqa: E402
from provision.common import spare  # noqa: E402
from provision.operations import apart, trainers  # noqa: E402
from provision.runtime.docker import runtime as docker_runtime  # noqa: E402


def _nothing_else_to_do(seconds: float) -> float:
    time.sleep(seconds / 20)
    return 0.0


def _take_what_it_likes(processors: int) -> None:
    del processors


def main() -> int:
    """Run the program."""
    for name in ("CI", "PYTEST_CURRENT_TEST"):
        os.environ.pop(name, None)
    trainers.LEAST_PROCESSORS = 1
    trainers.LEAST_MEMORY_BYTES = 0
    docker_runtime.FEWEST_SHARES = 1024
    spare.busy_share = _nothing_else_to_do
    spare.stand_back = _take_what_it_likes
    apart.PROGRAM = (sys.executable, str(Path(__file__).absolute()))
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
