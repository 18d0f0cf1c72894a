"""A thousand topics of ten partitions: in few requests, with every refusal told, and finished by a second run."""

import json
from pathlib import Path

import pytest

from tests.engine import Provision, write_environment

pytestmark = [pytest.mark.soak, pytest.mark.row("soak")]

NAME, COUNT, PARTITIONS = "many", 1000, 10
WRONG = ("topic.7", "topic.500", "topic.999")


def test_a_thousand_topics(provision: Provision, tmp_path: Path) -> None:
    def wanting(count: int) -> str:
        brokers = {"nodes": 1, "port": "auto", "heap": "1g", "memory": "3g"}
        config = {"retention.ms": 3600000}
        topics = [{"name": f"topic.{n}", "partitions": PARTITIONS, "config": config} for n in range(count)]
        return write_environment(tmp_path, NAME, json.dumps({"brokers": brokers, "topics": topics}))

    def counted() -> int:
        listed = json.loads(provision.ok("topics", "list", NAME, "-o", "json"))
        assert {topic["partitions"] for topic in listed} == {PARTITIONS}
        return len(listed)

    provision.ok("up", wanting(0))
    # Kafka itself finds these wrong: no file can know what others have made.
    others = [name.replace(".", "_") for name in WRONG]
    for name in others:
        provision.ok("topics", "create", NAME, name, "-p", str(PARTITIONS))
    file = wanting(COUNT)
    partly = provision("up", file, "--timeout", "300s")
    assert partly.code == 3, partly.err
    assert f"{len(WRONG)} of {COUNT} topics" in partly.err
    for name, other in zip(WRONG, others, strict=True):
        assert f"topic {name}: Topic '{name}' collides with existing topic" in partly.err
        assert other in partly.err
    assert counted() == COUNT

    provision.ok("topics", "delete", NAME, *others)
    planned = json.loads(provision.ok("plan", file, "-o", "json"))["actions"]
    assert [(action["verb"], action["resource"]) for action in planned] == [
        ("create", f"topic {name}") for name in WRONG
    ]
    provision.ok("up", file, "--timeout", "300s")
    assert counted() == COUNT
    assert provision("plan", file, "--detailed-exitcode").code == 0
    provision.ok("down", NAME)
    assert provision.traces(NAME) == []
