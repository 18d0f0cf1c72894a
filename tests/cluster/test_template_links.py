"""Own templates are those of the file's `templates` directory: no link leads out of it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.cluster.model import Cluster
from provision.cluster.render import render
from provision.errors import InvalidEnvironment
from tests.cluster.test_render import cluster_of

SERVER = "server.properties.j2"


def _cluster(templates: Path) -> Cluster:
    return cluster_of(templates=str(templates))


def _template_outside(templates: Path, outside: Path) -> None:
    (templates / SERVER).symlink_to(outside / "secret")


def _relative_link(templates: Path, outside: Path) -> None:
    (templates / SERVER).symlink_to(os.path.relpath(outside / "secret", templates))


def _chain(templates: Path, outside: Path) -> None:
    (templates / "second").symlink_to(outside / "secret")
    (templates / SERVER).symlink_to("second")


def _directory_outside(templates: Path, outside: Path) -> None:
    (templates / "parts").symlink_to(outside, target_is_directory=True)
    (templates / SERVER).write_text("{% include 'parts/secret' %}")


def _included(templates: Path, outside: Path) -> None:
    (templates / "part").symlink_to(outside / "secret")
    (templates / SERVER).write_text("{% include 'part' %}")


def _device(templates: Path, outside: Path) -> None:
    (templates / SERVER).symlink_to("/dev/zero")


def _not_there(templates: Path, outside: Path) -> None:
    (templates / SERVER).symlink_to(outside / "missing")


def _neighbour(templates: Path, outside: Path) -> None:
    beside = templates.with_name(f"{templates.name}-too")
    beside.mkdir()
    (beside / "secret").write_text("x=1\n")
    (templates / SERVER).symlink_to(beside / "secret")


WAYS_OUT = [
    _template_outside,
    _relative_link,
    _chain,
    _directory_outside,
    _included,
    _device,
    _not_there,
    _neighbour,
]


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """The directory of templates, and one outside."""
    templates, outside = tmp_path / "templates", tmp_path / "outside"
    templates.mkdir()
    outside.mkdir()
    (outside / "secret").write_text("password=swordfish\n")
    return templates, outside


@pytest.mark.parametrize("lead_out", WAYS_OUT)
def test_a_link_out_of_the_directory_is_refused_by_name(
    places: tuple[Path, Path], lead_out: Callable[[Path, Path], None]
) -> None:
    templates, outside = places
    lead_out(templates, outside)
    with pytest.raises(InvalidEnvironment) as caught:
        render(_cluster(templates))
    assert f" leads out of {templates}, to " in caught.value.why
    assert "swordfish" not in caught.value.why


def test_links_within_the_directory_and_to_it_are_fine(places: tuple[Path, Path]) -> None:
    templates, outside = places
    (templates / "..data").mkdir()
    (templates / "..data" / SERVER).write_text("broker.id={{ node.id }}\n")
    (templates / SERVER).symlink_to(f"..data/{SERVER}")
    (outside / "link").symlink_to(templates, target_is_directory=True)
    for directory in (templates, outside / "link"):
        files = {(file.node, file.name): file.text for file in render(_cluster(directory))}
        assert files["broker-1", "server.properties"] == "broker.id=1\n"


def _to_itself(template: Path) -> None:
    template.symlink_to(template.name)


def _to_nothing(template: Path) -> None:
    template.symlink_to("missing")


@pytest.mark.parametrize("make", [_to_itself, _to_nothing, Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_told_and_the_shipped_template_does_not_take_its_place(
    places: tuple[Path, Path], make: Callable[[Path], None]
) -> None:
    templates, _ = places
    make(templates / SERVER)
    with pytest.raises(InvalidEnvironment) as caught:
        render(_cluster(templates))
    assert f"{templates / SERVER} is not a file" in caught.value.why
