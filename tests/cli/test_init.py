"""`init`, and what it points to: the reference pages and the JSON Schema."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from provision.catalogue.versions import KRAFT
from provision.cli.run import run
from provision.cli.starter import Start, Template, starter
from provision.environment import Environment
from tests.docs.reading import REFERENCE

Err = Callable[[], str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PROVISION_ENV", raising=False)
    monkeypatch.setenv("PROVISION_HOME", str(tmp_path / "home"))
    return tmp_path / "environments"


@pytest.mark.parametrize(
    ("template", "kraft", "brokers"), product(Template, (False, True), (None, 1, 2, 3, 5)), ids=str
)
def test_every_start_is_valid_without_a_warning_and_is_what_was_asked_for(
    tmp_path: Path, template: Template, kraft: bool, brokers: int | None
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(starter("mine", Start(template, kraft, brokers)))
    told: list[object] = []
    cluster = Environment(file, on_event=told.append).validate()
    assert told == []
    assert cluster.name == "mine"
    assert (cluster.mode == KRAFT) == kraft
    assert len(cluster.brokers) == (brokers or (1 if template is Template.QUICKSTART else 3))
    assert (cluster.storage.kind == "memory") == (template is Template.CI)
    (topic,) = cluster.topics
    assert topic.replication_factor == min(3, len(cluster.brokers))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "Kafka 3.9.1 in zookeeper mode, 1 ZooKeeper, 1 broker, 1 topic"),
        (["--kraft"], "Kafka 3.9.1 in kraft mode, 1 broker, 1 topic"),
        (["--kraft", "--brokers", "5"], "in kraft mode, 5 brokers"),
        (["--template", "three-brokers"], "1 ZooKeeper, 3 brokers"),
        (["--template", "ci", "--brokers", "2", "--kraft"], "2 brokers"),
        (["--template", "quickstart", "--brokers", "3"], "1 ZooKeeper, 3 brokers"),
    ],
)
def test_init_takes_what_is_to_be_written(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    assert run(["init", *options]) == 0
    assert run(["validate", "--strict", "dev"]) == 0
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    [
        "123",
        "1e3",
        "5e-1",
        "007",
        "0x10",
        "0b1",
        "true",
        "null",
        "no",
        "yes",
        "on",
        "2024-01-01",
        "190-20",
        "dev",
        "1-2",
    ],
)
def test_a_name_that_yaml_takes_for_something_else_is_still_the_name(folder: Path, name: str) -> None:
    assert run(["init", name]) == 0
    assert Environment(folder / f"{name}.yaml").validate().name == name
    assert run(["validate", name]) == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--template", "cluster"], "there is no template 'cluster'"),
        (["--brokers", "0"], "greater than or equal to 1"),
        (["--brokers", "101"], "less than or equal to 100"),
        (["--brokers", "many"], "valid integer"),
    ],
)
def test_what_cannot_be_written_is_wrong_usage_and_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    assert run(["init", *options]) == 64
    assert told in capsys.readouterr().err
    assert not folder.exists()


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("\n\n", "in zookeeper mode, 1 ZooKeeper, 1 broker"),
        ("3\nn\n", "in kraft mode, 3 brokers"),
        ("0\nmany\n2\nmaybe\ny\n", "in zookeeper mode, 1 ZooKeeper, 2 brokers"),
    ],
)
def test_on_a_terminal_it_asks(folder: Path, capsys: pytest.CaptureFixture[str], typed: str, told: str) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, typed.encode())
    try:
        command = [sys.executable, "-m", "provision", "init"]
        done = subprocess.run(command, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE, check=True, timeout=60)
    finally:
        os.close(theirs)
        os.close(ours)
    assert done.stdout.strip() == b""
    assert run(["validate", "--strict", "dev"]) == 0
    assert told in capsys.readouterr().err


def test_the_schema_lies_where_the_file_says_and_one_of_somebody_else_is_kept(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["init", "one"]) == 0
    first, *_ = (folder / "one.yaml").read_text().splitlines()
    mark, _, place = first.partition("$schema=")
    assert mark == "# yaml-language-server: "
    written = (folder / place).read_text()
    capsys.readouterr()
    assert run(["schema"]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == (written, "")
    assert "name" in json.loads(out)["properties"]
    (folder / place).write_text('{"title": "theirs"}')
    assert run(["init", "two"]) == 0
    assert (folder / place).read_text() == '{"title": "theirs"}'
    (folder / place).write_text(written.replace("9092", "1"))
    assert run(["init", "three"]) == 0
    assert (folder / place).read_text() == written
    assert run(["validate", "one"]) == 0


def test_docs_lists_and_shows_every_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["docs"]) == 0
    listed = capsys.readouterr().out
    for file in REFERENCE.glob("*.md"):
        if file.stem != "README":
            assert f"\n{file.stem} " in listed
        for page in (file.stem, file.name):
            assert run(["docs", page]) == 0
            assert capsys.readouterr().out == file.read_text()
    assert run(["docs", "environment-fil"]) == 64
    assert "did you mean environment-file?" in capsys.readouterr().err
    assert run(["docs", "../architecture"]) == 64


def test_where_a_starter_points_for_all_keys_there_is_something(capsys: pytest.CaptureFixture[str]) -> None:
    text = starter("dev", Start())
    assert "`provision docs environment-file`" in text
    assert run(["docs", "environment-file"]) == 0
    assert capsys.readouterr().out.startswith("# The environment file")
