"""What killed commands leave in an engine beside environments, and what only looks like it."""

import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from docker.errors import NotFound

from provision.common.process_identity import ProcessIdentity
from provision.home.holders import Holder
from provision.runtime.docker import abouts, locks, notes, remnants, stored
from provision.runtime.docker import containers as spec
from tests.fake_engine import FakeEngine
from tests.fake_volumes import FakeVolumes
from tests.runtime.test_states import docker

LIVES = ProcessIdentity.of()
ENDED = LIVES.model_copy(update={"started": "1"})
ELSEWHERE = LIVES.model_copy(update={"host": "far-away", "boot": "its-own"})
DAY_S = 86400


def tool(process: ProcessIdentity | None, state: str, age_s: float = DAY_S) -> dict[str, Any]:
    labels = {spec.ROLE: spec.TOOL_ROLE, spec.ENVIRONMENT: "orders"}
    if process:
        labels[spec.PROCESS] = process.model_dump_json()
    return {"Id": "t1", "Names": ["/tool"], "Labels": labels, "State": state, "Created": int(time.time() - age_s)}


@pytest.mark.parametrize(
    ("container", "left"),
    [
        (tool(ENDED, "running"), True),
        (tool(ENDED, "created", 0), True),
        (tool(LIVES, "exited"), False),
        (tool(LIVES, "created"), False),
        (tool(ELSEWHERE, "running"), False),
        (tool(ELSEWHERE, "exited"), True),
        (tool(ELSEWHERE, "exited", 60), False),
        (tool(None, "running"), False),
        (tool(None, "exited"), True),
    ],
)
def test_the_container_of_a_tool_is_left_over_once_its_command_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, container: Mapping[str, Any], left: bool
) -> None:
    engine = FakeEngine({"GET /containers/json": (200, [container]), "DELETE /containers/t1": (204, b"")})
    with docker(tmp_path, monkeypatch, engine) as runtime:
        found = runtime.remnants()
        assert [(one.what, one.name) for one in found] == ([("tool container", "tool")] if left else [])
        engine.answers |= {
            "GET /volumes": (200, {"Volumes": [{"Name": "orders-broker-1"}]}),  # as asked for: those of readers
            "DELETE /volumes/orders-broker-1": (204, b""),
        }
        assert all(one.remove and one.remove() for one in found)
    for thing in ("/containers/t1", "/volumes/orders-broker-1"):
        assert any(asked.startswith(f"DELETE {thing}") for asked in engine.asked) is left


class Engine(FakeVolumes):
    """An engine with volumes, and containers for which it creates the volumes that are missing."""

    base_url = "http+docker://"

    def __init__(self) -> None:
        super().__init__()
        self.removes_while_reading = False

    def containers(self, **_: Any) -> list[Any]:  # noqa: ANN401
        """None."""
        return []

    def images(self, **_: Any) -> list[str]:  # noqa: ANN401
        """One."""
        return ["sha256:1"]

    def create_host_config(self, **options: Any) -> dict[str, Any]:  # noqa: ANN401
        """As given."""
        return options

    def create_container(self, host_config: Mapping[str, Any], **_: Any) -> dict[str, str]:  # noqa: ANN401
        """With the volumes of its mounts."""
        if self.removes_while_reading:
            self.there.clear()
        for mount in host_config["mounts"]:
            self.create_volume(mount["Source"], (mount.get("VolumeOptions") or {}).get("Labels"))
        return {"Id": "c1"}

    def remove_container(self, _identity: str, **_: Any) -> None:  # noqa: ANN401
        """Forget it."""


def test_the_lock_of_a_command_that_has_ended_is_left_over() -> None:
    engine: Any = Engine()
    dead = Holder.of("up").model_copy(update={"process": ENDED})
    for name, holder in (("dead", dead), ("alive", Holder.of("up"))):
        notes.make(engine, name, locks.LOCK, {"holder": holder.model_dump_json()})
    (left,) = remnants.found(engine)
    assert (left.what, left.name) == ("engine lock", "dead")
    assert left.remove is None
    locks.hold(engine, left.name, Holder.of("gc")).release()
    assert [*engine.there] == ["alive.lock"]
    assert remnants.found(engine) == ()


@pytest.mark.parametrize("removed", [False, True], ids=["is there", "is removed meanwhile"])
def test_reading_a_storage_leaves_no_volume_that_was_not_there(removed: bool) -> None:
    engine: Any = Engine()
    engine.create_volume("orders-broker-1", {spec.ENVIRONMENT: "orders", spec.NODE: "broker-1", spec.ROLE: "broker"})
    engine.removes_while_reading = removed
    with pytest.raises(NotFound) if removed else nullcontext(), stored.reader(engine, "orders", "broker-1"):
        assert all(volume["Labels"] for volume in engine.there.values())
    assert [*engine.there] == ([] if removed else ["orders-broker-1"])


def test_of_several_notes_the_newest_says_what_an_environment_knows() -> None:
    engine: Any = Engine()
    for number, said in ((9, '{"created_s": 1}'), (10, '{"created_s": 2, "owner": "ada"}'), (11, "{damaged")):
        notes.make(engine, "orders", f"about-{number}", {"about": said})
    assert {name: about.owner for name, about in abouts.known(engine).items()} == {"orders": "ada"}
    about = abouts.known(engine)["orders"]
    abouts.write(engine, "orders", about.model_copy(update={"owner": "eve"}))
    assert [*engine.there] == ["orders.about-12"]
    assert abouts.among(engine.volumes()["Volumes"], "orders") == abouts.known(engine)["orders"]
    abouts.remove_without_storages(engine, "orders")
    assert not engine.there
