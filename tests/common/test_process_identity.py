"""A process is told apart from a later one with its id, and nothing is claimed of what cannot be seen."""

import subprocess

import pytest

from provision.common import process_identity
from provision.common.process_identity import ProcessIdentity
from provision.errors import UsageError
from tests.engine import wait_until

MACHINE = "d1f0"
ELSEWHERE: dict[str, tuple[dict[str, str], bool | None]] = {
    "a later process with its id": ({"started": "1"}, True),
    "before a reboot": ({"boot": "an-earlier-one"}, True),
    "before a reboot and a change of the machine's name": ({"host": "former", "boot": "an-earlier-one"}, None),
    "before a change of the machine's name": ({"host": "former"}, False),
    "on another machine": ({"host": "far-away", "machine": "0123", "boot": "its-own"}, None),
    "on another machine of the same name": ({"machine": "0123", "boot": "its-own"}, None),
    "in a container with this machine's name": ({"namespace": "pid:[1]"}, None),
    "in a container before a reboot": ({"namespace": "pid:[1]", "boot": "an-earlier-one"}, True),
}
NAMELESS: dict[str, tuple[dict[str, str], bool | None]] = {
    "a later process with its id": ({"started": "1"}, True),
    "in another container of this name, perhaps on another machine": ({"boot": "its-own"}, None),
    "before a change of its name": ({"host": "former"}, False),
}
"""In a container without a machine's id, whose name is no one's own."""
BOOTLESS: dict[str, tuple[dict[str, str], bool | None]] = {
    "a later process with its id": ({"started": "1"}, True),
    "on another machine that was started at the same time": ({"host": "far-away"}, None),
}
"""Where the system has neither namespaces nor ids of boots, but only the time of a boot."""


def test_a_process_runs_until_it_has_ended() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:  # noqa: S607
        identity = ProcessIdentity.of(process.pid)
        assert identity == ProcessIdentity.of(process.pid)
        before = identity.is_over
        process.kill()
        process.wait()
    assert (before, identity.is_over) == (False, True)
    assert str(identity) == f"process {process.pid} on {process_identity.host_name()}"


def test_a_process_that_nobody_has_waited_for_has_ended() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:  # noqa: S607
        identity = ProcessIdentity.of(process.pid)
        process.kill()
        assert wait_until(lambda: identity.is_over is True)  # by the system; the process itself is not waited for


@pytest.mark.parametrize(
    ("machine", "namespace", "differs", "over"),
    [
        pytest.param(machine, namespace, *case, id=f"{kind}: {name}")
        for kind, machine, namespace, cases in (
            ("machine", MACHINE, "pid:[4026531836]", ELSEWHERE),
            ("container", "", "pid:[4026532000]", NAMELESS),
            ("no Linux", "", "", BOOTLESS),
        )
        for name, case in cases.items()
    ],
)
def test_what_is_told_of_one_that_may_be_elsewhere(
    machine: str, namespace: str, differs: dict[str, str], over: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_identity, "_machine", lambda: machine)
    monkeypatch.setattr(process_identity, "_namespace", lambda: namespace)
    assert ProcessIdentity.of().is_over is False
    assert ProcessIdentity.of().model_copy(update=differs).is_over is over


def test_one_that_may_not_be_looked_at_is_not_taken_for_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    identity = ProcessIdentity.of()
    monkeypatch.setattr(process_identity, "_started", lambda _pid: process_identity._HIDDEN)  # noqa: SLF001
    assert identity.is_over is None


@pytest.mark.parametrize("pid", [0, -1, 2**22 + 1])
def test_there_is_none_with_such_an_id(pid: int) -> None:
    with pytest.raises(UsageError, match=f"there is no process {pid}"):
        ProcessIdentity.of(pid)
