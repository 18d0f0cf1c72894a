"""A thousand topics of ten partitions: in few requests, with every refusal told, and finished by a second run."""

import json
from pathlib import Path
from typing import Any

from tests.engine import Provision, write_environment

NAME, COUNT, PARTITIONS = "many", 1000, 10
WRONG = ("topic-7", "topic-500", "topic-999")


def _topics(wrong: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    names = [f"topic-{number}" for number in range(COUNT)]
    # Kafka itself finds this wrong: no file can know what every version takes.
    return [
        {"name": name, "partitions": PARTITIONS, "config": {"retention.ms": "soon" if name in wrong else 3600000}}
        for name in names
    ]


def test_a_thousand_topics(provision: Provision, tmp_path: Path) -> None:
    def wanting(topics: list[dict[str, Any]]) -> str:
        brokers = {"nodes": 1, "port": "auto", "heap": "1g", "memory": "3g"}
        return write_environment(tmp_path, NAME, json.dumps({"brokers": brokers, "topics": topics}))

    def counted() -> int:
        listed = json.loads(provision.ok("topics", "list", NAME, "-o", "json"))
        assert {topic["partitions"] for topic in listed} == {PARTITIONS}
        return len(listed)

    file = wanting([])
    provision.ok("up", file)
    file = wanting(_topics(WRONG))
    partly = provision("up", file, "--timeout", "300s")
    assert partly.code == 3, partly.err
    assert f"{len(WRONG)} of {COUNT} topics" in partly.err
    for name in WRONG:
        assert f"topic {name}: Invalid value soon for configuration retention.ms" in partly.err
    assert counted() == COUNT - len(WRONG)

    file = wanting(_topics())
    planned = json.loads(provision.ok("plan", file, "-o", "json"))["actions"]
    assert [(action["verb"], action["resource"]) for action in planned] == [
        ("create", f"topic {name}") for name in WRONG
    ]
    provision.ok("up", file, "--timeout", "300s")
    assert counted() == COUNT
    assert provision("plan", file, "--detailed-exitcode").code == 0
    provision.ok("down", NAME)
    assert provision.traces(NAME) == []
