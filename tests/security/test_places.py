"""The secrets of an environment stay as long as it, or its data, may be anywhere."""

import os
import time
from pathlib import Path

import pytest

from provision import Level, UpOptions
from provision.errors import Unavailable
from provision.home.secrets import WHERE, Where
from provision.operations.gc.collector import Collector
from provision.runtime import directories
from provision.runtime.fake import FakeRuntime
from provision.security.material import Rotation
from tests.runtimes import Answers, FakeRuntimes
from tests.security.test_environments import NAME, RUNNING, Closed


class Engine(FakeRuntime):
    """One of several engines."""

    kind = "docker"

    def __init__(self, identity: str) -> None:
        super().__init__()
        self.identity = identity

    @property
    def place(self) -> str:
        """Its kind, and which one."""
        return f"docker {self.identity}"


class World(Closed):
    """Two engines, one of which is selected."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.engines = {name: Engine(name) for name in ("first", "second")}
        self.select("first")

    def select(self, engine: str) -> None:
        """Use another context."""
        self.answers({"docker": self.engines[engine], "process": FakeRuntime()})

    def answers(self, answers: Answers) -> None:
        """Let these answer."""
        self.runtimes = FakeRuntimes(self.home, answers)

    def left(self) -> list[str]:
        """The secrets that `gc` would remove, an hour later."""
        if self.store.is_there:
            hour_ago = time.time() - 3600
            os.utime(self.store.directory, (hour_ago, hour_ago))
        return [one.name for one in Collector(self.runtimes).find() if one.kind == "secrets"]

    def collect(self) -> None:
        """Run `gc`."""
        self.left()
        Collector(self.runtimes).remove(one for one in Collector(self.runtimes).find() if one.kind == "secrets")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def remove_by_hand(engine: Engine) -> None:
    for node in engine.observe(NAME).nodes:
        engine.remove_node(NAME, node.name)
    for storage in engine.observe(NAME).storages:
        engine.remove_storage(NAME, storage, delete_data=True)
    engine.remove_network(NAME)


def test_secrets_of_another_engines_environment_are_nobodys_leftover(world: World) -> None:
    world.of("mtls").up(RUNNING)
    assert world.left() == []
    world.select("second")
    assert world.left() == []
    world.answers({"docker": Unavailable("no engine"), "process": FakeRuntime()})
    assert world.left() == []
    world.select("first")
    remove_by_hand(world.engines["first"])
    assert world.left() == [str(world.store.directory)]
    world.collect()
    assert not world.store.is_there


def test_no_down_in_another_engine_removes_them(world: World) -> None:
    world.of("mtls").up(RUNNING)
    before = world.store.read("ca.key")
    world.select("second")
    world.of("mtls").down()
    assert world.store.read("ca.key") == before
    world.of("mtls").up(RUNNING)
    assert [Where.of(store).places for store in world.runtimes.home.all_secrets(NAME)] == [
        ["docker first"],
        ["docker second"],
    ]
    world.of("mtls").down()
    assert world.runtimes.home.all_secrets(NAME) == (world.store,)
    assert world.store.read("ca.key") == before
    world.select("first")
    world.of("mtls").down()
    assert not world.store.is_there


def test_an_up_in_another_engine_that_fails_does_not_either(world: World) -> None:
    world.of("mtls").up(RUNNING)
    before = world.store.read("ca.key")
    world.select("second")

    def fail(verb: str, _subject: str) -> None:
        if verb == "start_node":
            raise Unavailable("the engine is gone")

    world.engines["second"].on_verb = fail
    with pytest.raises(Unavailable):
        world.of("mtls").up(RUNNING)
    assert world.store.read("ca.key") == before
    assert Where.of(world.store).places == ["docker first"]


def test_kept_data_in_a_directory_keep_them(world: World, tmp_path: Path) -> None:
    storage = tmp_path / "data"
    storage.mkdir()
    world.of("mtls", storage=str(storage)).up(RUNNING)
    data = directories.create(storage, "broker-1", NAME)
    (data / "meta.properties").write_text("node.id=1\n")
    remove_by_hand(world.engines["first"])
    assert not world.engines["first"].environments()
    assert world.left() == []
    storage.chmod(0)
    try:
        assert os.geteuid() == 0 or world.left() == []
    finally:
        storage.chmod(0o700)
    (data / "meta.properties").unlink()
    data.rmdir()
    (storage / "broker-1" / directories.MARKER).unlink()
    (storage / "broker-1").rmdir()
    assert world.left() == [str(world.store.directory)]


@pytest.mark.parametrize("noted", [b"", b"nothing", b'{"places": 3}'], ids=["never", "damaged", "of another kind"])
def test_where_nobody_knows_every_runtime_is_asked(world: World, noted: bytes) -> None:
    world.of("mtls").up(RUNNING)
    world.store.path(WHERE).unlink()
    if noted:
        world.store.keep({WHERE: noted})
    assert world.left() == []
    world.answers({"docker": Unavailable("no engine"), "process": FakeRuntime()})
    assert world.left() == []
    world.answers({"docker": FakeRuntime(), "process": FakeRuntime()})
    assert world.left() == [str(world.store.directory)]


def test_what_is_used_again_before_it_is_removed_stays(world: World) -> None:
    world.of("mtls").up(RUNNING)
    remove_by_hand(world.engines["first"])
    world.left()
    (found,) = (one for one in Collector(world.runtimes).find() if one.kind == "secrets")
    world.of("mtls").up(RUNNING)
    (outcome,) = Collector(world.runtimes).remove([found])
    assert (outcome.removed, outcome.error) == (False, None)
    remove_by_hand(world.engines["first"])
    (outcome,) = Collector(world.runtimes).remove([found])
    assert not outcome.removed
    assert world.store.is_there


def test_environments_of_one_name_on_two_engines_have_secrets_of_their_own(world: World) -> None:
    users = [{"name": "app"}]
    world.of("sasl-tls", users=users, kafka={"mode": "kraft"}).up(RUNNING)
    first = {name: world.store.read(name) for name in world.store.names}
    world.select("second")
    second = world.of("sasl-tls", users=[*users, {"name": "ops"}], kafka={"mode": "kraft"})
    assert second.plan().plan.changes
    second.up(RUNNING)
    beside = world.runtimes.home.all_secrets(NAME)[1]
    assert {name: world.store.read(name) for name in world.store.names} == first
    assert beside.environment == NAME
    assert beside.names == {*first, "user-ops.password"}
    assert not {name for name in first if beside.read(name) == first[name]}
    assert not second.plan().plan.first_wave
    assert Where.of(beside).places == ["docker second"]
    second.stop()
    second.up(UpOptions(until=Level.PROCESS, rotation=Rotation.BEGIN))
    assert {name: world.store.read(name) for name in world.store.names} == first
    second.stop()
    world.of("plaintext", kafka={"mode": "kraft"}).up(RUNNING)
    assert not beside.is_there
    again = world.of("sasl-plain", kafka={"mode": "kraft"})
    second.stop()
    again.up(RUNNING)
    assert beside.names == {"identity", "where.json", "provision.password"}
    again.down()
    assert not beside.is_there
    world.select("first")
    assert {name: world.store.read(name) for name in world.store.names} == first
    assert not world.of("sasl-tls", users=users, kafka={"mode": "kraft"}).plan().plan.first_wave


def test_gc_removes_those_of_the_engine_whose_environment_is_gone_and_no_others(world: World) -> None:
    world.of("mtls").up(RUNNING)
    world.select("second")
    world.of("mtls").up(RUNNING)
    first, second = world.runtimes.home.all_secrets(NAME)
    remove_by_hand(world.engines["second"])
    hour_ago = time.time() - 3600
    os.utime(second.directory, (hour_ago, hour_ago))
    found = [one for one in Collector(world.runtimes).find() if one.kind == "secrets"]
    assert [one.name for one in found] == [str(second.directory)]
    Collector(world.runtimes).remove(found)
    assert first.is_there
    assert not second.is_there
