"""A `storage` directory that provision would delete, or that others use, is refused before anything is touched."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.errors import InvalidEnvironment
from provision.home.place import Home
from provision.operations.files import render, validate
from provision.pipeline import up
from provision.preparing import prepare
from provision.runtime import Runtimes, directories
from provision.runtime.fake import FakeRuntime
from provision.spec.source import Source
from tests.runtimes import FakeRuntimes

Operation = Callable[[Source, Runtimes], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of environment files, with a home and a cache in it."""
    (tmp_path / "home" / "environments" / "orders").mkdir(parents=True)
    (tmp_path / "cache").mkdir()
    (tmp_path / "to-home").symlink_to(tmp_path / "home", target_is_directory=True)
    (tmp_path / "to-environment").symlink_to(tmp_path / "home" / "environments" / "orders", target_is_directory=True)
    (tmp_path / "deep").mkdir()
    return tmp_path


def _source(folder: Path, storage: str) -> Source:
    file = folder / "orders.yaml"
    file.write_text(f"# comment\nstorage: {storage}\n")
    return Source(file)


INSIDE = [
    "./home",
    "./home/environments",
    "./home/environments/orders",
    "./home/environments/orders/broker-1/data",
    "./home/environments/another",
    "./home/throttles",
    "./home/not/there/yet",
    "./deep/../home/environments/orders",
    "../{folder}/home/data",
    "{path}/home/environments/orders/mine",
    "./to-home/data",
    "./to-environment",
    "./to-environment/data",
    "./cache",
    "./cache/kafka/3.9.1",
]
AROUND = [".", "..", "{path}", "{path}/", "{path}/deep/.."]


@pytest.mark.parametrize("operation", [validate, render, prepare, up])
@pytest.mark.parametrize(
    ("storage", "how"), [*((one, "is in") for one in INSIDE), *((one, "contains") for one in AROUND)]
)
def test_storage_and_provisions_own_directories_are_apart(
    folder: Path, storage: str, how: str, operation: Operation
) -> None:
    source = _source(folder, storage.format(path=folder, folder=folder.name))
    runtime = FakeRuntime()
    with pytest.raises(InvalidEnvironment) as caught:
        operation(source, FakeRuntimes(folder / "home", runtime, folder / "cache"))
    (problem,) = caught.value.problems
    assert (problem.line, problem.column, problem.path) == (2, 10, "storage")
    assert f" {how} " in problem.message
    assert problem.hint
    assert runtime.environments() == ()


@pytest.mark.parametrize("storage", ["./data", "./home-data", "./deep/home", "./deep/../data", "{path}/cached"])
def test_a_directory_beside_them_is_fine(folder: Path, storage: str) -> None:
    validate(_source(folder, storage.format(path=folder)), FakeRuntimes(folder / "home", FakeRuntime()))


def test_a_home_that_is_reached_through_a_link_is_the_same_home(folder: Path) -> None:
    (folder / "link").symlink_to(folder / "home", target_is_directory=True)
    runtimes = Runtimes(Home.at(folder / "link", folder / "cache"))
    with pytest.raises(InvalidEnvironment) as caught:
        validate(_source(folder, "./home/environments/orders"), runtimes)
    assert " is in " in caught.value.why


def test_an_override_is_told_as_one_and_values_without_a_line(folder: Path) -> None:
    runtimes = FakeRuntimes(folder / "home", FakeRuntime())
    (folder / "orders.yaml").write_text("{}\n")
    inside = folder / "home" / "x"
    with pytest.raises(InvalidEnvironment) as overridden:
        validate(Source(folder / "orders.yaml", (f"storage={inside}",)), runtimes)
    assert f"--set storage={inside}" in overridden.value.why
    with pytest.raises(InvalidEnvironment) as given:
        validate(Source.of(None, (), {"name": "orders", "storage": str(inside)}), runtimes)
    assert given.value.why.startswith("the given values: storage: ")


@pytest.mark.parametrize("path", ["./data", "./data/", "./deep/../data", "./to-data", "{path}/data"])
def test_two_environments_do_not_share_a_directory(folder: Path, path: str) -> None:
    directories.create(folder / "data", "broker-2", "payments")
    (folder / "to-data").symlink_to(folder / "data", target_is_directory=True)
    with pytest.raises(InvalidEnvironment) as caught:
        validate(_source(folder, path.format(path=folder)), _runtimes(folder))
    assert "has data of payments" in caught.value.why


@pytest.mark.parametrize("below", ["", "data", "data/orders", "not/there"])
@pytest.mark.parametrize("other", ["payments", "orders"])
def test_a_directory_in_the_data_of_a_node_is_refused(folder: Path, below: str, other: str) -> None:
    directories.create(folder / "data", "broker-2", other)
    source = _source(folder, os.fspath(folder / "data" / "broker-2" / below))
    with pytest.raises(InvalidEnvironment) as caught:
        validate(source, _runtimes(folder))
    assert f"is in the data of a node of {other}" in caught.value.why


def test_its_own_data_and_other_peoples_files_are_no_obstacle(folder: Path) -> None:
    directories.create(folder / "data", "broker-1", "orders")
    (folder / "data" / "notes.txt").write_text("mine")
    (folder / "data" / "mine").mkdir()
    validate(_source(folder, "./data"), _runtimes(folder))


def _runtimes(folder: Path) -> Runtimes:
    return FakeRuntimes(folder / "home", FakeRuntime())


@pytest.mark.parametrize("operation", [validate, render, prepare, up])
@pytest.mark.parametrize(
    ("storage", "what"),
    [
        ("./" + "x" * 300, "the name xxx"),
        ("./not/there/" + "x" * 300, "the name xxx"),
        ("./" + "ß" * 150, "the name ßßß"),
        ("./" + "x" * 300 + "/below", "the name xxx"),
        ("./" + "deep/" * 1000, "the path /"),
        ("/" + "not-there/" * 370, "the path /not-there"),
    ],
)
def test_what_no_file_system_has_room_for_is_told_with_its_line(
    folder: Path, operation: Operation, storage: str, what: str
) -> None:
    with pytest.raises(InvalidEnvironment) as caught:
        operation(_source(folder, storage), FakeRuntimes(folder / "home", FakeRuntime()))
    assert "orders.yaml:2:" in caught.value.why
    assert what in caught.value.why
    assert "is too long" in caught.value.why
    assert "name another directory" in caught.value.why
    assert len(caught.value.why) < 300 + len(str(folder))


def test_the_longest_name_is_a_name(folder: Path) -> None:
    validate(_source(folder, "./" + "x" * 255), FakeRuntimes(folder / "home", FakeRuntime()))
