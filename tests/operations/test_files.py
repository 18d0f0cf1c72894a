"""Rendered files are written below the directory that was named, and nowhere else."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.cluster.model import RenderedFile
from provision.errors import Refused
from provision.operations.files import write_below

FILES = [RenderedFile("broker-1", "server.properties", b"new\n"), RenderedFile("broker-2", "launch.json", b"{}")]


def _file(out: Path, victim: Path) -> Path:
    (out / "broker-1").mkdir(parents=True)
    return _linked(out / "broker-1" / "server.properties", victim / "file")


def _last_file(out: Path, victim: Path) -> Path:
    (out / "broker-2").mkdir(parents=True)
    return _linked(out / "broker-2" / "launch.json", victim / "file")


def _missing_file(out: Path, victim: Path) -> Path:
    (out / "broker-1").mkdir(parents=True)
    return _linked(out / "broker-1" / "server.properties", victim / "missing")


def _node(out: Path, victim: Path) -> Path:
    out.mkdir()
    return _linked(out / "broker-2", victim)


def _missing_node(out: Path, victim: Path) -> Path:
    out.mkdir()
    return _linked(out / "broker-1", victim / "missing")


def _linked(link: Path, target: Path) -> Path:
    link.symlink_to(target)
    return link


@pytest.mark.parametrize("lead_out", [_file, _last_file, _missing_file, _node, _missing_node])
def test_a_link_is_refused_by_name_before_anything_is_written(
    tmp_path: Path, lead_out: Callable[[Path, Path], Path]
) -> None:
    out, victim = tmp_path / "out", tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("kept")
    link = lead_out(out, victim)
    with pytest.raises(Refused, match="is a link") as caught:
        write_below(out, FILES)
    assert str(link) in caught.value.what
    assert [entry.name for entry in victim.iterdir()] == ["file"]
    assert (victim / "file").read_text() == "kept"
    assert not [entry for entry in out.rglob("*") if entry.is_file() and not entry.is_symlink()]


def test_files_are_replaced_also_below_a_link_that_was_named_and_whoever_else_has_them_keeps_them(
    tmp_path: Path,
) -> None:
    out, link = tmp_path / "out", tmp_path / "link"
    (out / "broker-1").mkdir(parents=True)
    (tmp_path / "other-name").write_text("kept")
    os.link(tmp_path / "other-name", out / "broker-1" / "server.properties")
    link.symlink_to(out)
    for _ in range(2):
        write_below(link, FILES)
    assert {str(file.relative_to(out)): file.read_text() for file in out.rglob("*.*") if file.is_file()} == {
        "broker-1/server.properties": "new\n",
        "broker-2/launch.json": "{}",
    }
    assert (tmp_path / "other-name").read_text() == "kept"
