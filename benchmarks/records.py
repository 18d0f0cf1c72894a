"""`provision produce` beside Kafka's own `kafka-producer-perf-test`: both write the same to the same topic, in turn."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measuring import OURS, Contestants
from benchmarks.ours import running
from benchmarks.shapes import ONE

RECORDS, SIZE_BYTES = 1_000_000, 512


@contextmanager
def records(cache: Path, perf_test: str, directory: Path) -> Iterator[Contestants]:
    """Write a file of records and start a broker with 6 partitions."""
    seed = directory / "records.txt"
    with seed.open("w", encoding="utf-8") as lines:
        lines.writelines(f"{number:012}{'x' * (SIZE_BYTES - 12)}\n" for number in range(RECORDS))
    with running(directory, cache, ONE.of(partitions=6)) as (program, file):
        servers = json.loads(program("env", file, "--format", "json")[1])["KAFKA_BOOTSTRAP_SERVERS"]
        ours = ("produce", file, "t0", "--from", str(seed))
        tool = (
            "tool", file, perf_test, "--", "--topic", "t0", "--num-records", str(RECORDS),
            "--record-size", str(SIZE_BYTES), "--throughput", "-1", "--producer-props", "acks=all",
            f"bootstrap.servers={servers}",
        )  # fmt: skip
        yield {
            OURS: lambda _empty: {"time": program(*ours)[0]},
            perf_test: lambda _empty: {"time": program(*tool)[0]},
        }
