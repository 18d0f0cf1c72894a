"""Progress where nothing can be redrawn: a line when something begins, and one every now and then."""

import pytest

from provision.cli import progress
from provision.events import Fetching, Progress


class Clock:
    """Seconds, as the test says."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """As `time.monotonic`."""
        return self.now


def test_each_thing_is_told_when_it_begins_and_then_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with progress.progress(clock=clock) as tell:
        for second in range(13):
            clock.now = 100.0 + second
            tell(Progress("partitions moved", second, 12, "" if second == 0 else f"{12 - second} B to go"))
        tell(Fetching("Kafka 3.9.1", 7, 105, "jars"))
        tell(Fetching("Kafka 3.9.1", 8, 105, "jars"))
        tell(Fetching("Kafka 3.8.1", 0, 0, "jars"))
        tell(Fetching("apache/kafka:3.9.1", 7 << 20, 100 << 20))
    assert capsys.readouterr().err.splitlines() == [
        "0 of 12 partitions moved",
        "10 of 12 partitions moved, 2 B to go",
        "fetching Kafka 3.9.1: 7 of 105 jars",
        "fetching Kafka 3.8.1: 0 jars so far",
        "fetching apache/kafka:3.9.1: 7 of 100 MiB",
    ]
