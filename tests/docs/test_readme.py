"""README's examples, tried as they stand: what they print, and how a job in CI ends."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.cli.run import run
from provision.environment import Environment
from tests.docs.reading import ROOT, blocks, codes
from tests.e2e.conftest import FixedPorts, fixed_ports  # noqa: F401 there is one port 9092 for all tests
from tests.engine import DEFAULT_VERSION, NO_ENGINE, Provision, java, wait_until

README = (ROOT / "README.md").read_text(encoding="utf-8")
SESSIONS = blocks(README, "console")
(ORDERS,) = blocks(README, "yaml")
(RECIPE,) = blocks(README, "sh")
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

(IN_EXAMPLE,) = [
    line.removeprefix("#").strip()
    for line in (ROOT / "environments" / "ci.yaml").read_text().splitlines()
    if line.startswith("#   ")
]
RECIPES = {"README": RECIPE, "ci.yaml": IN_EXAMPLE}


# -- in CI ------------------------------------------------------------------------------------------------------------

STUB = """\
#!/bin/sh
echo "{name} $*" >> "$LOG"
case "$1" in
  up) [ -e up-fails ] && exit 124 ;;
  env) [ -e env-fails ] && exit 64; echo 'export KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:9092' ;;
  down) exit 0 ;;
  "") echo "with $KAFKA_BOOTSTRAP_SERVERS" >> "$LOG"; [ -e tests-hang ] && sleep 60; [ -e tests-fail ] && exit 3 ;;
esac
exit 0
"""


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A directory with commands that note how they are called."""
    (tmp_path / "bin").mkdir()
    for name in ("provision", "pytest"):
        (tmp_path / "bin" / name).write_text(STUB.format(name=name))
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def start(job: Path, shell: list[str], recipe: str) -> subprocess.Popen[bytes]:
    """Run a recipe as a CI system does: written to a file, in a shell of its own."""
    (job / "script").write_text(recipe)
    variables = {**os.environ, "PATH": f"{job / 'bin'}:{os.environ['PATH']}", "LOG": str(job / "log")}
    return subprocess.Popen([*shell, "script"], cwd=job, env=variables, start_new_session=True)


def calls(job: Path) -> list[str]:
    return [" ".join(line.split()[:2]) for line in (job / "log").read_text().splitlines()]


@pytest.mark.parametrize(
    "shell", [["bash"], ["bash", "-e"], ["bash", "-eo", "pipefail"], ["sh"], ["sh", "-e"]], ids=" ".join
)
@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(
    ("happens", "code", "tested"),
    [("", 0, True), ("tests-fail", 3, True), ("up-fails", 124, False)],
    ids=["green", "tests-fail", "up-fails"],
)
def test_a_job_in_ci_ends_with_the_code_of_what_failed_and_removes_everything(
    job: Path, shell: list[str], recipe: str, happens: str, code: int, tested: bool
) -> None:
    if happens:
        (job / happens).touch()
    with start(job, shell, RECIPES[recipe]) as process:
        assert process.wait(30) == code
    done = calls(job)
    assert done[-1] == "provision down"
    assert done.count("provision down") == 1
    assert ("with 127.0.0.1:9092" in done) == tested


def test_without_an_address_no_test_runs(job: Path) -> None:
    (job / "env-fails").touch()
    with start(job, ["bash"], RECIPE) as process:
        assert process.wait(30) == 64
    assert calls(job) == ["provision up", "provision env", "provision down"]


@pytest.mark.parametrize("shell", [["bash"], ["bash", "-e"]], ids=" ".join)
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_job_that_is_cancelled_removes_everything(job: Path, shell: list[str], recipe: str) -> None:
    (job / "tests-hang").touch()
    with start(job, shell, RECIPES[recipe]) as process:
        while not (job / "log").exists() or "with 127.0.0.1:9092" not in calls(job):
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(30) != 0
    assert wait_until(lambda: calls(job)[-1] == "provision down")  # by a subshell, which may outlive the script


# -- what commands print ----------------------------------------------------------------------------------------------


def session(first_command: str) -> tuple[str, list[str]]:
    """The first command of a session, and what it prints."""
    (text,) = [text for text in SESSIONS if text.startswith(f"$ {first_command}")]
    command, *printed = text.splitlines()
    return command.removeprefix("$ "), printed


def test_the_validate_example_is_what_the_file_above_it_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command, printed = session("provision validate")
    (said,) = re.findall(r"With\n(.*?), it prints:", README, re.DOTALL)
    added, changed = codes(said)
    key = changed.partition(":")[0]
    mistaken = re.sub(rf"{re.escape(key)}: \d+", changed, ORDERS).replace("topics:\n", f"    {added}\ntopics:\n")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "environments").mkdir()
    file = tmp_path / "environments" / "orders.yaml"
    file.write_text(ORDERS)
    assert run(["validate", "orders", "--strict"]) == 0
    capsys.readouterr()
    file.write_text(mistaken)
    assert run(command.split()[1:]) == 65
    assert capsys.readouterr().err.splitlines() == printed


def test_the_plan_example_fits_the_file_above_it() -> None:
    _, printed = session("provision plan")
    brokers = {match[1] for line in printed if (match := re.search(r"^. \w+ +(broker-[0-9 ,…]*\d)  ", line))}
    assert brokers == {"broker-1 … 3", "broker-4, 5"}
    assert "nodes: 3\n  port: auto" in ORDERS
    assert "partitions: 12" in ORDERS


def test_nothing_is_installed_from_where_it_is_not() -> None:
    for document in DOCUMENTS:
        assert not re.search(r"(pip|pipx|uv tool) install ['\"]?kafka-provision", document.read_text()), document


def test_every_file_that_readme_names_in_environments_is_there() -> None:
    named = set(re.findall(r"environments/([a-z-]+)\.yaml", README)) - {"dev", "orders"}
    assert named
    assert all((ROOT / "environments" / f"{name}.yaml").is_file() for name in named)


# -- five minutes -----------------------------------------------------------------------------------------------------


@pytest.fixture
def shell(tmp_path: Path, fixed_ports: FixedPorts) -> Iterator[Path]:  # noqa: F811 the fixture from above
    """An empty directory, and a `provision` that is found there; no engine answers."""
    java(DEFAULT_VERSION)
    command = Provision(tmp_path / "home", runtime="process")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "provision").write_text(f'#!/bin/sh\nexec {sys.executable} -m provision "$@"\n')
    (tmp_path / "bin" / "provision").chmod(0o755)
    (tmp_path / "work").mkdir()
    with fixed_ports.held(2181, 9092):
        yield tmp_path
        left = command.traces("dev")
        command("down", "dev")
        assert not left


@pytest.mark.process
@pytest.mark.matrix
def test_the_five_minutes_are_what_happens(shell: Path) -> None:
    (text,) = [text for text in SESSIONS if text.startswith("$ provision init dev")]
    commands = [line.removeprefix("$ ").partition("   #")[0] for line in text.splitlines() if line.startswith("$ ")]
    variables = {
        **os.environ,
        **NO_ENGINE,
        "PATH": f"{shell / 'bin'}:{os.environ['PATH']}",
        "PROVISION_HOME": str(shell / "home"),
        "PYTHONPATH": str(ROOT),
    }
    ran = subprocess.run(
        ["/bin/bash", "-e"],
        input="\n".join(commands), cwd=shell / "work", env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=True, timeout=180,
    ).stdout  # fmt: skip
    shown = [line for line in text.splitlines() if not line.startswith("$ ")]
    lines = [re.sub(r"[\d.]+ s", "N s", line) for line in ran.splitlines()]
    for line in shown:
        assert re.sub(r"[\d.]+ s", "N s", line) in lines
    assert any("PartitionCount: 1" in line for line in lines)
    assert Environment(shell / "work" / "environments" / "dev.yaml").validate().name == "dev"
    assert shutil.which("provision", path=variables["PATH"]) == str(shell / "bin" / "provision")
