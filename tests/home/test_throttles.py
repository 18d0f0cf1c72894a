"""The note of a throttle: kept until it is forgotten, good for one cluster, and never half written."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.errors import ProvisionError
from provision.home.place import Home
from provision.home.throttles import Settings, ThrottleNote
from tests.mutations import REPLACED, mutated

BEFORE: Settings = {
    ("broker", "1"): {"leader.replication.throttled.rate": None, "follower.replication.throttled.rate": "1000"},
    ("topic", "orders"): {"leader.replication.throttled.replicas": "0:1"},
}

OTHER: Settings = {("broker", "2"): {"leader.replication.throttled.rate": None}}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.at(tmp_path / "home")


@pytest.fixture
def note(home: Home) -> ThrottleNote:
    return home.throttle("shop")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "throttles" / "shop" / "one.json"


def test_it_is_read_as_it_was_written_until_it_is_forgotten(home: Home, note: ThrottleNote, file: Path) -> None:
    assert note.read("one") == {}
    note.write("one", BEFORE)
    assert home.throttle("shop").read("one") == BEFORE
    assert file.is_file()
    note.forget("one")
    assert note.read("one") == {}
    assert not file.parent.exists()


def test_forgetting_what_was_never_noted_is_done_and_leaves_no_trace(home: Home, note: ThrottleNote) -> None:
    home.throttle("nobody").forget("one")
    home.throttle("nobody").forget_all()
    assert not home.directory.exists()
    note.write("one", BEFORE)
    note.forget("two")
    home.throttle("nobody").forget_all()
    assert note.read("one") == BEFORE


def test_reading_leaves_no_trace(note: ThrottleNote, tmp_path: Path) -> None:
    note.read("one")
    assert not (tmp_path / "home").exists()


def test_it_is_good_for_its_cluster_only(note: ThrottleNote) -> None:
    note.write("one", BEFORE)
    assert note.read("two") == {}
    assert note.read("one") == BEFORE


def test_it_is_good_for_its_environment_only(home: Home, note: ThrottleNote) -> None:
    note.write("one", BEFORE)
    assert home.throttle("mall").read("one") == {}
    home.throttle("mall").forget_all()
    assert note.read("one") == BEFORE


def test_two_clusters_of_one_name_each_have_theirs(note: ThrottleNote, file: Path) -> None:
    note.write("one", BEFORE)
    note.write("two", OTHER)
    assert note.read("one") == BEFORE
    assert note.read("two") == OTHER
    note.forget("two")
    assert [entry.name for entry in file.parent.iterdir()] == ["one.json"]
    note.write("two", BEFORE)
    note.forget_all()
    assert not file.parent.exists()


def test_an_id_that_no_kafka_gives_leads_nowhere_else(note: ThrottleNote, file: Path) -> None:
    note.write("../../../etc/passwd", BEFORE)
    (entry,) = file.parent.iterdir()
    assert len(entry.name) == len(".json") + 64
    assert note.read("../../../etc/passwd") == BEFORE


def test_people_can_read_it(note: ThrottleNote, file: Path) -> None:
    note.write("one", OTHER)
    assert json.loads(file.read_text()) == {
        "before": [{"kind": "broker", "name": "2", "settings": {"leader.replication.throttled.rate": None}}],
    }


def test_a_draft_that_was_cut_off_is_no_note(note: ThrottleNote, file: Path) -> None:
    note.write("one", BEFORE)
    file.with_suffix(".new").write_text('{"bef')
    assert note.read("one") == BEFORE


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "7",
        "{}",
        '{"before": 3}',
        '{"before": [3]}',
        '{"before": [{"kind": "topic", "name": "x"}]}',
        '{"before": [{"kind": "topic", "name": "x", "settings": 3}]}',
        '{"before": [{"kind": "topic", "name": "x", "settings": {"retention.ms": "1"}}]}',
        '{"before": [{"kind": "broker", "name": "", "settings": {"leader.replication.throttled.rate": "1"}}]}',
        '{"before": [{"kind": "user", "name": "x", "settings": {}}]}',
    ],
)
def test_a_damaged_note_is_named_and_does_not_mean_that_nothing_is_throttled(
    note: ThrottleNote, file: Path, content: str
) -> None:
    file.parent.mkdir(parents=True)
    file.write_text(content)
    with pytest.raises(ProvisionError, match=r"one\.json is damaged") as caught:
        note.read("one")
    assert "delete it" in caught.value.hint


@pytest.mark.parametrize("what", REPLACED)
def test_whatever_stands_in_its_place_is_told(note: ThrottleNote, file: Path, what: str) -> None:
    note.write("one", BEFORE)
    REPLACED[what](file)
    try:
        assert note.read("one") == BEFORE
    except ProvisionError as error:
        assert "one.json is damaged" in error.what  # noqa: PT017 root can read what nobody may
    note.forget_all()
    assert not file.parent.exists()


@given(data=st.data())
def test_whatever_has_become_of_it_nothing_but_a_throttle_is_restored(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    home = tmp_path_factory.mktemp("home")
    note = Home.at(home).throttle("shop")
    note.write("one", BEFORE)
    file = home / "throttles" / "shop" / "one.json"
    file.write_bytes(data.draw(mutated(file.read_bytes())))
    with suppress(ProvisionError):
        for (kind, name), settings in note.read("one").items():
            assert kind in ("broker", "topic")
            assert name.isascii()
            assert all("replication.throttled" in key for key in settings)
            assert all(value is None or isinstance(value, str) for value in settings.values())


def test_a_home_that_cannot_be_written_is_told(note: ThrottleNote, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(ProvisionError, match="cannot be used"):
        note.write("one", BEFORE)
