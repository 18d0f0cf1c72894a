"""What an engine refuses is told by its kind, in whatever words its version puts it."""

from pathlib import Path

import pytest

from provision.errors import PartlyApplied, ProvisionError, StorageLost
from provision.home.place import Home
from provision.operations.remove import down
from provision.runtime import Runtimes
from provision.runtime.docker.client import refusal
from tests.fake_engine import Answer, FakeEngine
from tests.runtime.test_states import container, details

TAKEN = "starting broker-1: port 9092 on 127.0.0.1 is taken"
FORBIDDEN = "starting broker-1: port 80 on 127.0.0.1 is forbidden"
OTHER = "starting broker-1: the Docker engine refused"
# As they came from Docker 20, 28, Docker Desktop on Windows, and rootless Docker.
_ENDPOINT = "driver failed programming external connectivity on endpoint odd-broker-1 (8d1f)"
_NOT_AVAILABLE = "Ports are not available: exposing port TCP 127.0.0.1:80 -> 127.0.0.1:0"
_PRIVILEGED = (
    "cannot expose privileged port 80, you can add 'net.ipv4.ip_unprivileged_port_start=80' to /etc/sysctl.conf"
)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (f"{_ENDPOINT}: Bind for 127.0.0.1:9092 failed: port is already allocated", TAKEN),
        (
            f"{_ENDPOINT}: Error starting userland proxy: listen tcp4 127.0.0.1:9092: bind: address already in use",
            TAKEN,
        ),
        ("failed to bind host port for 127.0.0.1:9092:172.18.0.2:19092/tcp: address already in use", TAKEN),
        ("failed to bind host port 127.0.0.1:9092/tcp: address already in use", TAKEN),
        ("listen tcp 127.0.0.1:9092: bind: Only one usage of each socket address is normally permitted.", TAKEN),
        (f"{_PRIVILEGED} (currently 1024): listen tcp4 127.0.0.1:80: bind: permission denied", FORBIDDEN),
        (f"{_NOT_AVAILABLE}: listen tcp 127.0.0.1:80: bind: permission denied", FORBIDDEN),
        (f"{_NOT_AVAILABLE}: listen tcp 127.0.0.1:80: bind: forbidden by its access permissions.", FORBIDDEN),
        ("listen tcp4 127.0.0.1:80: bind: cannot assign requested address", OTHER),
        ("no space left on device", OTHER),
    ],
)
def test_a_port_that_cannot_be_published_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, told: str
) -> None:
    network = {"Name": "odd", "Id": "n", "Labels": {"provision.environment": "odd"}, "IPAM": {"Config": []}}
    joined = {"NetworkSettings": {"Networks": {"odd": {"IPAMConfig": None, "NetworkID": ""}}}}
    answers = {
        "GET /containers/json": (200, [container("created")]),
        "GET /containers/c1/json": (200, details("created") | joined),
        "GET /networks": (200, [network]),
        "POST /containers/c1/start": (500, {"message": said}),
    }
    with FakeEngine(answers).on_socket(tmp_path / "engine.sock") as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        runtimes = Runtimes(Home.at(tmp_path / "home"))
        with pytest.raises(ProvisionError) as caught:
            runtimes.of_kind("docker").start_node("odd", "broker-1")
        runtimes.close()
    assert caught.value.what == told


def used(what: str, *, users: bool) -> FakeEngine:
    """An engine with a network and a volume of an environment, one of which it does not remove."""
    ours = {"provision.environment": "odd", "provision.node": "broker-1"}
    network = {"Name": "odd", "Id": "n1", "Labels": ours, "IPAM": {"Config": []}, "Containers": {}}
    volume = {"Name": "odd-broker-1", "Labels": ours}
    theirs = {"Id": "t1", "Names": ["/theirs"], "Labels": {}, "State": "running", "ImageID": ""}
    engine = FakeEngine(
        {
            "GET /networks": (200, [network]),
            "GET /networks/n1": (200, network | {"Containers": {"t1": {"Name": "theirs"}} if users else {}}),
            "DELETE /networks/n1": (403, {"message": "network odd id n1 has active endpoints"}),
            "GET /volumes": (200, {"Volumes": [volume]}),
            "GET /volumes/odd-broker-1": (200, volume),
            "DELETE /volumes/odd-broker-1": (409, {"message": "remove odd-broker-1: volume is in use - [t1]"}),
        }
    )
    engine.answers[f"DELETE /{'volumes/odd-broker-1' if what == 'network' else 'networks/n1'}"] = (204, b"")
    answer = engine.answer

    def containers(method: str, url: str) -> Answer:
        if "provision.environment%3Deven" in url:  # a filter for another environment
            return 200, {"Volumes": []} if "/volumes" in url else []
        return (200, [theirs]) if users and "containers/json" in url and "volume" in url else answer(method, url)

    engine.answer = containers  # type: ignore[method-assign]
    return engine


@pytest.mark.parametrize(
    ("what", "left", "command"),
    [
        (
            "network",
            "the network odd is left",
            "docker network disconnect odd theirs",
        ),
        ("volume", "the volume odd-broker-1 is left", "docker rm -f theirs"),
    ],
)
def test_what_somebody_elses_container_uses_is_left_and_told_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, left: str, command: str
) -> None:
    home = Home.at(tmp_path / "home")
    home.ports.lease("odd", ["broker-1"], {})
    with used(what, users=True).on_socket(tmp_path / "engine.sock") as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        runtimes = Runtimes(home)
        with pytest.raises(PartlyApplied, match=left) as caught:
            down(runtimes.of_kind("docker"), "odd", home)
        runtimes.close()
    assert caught.value.why == "containers that provision did not create use it: theirs"
    assert caught.value.hint == f"`{command}`, then `provision down odd` again"
    assert home.ports.held("odd") == frozenset()


@pytest.mark.parametrize("what", ["network", "volume"])
def test_what_the_engine_keeps_for_another_reason_is_its_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    with used(what, users=False).on_socket(tmp_path / "engine.sock") as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        runtimes = Runtimes(Home.at(tmp_path / "home"))
        with pytest.raises(ProvisionError, match="the Docker engine refused"):
            down(runtimes.of_kind("docker"), "odd", runtimes.home)
        runtimes.close()


@pytest.mark.parametrize("before", ["", 'invalid mount config for type "bind": '])
def test_a_directory_that_is_gone_from_under_a_container_is_told_with_what_mends_it(before: str) -> None:
    gone = "/data/of shop/broker-1/data"
    error = refusal("starting broker-1", f"{before}bind source path does not exist: {gone}")
    assert isinstance(error, StorageLost)
    assert error.what == f"starting broker-1: the directory {gone} is gone, and the node's data with it"
    assert "put it back" in error.hint
    assert "provision down" in error.hint
