"""The reaper as a process: what kills a job with all its processes does not kill it, and it ends by itself."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from provision.common.process_identity import ProcessIdentity
from provision.home.place import Home
from provision.operations.gc import reaper
from provision.operations.whose import Maker
from provision.plan.about import About
from provision.runtime import Runtimes
from tests.engine import NO_ENGINE, wait_until

NAME = "orders"
_START = (
    "import sys; from pathlib import Path; from provision.operations.gc import reaper; reaper.start(Path(sys.argv[1]))"
)


def reapers(home: Path) -> list[psutil.Process]:
    """Those of a home, without the shells that start them."""
    found = []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
            is_one = "--owned" in command and command[0] == sys.executable
            if is_one and process.environ().get("PROVISION_HOME") == str(home):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name, value in NO_ENGINE.items():
        monkeypatch.setenv(name, value)
    return Home.at(tmp_path / "home")


def test_it_outlives_the_processes_of_its_job_and_ends_with_the_last_environment(home: Home) -> None:
    runtime = Runtimes(home).of_kind("process")
    # The job: a shell, which starts the reaper as `up` does, and goes on.
    script = f'"$0" -c "{_START}" "$1"; "$0" -c "{_START}" "$1"; echo started; exec sleep 60'
    with subprocess.Popen(
        ["/bin/sh", "-c", script, sys.executable, str(home.directory)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as job:
        maker = Maker.of(home.directory, owner_pid=job.pid)
        assert maker.process == ProcessIdentity.of(job.pid)
        about = About(home=str(home.directory), owner_process=maker.process, created_s=time.time())
        runtime.write_about(NAME, about)
        assert job.stdout
        assert job.stdout.readline() == "started\n"
        assert wait_until(lambda: bool(reapers(home.directory)))
        assert runtime.about(NAME) == about
        os.killpg(job.pid, signal.SIGKILL)
    assert wait_until(lambda: runtime.about(NAME) is None and not reapers(home.directory), 30)
    assert not (home.environments / NAME).exists()


def test_it_has_nothing_of_the_command_that_starts_it(home: Home, tmp_path: Path) -> None:
    ours = tmp_path / "open"
    runtime = Runtimes(home).of_kind("process")
    me = ProcessIdentity.of()
    runtime.write_about(NAME, About(home=str(home.directory), owner_process=me, created_s=time.time()))
    with ours.open("w") as stream:
        os.set_inheritable(stream.fileno(), True)
        reaper.start(home.directory)
        assert wait_until(lambda: len(reapers(home.directory)) == 1)
        (process,) = reapers(home.directory)
        assert str(ours) not in [opened.path for opened in process.open_files()]
    assert process.ppid() != os.getpid()
    runtime.write_about(NAME, About(home=str(home.directory), created_s=time.time()))
    assert wait_until(lambda: not reapers(home.directory), 30)
    assert runtime.about(NAME) is not None
