"""Ports of `port: auto` with real nodes: taken before they can listen, and left behind by what ended by hand."""

import json
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from provision.environment import Environment
from provision.events import ActionDone, Event, Notice
from provision.home.ports import PortState
from provision.kafka.levels import Level
from provision.pipeline import UpOptions
from provision.runtime.process import runtime as process_runtime
from tests.engine import SMALL, Provision, engine, image, write_environment

pytestmark = pytest.mark.row("apart")

RUNNING = ("--until", "process")


@pytest.fixture
def occupied() -> Iterator[ExitStack]:
    """Holds ports as another program would, until the test ends."""
    with ExitStack() as stack:
        yield stack


def _leases(provision: Provision) -> dict[str, dict[str, int]]:
    noted = json.loads((provision.home / "ports.json").read_text())
    return {name: lease["ports"] for name, lease in noted.items()}


def _environment(provision: Provision, env: str, told: list[Event]) -> Environment:
    """The environment as a program uses it, with the test's image."""
    overrides = [f"runtime={provision.runtime}", f"kafka.version={provision.version}"]
    if provision.runtime == "docker":
        overrides.append(f"kafka.image={image()}")
    provision.started.add(Path(env).stem)
    return Environment(env, overrides=overrides, home=provision.home, on_event=told.append)


def _begins_again(told: list[Event]) -> list[str]:
    return [event.text for event in told if isinstance(event, Notice) and "begins again" in event.text]


@pytest.mark.group(docker="matrix")
def test_a_port_that_is_taken_before_the_node_starts_is_replaced(
    provision: Provision, tmp_path: Path, occupied: ExitStack
) -> None:
    env = write_environment(tmp_path, "outrun", SMALL)
    told: list[Event] = []
    first: list[int] = []
    environment = _environment(provision, env, told)

    def take(event: Event) -> None:
        told.append(event)
        if isinstance(event, ActionDone) and (event.verb, event.resource) == ("create", "broker-1") and not first:
            first.append(_leases(provision)["outrun"]["broker-1"])
            occupied.enter_context(socket.create_server(("127.0.0.1", first[0])))

    environment.on_event = take
    with environment:
        result = environment.up(UpOptions(until=Level.BROKERS))
        port = _leases(provision)["outrun"]["broker-1"]
        assert port != first[0]
        assert result.assessment.observed.bootstrap_servers == f"127.0.0.1:{port}"
        assert len(_begins_again(told)) == 1
        assert f"port {first[0]} of broker-1" in _begins_again(told)[0]
        environment.down()
    assert provision.traces("outrun") == []
    assert "outrun" not in _leases(provision)


@pytest.mark.matrix
def test_a_broker_that_finds_its_port_taken_says_so_in_its_log_and_gets_another(
    provision: Provision, tmp_path: Path, occupied: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    if provision.runtime == "docker":
        pytest.skip("the engine says it before the broker starts")
    env = write_environment(tmp_path, "outrun-late", SMALL)
    provision.ok("up", env)
    provision.ok("produce", env, "t", stdin="from before\n")
    provision.ok("stop", env)
    before = _leases(provision)["outrun-late"]
    occupied.enter_context(socket.create_server(("127.0.0.1", before["broker-1"])))
    # Whoever takes it after this look is met by the broker itself.
    monkeypatch.setattr(process_runtime, "port_state", lambda _port: PortState.FREE)
    monkeypatch.setattr(process_runtime, "port_becomes_free", lambda _port, _patience_s: True)
    told: list[Event] = []
    with _environment(provision, env, told) as environment:
        environment.up()
        assert len(_begins_again(told)) == 1
        after = _leases(provision)["outrun-late"]
        assert after["zookeeper-1"] == before["zookeeper-1"]
        assert after["broker-1"] != before["broker-1"]
        assert provision.ok("consume", env, "t", "--from-beginning", "-n", "1") == "from before\n"
        environment.down()


@pytest.mark.matrix
def test_up_of_a_stopped_environment_whose_port_is_taken_keeps_the_data(
    provision: Provision, tmp_path: Path, occupied: ExitStack
) -> None:
    env = write_environment(tmp_path, "outrun-stopped", SMALL)
    provision.ok("up", env)
    provision.ok("produce", env, "t", stdin="from before\n")
    provision.ok("stop", env)
    before = _leases(provision)["outrun-stopped"]
    occupied.enter_context(socket.create_server(("127.0.0.1", before["broker-1"])))
    refused = provision("start", env)
    assert refused.code == 1
    assert f"port {before['broker-1']} on 127.0.0.1 is taken" in refused.err
    again = provision.ok_err("up", env)
    assert f"port {before['broker-1']} of broker-1; outrun-stopped begins again with another one" in again
    assert _leases(provision)["outrun-stopped"]["broker-1"] != before["broker-1"]
    assert provision.ok("consume", env, "t", "--from-beginning", "-n", "1") == "from before\n"
    assert json.loads(provision.ok("plan", env, "-o", "json"))["actions"] == []
    provision.ok("down", env)


@pytest.mark.matrix
def test_leases_of_what_was_removed_by_hand_are_reclaimed_when_ports_are_chosen(
    provision: Provision, tmp_path: Path
) -> None:
    gone, kept, new = (write_environment(tmp_path, name, SMALL) for name in ("by-hand", "still-there", "newcomer"))
    for env in (gone, kept):
        provision.ok("up", env, *RUNNING)
    if provision.runtime == "docker":
        for node in ("broker-1", "zookeeper-1"):
            engine().api.remove_container(f"by-hand-{node}", force=True, v=True)
            engine().api.remove_volume(f"by-hand-{node}")
        engine().api.remove_network("by-hand")
    else:
        for node in ("broker-1", "zookeeper-1"):
            provision.kill("by-hand", node)
        shutil.rmtree(provision.home / "environments" / "by-hand")
    assert {"by-hand", "still-there"} <= _leases(provision).keys()
    provision.ok("up", new, *RUNNING)
    assert "by-hand" not in _leases(provision)
    assert {"still-there", "newcomer"} <= _leases(provision).keys()
    provision.ok("down", kept, new)


@pytest.mark.matrix
def test_what_another_home_took_down_gives_its_ports_back(provision: Provision, tmp_path: Path) -> None:
    if provision.runtime == "process":
        pytest.skip("another home does not see it")
    shared, new = (write_environment(tmp_path, name, SMALL) for name in ("shared", "shared-new"))
    provision.ok("up", shared, *RUNNING)
    Provision(tmp_path / "other-home").ok("down", "shared")
    assert provision.traces("shared") == []
    provision.ok("up", new, *RUNNING)
    assert "shared" not in _leases(provision)
    provision.ok("down", new)
