"""How long `provision produce` takes to write a million records, beside Kafka's own `kafka-producer-perf-test`.

The target: at most 1.5 times as long. Both write 1,000,000 records of 512 bytes with acks=all to 6 partitions of one
broker, in turn, each in a process of its own. It prints and does not fail: machines differ, ratios less so.
"""

import statistics
import sys
import tempfile
from pathlib import Path

from in_turn import measured_s

from provision import Environment

RECORDS, SIZE_BYTES, RUNS = 1_000_000, 512, 3
PROVISION = [sys.executable, "-m", "provision"]


def main() -> None:
    """Measure both in turn, `RUNS` times, so that a noisy moment meets both alike."""
    topics = [{"name": "records", "partitions": 6}]
    described = Environment(name="bench-records", runtime="process", brokers={"port": "auto"}, topics=topics)
    with tempfile.TemporaryDirectory() as directory, described as environment:
        file = Path(directory) / "records.txt"
        with file.open("w") as written:
            written.writelines(f"{number:012}{'x' * (SIZE_BYTES - 12)}\n" for number in range(RECORDS))
        server = environment.bootstrap_servers
        perf_test = [
            *PROVISION, "tool", environment.name, "kafka-producer-perf-test", "--", "--topic", "records",
            "--num-records", str(RECORDS), "--record-size", str(SIZE_BYTES), "--throughput", "-1",
            "--producer-props", "acks=all", f"bootstrap.servers={server}",
        ]  # fmt: skip
        commands = {
            "kafka-producer-perf-test": perf_test,
            "provision produce": [*PROVISION, "produce", environment.name, "records", "--from", str(file)],
        }
        taken_s = measured_s(commands, RUNS)
    base_s = statistics.median(taken_s["kafka-producer-perf-test"])
    print(f"{'command':<26} {'median':>8} {'best':>8} {'ratio':>7}")
    for name, times in taken_s.items():
        median = statistics.median(times)
        print(f"{name:<26} {median:6.1f} s {min(times):6.1f} s {median / base_s:7.2f}")


if __name__ == "__main__":
    main()
