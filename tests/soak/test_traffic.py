"""What the tests of loss stand on: that a loss is noticed, and that a producer that ended is."""

import json
from pathlib import Path

import pytest

from tests.engine import Provision
from tests.soak.conftest import NAME, TOPIC, Shape, running
from tests.soak.traffic import Traffic, assert_nothing_lost

pytestmark = [pytest.mark.soak, pytest.mark.row("soak")]

DELETED = 10


def test_a_loss_and_a_dead_producer_are_noticed(provision: Provision, tmp_path: Path) -> None:
    with running(provision, tmp_path, Shape()):
        with Traffic(provision, NAME, TOPIC) as traffic:
            traffic.wait_for(1000)
            count = traffic.stop()
        assert assert_nothing_lost(provision, NAME, TOPIC, traffic).acknowledged == count
        with pytest.raises(AssertionError, match=f"only {count} records"):
            assert_nothing_lost(provision, NAME, TOPIC, traffic, at_least=count + 1)

        _delete_from_the_beginning(provision, partition=3)
        with pytest.raises(
            AssertionError, match=rf"^{DELETED} of {count} acknowledged records are lost: .*partition=3"
        ):
            assert_nothing_lost(provision, NAME, TOPIC, traffic)

        with Traffic(provision, NAME, TOPIC) as traffic:
            traffic.wait_for(1)
            traffic.kill()
            with pytest.raises(AssertionError, match="the producer exited with -9"):
                traffic.wait_for(1_000_000)
            with pytest.raises(AssertionError, match="the producer had ended with -9"):
                traffic.stop()


def _delete_from_the_beginning(provision: Provision, partition: int) -> None:
    where = {"topic": TOPIC, "partition": partition, "offset": DELETED}
    wanted = json.dumps({"version": 1, "partitions": [where]})
    options = ("--offset-json-file", "/dev/stdin")
    provision.ok("tool", NAME, "kafka-delete-records", "--", *options, stdin=wanted)
