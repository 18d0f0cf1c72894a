"""Nodes of a swarm that leave their engines while records are written: given up, drained; and a fourth engine."""

import dataclasses
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.cluster.fingerprint import config_hash
from provision.cluster.model import Cluster, SwarmOptions
from provision.cluster.render import render
from provision.errors import PartlyApplied
from provision.runtime.base import Runtime
from tests.contract import test_runtime as contract
from tests.engine import Provision, image, wait_until
from tests.matrix import test_swarm
from tests.matrix.test_swarm import FILE, read_all, writing
from tests.swarm import Lab, joined

pytestmark = [pytest.mark.engine, pytest.mark.matrix, pytest.mark.row("swarm")]

runtime, cluster, kraft = test_swarm.runtime, contract.cluster, contract.kraft
TIMEOUT = ("--timeout", "240s")


def settings() -> tuple[str, str]:
    return "--set", f"kafka.image={image()}"


@pytest.fixture
def provision(swarm: Lab, tmp_path: Path) -> Iterator[Provision]:
    """The command line, which talks to the first engine of the swarm."""
    first = swarm.hosts[0]
    run = Provision(tmp_path / "home", "swarm", environment={"DOCKER_HOST": first.docker_host}, own_image=False)
    yield run
    run("down", "fleet")
    assert wait_until(lambda: not swarm.traces("fleet")), swarm.traces("fleet")


def file_in(directory: Path, swarm: Lab, *more: str) -> str:
    file = directory / "fleet.yaml"
    file.write_text(f"{FILE}swarm: {{{', '.join(['encrypted: false', f'engines: {swarm.engines}', *more])}}}\n")
    return str(file)


def killed(provision: Provision, until: str, *arguments: str) -> str:
    """Run a command and kill it as soon as it has said that; returns what it has said."""
    said = []
    with provision.start(*arguments, start_new_session=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line)
            if until in line:
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "".join(said)
    return "".join(said)


def engines_of(swarm: Lab, *nodes: str) -> dict[str, str]:
    """On which hosts nodes run."""
    found: dict[str, str] = {}
    for host in swarm.hosts:
        for one in host.client.api.containers() if host.process else ():
            node = one["Names"][0].removeprefix("/fleet-").partition(".")[0]
            found |= {node: host.name} if not nodes or node in nodes else {}
    return found


def require_nothing_to_do(provision: Provision, file: str) -> None:
    again = provision("plan", file, "--detailed-exitcode", *settings())
    assert (again.code, again.out) == (0, "fleet: nothing to change\n"), again.err


def goes(swarm: Lab, provision: Provision) -> None:
    """By `down`, from all engines."""
    provision.ok("down", "fleet")
    assert wait_until(lambda: not swarm.traces("fleet")), swarm.traces("fleet")


def test_an_engine_that_is_gone_for_good_is_given_up_and_nothing_is_lost(
    swarm: Lab, provision: Provision, tmp_path: Path
) -> None:
    file = file_in(tmp_path, swarm)
    provision.ok("up", file, *settings(), *TIMEOUT)
    refused = provision("plan", file, "--give-up", "engine-c", *settings())
    assert (refused.code, "it is ready" in refused.out) == (4, True), refused.err + refused.out
    third = swarm.host("engine-c")
    with writing(provision) as written:
        assert wait_until(lambda: len(written) > 100)
        third.stop(kill=True)
        assert wait_until(lambda: provision("status", "fleet").out.count("it waits: engine engine-c is down") == 2)
        planned = provision.ok("plan", file, "--give-up", "engine-c", *settings())
        assert "engine engine-c is given up: volume fleet-broker-3 is lost" in planned, planned
        killed(
            provision,
            "storage controller-3 removed",
            "up",
            file,
            "--give-up",
            "engine-c",
            "--yes",
            *settings(),
            *TIMEOUT,
        )
        told = provision.ok_err("up", file, "--yes", *settings(), *TIMEOUT)
        assert "storage broker-3 removed" in told, told
        assert "fleet is ready (topics)" in told, told
    assert written <= read_all(provision, len(written))
    assert set(engines_of(swarm).values()) == {"engine-a", "engine-b"}
    require_nothing_to_do(provision, file)
    third.start(swarm.name_server)
    third.wait()
    goes(swarm, provision)


def test_a_fourth_engine_gets_a_broker_and_its_share_and_nothing_is_lost(
    swarm: Lab, provision: Provision, tmp_path: Path
) -> None:
    provision.ok("up", file_in(tmp_path, swarm), *settings(), *TIMEOUT)
    with joined(swarm, "engine-d"):
        file = file_in(tmp_path, swarm)
        wider = ("--set", "brokers.nodes=4", "--set", "rebalance=true", *settings())
        with writing(provision) as written:
            assert wait_until(lambda: len(written) > 100)
            killed(provision, "broker-4 started", "up", file, "--yes", *wider)
            told = provision.ok_err("up", file, "--yes", *wider, *TIMEOUT)
            assert "topic orders has its new replicas" in told, told
        assert engines_of(swarm, "broker-4") == {"broker-4": "engine-d"}
        assert written <= read_all(provision, len(written))
        goes(swarm, provision)


def test_a_drained_engine_gives_its_nodes_to_others_and_nothing_is_lost(
    swarm: Lab, provision: Provision, tmp_path: Path
) -> None:
    file = file_in(tmp_path, swarm)
    provision.ok("up", file, *settings(), *TIMEOUT)
    with writing(provision) as written:
        assert wait_until(lambda: len(written) > 100)
        before = len(written)
        file_in(tmp_path, swarm, "drain: [engine-b]")
        killed(provision, "controller-2 moved", "up", file, "--yes", *settings(), *TIMEOUT)
        told = provision.ok_err("up", file, "--yes", *settings(), *TIMEOUT)
        assert "broker-2 moved" in told, told
        assert len(written) > before
    assert written <= read_all(provision, len(written))
    found = engines_of(swarm)
    assert (len(found), set(found.values())) == (6, {"engine-a", "engine-c"})
    require_nothing_to_do(provision, file)
    goes(swarm, provision)


def test_a_node_that_comes_back_to_a_volume_that_it_has_left_behind_finds_it_empty(
    runtime: Runtime, kraft: Cluster
) -> None:
    """The engine of the broker is not the one that is asked, which therefore cannot remove the volume."""
    unreached = dataclasses.replace(kraft, swarm=SwarmOptions(encrypted=False))
    name, (broker,), files = kraft.name, kraft.brokers, render(kraft)
    own = [file for file in files if file.node == broker.name]
    runtime.create_network(unreached)
    for _ in range(2):
        runtime.create_storage(unreached, broker)
        runtime.create_node(unreached, broker, own, config_hash(broker.name, files))
        data = runtime.read_storage(name, broker.name)
        assert data is not None
        assert (data.cluster_id, data.written) == ("", False)
        runtime.format_storage(name, broker.name, kraft.cluster_id)
        data = runtime.read_storage(name, broker.name)
        assert data is not None
        assert data.cluster_id == kraft.cluster_id
        runtime.abandon(name, broker.name)
        observed = runtime.observe(name)
        assert (observed.nodes, observed.storages, observed.places) == ((), frozenset(), {})
    with pytest.raises(PartlyApplied, match=f"the volume {name}-broker-1 is left on engine engine-b"):
        runtime.remove_network(name)
    runtime.create_network(kraft)
    runtime.create_storage(kraft, broker)  # whose engine is reached now
    runtime.create_node(kraft, broker, own, config_hash(broker.name, files))
    runtime.abandon(name, broker.name)
    runtime.remove_network(name)
