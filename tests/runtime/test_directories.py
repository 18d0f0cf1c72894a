"""What a user's directory with earlier data tells of the cluster that wrote it."""

import errno
import re
from pathlib import Path

import pytest
from hypothesis import given

from provision.cluster.model import RenderedFile
from provision.errors import ProvisionError, Refused
from provision.runtime import directories
from tests.mutations import REPLACED, mangled

ID = "fwAAAAAAAAAAAAAAAAAAAA"


def formatted(storage: Path, node: str, content: bytes, environment: str = "orders") -> Path:
    data = directories.create(storage, node, environment)
    (data / "meta.properties").write_bytes(content)
    return data


def test_what_a_node_has_stored_is_read_from_its_directory(tmp_path: Path) -> None:
    data = formatted(tmp_path, "broker-2", f"#\n#Sun Nov 22\nnode.id=2\nversion=1\ncluster.id={ID}\n".encode())
    found = directories.stored_in(data, "broker-2")
    assert found is not None
    assert (found.cluster_id, found.node_id, found.mode, found.written) == (ID, "2", "kraft", False)
    assert found.place == str(data / "meta.properties")
    (data / "orders-0").mkdir()
    used = directories.stored_in(data, "broker-2")
    assert used is not None
    assert used.written


NOTE = b'\0\x31{"version":"1","id":"' + ID.encode() + b'"}\0\0'


@pytest.mark.parametrize("at", [0, 1000, 1024**2 - len(NOTE), 1024**2 - 60, 1024**2 - 3, 1024**2, 3 * 1024**2 - 20])
def test_the_cluster_that_an_ensemble_notes_is_found_wherever_it_stands(tmp_path: Path, at: int) -> None:
    log = tmp_path / "version-2" / "log.1"
    log.parent.mkdir()
    log.write_bytes(b"\0" * at + NOTE + b"\0" * 5_000_000)
    found = directories.stored_in(tmp_path, "zookeeper-1")
    assert found is not None
    assert found.ensemble_of == {ID}
    for node in ("broker-1", "controller-1"):
        assert getattr(directories.stored_in(tmp_path, node), "ensemble_of", None) == frozenset()


def test_an_ensemble_that_noted_no_cluster_or_several_is_read_so(tmp_path: Path) -> None:
    logs = tmp_path / "version-2"
    logs.mkdir()
    topic = b'{"topic_id":"fwAAAAAAAAAAAAAAAAAAAB","version":3,"id":"fwAAAAAAAAAAAAAAAAAAAB"}'
    (logs / "log.1").write_bytes(topic)
    assert getattr(directories.stored_in(tmp_path, "zookeeper-1"), "ensemble_of", None) == frozenset()
    other = ID[:-1] + "C"
    (logs / "log.1").write_bytes(NOTE + topic)
    (logs / "snapshot.7").write_bytes(NOTE.replace(ID.encode(), other.encode()))
    assert getattr(directories.stored_in(tmp_path, "zookeeper-1"), "ensemble_of", None) == {ID, other}


@pytest.mark.parametrize("content", [b"", b"version=1\n", b"cluster.id", b"\xff\xfe", b"a=1\na=2\n"])
def test_a_storage_that_was_not_formatted_has_no_cluster(tmp_path: Path, content: bytes) -> None:
    found = directories.stored_in(formatted(tmp_path, "broker-1", content), "broker-1")
    assert found is not None
    assert (found.cluster_id, found.written) == ("", False)


@pytest.mark.parametrize("node", ["broker-1", "zookeeper-1", "controller-1"])
def test_where_nothing_is_nothing_is_stored(tmp_path: Path, node: str) -> None:
    for data in (tmp_path / "missing", tmp_path):
        found = directories.stored_in(data, node)
        assert found is not None
        assert (found.cluster_id, found.written, found.place) == ("", False, str(data))


@pytest.mark.parametrize("blocked", ["meta.properties", "version-2"])
def test_what_cannot_be_read_is_unknown_and_not_taken_for_empty(tmp_path: Path, blocked: str) -> None:
    """A link that leads round in circles cannot be read by anybody, not even by root."""
    (tmp_path / blocked).symlink_to(blocked)
    assert directories.stored_in(tmp_path, "zookeeper-1") is None


def test_what_data_were_last_used_with_is_stored_with_them_but_for_secrets(tmp_path: Path) -> None:
    directories.create(tmp_path, "broker-1", "orders")
    plain = RenderedFile("broker-1", "launch.json", b'{"kafka": "3.9.1"}')
    directories.keep_files(tmp_path, "broker-1", (plain, RenderedFile("broker-1", "key.pem", b"xyzzy", secret=True)))
    assert directories.kept_files(tmp_path, "broker-1") == (plain,)
    assert directories.kept_files(tmp_path, "broker-2") == ()


def test_a_node_has_data_when_more_than_an_empty_directory_is_there_and_it_is_of_that_environment(
    tmp_path: Path,
) -> None:
    assert directories.nodes_with_data(tmp_path / "missing", "orders") == frozenset()
    directories.create(tmp_path, "broker-1", "orders")
    (tmp_path / "mine").mkdir()
    for node, environment in (("broker-2", "orders"), ("broker-3", "others")):
        (directories.create(tmp_path, node, environment) / "meta.properties").touch()
    assert directories.nodes_with_data(tmp_path, "orders") == {"broker-2"}
    (tmp_path / "broker-1" / "data").rmdir()
    assert directories.nodes_with_data(tmp_path, "orders") == {"broker-2"}


@pytest.mark.parametrize("left", [[".provision"], [".provision.999999999-1.new"], [".provision", ".provision.7-7.new"]])
def test_what_is_left_of_a_marker_does_not_make_a_directory_somebody_elses(tmp_path: Path, left: list[str]) -> None:
    (tmp_path / "broker-1").mkdir()
    for name in left:
        (tmp_path / "broker-1" / name).touch()
    directories.create(tmp_path, "broker-1", "orders")
    assert directories.has_data(tmp_path, "orders")


@pytest.mark.parametrize("name", [".provision/x", "notes.txt", ".provision.new", "data", "mine.1-1.new"])
def test_any_other_file_is_somebody_elses(tmp_path: Path, name: str) -> None:
    (tmp_path / "broker-1" / name).parent.mkdir(parents=True)
    (tmp_path / "broker-1" / name).touch()
    with pytest.raises(Refused, match="has files that are not of this environment"):
        directories.create(tmp_path, "broker-1", "orders")
    assert (tmp_path / "broker-1" / name).exists()


def test_a_marker_that_an_editor_gave_a_line_end_is_still_one(tmp_path: Path) -> None:
    directories.create(tmp_path, "broker-1", "orders")
    (tmp_path / "broker-1" / ".provision").write_text("orders\n")
    directories.create(tmp_path, "broker-1", "orders")
    assert directories.has_data(tmp_path, "orders")


@pytest.mark.parametrize("name", ["broker-1.bak", "copy", "broker-0", "broker-1000000000", "tool-1"])
def test_a_copy_of_a_nodes_directory_is_no_node(tmp_path: Path, name: str) -> None:
    (directories.create(tmp_path, name, "orders") / "meta.properties").write_text(f"cluster.id={ID}\n")
    assert directories.nodes_with_data(tmp_path, "orders") == frozenset()
    assert directories.cluster_id_in(tmp_path, "orders") == ""


@pytest.mark.parametrize("what", REPLACED)
@pytest.mark.parametrize("file", [".provision", "data/meta.properties"])
def test_whatever_stands_in_the_place_of_a_file_it_is_no_error(tmp_path: Path, file: str, what: str) -> None:
    formatted(tmp_path, "broker-1", f"cluster.id={ID}\n".encode())
    REPLACED[what](tmp_path / "broker-1" / file)
    assert directories.cluster_id_in(tmp_path, "orders") in ("", ID)
    assert directories.nodes_with_data(tmp_path, "orders") in (frozenset(), {"broker-1"})


@given(content=mangled(f"version=1\ncluster.id={ID}\n".encode()))
def test_whatever_meta_properties_say_an_id_is_one_or_unknown(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    storage = tmp_path_factory.mktemp("storage")
    (directories.create(storage, "broker-1", "orders") / "meta.properties").write_bytes(content)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{21}|", directories.cluster_id_in(storage, "orders"))


def test_a_full_disk_leaves_no_directory_that_nobody_would_remove(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(directories, "write_whole", full)
        with pytest.raises(ProvisionError, match="cannot prepare") as told:
            directories.create(tmp_path, "broker-1", "orders")
    assert told.value.why == "No space left on device"
    assert not (tmp_path / "broker-1").exists()
    data = directories.create(tmp_path, "broker-1", "orders")
    (data / "meta.properties").write_text("cluster.id=x\n")
    with monkeypatch.context() as patch:
        patch.setattr(directories, "write_whole", full)
        with pytest.raises(ProvisionError, match="cannot prepare"):
            directories.create(tmp_path, "broker-1", "orders")
    assert (data / "meta.properties").exists()
