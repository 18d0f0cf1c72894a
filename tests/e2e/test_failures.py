"""A first `up` that fails says why and leaves nothing; what is not ours is never touched."""

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.engine import SHORT_SESSION, SMALL, Provision, engine, image, wait_for_line, write_environment

THREE = (
    f"brokers: {{nodes: 3, port: auto, properties: {SHORT_SESSION}}}\ntopics: [{{name: t, replication_factor: 3}}]\n"
)


@contextmanager
def _taken_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_taken_port_is_named_and_everything_is_rolled_back(provision: Provision, tmp_path: Path) -> None:
    with _taken_port() as port:
        env = write_environment(tmp_path, "taken", f"brokers: {{port: {port}}}\n")
        result = provision("up", env)
    assert result.code == 1
    assert f"port {port} on 127.0.0.1 is taken" in result.err
    assert provision.traces("taken") == []


def test_a_missing_image_is_named_and_nothing_is_left(provision: Provision, tmp_path: Path) -> None:
    env = write_environment(tmp_path, "imageless", SMALL)
    if provision.runtime == "process":
        pytest.skip("processes have no image")
    plain = Provision(provision.home, started=provision.started, own_image=False)
    # Nothing listens there: a registry that refuses at once, on this machine.
    result = plain("up", env, "--set", "kafka.image=127.0.0.1:1/kafka:3.9.1")
    assert result.code == 69
    assert "127.0.0.1:1/kafka:3.9.1 is not on this engine and cannot be pulled" in result.err
    assert f"`provision image build {plain.version} --base IMAGE`" in result.err
    assert "`provision image load FILE`" in result.err
    assert provision.traces("imageless") == []


# A class that is not there: what a broker plugs in no check of the file can know.
BROKEN = ("--set", "brokers.properties.metric.reporters=com.example.Missing")


def test_a_broken_property_ends_the_wait_with_kafkas_reason(provision: Provision, tmp_path: Path) -> None:
    env = write_environment(tmp_path, "broken", SMALL + "")
    result = provision("up", env, *BROKEN)
    assert result.code == 1
    assert "broker-1 exited with code 1" in result.err
    assert "com.example.Missing" in result.err
    assert "from its log:" in result.err
    assert "\tat " not in result.err
    assert provision.traces("broken") == []


def test_retain_keeps_what_failed_and_down_removes_it(provision: Provision, tmp_path: Path) -> None:
    env = write_environment(tmp_path, "retained", SMALL)
    result = provision("up", env, *BROKEN, "--retain")
    assert result.code == 1
    kept = json.loads(provision.ok("status", "retained", "-o", "json"))["nodes"]
    assert [node["name"] for node in kept] == ["zookeeper-1", "broker-1"]
    assert "com.example.Missing" in provision.ok("logs", "retained", "broker-1")
    provision.ok("down", env)
    assert provision.traces("retained") == []


def test_too_little_memory_is_said_in_words(provision: Provision, tmp_path: Path) -> None:
    """A heap too small for a broker; a limit of memory is the engine's."""
    env = write_environment(tmp_path, "starved", SMALL)
    result = provision("up", env, "--set", "brokers.heap=10m", "--set", "brokers.memory=140m")
    assert result.code == 1
    assert "\n  the JVM ran out of memory\n" in result.err or "more memory than its limit" in result.err
    assert provision.traces("starved") == []


def test_a_topic_that_kafka_refuses_is_named(provision: Provision, tmp_path: Path) -> None:
    env = write_environment(tmp_path, "badtopic", SMALL)
    result = provision("up", env, "--set", "topics.t.config.leader.replication.throttled.replicas=soon")
    assert result.code == 1
    assert "topic t: Invalid value [soon] for configuration leader.replication.throttled.replicas" in result.err
    assert provision.traces("badtopic") == []


def test_time_that_is_up_says_what_is_missing(provision: Provision, tmp_path: Path) -> None:
    env = write_environment(tmp_path, "late", SMALL)
    result = provision("up", env, "--timeout", "200ms")
    assert result.code == 124
    assert "did not reach" in result.err
    assert "broker-1: " in result.err or "zookeeper-1: " in result.err
    assert provision.traces("late") == []


@pytest.mark.parametrize(
    ("moment", "sign"),
    [
        pytest.param("network interrupted created", signal.SIGINT, marks=pytest.mark.group(process="soak")),
        pytest.param("broker-1 created", signal.SIGINT, marks=pytest.mark.group(process="soak")),
        ("broker-1 started", signal.SIGTERM),
        pytest.param("process after", signal.SIGINT, marks=pytest.mark.group(process="soak")),
        pytest.param("quorum after", signal.SIGHUP, marks=pytest.mark.group(process="soak")),
    ],
)
def test_an_interrupt_at_any_moment_rolls_back(
    provision: Provision, tmp_path: Path, moment: str, sign: signal.Signals
) -> None:
    env = write_environment(tmp_path, "interrupted", SMALL)
    process = provision.start("up", env)
    wait_for_line(process, moment)
    process.send_signal(sign)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert provision.traces("interrupted") == []


@pytest.mark.group(docker="matrix", process="soak")
def test_an_update_that_is_interrupted_leaves_the_cluster_serving(provision: Provision, tmp_path: Path) -> None:
    env = write_environment(tmp_path, "serving", THREE)
    provision.ok("up", env)
    provision.ok("produce", env, "t", stdin="safe\n")
    provision.kill("serving", "broker-3")
    process = provision.start("up", env)
    wait_for_line(process, "broker-3 started")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert provision.ok("consume", env, "t", "--from-beginning", "-n", "1", "--timeout", "30s") == "safe\n"
    assert json.loads(provision.ok("up", env, "-o", "json"))["ready"]
    provision.ok("down", env)


@pytest.mark.group(process="soak")
def test_up_goes_on_where_a_killed_up_stopped(provision: Provision, tmp_path: Path) -> None:
    env = write_environment(tmp_path, "killed", SMALL)
    process = provision.start("up", env)
    wait_for_line(process, "broker-1 created")
    process.kill()
    process.communicate(timeout=60)
    assert provision.traces("killed")
    provision.ok("status", "killed")
    assert json.loads(provision.ok("up", env, "-o", "json"))["ready"]
    provision.ok("down", env)
    assert provision.traces("killed") == []


@pytest.mark.parametrize("kind", ["container", "network", "volume"])
def test_a_foreign_thing_of_the_same_name_is_refused_and_not_touched(
    provision: Provision, tmp_path: Path, kind: str
) -> None:
    if provision.runtime == "process":
        pytest.skip("nothing foreign is in a home of one's own")
    env = write_environment(tmp_path, "foreign", SMALL)
    api = engine().api
    name = "foreign" if kind == "network" else "foreign-broker-1"
    match kind:
        case "container":
            api.create_container(image(), ["sleep", "60"], name=name, entrypoint=[])
        case "network":
            api.create_network(name)
        case _:
            api.create_volume(name)
    try:
        result = provision("up", env)
        assert result.code == 4, result.err
        assert f"{kind} {name}" in result.err
        assert "was not made by provision" in result.err
        provision.ok("down", env)
        assert provision.traces("foreign") == [f"{kind} {name}"]
    finally:
        match kind:
            case "container":
                api.remove_container(name, v=True, force=True)
            case "network":
                api.remove_network(name)
            case _:
                api.remove_volume(name)


def test_an_ensemble_that_lost_its_data_is_not_replaced_under_living_brokers(
    provision: Provision, tmp_path: Path
) -> None:
    env = write_environment(tmp_path, "lost", SMALL)
    provision.ok("up", env)
    provision.lose("lost", "zookeeper-1")
    result = provision("up", env)
    assert result.code == 4
    assert "zookeeper-1: its data are gone while broker-1 kept theirs" in result.err
    provision.ok("down", env)
