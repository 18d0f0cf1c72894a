"""What a service and its newest task say of a node: every state that Docker's API has."""

from typing import Any

import pytest

from provision.plan.observed import NodeState
from provision.runtime.swarm import services
from provision.runtime.swarm.calls import unframed


def service(replicas: int, **labels: str) -> dict[str, Any]:
    return {"ID": "s", "Spec": {"Labels": labels, "Mode": {"Replicated": {"Replicas": replicas}}}}


def task(state: str, error: str = "", code: int | None = None, at: str = "1") -> dict[str, Any]:
    status: dict[str, Any] = {"State": state, "Err": error}
    if code is not None:
        status["ContainerStatus"] = {"ContainerID": "c", "ExitCode": code}
    return {"ID": at, "ServiceID": "s", "CreatedAt": at, "Status": status}


RAN = {services.STARTED: "true"}


@pytest.mark.parametrize(
    ("told", "newest", "up", "state", "code"),
    [
        (service(0), None, True, NodeState.CREATED, None),
        (service(0, **RAN), None, True, NodeState.EXITED, None),
        (service(0, **RAN, **{services.EXIT_CODE: "143"}), None, True, NodeState.EXITED, 143),
        (service(0, **RAN), task("running", code=0), True, NodeState.RUNNING, None),
        (service(1, **RAN), task("running", code=0), True, NodeState.RUNNING, None),
        (service(1, **RAN), task("running", code=0), False, NodeState.EXITED, None),
        (service(1, **RAN), task("preparing"), True, NodeState.RESTARTING, None),
        (service(1, **RAN), task("starting"), True, NodeState.RESTARTING, None),
        (service(1, **RAN), task("starting"), False, NodeState.EXITED, None),
        (service(1, **RAN), task("pending", "no suitable node"), True, NodeState.EXITED, None),
        (service(1, **RAN), task("failed", "task: non-zero exit (137)", 137), True, NodeState.EXITED, 137),
        (service(1, **RAN), task("complete", code=0), True, NodeState.EXITED, 0),
        (service(1, **RAN), task("rejected", "No such image: x"), True, NodeState.EXITED, None),
        (service(1, **RAN), None, True, NodeState.EXITED, None),
    ],
)
def test_the_state_of_a_node(
    told: dict[str, Any], newest: dict[str, Any] | None, *, up: bool, state: NodeState, code: int | None
) -> None:
    assert services.state_of(told, newest, engine_is_up=up) is state
    assert (services.exit_code_of(told, newest) if state is NodeState.EXITED else None) == code


def test_only_the_newest_task_of_a_service_counts() -> None:
    other = {**task("running", at="9"), "ServiceID": "another"}
    tasks = [task("failed", at="2026-01-01T00:00:02Z"), task("running", at="2026-01-01T00:00:03Z"), other]
    newest = services.newest(tasks, "s")
    assert newest is not None
    assert services.task_state(newest) == "running"
    assert services.newest([other], "s") is None


@pytest.mark.parametrize(
    ("ended", "why"),
    [
        (task("rejected", "No such image: sha256:1"), "No such image: sha256:1"),
        (task("failed", "starting container failed: Bind for 0.0.0.0:9092 failed"), "starting container failed"),
        (task("failed", "task: non-zero exit (1)", 1), ""),
        (task("complete", code=0), ""),
        (task("rejected"), "it was rejected"),
    ],
)
def test_what_an_engine_could_not_start_is_told_from_what_has_ended(ended: dict[str, Any], why: str) -> None:
    assert services.was_refused(ended).startswith(why)
    assert bool(services.was_refused(ended)) is bool(why)


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 1000])
def test_a_log_is_put_together_whatever_its_pieces_are(size: int) -> None:
    lines = [b"one\n", b"", b"two\n", b"x" * 300]
    framed = b"".join(b"\x01\0\0\0" + len(line).to_bytes(4, "big") + line for line in lines)
    pieces = iter([framed[at : at + size] for at in range(0, len(framed), size)])
    assert list(unframed(pieces)) == lines


def test_a_log_that_is_cut_off_has_what_came_whole() -> None:
    whole = b"\x01\0\0\0\0\0\0\x03abc"
    assert list(unframed(iter([whole, whole[:9]]))) == [b"abc"]
