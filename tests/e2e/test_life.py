"""Environments side by side, again and again, and taken down in every state."""

import json
from pathlib import Path

import pytest

from provision.kafka.zookeeper import mode, server_status
from tests.engine import SMALL, Provision, engine, write_environment

pytestmark = pytest.mark.row("apart")

# For tests of what is there, not of what it answers: the nodes run, and are not waited for any longer.
RUNNING = ("--until", "process")


@pytest.mark.matrix
def test_two_environments_with_automatic_ports_run_side_by_side(provision: Provision, tmp_path: Path) -> None:
    left, right = (write_environment(tmp_path, name, SMALL) for name in ("side-left", "side-right"))
    endpoints = [json.loads(provision.ok("up", env, "-o", "json"))["bootstrap_servers"] for env in (left, right)]
    assert len(set(endpoints)) == 2
    provision.ok("produce", left, "t", stdin="on the left\n")
    provision.ok("produce", right, "t", stdin="on the right\n")
    assert provision.ok("consume", left, "t", "--from-beginning", "-n", "1") == "on the left\n"
    assert provision.ok("consume", right, "t", "--from-beginning", "-n", "1") == "on the right\n"
    listed = json.loads(provision.ok("list", "-o", "json"))
    assert {"side-left", "side-right"} <= {environment["name"] for environment in listed}
    provision.ok("down", left, right)
    assert provision.traces("side-left") == provision.traces("side-right") == []


@pytest.mark.group(process="matrix")
def test_up_and_down_again_and_again_leave_nothing(provision: Provision, tmp_path: Path) -> None:
    env = write_environment(tmp_path, "again", SMALL)
    for level in ("topics", "process"):
        provision.ok("up", env, "--until", level)
        provision.ok("down", env)
        assert provision.traces("again") == []


@pytest.mark.group(docker="matrix")
def test_a_member_of_the_ensemble_serves_when_it_has_been_started(provision: Provision, tmp_path: Path) -> None:
    env = write_environment(tmp_path, "serving", SMALL)
    nodes = json.loads(provision.ok("up", env, "-o", "json"))["nodes"]
    (address,) = (node["endpoint"] for node in nodes if node["name"] == "zookeeper-1")
    provision.ok("stop", env, "zookeeper-1")
    provision.ok("start", env, "zookeeper-1")
    assert mode(server_status(address)) == "standalone"
    provision.ok("down", env)


def test_down_where_nothing_is_says_so(provision: Provision, tmp_path: Path) -> None:
    result = provision("down", write_environment(tmp_path, "never-there", SMALL))
    assert result.code == 0
    assert "nothing to remove" in result.err


def test_down_removes_what_is_half_created(provision: Provision, tmp_path: Path) -> None:
    env = write_environment(tmp_path, "half", SMALL)
    provision.ok("up", env, *RUNNING)
    provision.lose("half", "zookeeper-1")
    provision.ok("down", env)
    assert provision.traces("half") == []


def test_down_removes_a_leftover_volume_and_a_leftover_network(provision: Provision, tmp_path: Path) -> None:
    env = write_environment(tmp_path, "rest", SMALL)
    provision.ok("up", env, *RUNNING)
    if provision.runtime == "process":
        provision.ok("down", env, "--keep-data")
    else:
        for name in ("rest-broker-1", "rest-zookeeper-1"):
            engine().api.remove_container(name, force=True, v=True)
    provision.ok("down", "rest")
    assert provision.traces("rest") == []


def test_down_removes_a_stopped_environment_and_one_with_a_dead_broker(provision: Provision, tmp_path: Path) -> None:
    env = write_environment(tmp_path, "stopped", SMALL)
    provision.ok("up", env)
    provision.ok("stop", env)
    provision.ok("down", "stopped")
    assert provision.traces("stopped") == []
    provision.ok("up", env, *RUNNING)
    provision.kill("stopped", "broker-1")
    provision.ok("down", "stopped")
    assert provision.traces("stopped") == []


def test_down_works_when_the_file_is_no_longer_valid(provision: Provision, tmp_path: Path) -> None:
    env = write_environment(tmp_path, "broken-later", SMALL)
    provision.ok("up", env, *RUNNING)
    Path(env).write_text("name: broken-later\nbrokers: {nodes: many}\n")
    provision.ok("down", env)
    assert provision.traces("broken-later") == []


@pytest.mark.group(process="matrix")
def test_kept_data_are_there_at_the_next_up(provision: Provision, tmp_path: Path) -> None:
    env = write_environment(tmp_path, "kept", SMALL)
    provision.ok("up", env)
    provision.ok("produce", env, "t", stdin="still here\n")
    provision.ok("down", env, "--keep-data")
    kept = provision.traces("kept")
    assert kept
    assert not [trace for trace in kept if trace.startswith(("container", "network", "process"))]
    provision.ok("up", env)
    assert provision.ok("consume", env, "t", "--from-beginning", "-n", "1") == "still here\n"
    provision.ok("down", env)


@pytest.mark.matrix
def test_a_directory_keeps_its_data_until_it_is_told_otherwise(provision: Provision, tmp_path: Path) -> None:
    env = write_environment(tmp_path, "in-directory", SMALL + "storage: ./data\n")
    provision.ok("up", env)
    provision.ok("produce", env, "t", stdin="on disk\n")
    provision.ok("down", env)
    assert provision.traces("in-directory") == []
    assert (tmp_path / "data" / "broker-1" / "data" / "meta.properties").is_file()
    assert provision("up", env, "--timeout", "100ms").code == 124  # its rollback is of what it made, not of older data
    assert provision.traces("in-directory") == []
    provision.ok("up", env)
    assert provision.ok("consume", env, "t", "--from-beginning", "-n", "1") == "on disk\n"
    provision.ok("down", env, "--delete-data")
    assert not (tmp_path / "data").exists()


def test_a_directory_with_other_files_is_refused(provision: Provision, tmp_path: Path) -> None:
    env = write_environment(tmp_path, "not-mine", SMALL + "storage: ./data\n")
    own = tmp_path / "data" / "broker-1" / "thesis.txt"
    own.parent.mkdir(parents=True)
    own.write_text("years of work")
    result = provision("up", env)
    assert result.code == 4
    assert "files that are not of this environment" in result.err
    provision.ok("down", env, "--delete-data")
    assert own.read_text() == "years of work"


def test_records_in_memory_are_not_thrown_away_by_stop(provision: Provision, tmp_path: Path) -> None:
    env = write_environment(tmp_path, "in-memory", SMALL + "storage: memory\n")
    provision.ok("up", env, *RUNNING)
    result = provision("stop", env)
    if provision.runtime == "docker":  # on a tmpfs, which goes with the broker's process
        for refused in (result, provision("down", env, "--keep-data")):
            assert refused.code == 4
            assert "would lose its records" in refused.err
    else:
        assert result.code == 0
        provision.ok("start", env)
    if provision.runtime == "docker":
        mounts = engine().api.inspect_container("in-memory-broker-1")["HostConfig"]["Tmpfs"]
        assert "/var/lib/provision/data" in mounts
    else:
        assert [trace for trace in provision.traces("in-memory") if trace.startswith("/dev/shm/")]
    provision.ok("down", env)
