"""An engine is stopped, or killed with all that runs in it, under a real cluster: it is told, and `up` brings all back.

The engine is the test's own, and so is its network, in which the commands run.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine import Provision, engine, engine_traces, image, wait_until, write_environment
from tests.matrix.doctoring import OF_BUSY_MACHINE
from tests.own_engine import OwnEngine, own_engine

pytestmark = [pytest.mark.engine, pytest.mark.row("own engine")]

FILE = """\
kafka: {{mode: {mode}}}
brokers: {{nodes: 3, port: auto, heap: 160m, properties: {{{session}.session.timeout.ms: 6000}}}}
topics: [{{name: t, partitions: 3, replication_factor: 3, config: {{min.insync.replicas: 2}}}}]
"""
SESSIONS = {"zookeeper": "zookeeper", "kraft": "broker"}  # short ones: a broker waits until its former one is over
RECORDS = 500
WAYS: dict[str, Callable[[OwnEngine], None]] = {"stopped": OwnEngine.stop, "killed": OwnEngine.kill}


@pytest.fixture(scope="module")
def own() -> Iterator[OwnEngine]:
    """An engine with Kafka's image."""
    engine()
    image()
    with own_engine("overlay2") as made:
        made.load_kafka()
        yield made


@pytest.mark.parametrize(
    "mode", [pytest.param("kraft", marks=pytest.mark.matrix), pytest.param("zookeeper", marks=pytest.mark.soak)]
)
def test_it_is_told_up_brings_all_back_and_no_record_is_lost(own: OwnEngine, tmp_path: Path, mode: str) -> None:
    name = f"restarted-{mode}"
    variables = {"DOCKER_HOST": own.address, "DOCKER_CONTEXT": ""}
    provision = Provision(tmp_path / "home", environment=variables, inside=own.inside)
    env = write_environment(tmp_path, name, FILE.format(mode=mode, session=SESSIONS[mode]))
    provision.ok("up", env)
    written: list[str] = []
    for way, end in WAYS.items():
        records = [f"{way} {number}" for number in range(RECORDS)]
        provision.ok("produce", env, "t", stdin="".join(f"{record}\n" for record in records))  # acks=all
        written += records

        end(own)
        is_told_as_away(provision, env, own.address)
        own.start()
        is_told_as_ended(provision, env)

        told = provision.ok_err("up", env)
        assert "is ready" in told
        assert states(provision, env) == {"running"}
        assert wait_until(lambda: findings(provision, env) == {}), findings(provision, env)
        assert provision("plan", env, "--detailed-exitcode").code == 0
        read = provision.ok("consume", env, "t", "--from-beginning", "--to-end").splitlines()
        assert sorted(read) == sorted(written)
    provision.ok("down", name)
    with own.client() as client:
        assert engine_traces(name, client) == []
        assert client.api.volumes()["Volumes"] in (None, [])
    assert json.loads((provision.home / "ports.json").read_text()) == {}
    assert list((provision.home / "locks").iterdir()) == []


def is_told_as_away(provision: Provision, env: str, address: str) -> None:
    """No command takes an engine that does not answer for one that has nothing, and each says where it asked."""
    for command in (("status", env), ("up", env), ("down", env), ("topics", "list", env)):
        result = provision(*command)
        assert result.code == 69, (command, result.err)
        assert address in result.err
        assert "Traceback" not in result.err
    found = findings(provision, env)
    assert set(found) == {"engine-unreachable"}
    assert address in found["engine-unreachable"]["evidence"][0]


def is_told_as_ended(provision: Provision, env: str) -> None:
    """The nodes have ended with the engine, all for this one reason."""
    assert states(provision, env) == {"exited"}
    found = findings(provision, env)
    assert "engine-restarted" in found
    assert not {"node-killed", "node-stopped", "node-exited"} & set(found)
    assert "broker-3" in found["engine-restarted"]["title"]
    assert "start broker-3" in found["engine-restarted"]["repairs"]


def states(provision: Provision, env: str) -> set[str]:
    """Those of all nodes."""
    return {node["state"] for node in json.loads(provision.ok("status", env, "-o", "json"))["nodes"]}


def findings(provision: Provision, env: str) -> dict[str, dict[str, Any]]:
    """What the doctor finds, but for what a busy machine does."""
    result = provision("doctor", env, "-o", "json")
    assert result.code in (0, 1), result.err
    found = {one["id"]: one for one in json.loads(result.out)["findings"]}
    return {identity: one for identity, one in found.items() if identity not in OF_BUSY_MACHINE}
