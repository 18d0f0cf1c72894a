"""The heap of each role: what no JVM of Kafka starts with is an error at its place."""

from pathlib import Path

import pytest

from provision.errors import InvalidEnvironment
from provision.spec.loader import load

PLACES = {
    "brokers.heap": "brokers: {{heap: {}}}",
    "brokers.overrides.1.heap": "brokers: {{overrides: {{1: {{heap: {}}}}}}}",
    "zookeeper.heap": "kafka: {{version: 3.9.1, mode: zookeeper}}\nzookeeper: {{heap: {}}}",
    "controllers.heap": "kafka: {{mode: kraft}}\ncontrollers: {{nodes: 1, heap: {}}}",
}


@pytest.mark.parametrize("path", PLACES)
@pytest.mark.parametrize(
    ("heap", "valid"), [("1k", False), ("7m", False), ("8191k", False), ("8192k", True), ("8m", True)]
)
def test_a_heap_has_a_lower_bound(tmp_path: Path, path: str, heap: str, *, valid: bool) -> None:
    file = tmp_path / "heaps.yaml"
    file.write_text(f"name: heaps\n{PLACES[path].format(heap)}\n")
    if valid:
        load(file)
        return
    with pytest.raises(InvalidEnvironment) as caught:
        load(file)
    (problem,) = caught.value.problems
    assert (problem.path, problem.message) == (path, f"with {heap} no node starts: a heap has at least 8m")
