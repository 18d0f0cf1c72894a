"""What a user's directory with earlier data tells of the cluster that wrote it."""

from pathlib import Path

import pytest

from provision.cluster.model import RenderedFile
from provision.runtime import directories

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
