"""What an engine refuses is told by its kind, in whatever words its version puts it."""

from pathlib import Path

import pytest

from provision.errors import ProvisionError
from provision.home.place import Home
from provision.runtime import Runtimes
from tests.fake_engine import FakeEngine
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
