"""`env --format`: the addresses of a cluster, as each reader takes them."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from provision.cli.run import run
from provision.cluster.properties import parse
from provision.operations.variables import FORMATS, Addresses
from tests.cli.world import NAME, settle

SERVERS = "127.0.0.1:9092,127.0.0.1:9093,127.0.0.1:9094"
VARIABLES = {"PROVISION_ENV": NAME, "KAFKA_BOOTSTRAP_SERVERS": SERVERS, "SPRING_KAFKA_BOOTSTRAP_SERVERS": SERVERS}


def _evaluated(text: str) -> dict[str, str]:
    shown = subprocess.run(
        ["/bin/sh", "-c", f"{text}\nenv -0"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    variables = dict(line.split("=", 1) for line in shown.split("\0") if line)
    return {name: variables[name] for name in variables if "KAFKA" in name or "PROVISION" in name}


def _lines(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines())


READERS: dict[str, tuple[Callable[[str], Mapping[str, str]], Mapping[str, str]]] = {
    "shell": (_evaluated, VARIABLES),
    "dotenv": (_lines, VARIABLES),
    "json": (json.loads, VARIABLES),
    "github": (_lines, VARIABLES),
    "spring": (parse, {"spring.kafka.bootstrap-servers": SERVERS}),
    "librdkafka": (_lines, {"bootstrap.servers": SERVERS}),
}


@pytest.mark.parametrize("form", FORMATS)
def test_each_format_says_to_its_reader_where_the_cluster_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    settle(tmp_path, monkeypatch)
    capsys.readouterr()
    assert run(["env", "--format", form]) == 0
    read, expected = READERS[form]
    assert read(capsys.readouterr().out) == expected


def test_the_shell_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settle(tmp_path, monkeypatch)
    capsys.readouterr()
    assert run(["env"]) == 0
    assert _evaluated(capsys.readouterr().out) == VARIABLES
    assert run(["env", "--format", "xml"]) == 64
    assert "shell, dotenv, json, github, spring, librdkafka" in capsys.readouterr().err


def test_an_external_cluster_has_addresses_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("far.yaml").write_text("name: far\nbootstrap_servers: kafka.example:9092\n")
    assert run(["env", "far.yaml", "--format", "librdkafka"]) == 0
    assert capsys.readouterr().out == "bootstrap.servers=kafka.example:9092\n"


def test_what_has_no_nodes_has_no_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settle(tmp_path, monkeypatch)
    assert run(["down", NAME, "--keep-data"]) == 0
    capsys.readouterr()
    assert run(["env"]) == 64
    out, err = capsys.readouterr()
    assert out == ""
    assert "only kept data" in err


def test_zookeeper_is_told_where_it_can_be_reached() -> None:
    assert Addresses("e", "b:1", "z:2").variables["KAFKA_ZOOKEEPER_CONNECT"] == "z:2"
    assert "KAFKA_ZOOKEEPER_CONNECT" not in Addresses("e", "b:1").variables
