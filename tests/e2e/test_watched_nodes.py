"""Real nodes that are paused or stopped by a signal: told as such, and resumed by `up` and by `start`."""

import json
import signal
import threading
from collections.abc import Iterator

import pytest

from tests.engine import SMALL, Provision, engine, wait_until, write_environment

pytestmark = [pytest.mark.group(docker="matrix", process="soak"), pytest.mark.row("apart")]

NAME = "watched"


@pytest.fixture(scope="module")
def running(provision: Provision, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    env = write_environment(tmp_path_factory.mktemp("files"), NAME, SMALL)
    provision.ok("up", env)
    yield env
    provision.ok("down", env)


def _pause(provision: Provision, node: str, how: str) -> None:
    if provision.runtime == "process":
        (process,) = provision._processes(NAME, node)  # noqa: SLF001 as a user finds it with `ps`
        process.suspend()
    elif how == "pause":
        engine().api.pause(f"{NAME}-{node}")
    else:
        engine().api.kill(f"{NAME}-{node}", "SIGSTOP")


@pytest.mark.parametrize("how", ["pause", "SIGSTOP"])
@pytest.mark.parametrize("node", ["broker-1", "zookeeper-1"])
@pytest.mark.parametrize("command", ["up", "start"])
def test_a_paused_node_is_told_and_resumed(
    provision: Provision, running: str, node: str, how: str, command: str
) -> None:
    if provision.runtime == "process" and how == "pause":
        pytest.skip("only an engine has another way to pause")
    _pause(provision, node, how)
    shown = json.loads(provision.ok("status", running, "-o", "json"))
    told = {one["name"]: (one["state"], one["condition"]) for one in shown["nodes"]}
    assert told[node] == ("paused", "paused")
    assert not shown["ready"]
    waited = provision("wait", running, "--timeout", "3s")
    assert waited.code == 124
    assert f"{node}: it is paused" in waited.err
    provision.ok(command, running)
    shown = json.loads(provision.ok("status", running, "-o", "json"))
    assert {one["state"] for one in shown["nodes"]} == {"running"}
    assert shown["ready"]


def test_a_node_that_was_stopped_by_a_signal_is_stopped_at_once(provision: Provision, running: str) -> None:
    _pause(provision, "broker-1", "SIGSTOP")
    provision.ok("stop", running, "broker-1")
    (state,) = [
        one["state"]
        for one in json.loads(provision.ok("status", running, "-o", "json"))["nodes"]
        if one["name"] == "broker-1"
    ]
    assert state == "exited"
    provision.ok("start", running)


def test_watching_shows_it_pause_and_go_on(provision: Provision, running: str) -> None:
    watched = provision.start("status", running, "--watch", "--every", "300ms")
    assert watched.stdout is not None
    lines: list[str] = []
    reading = threading.Thread(target=lambda: lines.extend(watched.stdout or ()), daemon=True)
    reading.start()

    def comes(text: str) -> bool:
        return any(text in line for line in lines)

    try:
        assert wait_until(lambda: comes("broker-1: running"))
        _pause(provision, "broker-1", "pause")
        assert wait_until(lambda: comes("broker-1: paused"))
        provision.ok("up", running)
        # On a busy machine it may be slow, or not answer, before that.
        assert wait_until(lambda: comes("broker-1: running (was ")), lines
        assert len([line for line in lines if "broker-1:" in line and "(was paused)" in line]) == 1, lines
    finally:
        watched.send_signal(signal.SIGINT)
        assert watched.wait(60) is not None
        reading.join(60)
        complaints = watched.stderr.read() if watched.stderr else ""
        for stream in (watched.stdout, watched.stderr):
            if stream:
                stream.close()
    assert watched.returncode == 130
    assert complaints == ""
