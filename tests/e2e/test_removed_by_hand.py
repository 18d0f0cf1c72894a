"""What was removed or changed by hand in Docker: the commands tell what is there, and `down` leaves nothing of it."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.engine import SMALL, Provision, engine, write_environment

pytestmark = [pytest.mark.engine, pytest.mark.row("apart")]

NAME = "by-hand-docker"
NODES = ("broker-1", "zookeeper-1")
CONTAINERS = tuple(f"{NAME}-{node}" for node in NODES)


@pytest.fixture(scope="module")
def provision(tmp_path_factory: pytest.TempPathFactory) -> Provision:
    """Only on an engine."""
    engine()
    return Provision(tmp_path_factory.mktemp("home"))


def _remove(*containers: str) -> None:
    for container in containers or CONTAINERS:
        engine().api.remove_container(container, force=True, v=True)


def _cut_off() -> None:
    for container in CONTAINERS:
        engine().api.disconnect_container_from_network(container, NAME, force=True)


def _without_network() -> None:
    _cut_off()
    engine().api.remove_network(NAME)


def _with_volumes_only() -> None:
    _without_network()
    _remove()


def _with_network_only() -> None:
    _remove()
    for container in CONTAINERS:
        engine().api.remove_volume(container)


def _lose_volume_of_stopped() -> None:
    """The engine refuses to remove a volume that a stopped container has, so that only its directory can go."""
    engine().api.stop(CONTAINERS[0], timeout=0)
    place = Path(engine().api.inspect_volume(CONTAINERS[0])["Mountpoint"])
    if not place.is_dir():
        pytest.skip("the engine's volumes are not on this machine")
    shutil.rmtree(place)


def _rename() -> None:
    for container in CONTAINERS:
        engine().api.rename(container, f"{container}-renamed")


RUNNING, GONE, EXITED, PAUSED = "running", "gone", "exited", "paused"
# What is done by hand, and the states of broker and ZooKeeper then; none if they have left no trace of themselves.
TABLE: dict[str, tuple[Callable[[], object], tuple[str, ...]]] = {
    "one container": (partial(_remove, CONTAINERS[0]), (GONE, RUNNING)),
    "all containers": (_remove, (GONE, GONE)),
    "the network of running nodes": (_without_network, (RUNNING, RUNNING)),
    "the connections to the network": (_cut_off, (RUNNING, RUNNING)),
    "all but the volumes": (_with_volumes_only, (GONE, GONE)),
    "all but the network": (_with_network_only, ()),
    "a volume under a stopped container": (_lose_volume_of_stopped, (EXITED, RUNNING)),
    "the names of the containers": (_rename, (RUNNING, RUNNING)),
    "nothing, but one is paused": (lambda: engine().api.pause(CONTAINERS[0]), (PAUSED, RUNNING)),
}


@pytest.mark.parametrize(
    "then",
    [
        pytest.param("down at once", marks=pytest.mark.matrix),
        pytest.param("up brings it back", marks=pytest.mark.soak),
    ],
)
@pytest.mark.parametrize("what", TABLE)
def test_the_commands_tell_what_is_there_and_down_leaves_nothing(
    provision: Provision, tmp_path: Path, what: str, then: str
) -> None:
    change, states = TABLE[what]
    env = write_environment(tmp_path, NAME, SMALL)
    provision.ok("up", env, "--until", "process")
    change()
    listed = {row["name"]: row for row in json.loads(provision.ok("list", "-o", "json"))}
    assert listed[NAME]["running"] == states.count(RUNNING)
    shown = json.loads(provision.ok("status", NAME, "-o", "json"))
    assert {node["name"]: node["state"] for node in shown["nodes"]} == dict(zip(NODES, states, strict=False))
    if then == "up brings it back":
        if what == "a volume under a stopped container":  # nobody but its user may decide that
            assert "has lost its directory" in provision.ok("status", env)
            found = json.loads(provision("doctor", env, "-o", "json").out)["findings"]
            (lost,) = [one for one in found if one["id"] == "volume-lost"]
            assert f"docker rm {CONTAINERS[0]}" in lost["fix"]
            told = provision("up", env, "--until", "process")
            assert told.code == 1
            assert "has lost its directory" in told.err
            for command in re.findall("`(docker [^`]+)`", told.err):
                subprocess.run(command.split(), check=True, capture_output=True)
        provision.ok("up", env, "--until", "process")
        shown = json.loads(provision.ok("status", NAME, "-o", "json"))
        assert {node["name"]: node["state"] for node in shown["nodes"]} == dict.fromkeys(NODES, RUNNING)
    removed = provision("down", NAME)
    assert removed.code == 0, removed.err
    assert f"{NAME} is removed" in removed.err
    assert provision.traces(NAME) == []
    assert [c for c in engine().api.containers(all=True) if NAME in str(c["Names"])] == []
    assert json.loads((provision.home / "ports.json").read_text()) == {}


@pytest.mark.matrix
def test_what_lost_its_home_is_taken_down(provision: Provision, tmp_path: Path) -> None:
    own = Provision(tmp_path / "home", started=provision.started)
    own.ok("up", write_environment(tmp_path, NAME, SMALL), "--until", "process")
    shutil.rmtree(own.home)
    assert NAME in own.ok("list")
    own.ok("down", NAME)
    assert own.traces(NAME) == []
