"""The command line without an engine: usage, selection, exit codes, and no traceback ever."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from provision.cli.app import app
from provision.cli.run import run

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PROVISION_ENV", raising=False)
    monkeypatch.setenv("PROVISION_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["up", "--nonsense"], "No such option"),
        (["validate"], "which environment?"),
        (["validate", "missing.yaml"], "there is no file missing.yaml"),
        (["validate", "missing"], "there is no environment file for 'missing'"),
        (["up", "missing.yaml", "--timeout", "soon"], "there is no file missing.yaml"),
        (["down", "--all", "x"], "--all goes without names"),
        (["consume", "dev", "t", "--to-end"], "--to-end goes with --from-beginning"),
        (["consume", "dev", "t", "-o", "json", "--key-separator", ","], "--key-separator goes without --output json"),
        (["history", "x", "--run", "a", "--count", "1"], "--count goes without --run"),
        (["gc", "--watch", "-o", "json"], "--output goes without --watch"),
        (["gc", "--watch", "--owned", "--older-than", "1h"], "--older-than goes without --owned"),
        (["gc", "--watch", "--owned", "--job-ended", "7"], "--job-ended goes without --owned"),
        (["down", "--all", "--take-over"], "--take-over goes with names"),
        (["down", "--engine", "--take-over"], "--take-over goes with names"),
        (["doctor", "x", "--take-over"], "--take-over goes with --fix"),
        (["run", "dev", "--set", "brokers.nodes=3", "--", "true"], "there is no environment file for 'dev'"),
        (["down", "x", "--keep-data", "--delete-data"], "contradict each other"),
        (["init", "Not/A/Name"], "cannot be an environment's name"),
        (["fetch", "3.x"], "is not a Kafka version"),
        (["fetch", "2.7.2"], "Kafka 2.7.2 is too old"),
        (["image", "build", "latest", "--base", "java"], "is not a Kafka version"),
        (["image", "build", "3.9.1"], "--base"),
        (["image", "load", "missing.tar"], "there is no file missing.tar"),
        (["down", ".."], "neither an environment's name nor a file"),
        (["down", "."], "neither an environment's name nor a file"),
        (["down", ""], "an argument is empty"),
        (["topics", "create", "x", ""], "an argument is empty"),
        (["up", "x", "--owner-job="], "--owner-job is empty"),
        (["stop", "*"], "neither an environment's name nor a file"),
        (["produce", "x", "t", "--key-separator", ""], "--key-separator is empty"),
        (["topics", "create", "x", "t", "--config", "novalue"], "is not of the form KEY=VALUE"),
        (["render", "x"], "--out"),
    ],
)
def test_wrong_usage_is_64_with_one_message(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert run(arguments) == 64
    shown = capsys.readouterr()
    assert told in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["tool", "dev", "kafka-topics", "--list"], "come after --: `provision tool [ENV] ... -- ARGS...`"),
        (["run", "dev", "make", "-k"], "come after --: `provision run [ENV] ... -- COMMAND...`"),
        (["tool", "dev", "kafka-topics", "--nonsense", "--", "--list"], "`provision tool --help`"),
        (["tool", "dev", "kafka-topics", "--listener"], "`provision tool --help`"),
        (["consume", "dev", "t", "--nonsense"], "`provision consume --help`"),
    ],
)
def test_where_options_for_another_program_belong_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], hint: str
) -> None:
    assert run(arguments) == 64
    assert capsys.readouterr().err.splitlines()[-1].endswith(hint)


def _options(command: Any, *path: str) -> Iterator[tuple[list[str], str]]:  # noqa: ANN401 click's own or typer's copy
    """Every command below one, with each of its options that take a value."""
    for name, below in getattr(command, "commands", {}).items():
        yield from _options(below, *path, name)
    for param in command.params:
        if param.param_type_name == "option" and not param.is_flag:
            yield from (([*path], option) for option in param.opts)


OPTIONS = list(_options(typer.main.get_command(app)))


@pytest.mark.parametrize(("command", "option"), OPTIONS, ids=[" ".join([*path, name]) for path, name in OPTIONS])
def test_an_option_without_a_value_is_a_variable_that_is_not_set(
    folder: Path, capsys: pytest.CaptureFixture[str], command: list[str], option: str
) -> None:
    for words in ([option, ""], [f"{option}="])[: 2 if option.startswith("--") else 1]:
        assert run([*command, *words]) == 64
        assert f"error: {option} is empty\n" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_what_another_program_is_told_may_be_empty(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "dev", "--", "true", ""]) == 64
    assert "is empty" not in capsys.readouterr().err


def test_init_writes_a_file_that_is_valid_and_never_overwrites(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["init", "mine"]) == 0
    assert run(["validate"]) == 0
    assert "mine is valid: Kafka 3.9.1 in zookeeper mode, 1 ZooKeeper, 1 broker, 1 topic" in capsys.readouterr().err
    (folder / "environments" / "mine.yaml").write_text("# my own\n")
    assert run(["init", "mine"]) == 4
    assert (folder / "environments" / "mine.yaml").read_text() == "# my own\n"
    assert run(["init", "mine", "--force"]) == 0
    assert run(["validate", "mine"]) == 0


def test_an_invalid_file_is_65_with_every_problem(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bad.yaml").write_text("brokers:\n  nodes: two\ntopics: 3\n")
    assert run(["validate", "bad.yaml"]) == 65
    err = capsys.readouterr().err
    assert "bad.yaml:2:10: brokers.nodes: must be a whole number, not the text 'two'" in err
    assert "bad.yaml:3:9: topics: must be a list" in err


def test_a_name_in_an_invalid_file_leads_nowhere_else(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    victim = folder / "victim"
    (victim / "broker-1").mkdir(parents=True)
    (folder / "bad.yaml").write_text(f"name: {victim}\nbrokers: {{nodes: none}}\n")
    assert run(["down", "bad.yaml"]) == 65
    assert "bad.yaml:1:7: name: " in capsys.readouterr().err
    assert (victim / "broker-1").is_dir()


def test_an_empty_variable_is_no_environment(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVISION_ENV", "")
    assert run(["down"]) == 64
    assert "which environment?" in capsys.readouterr().err


def test_several_files_are_all_checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "one.yaml").write_text("brokers: {nodes: 0}\n")
    (folder / "two.yaml").write_text("brokers: {nodes: -1}\n")
    (folder / "fine.yaml").write_text("brokers: {nodes: 1}\n")
    assert run(["validate", "one.yaml", "two.yaml", "fine.yaml"]) == 65
    err = capsys.readouterr().err
    assert "one.yaml:1:18" in err
    assert "two.yaml:1:18" in err
    assert "fine is valid" in err


RISKY = "brokers: {nodes: 3}\ntopics: [{name: orders, replication_factor: 1}]\n"
WARNING = "risky.yaml:2:45: warning: topics[0].replication_factor: one replica on 3 brokers"


def test_warnings_are_told_and_stop_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "risky.yaml").write_text(RISKY)
    assert run(["validate", "risky.yaml"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(WARNING)
    assert "risky is valid" in err


def test_strict_makes_warnings_errors_of_all_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "risky.yaml").write_text(RISKY)
    (folder / "wrong.yaml").write_text("brokers: {nodes: 0}\n")
    assert run(["validate", "--strict", "risky.yaml", "wrong.yaml"]) == 65
    err = capsys.readouterr().err
    assert "error: the environment file is not valid: 2 problems" in err
    assert f"  {WARNING}" in err
    assert "  wrong.yaml:1:18: " in err


def test_plan_tells_warnings_once_and_reading_commands_do_not(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "risky.yaml").write_text("runtime: process\n" + RISKY)
    assert run(["plan", "risky.yaml"]) == 0
    out, err = capsys.readouterr()
    assert "warning" not in out
    assert err.count(": warning: ") == 1
    assert run(["status", "risky.yaml"]) == 64
    err = capsys.readouterr().err
    assert "there is no environment risky" in err
    assert "warning" not in err


def test_the_environment_variable_and_the_only_file_are_used(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(["init", "one"])
    run(["init", "two"])
    assert run(["validate"]) == 64
    assert "environments/one.yaml, environments/two.yaml" in capsys.readouterr().err
    monkeypatch.setenv("PROVISION_ENV", "two")
    assert run(["validate"]) == 0
    assert "two is valid" in capsys.readouterr().err


def test_a_lock_is_never_taken_for_an_environment(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["init", "one"])
    (folder / "environments" / "one.lock.yaml").write_text("provision_lock: 1\n")
    assert run(["validate"]) == 0
    assert run(["validate", "environments/one.lock.yaml", "environments/one.yaml"]) == 0
    assert "one is valid" in capsys.readouterr().err
    for command in ("validate", "up", "lock", "down"):
        assert run([command, "environments/one.lock.yaml"]) == 64
        assert "environments/one.lock.yaml is a lock, not an environment" in capsys.readouterr().err
    assert run(["validate", "one.lock"]) == 64
    assert "there is environments/one.yaml\n" in capsys.readouterr().err


def test_without_a_lock_frozen_is_refused_and_makes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["init", "one"])
    for command in (["up", "one", "--frozen"], ["plan", "one", "--frozen"], ["lock", "one", "--check"]):
        assert run([*command, "--set", "runtime=process"]) == 4
        assert "one has no lock" in capsys.readouterr().err
    assert [file for file in (folder / "home").rglob("*") if file.is_file()] == []


def test_a_damaged_lock_is_65_with_its_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["init", "one"])
    (folder / "environments" / "one.lock.yaml").write_text("provision_lock: 1\nextra: 2\n")
    assert run(["up", "one", "--frozen", "--set", "runtime=process"]) == 65
    err = capsys.readouterr().err
    assert "environments/one.lock.yaml:2:1: extra: unknown key (`provision lock` writes a new one)" in err


def test_what_others_run_is_neither_locked_nor_frozen(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "theirs.yaml").write_text("bootstrap_servers: nowhere:9092\n")
    assert run(["lock", "theirs.yaml"]) == 64
    assert "theirs has nothing to lock: it is an external cluster" in capsys.readouterr().err
    assert run(["plan", "theirs.yaml", "--frozen"]) == 64
    assert "theirs has bootstrap_servers: provision does not manage its nodes" in capsys.readouterr().err


def test_render_writes_what_the_nodes_get(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["init", "one"])
    assert run(["render", "one", "--out", "rendered", "--set", "brokers.nodes=2"]) == 0
    written = sorted(str(file.relative_to(folder / "rendered")) for file in (folder / "rendered").rglob("*.*"))
    assert "broker-2/server.properties" in written
    assert "zookeeper-1/zookeeper.properties" in written
    launch = json.loads((folder / "rendered" / "broker-2" / "launch.json").read_text())
    assert launch["host_port"] == 9093
    capsys.readouterr()


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("provision ")
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    for command in ("init", "validate", "render", "plan", "lock", "up", "down", "stop", "start", "restart", "status",
                    "list", "wait", "logs", "endpoints", "env", "topics", "produce", "consume", "tool"):  # fmt: skip
        assert f"  {command} " in shown


@pytest.mark.parametrize("host", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:1"])
def test_without_an_engine_the_message_says_so(folder: Path, host: str) -> None:
    file = str(ROOT / "environments" / "quickstart.yaml")
    command = [sys.executable, "-m", "provision", "up", file, "--set", "runtime=docker"]
    result = subprocess.run(
        command, env={**os.environ, "DOCKER_HOST": host}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 69
    assert "no Docker engine answers" in result.stderr
    assert host in result.stderr


def test_help_and_validate_load_no_adapter() -> None:
    probe = (
        "import sys; from provision.cli.run import run; run({arguments}); "
        "print([m for m in {heavy} if m in sys.modules])"
    )
    adapters = ["docker", "kafka", "confluent_kafka", "cryptography", "jinja2", "rich", "requests", "psutil", "ssl"]
    of_a_file = ["pydantic", "yaml"]
    for arguments, heavy in (
        (["--help"], adapters + of_a_file),
        (["validate", "environments/quickstart.yaml"], adapters),
    ):
        shown = subprocess.run(
            [sys.executable, "-c", probe.format(arguments=arguments, heavy=heavy)],
            cwd=ROOT, capture_output=True, text=True, check=True, env=os.environ | {"PROVISION_HOME": "unused"},
        )  # fmt: skip
        assert shown.stdout.splitlines()[-1] == "[]"


def test_a_closed_pipe_is_no_error() -> None:
    command = f"{sys.executable} -m provision --help | head -n 1"
    shown = subprocess.run(["/bin/sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stderr == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("validate", "\udcff"),
        ("validate", "dev", "--set", "\udcff=1"),
        ("up", "/tmp/\udcff/dev.yaml"),
        ("down", "\udcff"),
        ("topics", "create", "dev", "\udcff"),
        ("topics", "create", "dev", "orders", "--config", "a=\udcff"),
        ("produce", "dev", "\udcff"),
        ("init", "\udcff"),
        ("render", "dev", "--out", "\udcff"),
        ("tool", "dev", "kafka-topics", "--", "\udcff"),
        ("\udcff",),
        ("--\udcff",),
    ],
)
def test_bytes_that_are_no_text_are_wrong_usage_wherever_they_stand(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert run(arguments) == 64
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert said[0].startswith("error: '")
    assert said[0].endswith("\\udcff' is not UTF-8 text") or "\\udcff" in said[0]
    assert said[1] == "hint: rename it, or write it in UTF-8"


def test_a_variable_with_bytes_that_are_no_text_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVISION_ENV", "\udcff")
    assert run(("validate",)) == 64
    assert capsys.readouterr().err.startswith("error: '\\udcff' is not UTF-8 text")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names themselves")
def test_a_directory_whose_name_is_no_text_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    directory = tmp_path / "\udcff"
    directory.mkdir()
    (directory / "dev.yaml").write_text("storage: ./data\n")
    monkeypatch.chdir(directory)
    assert run(("validate", "./dev.yaml")) == 64
    assert "\\udcff' is not UTF-8 text" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    [
        ["consume", "shop", "t", "--isolation-level", "commited"],
        ["produce", "shop", "t", "--compression", "zip"],
        ["produce", "shop", "t", "--format", "xml"],
        ["status", "shop", "--output", "xml"],
    ],
)
def test_a_value_that_is_none_of_an_options_is_told_in_plain_words(
    capsys: pytest.CaptureFixture[str], line: list[str]
) -> None:
    assert run(line) == 64
    said = capsys.readouterr().err
    assert line[-2] in said
    assert f"'{line[-1]}' is not one of '" in said
    assert "Value error" not in said
