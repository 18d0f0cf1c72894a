"""`down --delete-data` is killed while it deletes: `up` never starts a cluster with what is left of the data."""

import json
import signal
from pathlib import Path

import pytest

from tests.engine import DEFAULT_VERSION, Provision, engine, image, java, wait_for_line, write_environment

pytestmark = [pytest.mark.soak, pytest.mark.row("half removed")]

FILE = """\
runtime: {runtime}
kafka: {{version: {version}, mode: {mode}{image}}}
brokers: {{nodes: 2, port: auto, heap: 160m, memory: 640m}}
topics: [{{name: t, partitions: 4, replication_factor: 1}}]
storage: ./data
"""
FILES = 30_000
"""What a broker has besides, so that deleting its data takes a while."""


@pytest.mark.parametrize("mode", ["kraft", "zookeeper"])
@pytest.mark.parametrize(
    "runtime",
    [pytest.param("docker", marks=pytest.mark.engine), pytest.param("process", marks=pytest.mark.process)],
)
def test_up_finishes_the_removal_and_begins_anew(tmp_path: Path, runtime: str, mode: str) -> None:
    if runtime == "docker":
        engine()
    else:
        java(DEFAULT_VERSION)
    own = f", image: {image()}" if runtime == "docker" else ""
    name = f"half-removed-{mode}"
    text = FILE.format(runtime=runtime, version=DEFAULT_VERSION, mode=mode, image=own)
    provision = Provision(tmp_path / "home", runtime, as_written=True)
    env = write_environment(tmp_path, name, text)
    provision.ok("up", env)
    try:
        provision.ok("produce", env, "t", stdin="before\n" * 100)
        provision.ok("stop", env)
        slow = tmp_path / "data" / "broker-2" / "data" / "slow"
        slow.mkdir()
        for number in range(FILES):
            (slow / str(number)).touch()
        removal = provision.start("down", env, "--delete-data")
        wait_for_line(removal, "storage ")
        removal.send_signal(signal.SIGKILL)
        removal.communicate()
        assert list((tmp_path / "data").glob("broker-2*")), "it was removed too fast"
        planned = json.loads(provision.ok("plan", env, "-o", "json"))
        assert {action["verb"] for action in planned["actions"]} <= {"create", "start", "format", "fetch"}
        told = provision("up", env)
        assert told.code == 0, told.err
        assert "it is finished first" in told.err
        assert not list((tmp_path / "data").glob("**/slow"))
        assert json.loads(provision.ok("status", env, "-o", "json"))["ready"]
        assert provision.ok("consume", env, "t", "--from-beginning", "--to-end") == ""
    finally:
        provision.ok("down", env, "--delete-data")
    assert provision.traces(name) == []
    assert not (tmp_path / "data").exists()
