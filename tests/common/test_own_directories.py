"""A directory is used only if each of its levels is this user's alone, whatever somebody else has put there first."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.common.own_directories import give, is_own, make_own, make_private, remove_tree, require_trusted
from provision.errors import Refused
from provision.home.place import Home
from tests.users import NOBODY, needs_root

LEVELS = ("provision-1", "orders", "broker-1", "data")


def _link_to_directory(level: Path, victim: Path) -> None:
    level.symlink_to(victim, target_is_directory=True)


def _dangling_link(level: Path, victim: Path) -> None:
    level.symlink_to(victim / "not-there")


def _link_to_itself(level: Path, victim: Path) -> None:
    level.symlink_to(level)


def _file(level: Path, victim: Path) -> None:
    level.touch()


def _open_for_all(level: Path, victim: Path) -> None:
    level.mkdir()
    level.chmod(0o777)


def _open_for_all_but_sticky(level: Path, victim: Path) -> None:
    level.mkdir()
    level.chmod(0o1777)


def _open_for_the_group(level: Path, victim: Path) -> None:
    level.mkdir()
    level.chmod(0o770)


def _of_another_user(level: Path, victim: Path) -> None:
    level.mkdir(mode=0o700)
    os.chown(level, NOBODY, NOBODY)


OBSTACLES = [
    _link_to_directory,
    _dangling_link,
    _link_to_itself,
    _file,
    _open_for_all,
    _open_for_all_but_sticky,
    _open_for_the_group,
    pytest.param(_of_another_user, marks=needs_root),
]


@pytest.mark.parametrize("obstacle", OBSTACLES)
@pytest.mark.parametrize("depth", range(1, len(LEVELS) + 1))
def test_a_level_that_is_not_ours_alone_is_refused_by_name_and_nothing_is_made_behind_it(
    tmp_path: Path, depth: int, obstacle: Callable[[Path, Path], None]
) -> None:
    place, victim = tmp_path / "shm", tmp_path / "victim"
    victim.mkdir()
    level = place.joinpath(*LEVELS[:depth])
    make_own(level.parent, below=place)
    obstacle(level, victim)
    before = level.lstat()
    directory = place.joinpath(*LEVELS)
    with pytest.raises(Refused) as made:
        make_own(directory, below=place)
    assert str(level) in made.value.what
    if obstacle is _file:  # nothing can be in it
        assert not is_own(directory, below=place)
    else:
        with pytest.raises(Refused) as looked:
            is_own(directory, below=place)
        assert str(level) in looked.value.what
    assert made.value.hint
    assert list(victim.iterdir()) == []
    assert level.lstat().st_mode == before.st_mode
    assert not level.is_dir() or list(level.iterdir()) == []


def _no_permissions(_descriptor: int, _mode: int) -> None:
    """As on a Windows drive in WSL."""


def _not_permitted(_descriptor: int, _mode: int) -> None:
    """As on a memory card."""
    raise PermissionError


@pytest.mark.parametrize("chmod", [_no_permissions, _not_permitted])
def test_where_the_file_system_has_no_permissions_there_is_nothing_to_ask_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chmod: Callable[[int, int], None]
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(0o777)
    monkeypatch.setattr(os, "fchmod", chmod)
    made = make_own(tmp_path / "a" / "b", below=tmp_path)
    give(made)
    assert is_own(made, below=tmp_path)


CACHE = Path("cache")
OF_CACHE = [CACHE, CACHE / "kafka", CACHE / "kafka" / "3.9.1"]


@needs_root
@pytest.mark.parametrize("level", OF_CACHE, ids=str)
@pytest.mark.parametrize("how", ["owner", "others", "group"])
def test_what_another_user_may_change_is_not_trusted(tmp_path: Path, level: Path, how: str) -> None:
    (tmp_path / OF_CACHE[-1]).mkdir(parents=True)
    require_trusted(tmp_path / OF_CACHE[-1], below=tmp_path / CACHE)
    match how:
        case "owner":
            os.chown(tmp_path / level, NOBODY, NOBODY)
        case "others":
            (tmp_path / level).chmod(0o777)
        case _:
            os.chown(tmp_path / level, 0, NOBODY)
            (tmp_path / level).chmod(0o775)
    with pytest.raises(Refused) as caught:
        require_trusted(tmp_path / OF_CACHE[-1], below=tmp_path / CACHE)
    assert str(tmp_path / level) in caught.value.what
    assert "PROVISION_CACHE" in caught.value.hint


@needs_root
@pytest.mark.parametrize("level", OF_CACHE, ids=str)
def test_a_link_to_a_place_that_is_ours_is_trusted_and_to_one_that_is_not_is_not(tmp_path: Path, level: Path) -> None:
    (tmp_path / OF_CACHE[-1]).mkdir(parents=True)
    (tmp_path / level).rename(tmp_path / "elsewhere")
    (tmp_path / level).symlink_to(tmp_path / "elsewhere")
    require_trusted(tmp_path / OF_CACHE[-1], below=tmp_path / CACHE)
    os.chown(tmp_path / "elsewhere", NOBODY, NOBODY)
    with pytest.raises(Refused, match="belongs to another user"):
        require_trusted(tmp_path / OF_CACHE[-1], below=tmp_path / CACHE)


@pytest.mark.parametrize("there", range(len(OF_CACHE)))
def test_what_is_not_there_yet_and_what_others_may_only_read_is_trusted(tmp_path: Path, there: int) -> None:
    for level in OF_CACHE[:there]:
        (tmp_path / level).mkdir()
        (tmp_path / level).chmod(0o755)
    require_trusted(tmp_path / OF_CACHE[-1], below=tmp_path / CACHE)


@needs_root
@pytest.mark.parametrize("below", ["trap", "trap/deep/down", "to-trap", "to-trap/deep"])
@pytest.mark.parametrize("as_link", [True, False])
def test_a_place_that_another_user_made_where_everybody_can_write_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str, *, as_link: bool
) -> None:
    public, victim = tmp_path / "public", tmp_path / "victim"
    for place in (public, victim):
        place.mkdir()
    (tmp_path / "to-trap").symlink_to(public / "trap")
    public.chmod(0o1777)
    if as_link:
        (public / "trap").symlink_to(victim)
    else:
        (public / "trap").mkdir(mode=0o777)
    os.chown(public / "trap", NOBODY, NOBODY, follow_symlinks=False)
    place = (public if below.startswith("trap") else tmp_path) / below
    with pytest.raises(Refused, match=r"trap belongs to another user"):
        make_own(place / "broker-1", below=place)
    with pytest.raises(Refused, match=r"trap belongs to another user"):
        Home.at(place)
    assert [*victim.iterdir(), *(public / "trap").iterdir()] == []
    public.chmod(0o755)  # then it was put there by who owns the place
    make_own(place / "broker-1", below=place)
    public.chmod(0o1777)
    monkeypatch.setenv("SUDO_UID", str(NOBODY))
    make_own(place / "broker-1", below=place)


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o077])
def test_every_level_is_made_for_this_user_alone(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        made = make_own(tmp_path / "new" / "place" / "a" / "b", below=tmp_path / "new" / "place")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(level.stat().st_mode) for level in (made, *made.parents) if level.is_relative_to(tmp_path)]
    assert set(modes[:-1]) == {0o700}
    assert is_own(made, below=tmp_path / "new" / "place")
    assert make_own(made, below=tmp_path / "new" / "place") == made


def test_what_others_can_read_is_closed_and_the_place_itself_stays_as_it_is(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    place.chmod(0o755)
    (place / "a").mkdir(mode=0o755)
    make_own(place / "a" / "b", below=place)
    assert stat.S_IMODE((place / "a").stat().st_mode) == 0o700
    assert stat.S_IMODE(place.stat().st_mode) == 0o755
    make_private(place)
    assert stat.S_IMODE(place.stat().st_mode) == 0o755


@pytest.mark.parametrize("below", ["missing", "file"])
def test_what_is_not_there_is_not_own(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    assert not is_own(tmp_path / below / "a" / "b", below=tmp_path / below)


@needs_root
def test_an_account_is_given_a_directory_but_never_the_target_of_a_link(tmp_path: Path) -> None:
    target, link, own = tmp_path / "target", tmp_path / "link", tmp_path / "own"
    target.mkdir(mode=0o755)
    own.mkdir(mode=0o755)
    link.symlink_to(target)
    with pytest.raises(Refused, match="is a link"):
        give(link, (NOBODY, NOBODY))
    assert target.stat().st_uid == 0
    assert stat.S_IMODE(target.stat().st_mode) == 0o755
    give(own, (NOBODY, NOBODY))
    assert (own.stat().st_uid, stat.S_IMODE(own.stat().st_mode)) == (NOBODY, 0o700)


def test_a_removal_takes_links_and_leaves_their_targets(tmp_path: Path) -> None:
    victim, tree = tmp_path / "victim", tmp_path / "tree"
    victim.mkdir()
    (victim / "records").write_text("kept")
    (tree / "deep").mkdir(parents=True)
    (tree / "link").symlink_to(victim)
    (tree / "deep" / "file").symlink_to(victim / "records")
    (tmp_path / "top").symlink_to(victim)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for path in ("tree", "top", "dangling", "not-there"):
        remove_tree(tmp_path / path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["victim"]
    assert (victim / "records").read_text() == "kept"
