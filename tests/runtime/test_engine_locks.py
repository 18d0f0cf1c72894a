"""The lock in the engine: for one command at a time, from whatever home or machine; dead ones do not count."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from provision.common.patience import Patience
from provision.errors import Busy
from provision.home.holders import Holder
from provision.operations.changing import FORCE_S
from provision.runtime.docker import locks, notes
from tests.fake_volumes import FakeVolumes
from tests.holders import dead, elsewhere, living, reused


@pytest.fixture
def api() -> Any:  # noqa: ANN401 it stands for the SDK's
    return FakeVolumes()


def leave(api: Any, holder: Holder, kind: str = locks.LOCK) -> None:  # noqa: ANN401
    """What a command that was killed leaves."""
    notes.make(api, "orders", kind, {"holder": holder.model_dump_json()})


@pytest.fixture(autouse=True)
def _looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(locks, "_PAUSE_S", 0.01)
    monkeypatch.setattr(locks, "_SILENT_S", 0.2)


def test_one_holds_it_and_the_other_is_told_who(api: Any) -> None:  # noqa: ANN401
    hold = locks.hold(api, "orders", living("up"))
    hold.require_held()
    with pytest.raises(Busy, match=r"orders is being changed by `provision up` \("):
        locks.hold(api, "orders", living("down"))
    locks.hold(api, "payments", living("down")).release()
    hold.release()
    assert api.there == {}


def test_of_many_at_once_one_has_it(api: Any) -> None:  # noqa: ANN401
    def take(_number: int) -> bool:
        try:
            locks.hold(api, "orders", living())
        except Busy:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(take, range(48))) == 1


@pytest.mark.parametrize("gone", [dead, reused], ids=["killed", "its id was reused"])
def test_the_lock_of_a_dead_command_is_taken(api: Any, gone: Callable[[], Holder]) -> None:  # noqa: ANN401
    left = gone()
    leave(api, left)
    leave(api, left, f"beat.{left.token}.3")
    hold = locks.hold(api, "orders", living())
    hold.require_held()
    assert list(api.there) == ["orders.lock"]
    hold.release()
    assert api.there == {}


def test_of_many_who_take_over_from_a_dead_one_one_has_it(api: Any) -> None:  # noqa: ANN401
    for _ in range(20):
        leave(api, dead_holder)
        barrier = threading.Barrier(8)

        def take(_number: int, meet: threading.Barrier = barrier) -> Any:  # noqa: ANN401
            meet.wait(20)
            try:
                return locks.hold(api, "orders", living())
            except Busy:
                return None

        with ThreadPoolExecutor(8) as pool:
            (held,) = filter(None, pool.map(take, range(8)))
        held.require_held()
        held.release()
        assert api.there == {}


dead_holder = dead()


def test_who_was_killed_while_taking_over_is_no_obstacle(api: Any) -> None:  # noqa: ANN401
    first, second, third = dead(), dead(), dead()
    leave(api, first)
    leave(api, second, f"lock.{first.token}")
    leave(api, third, f"lock.{second.token}")
    hold = locks.hold(api, "orders", living())
    assert list(api.there) == ["orders.lock"]
    hold.release()


def test_a_command_of_another_machine_is_dead_a_minute_after_its_last_heartbeat(api: Any) -> None:  # noqa: ANN401
    far = elsewhere()
    leave(api, far)
    api.now_s += 59
    with pytest.raises(Busy, match="elsewhere"):
        locks.hold(api, "orders", living())
    notes.make(api, "orders", f"beat.{far.token}.4", {})
    api.now_s += 59
    with pytest.raises(Busy, match="elsewhere"):
        locks.hold(api, "orders", living())
    api.now_s += 2
    locks.hold(api, "orders", living()).release()
    assert api.there == {}


CLOCKS = {"an hour ahead": 3600.0, "a day ahead": 86400.0, "an hour back": -3600.0, "a year back": -365 * 86400.0}


@pytest.mark.parametrize("moved_s", CLOCKS.values(), ids=CLOCKS)
@pytest.mark.parametrize("before", [True, False], ids=["it had a heartbeat", "it had none"])
def test_an_engine_whose_clock_is_set_neither_frees_the_lock_of_a_living_command_nor_keeps_that_of_a_dead_one(
    api: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
    moved_s: float,
    before: bool,
) -> None:
    far, told = elsewhere(), list[str]()
    leave(api, far)
    if before:
        notes.make(api, "orders", f"beat.{far.token}.1", {})
    api.now_s += moved_s
    monkeypatch.setattr(locks, "_SILENT_S", 20.0)
    beats = threading.Timer(0.1, notes.make, (api, "orders", f"beat.{far.token}.2", {}))
    beats.start()
    with pytest.raises(Busy, match="elsewhere"):
        locks.hold(api, "orders", living(), None, lambda event: told.append(str(event)))
    beats.join()
    assert "elsewhere" in told[0]
    api.now_s += moved_s
    monkeypatch.setattr(locks, "_SILENT_S", 0.1)
    locks.hold(api, "orders", living()).release()
    assert api.there == {}


@pytest.mark.parametrize("moved_s", CLOCKS.values(), ids=CLOCKS)
def test_a_lock_that_is_given_up_while_it_is_watched_is_taken_at_once(
    api: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
    moved_s: float,
) -> None:
    monkeypatch.setattr(locks, "_SILENT_S", 60.0)
    leave(api, elsewhere())
    api.now_s += moved_s
    ends = threading.Timer(0.1, api.remove_volume, ("orders.lock",))
    ends.start()
    hold = locks.hold(api, "orders", living())
    ends.join()
    hold.release()


def test_a_clock_that_is_set_here_takes_no_lock_away(
    api: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hold = locks.hold(api, "orders", living())
    monkeypatch.setattr(time, "time", lambda: 4e9)
    api.there.clear()
    hold.require_held()  # made again
    assert list(api.there) == ["orders.lock"]


def test_gc_removes_no_lock_of_a_command_that_lives(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    far = elsewhere()
    leave(api, far)
    api.now_s += 3600
    (found,) = locks.abandoned(api)
    monkeypatch.setattr(locks, "_SILENT_S", 20.0)
    beats = threading.Timer(0.1, notes.make, (api, "orders", f"beat.{far.token}.2", {}))
    beats.start()
    with pytest.raises(Busy):
        locks.hold(api, found.environment, living("gc"))
    beats.join()
    assert "orders.lock" in api.there


def test_a_lock_that_cannot_be_read_is_dead_after_a_minute_too(api: Any) -> None:  # noqa: ANN401
    notes.make(api, "orders", "lock", {"holder": "{}"})
    with pytest.raises(Busy, match="another command"):
        locks.hold(api, "orders", living())
    api.now_s += 61
    locks.hold(api, "orders", living()).release()
    assert api.there == {}


def test_a_command_that_takes_long_beats(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    monkeypatch.setattr(locks, "BEAT_S", 0.01)
    holder = living()
    hold = locks.hold(api, "orders", holder)
    patience = Patience(20)
    while f"orders.beat.{holder.token}.3" not in api.there and patience.pause(0.005):
        pass
    assert f"orders.beat.{holder.token}.1" not in api.there
    hold.release()
    assert api.there == {}


def test_one_that_was_taken_over_beats_no_more(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    monkeypatch.setattr(locks, "BEAT_S", 0.01)
    mine = locks.hold(api, "orders", holder := living("up"))
    theirs = locks.hold(api, "orders", living("down"), Patience(0))
    heart = mine._heart  # type: ignore[attr-defined]  # noqa: SLF001 whether it ends is all that matters
    heart.join(20)
    assert not heart.is_alive()
    assert "orders.lock" in api.there
    assert not [name for name in api.there if holder.token in name]
    theirs.release()


def test_who_holds_it_is_told_as_long_as_they_run(api: Any) -> None:  # noqa: ANN401
    assert locks.held_by(api, "orders") is None
    holder = living("up")
    hold = locks.hold(api, "orders", holder)
    assert locks.held_by(api, "orders") == holder
    assert locks.held_by(api, "payments") is None
    hold.release()
    for gone in (dead(), reused()):
        leave(api, gone)
        assert locks.held_by(api, "orders") is None
        api.there.clear()
    far = elsewhere()
    leave(api, far)
    assert locks.held_by(api, "orders") == far
    api.now_s += 61
    assert locks.held_by(api, "orders") is None


def test_heartbeats_and_requests_without_a_lock_are_abandoned_after_a_minute(api: Any) -> None:  # noqa: ANN401
    holder = living()
    leave(api, holder)
    kinds = ("beat.0123456789ab.7", "lock.0123456789ab")
    for kind in (*kinds, f"beat.{holder.token}.1", "about"):
        leave(api, holder, kind)
    api.now_s += 59
    assert locks.abandoned(api) == ()
    api.now_s += 2
    assert {note.kind for note in locks.abandoned(api)} == set(kinds)
    left = locks.abandoned(api)
    assert [locks.remove_rest(api, note) for note in left] == [True] * len(kinds)
    assert [locks.remove_rest(api, note) for note in left] == [False] * len(kinds)
    assert set(api.there) == {"orders.lock", f"orders.beat.{holder.token}.1", "orders.about"}


def test_a_living_command_gives_its_lock_up_and_only_then_it_is_taken(api: Any) -> None:  # noqa: ANN401
    mine = locks.hold(api, "orders", living("up"))
    with ThreadPoolExecutor(1) as pool:
        over = pool.submit(locks.hold, api, "orders", living("down"), Patience(30))
        patience = Patience(20)
        with pytest.raises(Busy, match="orders was taken over by `provision down`"):  # noqa: PT012 at some time
            while patience.pause(0.005):
                mine.require_held()
        assert not over.done()
        mine.release()
        theirs = over.result(20)
    theirs.require_held()
    theirs.release()
    assert api.there == {}


def test_a_living_command_that_does_not_end_loses_its_lock(api: Any) -> None:  # noqa: ANN401
    mine = locks.hold(api, "orders", living("up"))
    theirs = locks.hold(api, "orders", living("down"), Patience(0))
    with pytest.raises(Busy, match="`provision down`"):
        mine.require_held()
    mine.release()
    theirs.require_held()
    theirs.release()
    assert api.there == {}


def test_of_two_who_take_over_from_a_living_command_one_is_told(api: Any) -> None:  # noqa: ANN401
    holder = living("up")
    leave(api, holder)
    leave(api, living("down"), f"lock.{holder.token}")
    with pytest.raises(Busy, match="`provision down`"):
        locks.hold(api, "orders", living("down"), Patience(0))


def test_a_lock_that_was_removed_by_hand_is_made_again(api: Any) -> None:  # noqa: ANN401
    hold = locks.hold(api, "orders", living())
    api.there.clear()
    hold.require_held()
    assert list(api.there) == ["orders.lock"]
    api.there.clear()
    leave(api, elsewhere("down"))
    with pytest.raises(Busy, match="elsewhere"):
        hold.require_held()


def test_what_is_lost_stays_lost_and_is_seen_at_once_where_that_is_wanted(
    api: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(locks, "_LOOK_EVERY_S", 3600.0)
    hold = locks.hold(api, "orders", living())
    hold.require_held()
    api.there.clear()
    leave(api, elsewhere("down"))
    hold.require_held()  # it does not look so often
    for at_once in (True, False, True):
        with pytest.raises(Busy, match="elsewhere"):
            hold.require_held(at_once=at_once)
    api.there.clear()  # the other has ended
    with pytest.raises(Busy, match="elsewhere"):
        hold.require_held()


@pytest.mark.parametrize("away_s", [locks.DEAD_S + 1, FORCE_S], ids=["dead to others", "forced while it was frozen"])
def test_one_that_was_cut_off_for_long_does_not_take_its_lock_again(
    api: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
    away_s: float,
) -> None:
    hold = locks.hold(api, "orders", living())
    later_s = locks._awake_or_not_s() + away_s  # noqa: SLF001 it counts what a machine sleeps, too
    monkeypatch.setattr(locks, "_awake_or_not_s", lambda: later_s)
    hold.require_held()  # nobody else has wanted it
    later_s += away_s
    api.there.clear()
    with pytest.raises(Busy, match="orders was taken over"):
        hold.require_held()
    assert api.there == {}


def test_the_lock_of_another_machine_that_looks_like_this_one_is_dead_only_once_it_does_not_beat(
    api: Any,  # noqa: ANN401
) -> None:
    holder = living()
    twin = holder.model_copy(update={"process": holder.process.model_copy(update={"boot": "its-own"})})
    leave(api, twin)
    leave(api, twin, f"beat.{twin.token}.1")
    with pytest.raises(Busy):
        locks.hold(api, "orders", living())
    api.now_s += locks.DEAD_S + 1
    locks.hold(api, "orders", living()).release()


def test_what_is_left_of_locks_is_swept_but_not_the_lock(api: Any) -> None:  # noqa: ANN401
    holder = living()
    hold = locks.hold(api, "orders", holder)
    for kind in (f"beat.{holder.token}.1", f"lock.{holder.token}", "beat.0123456789ab.7", "lock.0123456789ab"):
        leave(api, dead_holder, kind)
    notes.make(api, "orders", "about", {})
    locks.sweep(api, "orders")
    mine = {"orders.lock", f"orders.beat.{holder.token}.1", f"orders.lock.{holder.token}"}
    assert set(api.there) == mine | {"orders.about"}
    hold.release()
