"""What a user's directory with earlier data tells of the cluster that wrote it."""

from pathlib import Path

import pytest

from provision.runtime import directories

ID = "fwAAAAAAAAAAAAAAAAAAAA"


def formatted(storage: Path, node: str, content: str, environment: str = "orders") -> None:
    data = directories.create(storage, node, environment)
    (data / "meta.properties").write_text(content)


def test_the_id_is_that_of_any_storage_that_was_formatted(tmp_path: Path) -> None:
    directories.create(tmp_path, "broker-1", "orders")
    formatted(tmp_path, "broker-2", f"#\n#Sun Nov 22\nnode.id=2\nversion=1\ncluster.id={ID}\n")
    assert directories.cluster_id_in(tmp_path, "orders") == ID


@pytest.mark.parametrize("content", ["", "version=1\n", "cluster.id"])
def test_without_a_formatted_storage_there_is_none(tmp_path: Path, content: str) -> None:
    formatted(tmp_path, "broker-1", content)
    assert directories.cluster_id_in(tmp_path, "orders") == ""


def test_what_is_not_there_or_of_another_environment_tells_nothing(tmp_path: Path) -> None:
    assert directories.cluster_id_in(tmp_path / "missing", "orders") == ""
    formatted(tmp_path, "broker-1", f"cluster.id={ID}\n", environment="others")
    assert directories.cluster_id_in(tmp_path, "orders") == ""


def test_what_cannot_be_read_tells_nothing(tmp_path: Path) -> None:
    data = directories.create(tmp_path, "broker-1", "orders")
    (data / "meta.properties").write_bytes(b"\xff\xfe")
    assert directories.cluster_id_in(tmp_path, "orders") == ""


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
