"""Whatever a command writes as YAML is read back as it was, by the program's own rules."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provision.cli.output import Format, print_value
from provision.cli.run import run
from provision.cluster.identity import Identity
from provision.environment import Environment
from provision.software.pins import Pins
from provision.software.pins_file import read, write
from provision.spec.yaml_text import parse
from tests.examples import examples
from tests.spec.test_yaml_output import TELLING, values

ONE_LINE = [text for text in TELLING if text.isprintable() and text.strip()]
TOPIC_NAMES = ["1e3", "5e-1", "12e03", "007", "0x10", "true", "null", "no", "-", "1_000", ".5", "2024-01-01"]


class Adopted:
    """An environment whose cluster has what a test wants."""

    def __init__(self, sections: dict[str, Any]) -> None:
        self.sections = sections

    def adopt(self, *, replicas: bool) -> dict[str, Any]:
        """Its sections."""
        assert not replicas
        return self.sections


def test_what_adopt_writes_is_a_file_that_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {f"x.{number}": text for number, text in enumerate(ONE_LINE)}
    sections = {
        "name": "theirs",
        "bootstrap_servers": "kafka.example:9092",
        "topics": [
            {"name": name, "partitions": 1, "replication_factor": 1, "config": settings} for name in TOPIC_NAMES
        ],
        "quotas": [
            quota
            for text in ONE_LINE
            for quota in ({"user": text, "producer_byte_rate": 1}, {"client_id": text, "request_percentage": 0.5})
        ],
    }
    monkeypatch.setattr("provision.cli.topics.select", lambda _: Adopted(sections))
    assert run(["topics", "adopt", "theirs"]) == 0
    file = tmp_path / "theirs.yaml"
    file.write_text(capsys.readouterr().out, encoding="utf-8")
    spec = Environment(file).source.load()
    assert [(topic.name, topic.config) for topic in spec.topics] == [(name, settings) for name in TOPIC_NAMES]
    assert [quota.user for quota in spec.quotas[::2]] == [quota.client_id for quota in spec.quotas[1::2]] == ONE_LINE


@given(st.dictionaries(st.text(min_size=1), values, max_size=3))
@settings(max_examples=examples(of=2), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_yaml_output_is_read_as_json_output(capsys: pytest.CaptureFixture[str], value: dict[str, Any]) -> None:
    print_value(value, Format.YAML)
    data, _, problems = parse(capsys.readouterr().out, "output")
    assert (data or {}, problems) == (value, [])


def test_a_lock_is_read_as_it_was_written(tmp_path: Path) -> None:
    images = {name: Identity(f"sha256:{'0' * 64}") for name in ONE_LINE}
    pins = Pins("3.9.1", "zookeeper", images, images)
    write(pins, tmp_path / "a.lock.yaml")
    assert read(tmp_path / "a.lock.yaml") == pins
