"""The process runtime's own files: whatever became of them, the environment can be seen and removed."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.cluster.render import render
from provision.cluster.resolve import resolve
from provision.errors import ProvisionError, Unavailable
from provision.events import Event, Notice
from provision.home.place import Home
from provision.operations.remove import down
from provision.runtime.base import JavaCommand
from provision.runtime.process.layout import environment_directory, local_layout
from provision.runtime.process.runtime import ProcessRuntime
from provision.spec.model import EnvironmentSpec
from tests.engine import DEFAULT_VERSION, java

pytestmark = [pytest.mark.process, pytest.mark.row("apart")]

NAME = "on-disk"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    java(DEFAULT_VERSION)
    return Home.at(tmp_path)


def _created(home: Home, **sections: object) -> ProcessRuntime:
    runtime = ProcessRuntime(home)
    spec = EnvironmentSpec.model_validate({"name": NAME, **sections})
    cluster = resolve(spec, local_layout(spec, "/", home), {"zookeeper-1": 30301, "broker-1": 30302}, "/")
    files = render(cluster)
    runtime.create_network(cluster)
    for node in cluster.nodes:
        runtime.create_storage(cluster, node)
        runtime.create_node(cluster, node, [file for file in files if file.node == node.name])
    return runtime


def _cut(file: Path) -> None:
    file.write_text(file.read_text()[:20])


def _empty(file: Path) -> None:
    file.write_text("")


def _list(file: Path) -> None:
    file.write_text("[]")


@pytest.mark.parametrize("damage", [_cut, _empty, _list, Path.unlink])
@pytest.mark.parametrize("file", ["environment.json", "broker-1/node.json"])
def test_with_a_damaged_file_it_is_still_seen_and_removed(
    home: Home, damage: Callable[[Path], None], file: str
) -> None:
    runtime = _created(home)
    damage(environment_directory(home, NAME) / file)
    assert not runtime.observe(NAME).is_absent
    assert runtime.environments() == (NAME,)
    down(runtime, NAME, home)
    assert runtime.observe(NAME).is_absent
    assert not environment_directory(home, NAME).exists()


def test_a_directory_that_a_killed_command_left_empty_is_removed(home: Home) -> None:
    environment_directory(home, NAME).mkdir(parents=True)
    runtime = ProcessRuntime(home)
    assert runtime.environments() == (NAME,)
    down(runtime, NAME, home)
    assert not environment_directory(home, NAME).exists()


def test_a_damaged_node_is_not_started(home: Home) -> None:
    runtime = _created(home)
    _cut(environment_directory(home, NAME) / "broker-1" / "node.json")
    with pytest.raises(ProvisionError, match="is damaged"):
        runtime.start_node(NAME, "broker-1")
    down(runtime, NAME, home)


@pytest.mark.parametrize("name", ["..", ".", "", "../x", "/etc", "a/b"])
def test_no_name_leads_out_of_the_home(home: Home, name: str) -> None:
    with pytest.raises(ValueError, match="is no environment's name"):
        environment_directory(home, name)


def test_the_files_are_this_users_alone(home: Home) -> None:
    _created(home)
    assert (environment_directory(home, NAME) / "broker-1").stat().st_mode & 0o077 == 0
    down(ProcessRuntime(home), NAME, home)


def test_a_removal_that_is_cut_off_leaves_no_half_of_a_node(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = _created(home)

    def die(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr("shutil.rmtree", die)
        with pytest.raises(KeyboardInterrupt):
            runtime.remove_node(NAME, "broker-1")
    observed = runtime.observe(NAME)
    assert observed.node("broker-1") is None
    assert "broker-1" in observed.storages
    down(runtime, NAME, home)
    assert not environment_directory(home, NAME).exists()


def test_the_data_of_a_lost_environment_are_looked_for_where_its_nodes_say(home: Home, tmp_path: Path) -> None:
    storage = tmp_path / "apart"
    runtime = _created(home, storage=str(storage))
    (storage / "broker-1" / "data" / "orders-0").mkdir()
    (environment_directory(home, NAME) / "environment.json").unlink()
    found = runtime.read_storage(NAME, "broker-1")
    assert found is not None
    assert found.written
    down(runtime, NAME, home, delete_data=True)
    assert not storage.exists()


def test_the_note_says_what_the_file_says_now(home: Home) -> None:
    runtime = _created(home)
    before = runtime.observe(NAME)
    _created(home, storage="memory", ttl="1h")
    after = runtime.observe(NAME)
    assert (before.storage, after.storage) == ("volume", "memory")
    assert (before.ttl_s, after.ttl_s) == (None, 3600)
    assert before.created_s == after.created_s
    down(runtime, NAME, home)
    assert not environment_directory(home, NAME).exists()


@pytest.mark.parametrize(
    ("in_directory", "keep_data", "delete_data", "told"),
    [
        (True, False, False, True),
        (True, False, True, False),
        (True, True, False, False),
        (False, False, False, False),
        (False, True, False, False),
    ],
)
def test_data_that_stay_in_a_directory_are_told(
    home: Home, tmp_path: Path, in_directory: bool, keep_data: bool, delete_data: bool, told: bool
) -> None:
    storage = tmp_path / "data"
    runtime = _created(home, **({"storage": str(storage)} if in_directory else {}))
    events: list[Event] = []
    down(runtime, NAME, home, keep_data=keep_data, delete_data=delete_data, tell=events.append)
    notices = [event.text for event in events if isinstance(event, Notice)]
    assert [notice for notice in notices if f"stay in {storage}" in notice] == (notices if told else [])
    assert bool(notices) == told
    assert (storage / "broker-1").exists() == (in_directory and not delete_data)
    down(runtime, NAME, home, delete_data=True)


def test_what_is_made_over_kept_data_is_new(home: Home) -> None:
    runtime = _created(home, ttl="1s")
    first_s = runtime.observe(NAME).created_s
    for node in runtime.observe(NAME).nodes:
        runtime.remove_node(NAME, node.name)
    assert runtime.observe(NAME).storages
    _created(home, ttl="1s")
    again_s = runtime.observe(NAME).created_s
    assert first_s is not None
    assert again_s is not None
    assert again_s > first_s
    down(runtime, NAME, home)


def test_an_ensemble_in_memory_knows_its_ids_after_a_reboot(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = _created(home, storage="memory")
    myid = runtime._places.data(NAME, "zookeeper-1", "memory") / "myid"  # noqa: SLF001 what a reboot would empty
    shutil.rmtree(myid.parents[1])
    monkeypatch.setattr("provision.runtime.process.processes.start", lambda *_: None)
    runtime.start_node(NAME, "zookeeper-1")
    assert myid.read_text() == "1\n"
    down(runtime, NAME, home)


def test_a_tool_that_does_not_end_is_an_error_of_ours(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = _created(home)

    def hang(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("java", 60)

    with monkeypatch.context() as patch:
        patch.setattr("subprocess.run", hang)
        with pytest.raises(Unavailable, match="did not end within 60 s"):
            runtime.run_in_node(NAME, "broker-1", JavaCommand("kafka.Kafka", ()))
    down(runtime, NAME, home)
