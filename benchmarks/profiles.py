"""The profiles of the key `java` beside each other, on as many processors as this machine has.

A broker is held on some of the processors, which is what its JVM sees then; the clients have them all.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measuring import CannotRun, Contestants, Row
from benchmarks.ours import Program, running
from benchmarks.shapes import ONE_KRAFT

PROFILES = ("fast", "server")
RECORDS, SIZE_BYTES, PARTITIONS = 500_000, 512, 6
_TITLE = f"Profiles of Java: {RECORDS:,} records of {SIZE_BYTES} bytes through {PARTITIONS} partitions of 1 broker"
_NOTE = (
    "Kafka's own performance tools write with acks=all and read again. The broker has some of the processors, its "
    "clients have all. Only the numbers of processors that this machine has can be measured."
)


def profiles(cache: Path) -> Row:
    """All profiles on 1 processor, 2, 4 and so on."""
    return Row("profiles", _TITLE, partial(_opened, cache), note=_NOTE)


@contextmanager
def _opened(cache: Path, directory: Path) -> Iterator[Contestants]:
    if not shutil.which("taskset"):
        raise CannotRun("there is no taskset (of util-linux)")
    have = sorted(os.sched_getaffinity(0))
    counts = [1 << power for power in range(len(have).bit_length())]
    with ExitStack() as stack:
        contestants = {}
        for processors in counts:
            for profile in PROFILES:
                held = ("taskset", "--cpu-list", ",".join(map(str, have[:processors])))
                shape = ONE_KRAFT.of(partitions=PARTITIONS, profile=profile)
                program, file = stack.enter_context(running(directory, cache, shape, prefix=held))
                name = f"{profile}, {processors} processor{'s' if processors > 1 else ''}"
                contestants[name] = partial(_write_and_read, program, file)
        yield contestants


def _write_and_read(program: Program, file: str, _empty: Path) -> Mapping[str, Any]:
    servers = json.loads(program("env", file, "--format", "json")[1])["KAFKA_BOOTSTRAP_SERVERS"]
    written_s, _ = program(
        "tool", file, "kafka-producer-perf-test", "--", "--topic", "t0", "--num-records", str(RECORDS),
        "--record-size", str(SIZE_BYTES), "--throughput", "-1", "--producer-props", "acks=all",
        f"bootstrap.servers={servers}",
    )  # fmt: skip
    read_s, _ = program(
        "tool", file, "kafka-consumer-perf-test", "--", "--topic", "t0", "--messages", str(RECORDS),
        "--bootstrap-server", servers, "--timeout", "60000",
    )  # fmt: skip
    return {"write": written_s, "read": read_s}
