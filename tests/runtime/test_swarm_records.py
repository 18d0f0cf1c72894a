"""What a swarm keeps of nodes and environments: records, files by their content, and notes."""

import json

import pytest
from docker.errors import APIError, NotFound

from provision.cluster.model import RenderedFile
from provision.errors import Busy
from provision.plan.about import About
from provision.runtime.docker import abouts, locks
from provision.runtime.docker import containers as spec
from provision.runtime.swarm.notes import ConfigVolumes
from provision.runtime.swarm.records import FILES, Record, Records
from tests.fake_swarm import FakeManager
from tests.holders import living

NAME = "a-name-as-long-as-an-environments-may-be"
FILE = RenderedFile("broker-1", "server.properties", b"a=1\n")
SECRET = RenderedFile("broker-1", "secrets.properties", b"password=xyzzy\n", secret=True)


@pytest.fixture
def manager() -> FakeManager:
    return FakeManager()


@pytest.fixture
def records(manager: FakeManager) -> Records:
    made = Records(manager)
    made.create(NAME, "broker-1", {spec.ENVIRONMENT: NAME, spec.NODE: "broker-1"})
    return made


def record(records: Records) -> Record:
    found = records.of(NAME, "broker-1")
    assert found is not None
    return found


def test_files_are_read_back_and_of_secrets_only_what_identifies_them(records: Records) -> None:
    records.put(record(records), NAME, [FILE, SECRET])
    plain, hidden = records.read(record(records))
    assert plain == FILE
    assert (hidden.name, hidden.secret, hidden.content) == (SECRET.name, True, b"")
    assert hidden.is_same(SECRET)
    assert not hidden.is_same(RenderedFile("broker-1", SECRET.name, b"password=plugh\n", secret=True))
    assert not plain.is_same(RenderedFile("broker-1", FILE.name, FILE.content, secret=True))


def test_nothing_of_a_secret_is_in_a_label_or_in_a_config(manager: FakeManager, records: Records) -> None:
    records.put(record(records), NAME, [FILE, SECRET])
    told = [thing["Spec"]["Labels"] for things in manager.things.values() for thing in things.values()]
    assert "xyzzy" not in json.dumps([told, manager.things["configs"]])


def test_former_files_go_unless_a_service_has_them(manager: FakeManager, records: Records) -> None:
    records.put(record(records), NAME, [FILE, SECRET])
    (former,) = (file for file in record(records).files if not file.secret)
    manager.in_use.add(former.id)
    later = RenderedFile("broker-1", FILE.name, b"a=2\n")
    for _ in range(2):
        records.put(record(records), NAME, [later, SECRET])
        assert [file.content for file in records.read(record(records)) if not file.secret] == [b"a=2\n"]
        assert former.id in manager.things["configs"]
        assert len(manager.things["secrets"]) == 1
    manager.in_use.clear()
    records.sweep(NAME, "broker-1", {file.id for file in record(records).files})
    assert former.id not in manager.things["configs"]
    records.sweep(NAME, "broker-1")
    records.remove(record(records))
    assert manager.things == {"configs": {}, "secrets": {}}


def test_an_empty_file_stays_empty(records: Records) -> None:
    empty = RenderedFile("broker-1", "empty.properties", b"")
    records.put(record(records), NAME, [empty])
    assert records.read(record(records)) == (empty,)


def test_a_config_that_somebody_has_removed_is_a_file_that_is_missing(manager: FakeManager, records: Records) -> None:
    records.put(record(records), NAME, [FILE, SECRET])
    (plain,) = (file for file in record(records).files if not file.secret)
    manager.remove_config(plain.id)
    assert [file.name for file in records.read(record(records))] == [SECRET.name]


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"name": "x"}]', "null", '{"a": 1}'])
def test_a_label_that_somebody_has_changed_names_no_files(records: Records, text: str) -> None:
    records.mark(record(records), {FILES: text})
    assert records.read(record(records)) == ()


def test_what_somebody_else_has_just_changed_is_changed_again(manager: FakeManager, records: Records) -> None:
    manager.conflicts = 3
    records.mark(record(records), {"further": "label"})
    assert record(records).labels["further"] == "label"


def test_a_record_that_is_there_stays(records: Records) -> None:
    records.put(record(records), NAME, [FILE])
    records.create(NAME, "broker-1", {spec.ENVIRONMENT: NAME, spec.NODE: "broker-1"})
    assert records.read(record(records)) == (FILE,)


def test_notes_are_configs(manager: FakeManager) -> None:
    notes = ConfigVolumes(manager)
    first = notes.create_volume(f"{NAME}.about-1", {spec.ENVIRONMENT: NAME, "text": "one"})
    again = notes.create_volume(f"{NAME}.about-1", {spec.ENVIRONMENT: NAME, "text": "two"})
    assert first == again == notes.inspect_volume(f"{NAME}.about-1")
    assert first["Name"] == f"{NAME}.about-1"
    assert notes.volumes({"label": f"{spec.ENVIRONMENT}={NAME}"})["Volumes"] == [first]
    assert notes.volumes({"label": [f"{spec.ENVIRONMENT}=another"]})["Volumes"] == []
    notes.remove_volume(f"{NAME}.about-1")
    for act in (notes.inspect_volume, notes.remove_volume):
        with pytest.raises(NotFound):
            act(f"{NAME}.about-1")


def test_what_the_swarm_refuses_else_is_told(manager: FakeManager, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_words: object, **_options: object) -> None:
        raise APIError("no", response=None, explanation="no space")

    monkeypatch.setattr(manager, "create_config", refuse)
    with pytest.raises(APIError):
        ConfigVolumes(manager).create_volume("a.lock", {})
    with pytest.raises(APIError):
        Records(manager).create("a", "broker-1", {})


def test_an_environment_knows_itself_and_is_held_by_one_command_by_notes_in_a_swarm(manager: FakeManager) -> None:
    notes: object = ConfigVolumes(manager)
    about = About(file="/one/orders.yaml", host="here", home="/h", user="ada", created_s=1.5)
    abouts.write(notes, NAME, about)  # type: ignore[arg-type]
    assert abouts.known(notes) == {NAME: about}  # type: ignore[arg-type]
    first = locks.hold(notes, NAME, living("up"))  # type: ignore[arg-type]
    with pytest.raises(Busy):
        locks.hold(notes, NAME, living("down"))  # type: ignore[arg-type]
    first.release()
    locks.hold(notes, NAME, living("down")).release()  # type: ignore[arg-type]
    abouts.remove_without_storages(notes, NAME)  # type: ignore[arg-type]
    assert manager.things["configs"] == {}
