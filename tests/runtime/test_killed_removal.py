"""A `down` of processes is killed before each file that it removes or writes: the next one leaves nothing.

What is left is told as it is: listed while something is there, by the same name, and a plan makes all of it anew.
"""

import itertools
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from provision import Environment
from provision.errors import UsageError
from provision.events import Event, Notice
from provision.home.holders import Holder
from provision.home.ports import Situation
from provision.operations.remove import finish_removal
from provision.operations.whose import Maker, about_of, note_about
from provision.plan.actions import Verb
from provision.runtime.process import processes
from provision.runtime.process import runtime as process_runtime
from provision.runtime.process.java import Java
from provision.runtime.process.layout import memory_root
from tests.engine import NO_ENGINE
from tests.holders import reused

NAME = "removed"
CHANGES = ("unlink", "rmdir", "rename", "replace", "mkdir")


class Killed(BaseException):
    """What nothing catches."""


@pytest.fixture
def patched(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No process of its nodes ever runs, and there is no engine."""
    monkeypatch.setenv("DOCKER_HOST", NO_ENGINE["DOCKER_HOST"])
    monkeypatch.setattr(process_runtime, "find_java", lambda _version: Java("/nowhere/java", 17, "a test"))
    monkeypatch.setattr(processes, "_candidates", lambda *_: iter(()))
    return monkeypatch


def _create(values: dict[str, Any], home: Path) -> Environment:
    """All its files, as after `up` and the end of its nodes."""
    environment = Environment(home=home, name=NAME, runtime="process", **values)
    source, runtime = environment.source, environment.runtime
    environment.home.ports.lease(NAME, ["zookeeper-1", "broker-1"], {}, Situation(runtime.place))
    prepared = environment.plan()
    cluster = prepared.cluster
    note_about(runtime, prepared.observed, about_of(source, Maker(home), prepared.observed, None), print)
    runtime.create_network(cluster)
    for node in cluster.nodes:
        runtime.create_storage(cluster, node)
        runtime.create_node(cluster, node, [file for file in prepared.files if file.node == node.name])
        for place in home.parent.rglob(f"{node.name}/data"):
            (place / "recovery-point-offset-checkpoint").write_text("0\n1\norders 0 7\n")
    return environment


def _kill(patch: pytest.MonkeyPatch, home: Path, at: int, command: Callable[[], object]) -> bool:
    """Run a command that does nothing more from its change of that number on; whether that came."""
    steps = itertools.count()

    def dying(change: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 whatever the system takes
            if next(steps) >= at:
                raise Killed
            return change(*arguments, **options)

        return changed

    of, dead = Holder.of, reused().process
    with patch.context() as killing:
        killing.setattr(Holder, "of", lambda *said: of(*said).model_copy(update={"process": dead}))
        for name in CHANGES:
            killing.setattr(os, name, dying(getattr(os, name)))
        try:
            command()
        except Killed:
            pass
        else:
            return False
    for draft in home.rglob(f"*.{os.getpid()}-*.new"):  # which are another process's
        draft.rename(draft.with_name(draft.name.replace(f".{os.getpid()}-", f".{dead.pid + 2**22}-")))
    return True


def _left(home: Path) -> Iterator[str]:
    for place in (home, memory_root(Environment.named(NAME, home=home).home)):
        yield from (str(file.relative_to(place)) for file in place.rglob("*") if file.is_file())


@pytest.mark.parametrize("storage", ["volume", "memory", "directory"])
@pytest.mark.parametrize("keep_data", [False, True], ids=["down", "down --keep-data"])
def test_whenever_it_is_killed_the_next_down_leaves_nothing(
    tmp_path: Path, patched: pytest.MonkeyPatch, storage: str, keep_data: bool
) -> None:
    for at in itertools.count(step=1 if storage == "directory" and not keep_data else 3):
        place = tmp_path / str(at)
        home, data = place / "home", place / "data"
        data.mkdir(parents=True)
        patched.chdir(place)
        values: dict[str, Any] = {
            "brokers": {"port": "auto"},
            "storage": str(data) if storage == "directory" else storage,
        }
        made = _create(values, home)
        if not _kill(patched, home, at, partial(made.down, keep_data=keep_data, delete_data=not keep_data)):
            break
        later = Environment.named(NAME, home=home)  # in another process, which may be anywhere
        observed = later.runtime.observe(NAME)
        assert (NAME in later.runtime.environments()) is not observed.is_absent, at
        if observed.is_absent:
            with pytest.raises(UsageError, match="there is no environment"):
                later.status()
        planned = Environment(home=home, name=NAME, runtime="process", **values).plan().plan
        kept = observed.kept if not observed.is_half_removed else frozenset[str]()
        created = {action.resource for action in planned.actions if action.verb is Verb.CREATE}
        assert {f"storage {node}" for node in ("zookeeper-1", "broker-1") if node not in kept} <= created, at
        later.down(delete_data=True)
        assert later.runtime.observe(NAME).is_absent, at
        assert not later.runtime.abouts(), at
        assert {file for file in _left(home) if not file.startswith(("journals/", "ports.json"))} == set(), at
        assert later.home.ports.of(NAME) == {}, at
        assert list(data.rglob("*")) == [], at
    assert at > len(CHANGES)


@pytest.mark.parametrize("storage", ["volume", "memory", "directory"])
def test_whenever_it_is_killed_the_next_up_never_finds_half_of_the_data(
    tmp_path: Path, patched: pytest.MonkeyPatch, storage: str
) -> None:
    finished = 0
    for at in itertools.count(step=1 if storage == "directory" else 3):
        place = tmp_path / str(at)
        home, data = place / "home", place / "data"
        data.mkdir(parents=True)
        patched.chdir(place)
        made = _create({"brokers": {"port": "auto"}, "storage": str(data) if storage == "directory" else storage}, home)
        whole = _of_nodes(made)
        if not _kill(patched, home, at, partial(made.down, delete_data=True)):
            break
        later = Environment.named(NAME, home=home)
        observed = later.runtime.observe(NAME)
        if observed.is_half_removed:
            finish_removal(later.runtime, observed, later.home)
            finished += 1
        assert _of_nodes(later) in (whole, set()), at
    assert finished


def test_data_in_a_directory_stay_unless_it_is_noted_that_they_are_to_go(
    tmp_path: Path, patched: pytest.MonkeyPatch
) -> None:
    """A `down` of an earlier state noted that it removed storages even if their data were to stay in the directory."""
    for at in itertools.count():
        place = tmp_path / str(at)
        home, data = place / "home", place / "data"
        data.mkdir(parents=True)
        patched.chdir(place)
        made = _create({"brokers": {"port": "auto"}, "storage": str(data)}, home)
        whole = _of_nodes(made)
        assert _kill(patched, home, at, partial(made.down, delete_data=False))
        later = Environment.named(NAME, home=home)
        observed = later.runtime.observe(NAME)
        assert not observed.is_half_removed
        if observed.about and not observed.nodes and observed.storages:
            break
    assert observed.about
    later.runtime.write_about(NAME, observed.about.model_copy(update={"removing": True}))
    observed = later.runtime.observe(NAME)
    assert not observed.is_half_removed
    told: list[Event] = []
    assert finish_removal(later.runtime, observed, later.home, told.append) == observed
    assert told == []
    values: dict[str, Any] = {"brokers": {"port": "auto"}, "storage": str(data)}
    planned = Environment(home=home, name=NAME, runtime="process", **values).plan().plan
    created = {action.resource for action in planned.actions if action.verb is Verb.CREATE}
    assert not {f"storage {node}" for node in observed.storages} & created
    later.on_event = told.append
    later.down(delete_data=False)
    assert not any("deleted" in event.text for event in told if isinstance(event, Notice))
    assert _of_nodes(later) == whole
    assert whole


def _of_nodes(environment: Environment) -> set[str]:
    """What brokers and ZooKeepers have written, wherever it is."""
    home = environment.home.directory
    places = (home.parent, memory_root(environment.home))
    return {str(file) for place in places for file in place.rglob("recovery-point-offset-checkpoint")}
