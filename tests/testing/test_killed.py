"""A test run that is killed: its clusters go with it, and `gc` finds nothing else of it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.engine import NO_ENGINE, ROOT, wait_until
from tests.testing.test_plugin import Project, project  # noqa: F401 the fixture

GONE_S = 60
TESTS = """
import pathlib, pytest, time

@pytest.mark.parametrize("number", range(2))
def test_goes_on(kafka, number):
    kafka.topic("orders", records=["x"]).consume(1)
    pathlib.Path(f"ready-{number}").touch()
    time.sleep(600)
"""


@pytest.mark.process
@pytest.mark.matrix
@pytest.mark.row("apart")  # with what loses its home on purpose, which `gc` would take
@pytest.mark.parametrize("workers", [0, 2], ids=["no workers", "two workers"])
@pytest.mark.parametrize("whom", ["the controller", "all of its processes"])
def test_a_killed_run_leaves_nothing(project: Project, workers: int, whom: str) -> None:  # noqa: F811 the fixture
    project.write(test_it__py=TESTS)
    arguments = ["-n", str(workers)] if workers else ["-p", "no:xdist"]
    with project.start(*arguments, **NO_ENGINE) as pytest_run:
        try:
            ready = [project.directory / f"ready-{number}" for number in range(workers or 1)]
            assert wait_until(lambda: all(file.exists() for file in ready), 120)
            assert len(project.nodes) == 1
            family = psutil.Process(pytest_run.pid).children(recursive=True)
        finally:
            pytest_run.kill()
        if whom == "all of its processes":
            for process in family:
                process.kill()
        assert wait_until(lambda: not project.nodes, GONE_S)
        for process in family:  # a worker that is in the middle of a test goes on with it
            if process.is_running():
                process.send_signal(signal.SIGKILL)
    assert wait_until(lambda: not _reapers(project.home), GONE_S)
    left = _gc(project.home).splitlines()
    assert [line for line in left if line.startswith("test run") and str(project.home) in line]
    assert project.is_clean
    assert _gc(project.home) == ""


def _reapers(home: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if "--owned" in process.cmdline() and process.environ().get("PROVISION_HOME") == str(home):
                found.append(process)
        except psutil.Error:
            continue
    return found


def _gc(home: Path) -> str:
    """Collect what is left; returns what that was."""
    command = [sys.executable, "-m", "provision", "gc", "--yes"]
    environment = {**os.environ, **NO_ENGINE, "PROVISION_HOME": str(home), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout
