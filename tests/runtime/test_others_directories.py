"""What somebody else has put where an environment's directories would be is neither used, nor changed, nor removed."""

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from provision.cluster.model import Cluster
from provision.cluster.render import render
from provision.cluster.resolve import resolve
from provision.errors import Refused
from provision.home.place import Home
from provision.operations.remove import down
from provision.runtime import directories
from provision.runtime.process.layout import environment_directory, local_layout, memory_directory, memory_root
from provision.runtime.process.places import Places
from provision.runtime.process.runtime import ProcessRuntime
from provision.spec.model import EnvironmentSpec
from tests.users import NOBODY, needs_root

NAME, NODE = "strange", "broker-1"
needs_memory = pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="there is no shared memory")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home.at(tmp_path / "home")
    yield home
    if memory_root(home).is_symlink():
        memory_root(home).unlink()
    shutil.rmtree(memory_root(home), ignore_errors=True)


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A directory of the user's, laid out so that a removal through a link at any level would find something."""
    victim = tmp_path / "victim"
    for place in (victim / NAME / NODE / "data", victim / NODE / "data", victim / "data", victim):
        place.mkdir(parents=True, exist_ok=True)
        (place / "records").write_text("kept")
        place.chmod(0o755)
    return victim


def _snapshot(directory: Path) -> dict[str, tuple[int, int]]:
    found = {str(entry): entry.lstat() for entry in (directory, *directory.rglob("*"))}
    return {name: (one.st_mode, one.st_uid) for name, one in found.items()}


def _cluster(home: Home, storage: str) -> Cluster:
    spec = EnvironmentSpec(name=NAME, storage=storage)
    return resolve(spec, local_layout(spec, "/", home), {"zookeeper-1": 30351, NODE: 30352}, "/")


def _create(runtime: ProcessRuntime, cluster: Cluster) -> None:
    (node,) = cluster.brokers
    files = [file for file in render(cluster) if file.node == NODE]
    runtime.create_storage(cluster, node)
    runtime.create_node(cluster, node, files)


def _link(level: Path, victim: Path) -> None:
    level.symlink_to(victim, target_is_directory=True)


def _strangers(level: Path, victim: Path) -> None:
    level.mkdir(mode=0o777)
    level.chmod(0o777)
    os.chown(level, NOBODY, NOBODY)


def _strangers_link(level: Path, victim: Path) -> None:
    level.symlink_to(victim, target_is_directory=True)
    os.chown(level, NOBODY, NOBODY, follow_symlinks=False)


ATTACKS = [_link, pytest.param(_strangers, marks=needs_root), pytest.param(_strangers_link, marks=needs_root)]
Attack = Callable[[Path, Path], None]


@needs_memory
@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("depth", range(4))
def test_memory_that_somebody_else_has_prepared_is_refused_and_left_alone(
    home: Home, victim: Path, depth: int, attack: Attack
) -> None:
    data = memory_directory(home, NAME) / NODE / "data"
    level = (*reversed(data.parents), data)[len(memory_root(home).parents) + depth]
    level.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    attack(level, victim)
    before = _snapshot(victim)
    runtime = ProcessRuntime(home)
    with pytest.raises(Refused) as caught:
        _create(runtime, _cluster(home, "memory"))
    assert str(level) in caught.value.what
    down(runtime, NAME, home, delete_data=True)
    assert _snapshot(victim) == before
    assert not environment_directory(home, NAME).exists()
    assert runtime.observe(NAME).is_absent
    assert runtime.environments() == ()


@needs_memory
@pytest.mark.parametrize("attack", ATTACKS)
def test_memory_that_was_replaced_since_the_last_start_is_not_used(home: Home, victim: Path, attack: Attack) -> None:
    runtime = ProcessRuntime(home)
    _create(runtime, _cluster(home, "memory"))
    assert stat.S_IMODE(memory_root(home).stat().st_mode) == 0o700
    shutil.rmtree(memory_root(home))  # as when the machine restarts
    attack(memory_root(home), victim)
    before = _snapshot(victim)
    with pytest.raises(Refused) as caught:
        runtime.start_node(NAME, NODE)
    assert str(memory_root(home)) in caught.value.what
    down(runtime, NAME, home)
    assert _snapshot(victim) == before
    assert runtime.observe(NAME).is_absent


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("level", ["environments", f"environments/{NAME}"])
def test_a_home_that_others_prepared_is_refused(home: Home, victim: Path, level: str, attack: Attack) -> None:
    place = home.directory / level
    place.parent.mkdir(parents=True)
    attack(place, victim)
    before = _snapshot(victim)
    runtime = ProcessRuntime(home)
    for use in (
        lambda: _create(runtime, _cluster(home, "volume")),
        lambda: runtime.observe(NAME),
        lambda: down(runtime, NAME, home, delete_data=True),
        lambda: runtime.remove_storage(NAME, NODE, delete_data=True),
        lambda: runtime.remove_network(NAME),
    ):
        with pytest.raises(Refused) as caught:
            use()
        assert str(place) in caught.value.what
    assert _snapshot(victim) == before


def test_an_environment_of_another_users_does_not_hide_ones_own(home: Home, victim: Path) -> None:
    _create(ProcessRuntime(home), _cluster(home, "volume"))
    environment_directory(home, "another").symlink_to(victim)
    assert ProcessRuntime(home).environments() == (NAME,)


@pytest.mark.parametrize("part", ["", "data", "config", "log", "tmp", "log/old"])
def test_links_in_a_nodes_directory_are_removed_and_their_targets_are_not(home: Home, victim: Path, part: str) -> None:
    runtime = ProcessRuntime(home)
    _create(runtime, _cluster(home, "volume"))
    place = environment_directory(home, NAME) / NODE / part
    shutil.rmtree(place, ignore_errors=True)
    place.symlink_to(victim)
    before = _snapshot(victim)
    down(runtime, NAME, home, delete_data=True)
    assert _snapshot(victim) == before
    assert runtime.observe(NAME).is_absent
    assert not home.environments.exists()


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("parts", [(NODE,), (NODE, "data")])
def test_a_storage_directory_that_others_prepared_is_refused_and_left_alone(
    home: Home, victim: Path, tmp_path: Path, parts: tuple[str, ...], attack: Attack
) -> None:
    storage = tmp_path / "storage"
    level = storage.joinpath(*parts)
    level.parent.mkdir(parents=True, mode=0o700)
    (storage / NODE).is_dir() and (storage / NODE / directories.MARKER).write_text(NAME)
    attack(level, victim)
    before = _snapshot(victim)
    if not (parts[-1] == "data" and attack is _strangers):  # in a directory of ours that others cannot enter
        with pytest.raises(Refused) as caught:
            directories.create(storage, NODE, NAME, (NOBODY, NOBODY) if os.geteuid() == 0 else None)
        assert str(level) in caught.value.what
    directories.delete(storage, NODE, NAME)
    assert _snapshot(victim) == before


@pytest.mark.parametrize("marker", [NAME, "another"])
@pytest.mark.parametrize("attack", [_link, pytest.param(_strangers, marks=needs_root)])
def test_what_others_call_an_environments_data_is_not_believed(
    victim: Path, tmp_path: Path, marker: str, attack: Attack
) -> None:
    storage = tmp_path / "storage"
    storage.mkdir()
    attack(storage / NODE, victim)
    (storage / NODE / directories.MARKER).write_text(marker)
    (storage / NODE / "data").mkdir(exist_ok=True)
    (storage / NODE / "data" / "meta.properties").write_text("cluster.id=fwAAAAAAAAAAAAAAAAAAAA\n")
    assert not directories.has_data(storage, marker)
    assert directories.nodes_with_data(storage, marker) == frozenset()
    assert directories.environments_in(storage) == frozenset()


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_records_in_a_storage_directory_are_for_this_user_and_the_nodes_account_alone(
    tmp_path: Path, umask: int
) -> None:
    storage, owner = tmp_path / "new" / "storage", (NOBODY, NOBODY) if os.geteuid() == 0 else None
    before = os.umask(umask)
    try:
        for _ in range(2):
            data = directories.create(storage, NODE, NAME, owner)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(place.stat().st_mode) for place in (storage.parent, storage, data.parent, data)} == {0o700}
    assert data.stat().st_uid == (owner[0] if owner else os.geteuid())
    assert (data.parent / directories.MARKER).read_text() == NAME
    data.parent.chmod(0o755)  # as an earlier release made them
    data.chmod(0o755)
    directories.create(storage, NODE, NAME, owner)
    assert {stat.S_IMODE(place.stat().st_mode) for place in (data.parent, data)} == {0o700}


def test_a_refused_directory_keeps_its_permissions(tmp_path: Path) -> None:
    mine = tmp_path / NODE
    mine.mkdir(mode=0o755)
    (mine / "letters").touch()
    with pytest.raises(Refused, match="has files that are not of this environment"):
        directories.create(tmp_path, NODE, NAME)
    assert stat.S_IMODE(mine.stat().st_mode) == 0o755


def test_directories_that_became_links_are_not_started_with(home: Home, victim: Path, tmp_path: Path) -> None:
    runtime, storage = ProcessRuntime(home), tmp_path / "storage"
    _create(runtime, _cluster(home, str(storage)))
    for level in (storage / NODE / "data", storage / NODE):
        level.rename(tmp_path / f"moved-{level.name}")
        level.symlink_to(tmp_path / f"moved-{level.name}")
        with pytest.raises(Refused, match="is a link") as caught:
            runtime.start_node(NAME, NODE)
        assert str(level) in caught.value.what


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("level", ["throttles", f"throttles/{NAME}"])
def test_notes_that_others_prepared_are_neither_read_nor_written_nor_removed(
    home: Home, victim: Path, level: str, attack: Attack
) -> None:
    place = home.directory / level
    place.parent.mkdir(parents=True)
    attack(place, victim)
    before = _snapshot(victim)
    note = home.throttle(NAME)
    with pytest.raises(Refused):
        note.write("one", {})
    with pytest.raises(Refused):
        note.read("one")
    note.forget_all()
    assert _snapshot(victim) == before


def test_the_home_is_made_for_this_user_alone(home: Home) -> None:
    before = os.umask(0o000)
    try:
        home.ports.lease(NAME, [NODE], {})
        Places(home).make(NAME, NODE)
    finally:
        os.umask(before)
    made = (home.directory, home.environments, environment_directory(home, NAME))
    assert {stat.S_IMODE(place.stat().st_mode) for place in made} == {0o700}
