"""What the engine tells about itself and about nodes, as it answers."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from provision.common.notes import parse_note
from provision.common.process_identity import ProcessIdentity
from provision.home.place import Home
from provision.operations.doctor.machine import examine_machine
from provision.runtime import Runtimes
from provision.runtime.docker.containers import PROCESS
from provision.runtime.docker.health import _seen, asking, reached  # what a container prints
from provision.runtime.docker.runtime import DockerRuntime
from provision.runtime.health import Probe, Space
from tests.fake_engine import FakeEngine

PRINTED = """\
State:\tT (stopped)
VmRSS:\t  204800 kB
Threads:\t79
limit Max open files            1024                 524288               files
files 170
writable /tmp
space /var/lib/provision/data tmpfs 10240 10240 0 100% /var/lib/provision/data
space /tmp tmpfs 131072 1024 130048 1% /tmp
space /dev/shm
"""


def engine_with_clock(ahead: timedelta) -> FakeEngine:
    told = {
        "ServerVersion": "28.0.1",
        "Architecture": "x86_64",
        "NCPU": 2,
        "MemTotal": 1024**3,
        "SystemTime": (datetime.now(UTC) + ahead).isoformat().replace("+00:00", "123Z"),
    }
    bridge = {"Created": "2026-01-01T10:00:00.123456789Z"}
    return FakeEngine({"GET /info": (200, told), "GET /networks/bridge": (200, bridge)})


def test_the_engine_tells_its_version_its_processors_and_when_it_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine_with_clock(timedelta()).on_socket(tmp_path / "docker.sock") as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        machine = DockerRuntime().machine()
    assert (machine.version, machine.architecture) == ("28.0.1", "amd64")
    assert machine.started_s == datetime(2026, 1, 1, 10, 0, 0, 123456, tzinfo=UTC).timestamp()
    assert machine.clock_ahead_s is not None
    assert address in machine.name


def test_a_clock_that_is_off_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with engine_with_clock(timedelta(hours=-1)).on_socket(tmp_path / "docker.sock") as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        found = examine_machine(Runtimes(Home.at(tmp_path / "home", tmp_path / "cache"))).findings
    (finding,) = [one for one in found if one.id == "engine-clock-off"]
    assert "behind" in finding.title


def test_what_a_container_prints_of_its_first_process() -> None:
    seen = _seen(PRINTED)
    assert seen["stopped"]
    assert (seen["memory"], seen["threads"], seen["files"], seen["limit"]) == (204800 * 1024, 79, 170, 1024)
    assert seen["spaces"] == [
        Space("/var/lib/provision/data", 10240 * 1024, 0, writable=False),
        Space("/tmp", 131072 * 1024, 130048 * 1024),
    ]


def test_nothing_is_known_of_a_container_that_prints_nothing() -> None:
    assert _seen("sh: not found\n") == {"spaces": []}


def test_each_address_has_its_answer_or_the_reason() -> None:
    probes = [Probe("b:9092", b"\x00\x0a"), Probe("127.0.0.1:2181", b"srvr"), Probe("[::1]:1", b"")]
    options, host = asking("shop", "kafka:3.9.1", "shop", probes)
    asks = parse_note(options["labels"].pop(PROCESS).encode(), ProcessIdentity)
    assert asks.is_over is False  # so that `gc` knows once this command was killed
    assert host == {"network_mode": "shop"}
    assert options["entrypoint"][-9:-6] == ["b", "9092", r"\x00\x0a"]
    assert options["entrypoint"][-6:] == ["127.0.0.1", "2181", r"\x73\x72\x76\x72", "::1", "1", ""]
    assert options["labels"] == {"provision.environment": "shop", "provision.role": "tool"}
    printed = "b:9092 answered\n127.0.0.1:2181 ask: connect: Connection refused\n"
    assert reached(probes, printed) == {
        "b:9092": "",
        "127.0.0.1:2181": "Connection refused",
        "[::1]:1": "it was not asked",
    }
