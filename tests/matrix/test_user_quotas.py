"""Quotas of users, on real brokers: each is slowed down by their own, whatever they say who they are by."""

import json
import re
from pathlib import Path

import pytest

from tests.engine import Provision, java, write_environment

pytestmark = [pytest.mark.process, pytest.mark.row("apart"), pytest.mark.usefixtures("swept")]

NAME = "quoted"
FILE = """
kafka: {{mode: {mode}}}
brokers: {{nodes: 1}}
listeners: {{secure: {{security: sasl-tls}}, mutual: {{security: mtls}}}}
topics: [{{name: t}}]
users:
  - {{name: by-scram, mechanism: SCRAM-SHA-512}}
  - {{name: by-plain, mechanism: PLAIN}}
  - {{name: free, mechanism: SCRAM-SHA-256}}
quotas:
  - {{user: by-scram, producer_byte_rate: 50}}
  - {{user: by-plain, producer_byte_rate: 50}}
"""


def throttled(provision: Provision, user: str, listener: str) -> bool:
    """Whether the brokers told a producer of 2 records of 512 bytes to wait."""
    flags = ("--topic", "t", "--num-records", "2", "--record-size", "512", "--throughput", "-1", "--print-metrics")
    who = ("--user", user, "--listener", listener)
    at = json.loads(provision.ok("client-config", NAME, *who, "--format", "librdkafka"))["bootstrap.servers"]
    properties = (f"bootstrap.servers={at}", f"client.id={user}", "batch.size=1")
    said = provision.ok("tool", NAME, "kafka-producer-perf-test", *who, "--", *flags, "--producer-props", *properties)
    found = re.findall(rf"produce-throttle-time-max:{{client-id={user}}} *: ([0-9.]+)$", said, re.MULTILINE)
    return float(found[0]) > 0


@pytest.mark.parametrize(
    ("version", "mode"),
    [
        pytest.param("2.8.2", "zookeeper", marks=pytest.mark.soak),
        pytest.param("3.9.1", "kraft", marks=pytest.mark.matrix),
    ],
)
def test_who_is_over_their_quota_waits_whatever_they_say_who_they_are_by(
    tmp_path: Path, version: str, mode: str
) -> None:
    java(version)
    provision = Provision(tmp_path / "home", runtime="process", version=version)
    provision.ok("up", write_environment(tmp_path, NAME, FILE.format(mode=mode)))
    try:
        expected = {"by-scram": True, "by-plain": True, "free": False}
        for listener in ("secure", "mutual"):
            assert {user: throttled(provision, user, listener) for user in expected} == expected
    finally:
        provision.ok("down", NAME)
    assert provision.traces(NAME) == []
