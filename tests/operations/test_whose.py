"""Whose an environment is: a file of the same name elsewhere never takes it over by accident."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from provision import Environment
from provision.cli.run import run
from provision.cluster.model import Role
from provision.common.process_identity import ProcessIdentity, host_name
from provision.errors import Refused, UsageError
from provision.events import Event, Notice
from provision.operations.whose import Maker, about_of, require_same_file
from provision.plan.about import About
from provision.plan.observed import NodeState, ObservedEnvironment, ObservedNode
from provision.spec.source import Source
from tests.cli.world import FILE, NAME, settle
from tests.holders import dead, elsewhere, living, reused

HERE = host_name()


def about(file: Path | str, host: str = HERE, **more: object) -> About:
    return About(file=str(file), host=host, home="/home/of/it", user="ada", created_s=1.0, **more)  # type: ignore[arg-type]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Two checkouts with a file of the same name, which says none itself."""
    made = tuple(tmp_path / checkout / "environments" / "orders.yaml" for checkout in ("one", "other"))
    for file in made:
        file.parent.mkdir(parents=True)
        file.write_text("brokers: {port: auto}\n")
    return made[0], made[1]


def told_of(known: About | None, source: Source, *, take_over: bool = False) -> list[str]:
    events: list[Event] = []
    require_same_file("orders", known, source, take_over=take_over, tell=events.append)
    return [event.text for event in events if isinstance(event, Notice)]


REFUSED: dict[str, Callable[[Path], About]] = {
    "another checkout": about,
    "another machine": lambda one: about(one.parent / "elsewhere.yaml", host="far-away"),
    "the same path on another machine": lambda one: about(
        one.parents[2] / "other/environments/orders.yaml", "far-away"
    ),
    "a program": lambda _one: about(""),
}


@pytest.mark.parametrize("known", REFUSED.values(), ids=REFUSED)
def test_what_was_made_from_something_else_is_refused_with_both_named(
    files: tuple[Path, Path], known: Callable[[Path], About]
) -> None:
    one, other = files
    with pytest.raises(Refused) as caught:
        told_of(known(one), Source(other))
    assert known(one).origin in caught.value.why
    assert str(other) in caught.value.why
    assert "--take-over" in caught.value.hint
    (told,) = told_of(known(one), Source(other), take_over=True)
    assert str(other) in told
    assert "takes it over" in told


def test_the_same_file_is_the_same_by_whichever_path(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = files
    (tmp_path / "link").symlink_to(tmp_path / "one")
    monkeypatch.chdir(tmp_path)
    for path in (one, Path("one/environments/orders.yaml"), tmp_path / "link/environments/orders.yaml"):
        assert told_of(about(one), Source(path)) == []
    assert told_of(None, Source(one)) == []  # made by an earlier version
    assert told_of(about(one), Source(None, values={"name": "orders"}, only_name=True)) == []


def test_a_file_that_has_been_moved_stays_the_environments(files: tuple[Path, Path]) -> None:
    one, other = files
    one.unlink()
    (told,) = told_of(about(one), Source(other))
    assert f"{one}, which is no longer there" in told
    one.parent.rmdir()
    assert told_of(about(one), Source(other)) == [told]


def test_what_this_user_may_not_look_at_is_not_taken_for_moved(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = files

    def forbidden(_path: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("provision.operations.whose.os.lstat", forbidden)
    with pytest.raises(Refused):
        told_of(about(one), Source(other))


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        ("name: orders\n", ()),
        ("brokers: {nodes: 1}\n", ("name=orders",)),
        ("name: orders\nbrokers: [\n", ()),  # not YAML, but it says the name
    ],
)
def test_a_name_said_on_purpose_is_used_and_the_other_file_named(
    files: tuple[Path, Path], text: str, overrides: tuple[str, ...]
) -> None:
    one, other = files
    other.write_text(text)
    (told,) = told_of(about(one), Source(other, overrides))
    assert str(one) in told
    assert str(other) in told


def test_an_environment_keeps_its_maker_until_another_file_or_owner_takes_its_place(files: tuple[Path, Path]) -> None:
    one, other = files
    me = ProcessIdentity.of()
    first = about_of(Source(one), Maker(Path("/first"), "job-1", me), _there(None), 60)
    assert (first.file, first.home, first.owner, first.owner_process, first.ttl_s) == (
        str(one), "/first", "job-1", me, 60,
    )  # fmt: skip
    again = about_of(Source(one), Maker(Path("/second")), _there(first), 7)
    assert again == first.model_copy(update={"ttl_s": 7})
    named = about_of(Source(one), Maker(Path("/first"), "job-2"), _there(first), 60)
    assert (named.owner, named.owner_process) == ("job-2", me)
    moved = about_of(Source(other), Maker(Path("/second")), _there(first), 60)
    assert (moved.file, moved.home, moved.owner, moved.created_s) == (str(other), "/second", "job-1", first.created_s)
    taken = about_of(Source(other), Maker(Path("/second")), _there(first), None, take_over=True)
    assert (taken.file, taken.owner, taken.owner_process, taken.ttl_s) == (str(other), "", None, None)


def _there(known: About | None) -> ObservedEnvironment:
    nodes = (ObservedNode("broker-1", Role.BROKER, NodeState.RUNNING, "a"),) if known else ()
    return ObservedEnvironment("orders", "fake", network=True, nodes=nodes, about=known, created_s=5.0)


def test_over_data_that_were_kept_it_begins_anew_and_is_not_past_its_ttl_at_once(files: tuple[Path, Path]) -> None:
    known = about(files[0], changes=())
    kept = ObservedEnvironment("orders", "fake", storages=frozenset({"broker-1"}), about=known, created_s=1.0)
    before_s = time.time()
    again = about_of(Source(files[0]), Maker(Path("/first")), kept, 60)
    assert again.created_s >= before_s
    assert again.file == known.file


def test_an_owner_that_has_ended_is_not_kept_by_who_uses_the_environment_again(files: tuple[Path, Path]) -> None:
    one, _ = files
    for gone, kept in ((dead(), False), (reused(), False), (elsewhere(), True), (living(), True)):
        known = about(one, owner_process=gone.process)
        again = about_of(Source(one), Maker(Path("/first")), _there(known), None)
        assert (again.owner_process == gone.process) is kept


def test_a_note_that_a_killed_command_has_left_says_nothing_of_what_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, _ = settle(tmp_path, monkeypatch)
    assert run(["down", NAME]) == 0
    left = about(tmp_path / "environments" / f"{NAME}.yaml", owner="job-1", owner_process=dead().process, removing=True)
    other = tmp_path / "other" / "environments" / f"{NAME}.yaml"
    other.parent.mkdir(parents=True)
    other.write_text(FILE.replace("name: shop\n", ""))
    monkeypatch.chdir(tmp_path / "other")
    runtime.write_about(NAME, left)
    assert run(["plan"]) == 0
    before_s = time.time()
    assert run(["up"]) == 0
    made = runtime.about(NAME)
    assert made is not None
    assert (made.file, made.owner, made.owner_process, made.removing) == (str(other), "", None, False)
    assert made.created_s >= before_s
    assert run(["down"]) == 0
    assert not runtime.abouts()


def test_by_name_alone_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, _ = settle(tmp_path, monkeypatch)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert run(["restart", NAME]) == 0
    assert run(["down", NAME]) == 0
    assert runtime.observe(NAME).is_absent
    assert not runtime.abouts()


def test_a_changed_ttl_and_owner_count_at_once_and_change_no_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runtime, _ = settle(tmp_path, monkeypatch)
    file = tmp_path / "environments" / f"{NAME}.yaml"
    file.write_text(FILE)
    verbs: list[str] = []
    runtime.on_verb = lambda verb, _subject: verbs.append(verb)
    for ttl, expected, said in (("2h", 7200, "its ttl is 2 h now"), (None, None, "its ttl is none now")):
        file.write_text(FILE + (f"ttl: {ttl}\n" if ttl else ""))
        assert run(["up"]) == 0
        told = capsys.readouterr().err
        assert said in told
        assert "nothing to change" in told
        assert runtime.observe(NAME).about.ttl_s == expected  # type: ignore[union-attr]
    monkeypatch.setenv("PROVISION_OWNER", "ada")
    assert run(["up"]) == 0
    assert "its owner is ada now" in capsys.readouterr().err
    assert verbs == ["write_about"] * 3
    assert run(["up"]) == 0
    assert verbs == ["write_about"] * 3
    assert "is" not in capsys.readouterr().err.replace("nothing to change", "").split()


def test_programs_take_environments_over_by_an_argument(tmp_path: Path) -> None:
    assert Environment(name="orders", home=tmp_path).take_over is False
    assert Environment(name="orders", home=tmp_path, take_over=True).take_over is True


def test_status_tells_if_the_environment_is_another_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settle(tmp_path, monkeypatch)
    assert run(["status"]) == 0
    assert "was made from" not in capsys.readouterr().err
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "shop.yaml").write_text(FILE)
    assert run(["status", "other/shop.yaml"]) == 0
    assert f"{NAME} was made from {tmp_path / 'environments' / 'shop.yaml'}, and not from" in capsys.readouterr().err


def test_an_owner_that_cannot_be_shown_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settle(tmp_path, monkeypatch)
    assert run(["up", "--owner-job", "a\nb"]) == UsageError.exit_code
    monkeypatch.setenv("PROVISION_OWNER", "\x1b[31m")
    assert run(["up"]) == UsageError.exit_code
    assert run(["up", "--owner-pid", "4194305"]) == UsageError.exit_code
    assert "there is no process 4194305" in capsys.readouterr().err


def test_what_anybody_has_written_into_a_label_does_no_harm() -> None:
    known = About.parse('{"created_s": 1, "user": "\\u001b[31mada", "owner": "a\\nb", "file": "/x\\u0007"}')
    assert known
    assert all(text.isprintable() for text in (known.user, known.owner, known.origin))
    for damaged in ("", "{", '{"created_s": "soon"}', '{"created_s": 1, "ttl_s": -1}', "[]"):
        assert About.parse(damaged) is None
