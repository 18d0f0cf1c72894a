"""A volume is removed also while containers of provision's own have it mounted, and never under one that writes."""

import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import requests
from docker.errors import APIError, NotFound

from provision.cluster.layout import container_layout
from provision.cluster.model import Cluster
from provision.cluster.resolve import resolve_without_ports
from provision.common.process_identity import ProcessIdentity
from provision.errors import PartlyApplied, Refused
from provision.home.holders import Holder
from provision.plan.about import About
from provision.runtime.docker import abouts, locks, notes, stored, volumes
from provision.runtime.docker import containers as spec
from provision.spec.loader import load_values
from tests.fake_volumes import FakeVolumes

NAME, NODE, VOLUME = "orders", "broker-1", "orders-broker-1"
LIVES = ProcessIdentity.of()
ENDED = LIVES.model_copy(update={"started": "1"})
ELSEWHERE = LIVES.model_copy(update={"host": "far-away"})
OWN = "the node's"
Labels = dict[str, str]


def refused(status: HTTPStatus, why: str) -> APIError:
    response = requests.Response()
    response.status_code = status
    return APIError(why, response, why)


def tool(process: ProcessIdentity | None, *, reads: bool = False, environment: str = NAME) -> Labels:
    labels = {spec.ENVIRONMENT: environment, spec.ROLE: spec.TOOL_ROLE}
    labels |= {spec.PROCESS: process.model_dump_json()} if process else {}
    return labels | ({spec.READER: "true"} if reads else {})


class Engine(FakeVolumes):
    """An engine that refuses to remove a volume that a container has mounted."""

    base_url = "http+docker://"
    api_version = "1.41"
    timeout = 60

    def __init__(self) -> None:
        super().__init__()
        self.create_volume(VOLUME, {spec.ENVIRONMENT: NAME, spec.NODE: NODE, spec.ROLE: "broker"})
        self.users: dict[str, Labels] = {}
        self.mounts: list[dict[str, Any]] = []
        self.listings = 0
        self.on_listing: Callable[[int], None] = lambda _number: None
        self.on_creation: Callable[[], object] = lambda: None
        self.on_reading: Callable[[], object] = lambda: None
        self.status = "created"
        self.broken: APIError | None = None

    def containers(self, **_: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        """Those that have the volume."""
        self.listings += 1
        self.on_listing(self.listings)
        return [
            {"Id": name, "Names": [f"/{name}"], "Labels": labels, "State": "created"}
            for name, labels in self.users.items()
        ]

    def remove_volume(self, name: str) -> None:
        """Refused while it is used."""
        if self.broken:
            raise self.broken
        if self.users and name in self.there:
            raise refused(HTTPStatus.CONFLICT, "volume is in use")
        super().remove_volume(name)

    def remove_container(self, identity: str, **_: Any) -> None:  # noqa: ANN401
        """Forget it."""
        if self.users.pop(identity, None) is None:
            raise NotFound(f"No such container: {identity}")

    def images(self, **_: Any) -> list[str]:  # noqa: ANN401
        """One."""
        return ["sha256:1"]

    def create_host_config(self, **options: Any) -> dict[str, Any]:  # noqa: ANN401
        """As given."""
        return options

    def create_container(
        self,
        labels: Mapping[str, str],
        host_config: Mapping[str, Any],
        **_: Any,  # noqa: ANN401
    ) -> dict[str, str]:
        """A user of the volume, which is created if it is not there."""
        self.on_creation()
        self.users["reads"] = dict(labels)
        self.mounts = host_config["mounts"]
        for mount in self.mounts:
            if mount["Type"] == "volume":
                self.create_volume(mount["Source"], mount["VolumeOptions"]["Labels"])
        return {"Id": "reads"}

    def inspect_container(self, identity: str) -> dict[str, Any]:
        """Its state, if it is there; nobody removes the node's own unless a test says so."""
        if identity not in self.users and identity != OWN:
            raise NotFound(f"No such container: {identity}")
        return {"State": {"Status": self.status}}

    def head(self, url: str, **_: Any) -> requests.Response:  # noqa: ANN401
        """Nor is anything that is looked for."""
        assert url.startswith(self.base_url)
        response = requests.Response()
        response.status_code = HTTPStatus.NOT_FOUND
        return response

    def get_archive(self, container: str, path: str, **_: Any) -> Any:  # noqa: ANN401
        """Nothing of it is there."""
        self.on_reading()
        raise NotFound(f"{container} has no {path}")


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.mark.parametrize(
    "labels",
    [
        tool(LIVES, reads=True),
        tool(ELSEWHERE, reads=True),
        tool(None, reads=True),
        tool(ENDED, reads=True),
        tool(ENDED),
    ],
    ids=["a reader", "a reader of another machine", "an unknown reader", "a dead reader", "a dead writer"],
)
def test_what_only_reads_or_is_left_over_gives_way(engine: Engine, labels: Labels) -> None:
    engine.users = {"one": labels, "another": labels}
    volumes.remove(engine, NAME, NODE, patience_s=60)
    assert (engine.there, engine.users) == ({}, {})


def test_a_reader_that_begins_again_and_again_gives_way_each_time(engine: Engine) -> None:
    def read(number: int) -> None:
        if number in (2, 3):
            engine.users[f"reader-{number}"] = tool(LIVES, reads=True)

    engine.users, engine.on_listing = {"reader": tool(LIVES, reads=True)}, read
    at_first = engine.remove_container

    def remove_container(identity: str, **options: Any) -> None:  # noqa: ANN401
        at_first(identity, **options)
        if engine.listings < 3:  # the next one is there before the volume is asked for
            engine.users["next"] = tool(LIVES, reads=True)

    engine.remove_container = remove_container  # type: ignore[method-assign]
    volumes.remove(engine, NAME, NODE, patience_s=60)
    assert engine.there == {}


def test_readers_of_which_the_engine_tells_only_now_and_then_are_no_failure(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volumes, "_UNSEEN_S", 0.25)
    began, refuse = time.monotonic(), refused(HTTPStatus.CONFLICT, "volume is in use")

    def come_and_go(number: int) -> None:
        engine.users = {"reader": tool(LIVES, reads=True)} if number % 2 else {}
        engine.broken = refuse if time.monotonic() - began < 0.6 else None

    engine.on_listing = come_and_go
    engine.broken = refuse
    volumes.remove(engine, NAME, NODE, patience_s=60)
    assert engine.there == {}


def test_a_removal_that_is_refused_and_has_no_user_fails_soon(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volumes, "_UNSEEN_S", 0.1)
    engine.broken = refused(HTTPStatus.CONFLICT, "volume is in use")
    with pytest.raises(APIError, match="volume is in use"):
        volumes.remove(engine, NAME, NODE, patience_s=60)


def test_all_readers_go_at_once_and_the_volume_at_once_after_them(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volumes, "_POLL_S", 60.0)  # which nobody waits for
    engine.users = {f"reader-{number}": tool(LIVES, reads=True) for number in range(5)}
    together, remove_container = threading.Barrier(5), engine.remove_container

    def remove(identity: str, **options: Any) -> None:  # noqa: ANN401
        together.wait(30)
        remove_container(identity, **options)

    engine.remove_container = remove  # type: ignore[method-assign]
    volumes.remove(engine, NAME, NODE, patience_s=60)
    assert (engine.there, engine.users) == ({}, {})


@pytest.mark.parametrize("process", [LIVES, ELSEWHERE, None], ids=["here", "on another machine", "unknown"])
def test_what_writes_is_waited_for_and_never_removed(engine: Engine, process: ProcessIdentity | None) -> None:
    removed: list[str] = []
    engine.users = {"formats": tool(process)}
    engine.remove_container = lambda identity, **_: removed.append(identity)  # type: ignore[method-assign]
    engine.on_listing = lambda number: engine.users.clear() if number > 1 else None
    volumes.remove(engine, NAME, NODE, patience_s=60)
    assert (engine.there, removed) == ({}, [])


def test_what_writes_and_does_not_end_is_named(engine: Engine) -> None:
    engine.users = {"formats": tool(LIVES)}
    with pytest.raises(PartlyApplied, match=f"the volume {VOLUME} is left") as caught:
        volumes.remove(engine, NAME, NODE, patience_s=0)
    assert str(LIVES) in caught.value.why
    assert "did not create" not in caught.value.why
    assert [*engine.users] == ["formats"]


@pytest.mark.parametrize(
    "labels",
    [{}, {"theirs": "1"}, tool(LIVES, reads=True, environment="another")],
    ids=["unlabelled", "labelled", "of another environment"],
)
def test_a_strangers_container_is_named_and_never_removed(engine: Engine, labels: Labels) -> None:
    engine.users = {"stranger": labels}
    with pytest.raises(PartlyApplied, match=f"the volume {VOLUME} is left") as caught:
        volumes.remove(engine, NAME, NODE, patience_s=60)
    assert "did not create use it: stranger" in caught.value.why
    assert [*engine.users] == ["stranger"]


def test_another_refusal_of_the_engine_is_no_reason_to_wait(engine: Engine) -> None:
    engine.broken = refused(HTTPStatus.INTERNAL_SERVER_ERROR, "the disk is read-only")
    with pytest.raises(APIError, match="the disk is read-only"):
        volumes.remove(engine, NAME, NODE, patience_s=60)
    assert engine.listings == 1


def test_what_nobody_would_find_without_the_volume_goes_before_it_once_nobody_writes_any_more(engine: Engine) -> None:
    seen: list[tuple[bool, int]] = []

    def first(volume: Mapping[str, Any]) -> None:
        seen.append((volume["Name"] in engine.there, len(engine.users)))

    engine.users = {"formats": tool(LIVES)}
    engine.on_listing = lambda number: engine.users.clear() if number > 2 else None
    engine.broken = refused(HTTPStatus.CONFLICT, "cut off")
    with pytest.raises(APIError, match="cut off"):
        volumes.remove(engine, NAME, NODE, first, patience_s=1)
    assert set(seen) == {(True, 0)}
    engine.broken = None
    seen.clear()
    for _ in range(2):
        volumes.remove(engine, NAME, NODE, first, patience_s=60)
    assert (seen, engine.there) == ([(True, 0)], {})


@pytest.mark.parametrize("conflict", [False, True], ids=["gone", "being removed"])
def test_a_reader_that_is_removed_says_that_it_cannot_tell(engine: Engine, conflict: bool) -> None:
    def remove_container(identity: str, **_: Any) -> None:  # noqa: ANN401
        engine.users.clear()
        raise refused(HTTPStatus.CONFLICT, "in progress") if conflict else NotFound(identity)

    engine.remove_container = remove_container  # type: ignore[method-assign]
    assert stored.read(engine, "", NAME, NODE) is None  # and not: its storage is empty


@pytest.mark.parametrize(
    ("version", "directly"), [("1.41", False), ("1.42", False), ("1.43", True), ("1.44", True), ("1.100", True)]
)
@pytest.mark.parametrize("has_directory", [False, True], ids=["volume", "directory"])
def test_a_node_that_may_be_removed_is_read_directly_only_by_an_engine_that_deletes_nothing_then(
    engine: Engine, tmp_path: Path, version: str, directly: bool, has_directory: bool
) -> None:
    engine.api_version = version
    if has_directory:
        (tmp_path / NODE / "data").mkdir(parents=True)
        engine.there[VOLUME]["Labels"][spec.STORAGE] = str(tmp_path)
    with stored.safe(engine, OWN, NAME, NODE) as container:
        assert container == (OWN if directly else "reads")
    assert len(engine.mounts) == (0 if directly else 1 + has_directory)
    assert all(mount["ReadOnly"] for mount in engine.mounts)


ERRORS = {
    "as Docker 20 says it": refused(HTTPStatus.INTERNAL_SERVER_ERROR, "driver overlay2: inconsistent paths"),
    "a conflict": refused(HTTPStatus.CONFLICT, "container is marked for removal"),
    "something else": refused(HTTPStatus.BAD_REQUEST, "what is this"),
}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
@pytest.mark.parametrize("version", ["1.41", "1.43"], ids=["through a reader", "directly"])
@pytest.mark.parametrize("then", ["gone", "removing", "dead", "there"])
def test_what_an_engine_says_while_somebody_removes_what_reads_tells_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, version: str, then: str, error: APIError
) -> None:
    def inspect_container(identity: str) -> dict[str, Any]:
        if then == "gone":
            raise NotFound(identity)
        return {"State": {"Status": "created" if then == "there" else then}}

    def fail() -> None:
        raise error

    monkeypatch.setattr(engine, "inspect_container", inspect_container)
    engine.api_version, engine.on_reading = version, fail
    if then == "there":
        with pytest.raises(APIError) as caught:
            stored.read(engine, OWN, NAME, NODE)
        assert caught.value is error
    else:
        assert stored.read(engine, OWN, NAME, NODE) is None
    assert engine.users == {}


def test_a_node_that_is_removed_while_it_is_read_directly_does_not_look_empty(engine: Engine) -> None:
    engine.api_version = "1.43"
    assert stored.read(engine, OWN, NAME, NODE) is not None
    engine.on_reading = lambda: setattr(engine, "status", "removing")
    assert stored.read(engine, OWN, NAME, NODE) is None


def test_a_volume_that_is_removed_before_it_is_mounted_does_not_look_empty(engine: Engine) -> None:
    engine.on_creation = engine.there.clear
    assert stored.read(engine, "", NAME, NODE) is None
    assert (engine.there, engine.users) == ({}, {})


@pytest.mark.parametrize("goes", ["the volume", "the directory", "nothing"])
def test_what_goes_before_it_is_mounted_cannot_be_read(engine: Engine, tmp_path: Path, goes: str) -> None:
    data = tmp_path / NODE / "data"
    data.mkdir(parents=True)
    engine.there[VOLUME]["Labels"][spec.STORAGE] = str(tmp_path)
    error = refused(HTTPStatus.BAD_REQUEST, f"bind source path does not exist: {data}")

    def refuse() -> None:
        if goes == "the volume":
            engine.there.clear()
        if goes == "the directory":
            data.rmdir()
        raise error

    engine.on_creation = refuse
    with pytest.raises(APIError) as caught, stored.reader(engine, NAME, NODE):
        pass
    if goes == "nothing":
        assert caught.value is error
    else:
        assert isinstance(caught.value, NotFound)
    assert engine.users == {}


def test_an_interrupt_while_a_storage_is_read_is_not_lost_with_the_reader(engine: Engine) -> None:
    def interrupt() -> None:
        engine.users.clear()
        raise KeyboardInterrupt

    engine.on_reading = interrupt
    with pytest.raises(KeyboardInterrupt):
        stored.read(engine, "", NAME, NODE)


HOLDERS: dict[str, tuple[ProcessIdentity | None, bool]] = {
    "nobody": (None, True),
    "this command": (LIVES, True),
    "a command that was killed": (ENDED, True),
    "another command": (ELSEWHERE, False),
}


@pytest.mark.parametrize("removing", [True, False])
@pytest.mark.parametrize("holder", HOLDERS)
def test_while_another_command_removes_the_storages_nobody_begins_to_read_them(
    engine: Engine, holder: str, removing: bool
) -> None:
    api: Any = engine
    process, may_read = HOLDERS[holder]
    abouts.write(api, NAME, About(created_s=1, removing=removing))
    abouts.write(api, "another", About(created_s=1, removing=True))
    if process:
        held = Holder.of("down").model_copy(update={"process": process})
        notes.make(api, NAME, locks.LOCK, {"holder": held.model_dump_json()})
    created: list[str] = []
    engine.on_creation = lambda: created.append("reads")
    found = stored.read(engine, "", NAME, NODE)
    assert (found is not None, bool(created)) == (may_read or not removing,) * 2


def test_what_reads_a_storage_can_be_told_from_what_writes(engine: Engine) -> None:
    with stored.reader(engine, NAME, NODE):
        volumes.remove(engine, NAME, NODE, patience_s=60)
        engine.users["reads"] = {}
    assert engine.there == {}


def cluster() -> Cluster:
    described = load_values({"name": NAME}, (), lambda _: None)
    return resolve_without_ports(described, container_layout(described))


@pytest.mark.parametrize("reads", [True, False], ids=["while it is read", "after its reader was killed"])
def test_a_volume_that_the_engine_created_for_a_reader_becomes_no_storage(engine: Engine, reads: bool) -> None:
    node = cluster().brokers[0]
    engine.on_creation = engine.there.clear  # somebody's `down`
    context = stored.reader(engine, NAME, NODE)
    context.__enter__()
    assert engine.there[VOLUME]["Labels"][spec.ROLE] == spec.TOOL_ROLE
    engine.users = engine.users if reads else {}
    volumes.create(engine, cluster(), node)  # somebody's `up`
    kept = engine.there[VOLUME]["Labels"]
    assert kept.keys() == spec.node_labels(cluster(), node).keys()
    assert (kept[spec.NODE], kept[spec.ROLE], engine.users) == (NODE, "broker", {})
    with pytest.raises(NotFound):  # what it has read is nothing
        context.__exit__(None, None, None)
    stored.remove_strays(engine, NAME)
    assert engine.there[VOLUME]["Labels"] == kept


def test_a_storage_that_is_there_is_created_no_second_time(engine: Engine) -> None:
    before = dict(engine.there[VOLUME])
    volumes.create(engine, cluster(), cluster().brokers[0])
    stored.remove_strays(engine, NAME)
    assert engine.there == {VOLUME: before}


def test_what_takes_the_place_of_a_storage_again_and_again_ends_the_attempts(engine: Engine) -> None:
    stray = {spec.ENVIRONMENT: NAME, spec.ROLE: spec.TOOL_ROLE}
    engine.create_volume = lambda name, **_: engine.there.setdefault(name, {"Name": name, "Labels": stray})  # type: ignore[method-assign]
    engine.there.clear()
    with pytest.raises(Refused, match="again and again"):
        volumes.create(engine, cluster(), cluster().brokers[0])


@pytest.mark.parametrize(
    "labels",
    [
        None,
        {"theirs": "1"},
        {spec.ENVIRONMENT: "another", spec.NODE: NODE},
        {spec.ENVIRONMENT: "another", spec.ROLE: spec.TOOL_ROLE},
        {spec.ENVIRONMENT: NAME, spec.NODE: "broker-2"},
        {spec.ENVIRONMENT: NAME},
    ],
)
def test_the_volume_of_something_else_is_neither_taken_nor_removed(engine: Engine, labels: Labels | None) -> None:
    engine.there = {VOLUME: {"Name": VOLUME, "Labels": labels}}
    with pytest.raises(Refused, match=f"the volume {VOLUME} is not of this environment"):
        volumes.create(engine, cluster(), cluster().brokers[0])
    stored.remove_strays(engine, NAME)
    assert engine.there[VOLUME]["Labels"] == labels
