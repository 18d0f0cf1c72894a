"""One command at a time changes an environment, and each leaves a note of what it did."""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from provision.common.patience import Patience
from provision.environment import Environment
from provision.errors import Busy, Interrupted, NodeFailed, ProvisionError
from provision.events import Event, Listener, Notice, StillWaiting, silent
from provision.home.holders import Holder
from provision.home.journals import Journal
from provision.home.locks import HomeLock
from provision.kafka.levels import Level
from provision.operations import changing as change_of_one
from provision.pipeline import UpOptions, UpResult
from provision.runtime.base import Hold
from provision.runtime.fake import FakeRuntime
from tests.holders import dead, living
from tests.runtimes import FakeRuntimes

FILE = "name: faked\nbrokers: {port: auto}\n"
RUNNING = UpOptions(until=Level.PROCESS)
LONG_S = 20


@pytest.fixture
def fake() -> FakeRuntime:
    return FakeRuntime()


Make = Callable[..., Environment]


@pytest.fixture
def make(tmp_path: Path, fake: FakeRuntime) -> Make:
    """An object for the environment, as another command would have it, in a home of that name."""
    file = tmp_path / "faked.yaml"
    file.write_text(FILE)

    def made(home: str = "home", **options: Any) -> Environment:  # noqa: ANN401
        return Environment(file, runtimes=FakeRuntimes(tmp_path / home, fake, tmp_path / "cache"), **options)

    return made


class Stop:
    """Holds a runtime's verbs up at one of them."""

    def __init__(self, runtime: FakeRuntime, at: int = 0) -> None:
        self.reached, self.go = threading.Event(), threading.Event()
        self._left, self._counting = at, threading.Lock()
        runtime.on_verb = self

    def __call__(self, _verb: str, _subject: str) -> None:
        """Wait at the one."""
        with self._counting:
            self._left -= 1
            held = self._left == -1
        if held:
            self.reached.set()
            assert self.go.wait(LONG_S)


@contextmanager
def held_up(environment: Environment, fake: FakeRuntime, at: int = 0) -> Iterator[tuple[Future[UpResult], Stop]]:
    """An `up` that has come to one of its verbs."""
    stop = Stop(fake, at)
    with ThreadPoolExecutor(1) as pool:
        up = pool.submit(environment.up, RUNNING)
        assert stop.reached.wait(LONG_S)
        try:
            yield up, stop
        finally:
            stop.go.set()


def whole(fake: FakeRuntime) -> bool:
    """Whether all of it runs; if not, nothing of it is there."""
    observed = fake.observe("faked")
    if observed.is_absent:
        return False
    assert observed.network
    assert len(observed.storages) == len(observed.nodes) == 2
    assert all(node.is_alive for node in observed.nodes)
    return True


def changes(environment: Environment) -> dict[str, Callable[[], object]]:
    """Every method that changes it."""
    return {
        "up": lambda: environment.up(RUNNING),
        "down": environment.down,
        "stop": environment.stop,
        "start": environment.start,
        "restart": environment.restart,
        "topics create": lambda: environment.create_topic("t"),
        "topics delete": lambda: environment.delete_topics(["t"]),
        "topics apply": environment.apply_resources,
    }


@pytest.mark.parametrize("home", ["home", "another"])
@pytest.mark.parametrize("command", [*changes(Environment.named("any"))])
def test_while_one_command_changes_it_no_other_does(make: Make, fake: FakeRuntime, home: str, command: str) -> None:
    with held_up(make(), fake) as (up, stop):
        for _ in range(3):
            with pytest.raises(Busy, match=r"faked is being changed by `provision up` \(") as busy:
                changes(make(home))[command]()
            assert busy.value.exit_code == 75
        stop.go.set()
        up.result(LONG_S)
    assert whole(fake)
    (run,) = make().history()
    assert (run.state, len(run.actions)) == ("done", 8)


def test_who_only_looks_is_never_kept_off(make: Make, fake: FakeRuntime) -> None:
    with held_up(make(), fake, at=3) as (up, _):
        looking = make()
        assert looking.plan().plan.actions
        assert looking.render()
        assert looking.observe().network
        assert [run.state for run in looking.history()] == ["running"]
        assert not up.done()


def test_another_environment_is_not_kept_off(make: Make, fake: FakeRuntime, tmp_path: Path) -> None:
    with held_up(make(), fake):
        other = Environment(name="other", runtimes=FakeRuntimes(tmp_path / "home", fake))
        other.up(RUNNING)
        assert other.down() == 5


@pytest.mark.parametrize("where", ["home", "runtime"])
def test_what_gc_looks_at_is_waited_for_a_moment(
    make: Make, fake: FakeRuntime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str
) -> None:
    told: list[str] = []
    waits = threading.Event()

    def tell(event: Event) -> None:
        if isinstance(event, Notice):
            told.append(event.text)
            waits.set()

    lock, collecting = HomeLock(tmp_path / "home", "faked"), Holder.of("gc")
    held = fake.hold("faked", collecting) if where == "runtime" else None
    if held is None:
        lock.take(collecting)
    release = held.release if held else lock.release
    with ThreadPoolExecutor(1) as pool:
        up = pool.submit(make(on_event=tell).up, RUNNING)
        assert waits.wait(LONG_S)
        assert told[0].startswith("faked is being changed by `provision gc` (")
        release()
        up.result(LONG_S)
    monkeypatch.setattr(change_of_one, "COLLECTS_S", 0.1)
    held = fake.hold("faked", collecting) if where == "runtime" else None
    if held is None:
        lock.take(collecting)
    with pytest.raises(Busy, match="by `provision gc`"):  # it removes more than a lock
        make().down()
    (held.release if held else lock.release)()


@pytest.mark.parametrize("home", ["home", "another"])
def test_who_wants_to_wait_waits_and_says_so(make: Make, fake: FakeRuntime, home: str) -> None:
    told: list[Event] = []
    waits = threading.Event()

    def tell(event: Event) -> None:
        told.append(event)
        waits.set()

    with held_up(make(), fake) as (up, stop), ThreadPoolExecutor(1) as pool:
        down = pool.submit(make(home, lock_timeout_s=60, on_event=tell).down)
        assert waits.wait(LONG_S)
        assert not down.done()
        stop.go.set()
        up.result(LONG_S)
        assert down.result(LONG_S) == 5
    assert isinstance(told[0], Notice)
    assert told[0].text.endswith("; waiting for it")
    assert fake.observe("faked").is_absent


@pytest.mark.parametrize("seed", range(20))
def test_up_against_down_never_leaves_a_half_made_state(make: Make, fake: FakeRuntime, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 no secret
    pauses = [chance.uniform(0, 0.004) for _ in range(64)]

    def linger(_verb: str, _subject: str) -> None:
        threading.Event().wait(chance.choice(pauses))

    fake.on_verb = linger

    def run(act: Callable[[], object], after_s: float) -> str:
        threading.Event().wait(after_s)
        try:
            act()
        except Busy:
            return "busy"
        return "done"

    homes = ["home", chance.choice(["home", "another"])]
    patience = chance.choice([0.0, 30.0])
    with ThreadPoolExecutor(2) as pool:
        up = pool.submit(run, lambda: make(homes[0], lock_timeout_s=patience).up(RUNNING), chance.uniform(0, 0.02))
        down = pool.submit(run, make(homes[1]).down, chance.uniform(0, 0.06))
        ended = {up.result(LONG_S), down.result(LONG_S)}
    assert "done" in ended
    whole(fake)
    make().up(RUNNING)
    assert whole(fake)
    make().down()
    assert fake.observe("faked").is_absent


# -- taking over ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("home", ["home", "another"])
@pytest.mark.parametrize("at", [0, 1, 3, 5, 7])
def test_down_by_force_ends_an_up_which_then_removes_nothing(make: Make, fake: FakeRuntime, home: str, at: int) -> None:
    told: list[Event] = []
    with held_up(make(), fake, at) as (up, stop), ThreadPoolExecutor(1) as pool:
        down = pool.submit(make(home, on_event=told.append).down, force=True)
        lock = HomeLock(make().home.directory, "faked")
        while not fake._asked and getattr(lock.holder(), "command", "") != "down":  # noqa: SLF001 it has come so far
            assert not down.done()
        stop.go.set()
        if at < 7:  # the last verb has nothing after it that could be stopped
            with pytest.raises(Busy, match="faked was taken over by `provision down`"):
                up.result(LONG_S)
        else:
            up.exception(LONG_S)
        down.result(LONG_S)
    assert fake.observe("faked").is_absent
    assert any(isinstance(event, Notice) and event.text.endswith("; taking over from it") for event in told)
    assert not any(run.rolled_back for run in make().history())


def test_an_up_that_only_waits_ends_too(make: Make, fake: FakeRuntime) -> None:
    waiting = threading.Event()

    def tell(event: Event) -> None:
        if isinstance(event, StillWaiting):
            waiting.set()

    with ThreadPoolExecutor(1) as pool:
        up = pool.submit(make(on_event=tell).up, UpOptions(timeout_s=60))
        assert waiting.wait(LONG_S)
        assert make().down(force=True) == 5
        with pytest.raises(Busy, match="was taken over"):
            up.result(LONG_S)
    assert fake.observe("faked").is_absent


def test_a_first_up_removes_nothing_of_what_is_another_ones_meanwhile(make: Make, fake: FakeRuntime) -> None:
    """Also where it finds that out only when it fails: between two looks, much can happen in an engine."""

    def taken(verb: str, subject: str) -> None:
        if (verb, subject) == ("start_node", "broker-1"):
            fake._holders["faked"] = living("up")  # noqa: SLF001 from another home
            raise NodeFailed("broker-1 exited", node="broker-1")

    fake.looks_rarely, fake.on_verb = True, taken
    with pytest.raises(NodeFailed):
        make().up(RUNNING)
    assert [node.name for node in fake.observe("faked").nodes]
    (run,) = make().history()
    assert (run.state, run.rolled_back) == ("failed", False)


def test_force_needs_nobody_to_force(make: Make, fake: FakeRuntime) -> None:
    make().up(RUNNING)
    assert make().down(force=True) == 5
    assert make().down(force=True) == 0
    assert fake.observe("faked").is_absent


# -- after a kill -----------------------------------------------------------------------------------------------------


def test_what_a_killed_command_held_is_free_and_told(make: Make, fake: FakeRuntime) -> None:
    told: list[Event] = []
    killed = dead("up")
    Journal(make().home.directory, "faked").begin(killed)
    lock = HomeLock(make().home.directory, "faked")
    lock.take(killed)
    lock.file.rename(lock.file.with_name("kept"))
    lock.release()
    lock.file.with_name("kept").rename(lock.file)
    fake.hold("faked", killed)
    assert [run.state for run in make().history()] == ["killed"]
    make(on_event=told.append).up(RUNNING)
    assert isinstance(told[0], Notice)
    assert told[0].text.startswith(f"the last change was killed: {killed}")
    assert [run.state for run in make().history()] == ["killed", "done"]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_killed_command_of_another_home_is_told_and_stays_in_the_history(
    make: Make, fake: FakeRuntime, *, is_there: bool
) -> None:
    told: list[Event] = []
    if is_there:
        make("another").up(RUNNING)
    fake.hold("faked", killed := dead("up"))
    assert [(run.state, run.is_of_this_home) for run in make().history()][-1:] == [("killed", False)]
    next_one = make(on_event=told.append)
    next_one.stop() if is_there else next_one.up(RUNNING)
    assert [event.text for event in told if isinstance(event, Notice)][:1] == [
        f"the last change was killed: {killed}; going on from there"
    ]
    for home in ("home", "another"):
        assert [run.state for run in make(home).history()][-2:] == ["killed", "done"]
    told.clear()
    make(on_event=told.append).stop()
    assert not [event for event in told if isinstance(event, Notice) and "killed" in event.text]
    assert [run.id for run in make().history()].count(killed.token) == 1


def test_a_success_after_what_was_killed_is_noted_even_if_nothing_was_left_to_do(make: Make) -> None:
    make().up(RUNNING)
    Journal(make().home.directory, "faked").begin(dead("up"))
    make().up(RUNNING)
    assert [run.state for run in make().history()] == ["done", "killed", "done"]
    make().up(RUNNING)
    assert len(make().history()) == 3


# -- how it ends ------------------------------------------------------------------------------------------------------


def test_a_failed_first_up_is_noted_as_rolled_back(make: Make, fake: FakeRuntime) -> None:
    def fail(verb: str, subject: str) -> None:
        if (verb, subject) == ("start_node", "broker-1"):
            raise NodeFailed("broker-1 exited", node="broker-1")

    fake.on_verb = fail
    with pytest.raises(NodeFailed):
        make().up(RUNNING)
    assert fake.observe("faked").is_absent
    (run,) = make().history()
    assert (run.state, run.exit_code, run.error, run.rolled_back) == ("failed", 1, "broker-1 exited", True)
    assert [(one.verb, one.resource) for one in run.actions if one.error] == [("start", "broker-1")]


def interrupt_at(fake: FakeRuntime, at: str) -> None:
    def interrupt(verb: str, _subject: str) -> None:
        if verb == at:
            raise KeyboardInterrupt

    fake.on_verb = interrupt


@pytest.mark.parametrize(
    ("at", "act", "hint"),
    [
        ("stop_node", lambda e: e.stop(), "`provision stop faked` continues, `provision down faked` removes it"),
        (
            "stop_node",
            lambda e: e.stop(["broker-1"]),
            "`provision stop faked broker-1` continues, `provision down faked` removes it",
        ),
        ("remove_node", lambda e: e.down(), "`provision down faked` removes what is left"),
        ("remove_node", lambda e: e.down(keep_data=True), "`provision down faked --keep-data` removes what is left"),
        (
            "remove_node",
            lambda e: e.down(delete_data=True),
            "`provision down faked --delete-data` removes what is left",
        ),
        (
            "create_node",
            lambda e: e.up(RUNNING),
            "`provision up faked` continues, `provision down faked` removes it",
        ),
    ],
)
def test_who_interrupts_a_change_is_told_which_command_goes_on(
    make: Make, fake: FakeRuntime, at: str, act: Callable[[Environment], object], hint: str
) -> None:
    make().up(RUNNING)
    if at == "create_node":
        fake.remove_node("faked", "broker-1")
    interrupt_at(fake, at)
    with pytest.raises(Interrupted) as interrupted:
        act(make())
    assert interrupted.value.hint == hint
    assert make().history()[-1].state == "interrupted"


def test_an_interrupted_first_up_leaves_nothing_to_go_on_with(make: Make, fake: FakeRuntime) -> None:
    interrupt_at(fake, "create_node")
    with pytest.raises(Interrupted) as interrupted:
        make().up(RUNNING)
    assert interrupted.value.hint == ""
    assert fake.observe("faked").is_absent
    (run,) = make().history()
    assert (run.state, run.rolled_back) == ("interrupted", True)


def test_several_steps_can_be_one_change(make: Make, fake: FakeRuntime) -> None:
    make().up(RUNNING)
    one = make()
    with one.changing("restart"):
        one.stop()
        with pytest.raises(Busy, match="`provision restart`"):
            make().down()
        for node in fake.observe("faked").nodes:
            fake.start_node("faked", node.name)
    assert [(run.holder.command, len(run.actions)) for run in make().history()] == [("up", 8), ("restart", 2)]


def test_several_steps_claim_the_engine_once(make: Make, fake: FakeRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    make().up(RUNNING)
    claimed: list[str] = []
    hold = fake.hold

    def count(name: str, holder: Holder, force: Patience | None = None, tell: Listener = silent) -> Hold:
        claimed.append(holder.command)
        return hold(name, holder, force, tell)

    monkeypatch.setattr(fake, "hold", count)
    one = make()
    with one.changing("again"):
        one.stop()
        one.up(RUNNING)
        one.down()
    assert claimed == ["again"]
    make().down()
    assert claimed == ["again", "down"]


# -- where nothing can be kept ----------------------------------------------------------------------------------------


def test_a_home_that_cannot_keep_a_lock_keeps_nobody_from_removing(
    make: Make, fake: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    make().up(RUNNING)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(HomeLock, "take", full)
    monkeypatch.setattr(Journal, "begin", full)
    told: list[Event] = []
    assert make(on_event=told.append).down() == 5
    assert fake.observe("faked").is_absent
    said = [event.text for event in told if isinstance(event, Notice)]
    assert said[0].startswith("other commands are not kept off faked, as it cannot be locked")
    assert said[1].startswith("no history is kept: ")
    assert all("No space left on device" in text for text in said)


def test_an_engine_that_makes_no_lock_keeps_nobody_from_removing(
    make: Make, fake: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    make().up(RUNNING)

    def refuse(*_: object, **__: object) -> Hold:
        raise ProvisionError("creating the volume faked.lock: the Docker engine refused", why="no space left on device")

    monkeypatch.setattr(fake, "hold", refuse)
    told: list[Event] = []
    assert make(on_event=told.append).down() == 5
    assert isinstance(told[0], Notice)
    assert told[0].text.endswith("as it cannot be locked: no space left on device")
