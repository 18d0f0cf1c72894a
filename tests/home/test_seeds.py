"""The note of topics that are being filled: kept until they are full, good for one cluster, and never half written."""

from pathlib import Path

import pytest

from provision.errors import ProvisionError
from provision.home.place import Home
from provision.home.seeds import Seeding

ORDERS, CLICKS = Seeding(partitions=3, digest="abc"), Seeding(partitions=1, digest="def")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.at(tmp_path / "home")


def test_topics_are_noted_until_they_are_full(home: Home) -> None:
    notes = home.seeds("shop")
    assert notes.read("one") == {}
    notes.begin("one", {"orders": ORDERS})
    notes.begin("one", {"clicks": CLICKS})
    assert home.seeds("shop").read("one") == {"orders": ORDERS, "clicks": CLICKS}
    notes.end("one", "orders", "nothing")
    assert notes.read("one") == {"clicks": CLICKS}
    notes.end("one", "clicks")
    assert notes.read("one") == {}
    assert not notes.directory.exists()


def test_it_is_good_for_its_cluster_and_its_environment_only(home: Home) -> None:
    home.seeds("shop").begin("one", {"orders": ORDERS})
    assert home.seeds("shop").read("another") == {}
    assert home.seeds("mall").read("one") == {}
    assert home.external_seeds("shop").read("one") == {}
    home.seeds("shop").forget_all()
    assert home.seeds("shop").read("one") == {}


def test_ending_what_was_never_begun_leaves_no_trace(home: Home) -> None:
    home.seeds("shop").end("one", "orders")
    assert not home.directory.exists()


@pytest.mark.parametrize("content", ["", "{}", '{"topics": {"orders": {"partitions": "3", "digest": "a"}}}', "[1"])
def test_what_is_not_a_note_is_told(home: Home, content: str) -> None:
    notes = home.seeds("shop")
    notes.begin("one", {"orders": ORDERS})
    (file,) = notes.directory.iterdir()
    file.write_text(content)
    with pytest.raises(ProvisionError, match="is damaged") as told:
        notes.read("one")
    assert str(file) in told.value.what
    assert told.value.hint
    assert list(notes.damaged()) == [str(file)]
