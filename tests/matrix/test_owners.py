"""Whose an environment is, shown with real nodes: two checkouts, a changed `ttl`, and owners that end."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.engine import (
    DEFAULT_VERSION,
    ROOT,
    Provision,
    engine,
    java,
    reapers,
    wait_for_line,
    wait_until,
    write_environment,
)

pytestmark = [
    pytest.mark.matrix,
    pytest.mark.row("apart"),
]  # with what loses its home on purpose, which `gc` would take

FILE = "kafka: {mode: kraft}\nbrokers: {port: auto}\ntopics: [{name: t}]\n"
GONE_S = 120


@pytest.fixture(
    params=[pytest.param("docker", marks=pytest.mark.engine), pytest.param("process", marks=pytest.mark.process)]
)
def provision(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Provision]:
    """The command line with a home of its own, in which nothing is left."""
    if request.param == "docker":
        engine()
    else:
        java(DEFAULT_VERSION)
    command = Provision(tmp_path / "home", request.param, environment={"PROVISION_OWNER": ""})
    yield command
    for name in command.started:
        command.ok("down", name)
        assert command.traces(name) == []
    assert not reapers(command)


def _traces(provision: Provision, name: str) -> list[str]:
    """Without the files in which Kafka writes what then replaces another."""
    return [trace for trace in provision.traces(name) if not trace.endswith(".tmp")]


def test_two_checkouts_of_one_name_do_not_touch_each_other(provision: Provision, tmp_path: Path) -> None:
    name = "about-checkouts"
    for checkout in ("one", "other"):
        (tmp_path / checkout).mkdir()
    one, other = (write_environment(tmp_path / checkout, name, FILE) for checkout in ("one", "other"))
    provision.ok("up", one)
    before = _traces(provision, name)
    for command in (["up", other], ["plan", other], ["stop", other], ["down", other], ["topics", "apply", other]):
        result = provision(*command)
        assert result.code == 4, (command, result.err)
        assert one in result.err
        assert other in result.err
    assert _traces(provision, name) == before
    assert "nothing to change" in provision.ok_err("up", one)
    assert "takes it over" in provision.ok_err("up", other, "--take-over")
    assert provision("up", one).code == 4
    Path(other).rename(moved := tmp_path / f"{name}.yaml")
    assert "which is no longer there" in provision.ok_err("up", str(moved))
    assert "nothing to change" in provision.ok_err("up", str(moved))
    provision.ok("down", str(moved))
    assert provision.traces(name) == []


def test_a_changed_ttl_counts_at_once_and_gc_removes_what_is_past_it(provision: Provision, tmp_path: Path) -> None:
    name = "about-ttl"
    env = write_environment(tmp_path, name, FILE)
    provision.ok("up", env)
    assert f"expired  {name}" not in provision.ok("gc", "--dry-run")
    told = provision.ok_err("up", env, "--set", "ttl=1s")
    assert "its ttl is 1 s now" in told
    assert "nothing to change" in told
    shown = provision.ok("gc", "--dry-run")
    assert [line.split()[:2] for line in shown.splitlines() if f" {name} " in line] == [["expired", name]]
    assert f"past their ttl: {name}" in provision.ok_err("up", env, "--set", "ttl=1s")
    assert provision("gc").code == 4
    provision.ok("up", env, "--set", "ttl=null")
    assert f" {name} " not in provision.ok("gc", "--dry-run")
    provision.ok("up", env, "--set", "ttl=1s")
    with provision.start("gc", "--watch", "--every", "1s") as service:
        wait_for_line(service, f"removed: expired {name}")
        assert provision.traces(name) == []
        service.terminate()
        _, err = service.communicate(timeout=60)
    assert service.returncode == 0, err


def test_a_block_whose_process_is_killed_leaves_nothing(provision: Provision, tmp_path: Path) -> None:
    name = "about-block"
    env = write_environment(tmp_path, name, FILE)
    provision.started.add(name)
    script = "import sys, time\nfrom provision import Environment\n"
    script += "with Environment.from_file(sys.argv[1], overrides=sys.argv[2:]):\n    print('ready', flush=True)\n"
    script += "    time.sleep(600)\n"
    variables = {**os.environ, "PROVISION_HOME": str(provision.home)}
    overrides = [word for option, word in pairwise(provision.arguments("up", env)) if option == "--set"]
    command = [sys.executable, "-c", script, env, *overrides]
    with subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any(text.strip() == "ready" for text in process.stdout)
        process.kill()
    assert wait_until(lambda: provision.traces(name) == [] and not reapers(provision), GONE_S), provision.traces(name)


def test_processes_whose_home_was_deleted_are_found(tmp_path: Path) -> None:
    java(DEFAULT_VERSION)
    lost = Provision(tmp_path / "lost", "process")
    here = Provision(tmp_path / "here", "process")
    name = "about-lost"
    env = write_environment(tmp_path, name, FILE)
    lost.ok("up", env)
    lost.pause(name, "broker-1")  # else it notices, and ends by itself
    shutil.rmtree(lost.home)
    shown = here.ok("gc", "--dry-run")
    assert [line for line in shown.splitlines() if str(lost.home) in line and line.startswith("home gone")]
    here.ok("gc", "--yes")
    assert lost.traces(name) == []
    assert not lost.home.exists()


def test_a_directory_that_was_deleted_under_its_processes_is_found(tmp_path: Path) -> None:
    java(DEFAULT_VERSION)
    provision = Provision(tmp_path / "home", "process")
    name = "about-undone"
    provision.ok("up", write_environment(tmp_path, name, FILE))
    provision.pause(name, "broker-1")  # else it notices, and ends by itself
    shutil.rmtree(provision.home / "environments" / name)
    assert "home gone" in provision.ok("gc", "--dry-run")
    provision.ok("gc", "--yes")
    assert provision.traces(name) == []


def test_a_tool_whose_command_was_killed_is_removed(tmp_path: Path) -> None:
    engine()
    provision = Provision(tmp_path / "home", "docker")
    name = "about-tool"
    env = write_environment(tmp_path, name, FILE)
    try:
        provision.ok("up", env)
        with provision.start("tool", name, "kafka-console-consumer", "--", "--topic", "t") as tool:
            assert wait_until(lambda: _tools(name) != [])
            tool.kill()
        assert _tools(name)
        (line,) = [one for one in provision.ok("gc", "--dry-run").splitlines() if one.startswith("tool container")]
        assert "has ended" in line
        provision.ok("gc", "--yes")
        assert _tools(name) == []
        assert "ready" in provision.ok_err("wait", name) or provision.traces(name)
    finally:
        provision.ok("down", name)
    assert provision.traces(name) == []


def _tools(name: str) -> list[str]:
    labels = [f"provision.environment={name}", "provision.role=tool"]
    return [str(container["Id"]) for container in engine().api.containers(all=True, filters={"label": labels})]
