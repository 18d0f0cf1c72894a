"""Nodes of a swarm that leave their engines while records are written: given up, drained; and a fourth engine."""

import re

import pytest

from provision.cluster.fingerprint import with_fingerprint
from provision.cluster.model import Cluster, SwarmOptions
from provision.cluster.render import render
from provision.common.values import replace
from provision.errors import PartlyApplied
from provision.runtime.base import Runtime
from tests.contract import test_runtime as contract
from tests.engine import wait_until
from tests.matrix import test_swarm
from tests.matrix.fleet import NAME, Fleet
from tests.swarm import Host, Lab, joined

pytestmark = [pytest.mark.engine, pytest.mark.matrix, pytest.mark.row("swarm")]

runtime, cluster, kraft = test_swarm.runtime, contract.cluster, contract.kraft


def test_an_engine_that_is_gone_for_good_is_given_up_and_what_is_left_there_is_told(swarm: Lab, fleet: Fleet) -> None:
    refused = fleet.plan("--give-up", "engine-c")
    assert (refused.code, "it is ready" in refused.out) == (4, True), refused.err + refused.out
    third, give_up = swarm.host("engine-c"), ("--give-up", "engine-c")
    with fleet.writing() as written:
        third.stop(kill=True)
        assert wait_until(lambda: fleet.status().count("it waits: engine engine-c is down") == 2)
        planned = fleet.plan(*give_up)
        assert "engine engine-c is given up: volume fleet-broker-3 is lost" in planned.out, planned.err
        fleet.is_killed("storage controller-3 removed", *give_up)
        told = fleet.up()
        assert "storage broker-3 removed" in told, told
        assert "fleet is ready (topics)" in told, told
        assert fleet.goes_on(written)
    assert set(fleet.engines().values()) == {"engine-a", "engine-b"}
    fleet.require_nothing_to_do()
    require_left(fleet, third, {"fleet-broker-3", "fleet-controller-3"})


def require_left(fleet: Fleet, away: Host, volumes: set[str]) -> None:
    """While an engine is away, `down` names its volumes with what removes them; and removes everything else."""
    left = fleet.provision("down", NAME)
    assert left.code == 3, left.err
    for volume in volumes:
        assert f"the volume {volume} is left on engine {away.name}" in left.err
    commands = re.findall(rf"on {away.name}: `docker volume rm (\S+)`", left.err)
    assert set(commands) == volumes, left.err
    assert wait_until(lambda: not fleet.lab.traces(NAME, but=away)), fleet.lab.traces(NAME, but=away)
    away.start(fleet.lab.name_server)
    away.wait()
    there = [f"volume on {away.name} {volume}" for volume in sorted(volumes)]
    assert wait_until(lambda: fleet.lab.traces(NAME) == there), fleet.lab.traces(NAME)
    for volume in commands:
        away.client.api.remove_volume(volume)
    fleet.wanted.clear()


def test_a_fourth_engine_gets_its_share_and_one_that_is_drained_gives_its_nodes_to_others_and_nothing_is_lost(
    swarm: Lab, fleet: Fleet
) -> None:
    with joined(swarm, "engine-d") as fourth:
        fleet.wanted |= {"brokers.nodes": "4", "rebalance": "true"}
        with fleet.writing() as written:
            fleet.is_killed("broker-4 started")
            told = fleet.up()
            assert "topic orders has its new replicas" in told, told
            assert fleet.goes_on(written)
            assert fleet.engines("broker-4") == {"broker-4": "engine-d"}
            fleet.wanted["swarm.drain"] = "[engine-b]"
            fleet.is_killed("controller-2 moved")
            told = fleet.up()
            assert "broker-2 moved" in told, told
            assert fleet.goes_on(written)
        found = fleet.engines()
        assert (len(found), set(found.values())) == (7, {"engine-a", "engine-c", "engine-d"})
        del fleet.wanted["rebalance"]  # it would also move what Kafka has just made for the reader
        fleet.require_nothing_to_do()
        volumes = {f"{NAME}-{node}" for node, engine in found.items() if engine == "engine-d"}
        fourth.stop(kill=True)
        assert wait_until(lambda: fleet.status().count("engine engine-d is down") == len(volumes))
        require_left(fleet, fourth, volumes)


def test_a_node_that_comes_back_to_a_volume_that_it_has_left_behind_finds_it_empty(
    runtime: Runtime, kraft: Cluster
) -> None:
    """The engine of the broker is not the one that is asked, which therefore cannot remove the volume."""
    unreached = replace(kraft, swarm=SwarmOptions(encrypted=False))
    name, (broker,), files = kraft.name, kraft.brokers, render(kraft)
    own = [file for file in files if file.node == broker.name]
    runtime.create_network(unreached)
    for _ in range(2):
        runtime.create_storage(unreached, broker)
        runtime.create_node(unreached, broker, with_fingerprint(broker.name, own))
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
    runtime.create_node(kraft, broker, with_fingerprint(broker.name, own))
    runtime.abandon(name, broker.name)
    runtime.remove_network(name)
