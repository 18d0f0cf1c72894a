"""CI jobs that are killed with all their processes: of the clusters that they made nothing is left soon after."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engine import (
    DEFAULT_VERSION,
    NO_ENGINE,
    ROOT,
    Provision,
    engine,
    image,
    java,
    reapers,
    wait_for_line,
    wait_until,
    write_environment,
)
from tests.testing.test_plugin import PLUGIN

pytestmark = [
    pytest.mark.matrix,
    pytest.mark.row("apart"),  # with what loses its home on purpose, which `gc` would take
]

FILES = {
    "docker": "runtime: docker\nkafka: {{mode: kraft, version: {version}, image: {image}}}\n",
    "process": "runtime: process\nkafka: {{mode: kraft, version: {version}}}\n",
}
REST = "brokers: {port: auto}\ntopics: [{name: t}]\n"
GONE_S = 30
"""So long after the end of the job something may be left."""
READY_S = 120
JOB = "service/17/1/tests"
TESTS = """\
import time

def test_goes_on(kafka):
    print("ready", flush=True)
    time.sleep(600)
"""


@dataclass(frozen=True, slots=True)
class Way:
    """How a job gets a cluster, and what removes that one."""

    script: str
    remover: str = "reaper"


WAYS = {
    "up --owner-pid": Way("{provision} up {env} --owner-pid $$ && echo ready && sleep 600"),
    "up --owner-pid, and no reaper": Way("{provision} up {env} --owner-pid $$ && echo ready && sleep 600", "service"),
    "up --owner-job": Way(f"{{provision}} up {{env}} --owner-job {JOB} && echo ready && sleep 600", "end of the job"),
    "run": Way("{provision} run {env} -- sh -c 'echo ready; sleep 600'"),
    "pytest": Way("{pytest} -p no:xdist {tests}"),
    "pytest with workers": Way("{pytest} -n 2 --dist load {tests}"),
}


@pytest.fixture(
    params=[pytest.param("docker", marks=pytest.mark.engine), pytest.param("process", marks=pytest.mark.process)]
)
def provision(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Provision]:
    """The command line with a home of its own, in which nothing is left."""
    if request.param == "docker":
        engine()
    else:
        java(DEFAULT_VERSION)
    command = Provision(tmp_path / "home", request.param, environment={"PROVISION_OWNER": ""}, as_written=True)
    yield command
    for name in names(command):
        command.ok("down", name)
    assert not reapers(command)


def names(provision: Provision) -> list[str]:
    """The environments of that home."""
    listed = json.loads(provision.ok("list", "-o", "json"))
    return [one["name"] for one in listed if one["home"] == str(provision.home)]


@contextmanager
def job(provision: Provision, directory: Path, script: str, **words: str) -> Iterator[subprocess.Popen[str]]:
    """A shell with a process group of its own, in which all that it starts is, too."""
    python = shlex.quote(sys.executable)
    pytest_options = shlex.join([*PLUGIN, "-s", "-p", "no:cacheprovider", "-W", "ignore"])
    commands = {"provision": f"{python} -m provision", "pytest": f"{python} -m pytest {pytest_options}"}
    line = script.format(**commands, **{name: shlex.quote(word) for name, word in words.items()})
    with subprocess.Popen(
        ["/bin/sh", "-c", line],
        cwd=directory,
        env=variables(provision),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as shell:
        try:
            yield shell
        finally:
            os.killpg(shell.pid, signal.SIGKILL)


def variables(provision: Provision) -> Mapping[str, str]:
    """Those of the job."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    no_engine = NO_ENGINE if provision.runtime == "process" else {}
    return {**own, "PROVISION_HOME": str(provision.home), "PROVISION_OWNER": "", "PYTHONPATH": str(ROOT), **no_engine}


def written(provision: Provision, directory: Path, name: str) -> str:
    """An environment file which needs no options."""
    own = image() if provision.runtime == "docker" else ""
    return write_environment(
        directory, name, FILES[provision.runtime].format(version=DEFAULT_VERSION, image=own) + REST
    )


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_left(provision: Provision, tmp_path: Path, way: str) -> None:
    env = written(provision, tmp_path, "killed-job")
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nkafka_environment = {env}\n")
    tests = tmp_path / "test_job.py"
    tests.write_text(TESTS)
    if "workers" in way:  # theirs is not shown: a file tells
        tests.write_text(TESTS.replace('print("ready", flush=True)', 'open("ready", "w").close()'))
    with job(provision, tmp_path, WAYS[way].script, env=env, tests=str(tests)) as shell:
        assert shell.stdout is not None
        if "workers" in way:
            assert wait_until((tmp_path / "ready").exists, READY_S)
        else:
            assert any(text.strip().endswith("ready") for text in shell.stdout)
        made = names(provision)
        assert len(made) == 1
        assert provision.traces(made[0])
    is_removed(provision, made[0], WAYS[way].remover)


def test_nothing_is_left_of_one_that_was_only_being_made(provision: Provision, tmp_path: Path) -> None:
    env = written(provision, tmp_path, name := "killed-job")
    with job(provision, tmp_path, WAYS["up --owner-pid"].script, env=env):
        assert wait_until(lambda: any("broker-1" in trace for trace in provision.traces(name)))
    is_removed(provision, name, "reaper")


def is_removed(provision: Provision, name: str, remover: str) -> None:
    """By a reaper that is there already, by the service of a machine, or by what tells that the job has ended."""
    if remover == "end of the job":
        assert not reapers(provision)
        provision.ok("gc", "--job-ended", "another job", "--yes")
        assert provision.traces(name)
        provision.ok("gc", "--job-ended", JOB, "--yes")
    if remover == "service":
        for reaper in reapers(provision):
            reaper.kill()
            reaper.wait(30)
        assert provision.traces(name)
        with provision.start("gc", "--watch", "--every", "1s") as service:
            wait_for_line(service, f"removed: owner ended {name}", GONE_S)
            service.terminate()
            service.communicate(timeout=60)
    left: list[str] = []

    def is_gone() -> bool:
        left[:] = provision.traces(name)
        return not left and not reapers(provision)

    assert wait_until(is_gone, GONE_S), left
    ports = provision.home / "ports.json"
    assert not ports.exists() or json.loads(ports.read_text()) == {}
