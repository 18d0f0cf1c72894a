"""Notes in the engine: one of each kind, whoever makes it; and never in the way of what an environment has."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from provision.errors import Refused
from provision.runtime.docker import found, notes
from tests.fake_volumes import FakeVolumes


@pytest.fixture
def api() -> Any:  # noqa: ANN401 it stands for the SDK's
    return FakeVolumes()


def test_a_note_says_what_was_written(api: Any) -> None:  # noqa: ANN401
    made = notes.make(api, "orders", "about", {"file": "/a/orders.yaml", "odd": "a=b, ü"})
    assert made == notes.read(api, "orders", "about")
    assert (made.environment, made.kind, made.made_s) == ("orders", "about", api.now_s)
    assert made.texts == {"file": "/a/orders.yaml", "odd": "a=b, ü"}


def test_of_many_who_make_one_at_once_all_read_the_same(api: Any) -> None:  # noqa: ANN401
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda n: notes.make(api, "orders", "lock", {"token": str(n)}).texts["token"], range(64)))
    assert len(set(made)) == 1


def test_notes_are_listed_by_environment(api: Any) -> None:  # noqa: ANN401
    for environment, kind in (("orders", "about"), ("orders", "lock"), ("payments", "about")):
        notes.make(api, environment, kind, {})
    api.create_volume("orders-broker-1", labels={"provision.environment": "orders", "provision.node": "broker-1"})
    assert {(note.environment, note.kind) for note in notes.all_of(api, "orders")} == {
        ("orders", "about"),
        ("orders", "lock"),
    }
    assert {note.environment for note in notes.all_of(api)} == {"orders", "payments"}


def test_a_removed_note_is_gone_and_can_be_removed_again(api: Any) -> None:  # noqa: ANN401
    notes.make(api, "orders", "about", {})
    notes.remove(api, "orders", "about")
    notes.remove(api, "orders", "about")
    assert notes.read(api, "orders", "about") is None
    assert api.there == {}


@pytest.mark.parametrize(
    "labels",
    [
        None,
        {"theirs": "yes"},
        {"provision.environment": "orders"},
        {"provision.environment": "payments", "provision.note": "about"},
        {"provision.environment": "orders", "provision.note": "other"},
    ],
)
def test_what_somebody_else_calls_so_is_neither_read_nor_removed(api: Any, labels: dict[str, str] | None) -> None:  # noqa: ANN401
    api.create_volume("orders.about", labels=labels)
    assert notes.read(api, "orders", "about") is None
    assert [note for note in notes.all_of(api) if note.kind == "about"] == []
    with pytest.raises(Refused, match=r"the volume orders\.about is not of this environment"):
        notes.make(api, "orders", "about", {})
    notes.remove(api, "orders", "about")
    assert "orders.about" in api.there


@pytest.mark.parametrize("time", [None, "", "yesterday", 5, "9999-01-01T00:00:00Z", "1066-10-14T00:00:00Z"])
def test_a_time_that_is_none_is_as_old_as_can_be(time: object) -> None:
    assert notes.engine_time_s(time) == 0


def test_times_of_all_zones_are_the_same() -> None:
    assert notes.engine_time_s("2026-01-02T03:04:05Z") == notes.engine_time_s("2026-01-02T05:04:05.5+02:00") - 0.5


def test_notes_alone_are_no_environment(api: Any) -> None:  # noqa: ANN401
    notes.make(api, "orders", "about", {})
    things = found.Things([], [], api.volumes()["Volumes"])
    observed = found.environment("docker", "orders", ["broker-1"], things, lambda _: pytest.fail("there is no node"))
    assert observed.is_absent
    assert observed.storages == frozenset()
    assert observed.foreign == ()
    assert observed.created_s is None
