"""Environments as context managers, and their work in threads: awaited, watched, and stopped early."""

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pytest

import provision.operations.topics
import provision.pipeline  # noqa: F401 loaded before the Kafka in memory takes its place
from provision.common.process_identity import ProcessIdentity
from provision.environment import Environment, entered
from provision.errors import Busy, InvalidEnvironment, Refused, UsageError
from provision.events import ActionDone, Event, LevelReached
from provision.operations.gc import reaper
from tests.fake_kafka import FakeKafka, SpokenRuntime
from tests.runtimes import FakeRuntimes

VALUES: dict[str, Any] = {"name": "shop", "brokers": {"nodes": 1}, "topics": [{"name": "orders"}]}


class Place:
    """Where environments are, and how many event loops turned while something was waited for."""

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch) -> None:
        self.runtime = SpokenRuntime()
        self.runtimes = FakeRuntimes(directory / "home", self.runtime)
        self.kafka = FakeKafka(self.runtime, "shop")
        self.kafka.speak(patch)
        self.watched: list[Path] = []
        patch.setattr(reaper, "start", self.watched.append)

    def environment(self, **values: Any) -> Environment:  # noqa: ANN401 of the file
        """One of that name."""
        return Environment(runtimes=self.runtimes, **(VALUES | values))

    @property
    def is_empty(self) -> bool:
        """Whether nothing is there."""
        return self.runtime.observe("shop").is_absent

    def goes(self) -> None:
        """Take the topics of an environment that is about to be removed: nothing protects them."""
        self.kafka.topics.clear()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


# -- with -------------------------------------------------------------------------------------------------------------


def test_it_is_up_inside_the_block_and_gone_after_it(place: Place) -> None:
    with place.environment() as shop:
        assert shop.bootstrap_servers.startswith("127.0.0.1:")
        assert [topic.name for topic in shop.topics()] == ["orders"]
        place.goes()
    assert place.is_empty


def test_it_is_gone_after_an_error_in_the_block_which_stays_the_error(place: Place) -> None:
    with pytest.raises(ZeroDivisionError), place.environment():  # noqa: PT012 the block is what is tested
        place.goes()
        raise ZeroDivisionError
    assert place.is_empty


def test_it_is_gone_after_the_outermost_of_several_blocks(place: Place) -> None:
    with place.environment() as shop:
        with shop as same, same:
            assert shop.bootstrap_servers
        with pytest.raises(UsageError), shop:
            shop.stop("broker-9")
        assert [topic.name for topic in shop.topics()] == ["orders"]
        place.goes()
    assert place.is_empty
    with shop:
        place.goes()
    assert place.is_empty


class Holder:
    """Another command that is changing the environment, until it is told to end."""

    def __init__(self, shop: Environment) -> None:
        self._shop, self._holds, self._ends = shop, threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._hold, daemon=True)

    def _hold(self) -> None:
        with self._shop.changing("topics create"):
            self._holds.set()
            self._ends.wait(60)

    def begins(self) -> None:
        """Return when it is changing it."""
        self._thread.start()
        assert self._holds.wait(60)

    def ends(self) -> None:
        """Return when it has ended."""
        self._ends.set()
        self._thread.join()


def test_another_command_is_waited_for_on_the_way_out(place: Place) -> None:
    holder = Holder(place.environment())
    with place.environment() as shop:
        place.goes()
        holder.begins()
        threading.Timer(0.3, holder.ends).start()
    assert place.is_empty
    assert shop.lock_timeout_s == 0


@pytest.mark.parametrize("way", ["with", "async with"])
def test_what_keeps_it_from_going_does_not_hide_the_error_of_the_block(
    place: Place, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(entered, "REMOVE_S", 0.0)
    holder, shop = Holder(place.environment()), place.environment()

    async def in_async_block() -> None:
        async with shop:
            holder.begins()
            raise ZeroDivisionError

    def in_block() -> None:
        with shop:
            holder.begins()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        asyncio.run(in_async_block()) if way == "async with" else in_block()
    holder.ends()
    assert any("shop could not be removed: shop is being changed" in note for note in caught.value.__notes__)
    assert not place.is_empty


def test_what_keeps_it_from_going_is_told_where_the_block_has_no_error(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entered, "REMOVE_S", 0.0)
    holder = Holder(place.environment())
    with pytest.raises(Busy, match="shop is being changed"), place.environment():
        holder.begins()
    holder.ends()


def test_one_that_was_there_before_stays(place: Place) -> None:
    place.environment().up()
    with place.environment(topics=[{"name": "orders"}, {"name": "more"}]) as shop:
        assert [topic.name for topic in shop.topics()] == ["more", "orders"]
    assert not place.is_empty


def test_one_that_was_removed_in_the_block_is_no_error(place: Place) -> None:
    with place.environment() as shop:
        place.goes()
        shop.down()
    assert place.is_empty


def test_nothing_that_needs_consent_is_done_on_the_way_in(place: Place) -> None:
    place.environment().up()
    with pytest.raises(Refused, match="is left as it is"), place.environment(brokers={"nodes": 1, "heap": "300m"}):
        pass
    assert not place.is_empty


def test_one_of_which_only_the_name_is_known_is_taken_as_it_is(place: Place) -> None:
    place.environment().up()
    with Environment.named("shop", runtimes=place.runtimes) as shop:
        assert [topic.name for topic in shop.topics()] == ["orders"]
    assert not place.is_empty
    with Environment.named("nobody", runtimes=place.runtimes) as nobody, pytest.raises(UsageError):
        nobody.status()


def test_one_that_is_not_valid_is_told_on_the_way_in(place: Place) -> None:
    with pytest.raises(InvalidEnvironment), place.environment(brokers={"nodes": 0}):
        pass


def test_from_file(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text("brokers: {nodes: 1}\n")
    with Environment.from_file(file, runtimes=place.runtimes) as shop:
        assert shop.name == "shop"
        assert not place.is_empty
    assert place.is_empty


def test_it_goes_with_this_process_unless_it_was_there_before(place: Place) -> None:
    place.environment().up()
    with place.environment():
        pass
    assert (place.runtime.abouts()["shop"].owner_process, place.watched) == (None, [])
    place.goes()
    place.environment().down()
    with place.environment():
        assert place.runtime.abouts()["shop"].owner_process == ProcessIdentity.of(os.getpid())
        assert place.watched == [place.runtimes.home.directory]
        place.goes()


# -- async ------------------------------------------------------------------------------------------------------------


class Gate:
    """Holds up a verb of the runtime until the event loop opens it."""

    def __init__(self, runtime: SpokenRuntime, verb: str) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        before = runtime.on_verb

        def on_verb(called: str, subject: str) -> None:
            if called == verb:
                self.reached.set()
                assert self.opened.wait(30.0)
            before(called, subject)

        runtime.on_verb = on_verb

    async def wait(self) -> None:
        """Let the loop turn until the verb is called."""
        assert await asyncio.to_thread(self.reached.wait, 30.0)


def test_the_event_loop_goes_on_while_it_comes_up(place: Place) -> None:
    gate = Gate(place.runtime, "start_node")

    async def use() -> list[str]:
        async def open_it() -> None:
            await gate.wait()
            gate.opened.set()  # would never be, if the loop were blocked

        opening = asyncio.create_task(open_it())
        async with place.environment() as shop:
            await opening
            topics = await shop.in_thread(shop.topics, internal=True)
            place.goes()
        return [topic.name for topic in topics]

    assert asyncio.run(use()) == ["orders"]
    assert place.is_empty


def test_an_error_in_an_async_block_stays_the_error(place: Place) -> None:
    async def use() -> None:
        async with place.environment():
            place.goes()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(use())
    assert place.is_empty


def test_a_task_that_is_cancelled_while_it_comes_up_leaves_nothing(place: Place) -> None:
    gate = Gate(place.runtime, "start_node")

    async def enter() -> None:
        async with place.environment():
            raise AssertionError("it was entered")

    async def cancel() -> None:
        task = asyncio.create_task(enter())
        await gate.wait()
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()  # once more changes nothing
        gate.opened.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert place.is_empty

    asyncio.run(cancel())


def test_a_task_that_is_cancelled_when_it_is_up_leaves_nothing(place: Place) -> None:
    at_the_end = threading.Event()
    cancelled = threading.Event()

    def hold(event: Event) -> None:
        if isinstance(event, LevelReached) and event.level == "topics":
            at_the_end.set()
            assert cancelled.wait(30.0)

    async def enter() -> None:
        environment = place.environment()
        environment.on_event = hold
        async with environment:
            raise AssertionError("it was entered")

    async def cancel() -> None:
        task = asyncio.create_task(enter())
        assert await asyncio.to_thread(at_the_end.wait, 30.0)
        place.goes()
        task.cancel()
        await asyncio.sleep(0)
        cancelled.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert place.is_empty


def test_an_error_of_a_method_is_raised_where_it_is_awaited(place: Place) -> None:
    async def ask() -> None:
        nobody = Environment.named("nobody", runtimes=place.runtimes)
        await nobody.in_thread(nobody.status)

    with pytest.raises(UsageError, match="nobody"):
        asyncio.run(ask())


# -- events -----------------------------------------------------------------------------------------------------------


def test_events_come_as_the_work_goes_and_the_listener_has_them_too(place: Place) -> None:
    shop = place.environment()
    told: list[Event] = []
    shop.on_event = told.append
    events = list(shop.events_of(shop.up))
    assert "broker-1" in [event.resource for event in events if isinstance(event, ActionDone)]
    assert events == told
    assert shop.on_event == told.append
    assert not place.is_empty


def test_the_result_is_that_of_the_iteration(place: Place) -> None:
    shop = place.environment()
    events = shop.events_of(shop.up)
    with pytest.raises(StopIteration) as ended:  # noqa: PT012 it comes at the end
        while True:
            next(events)
    assert ended.value.value.changed


def test_an_error_is_raised_at_the_end_of_the_events(place: Place) -> None:
    place.kafka.refusals["orders"] = "policy"
    shop = place.environment()
    told = []
    with pytest.raises(Exception, match="orders"):  # noqa: PT012 it comes at the end
        for event in shop.events_of(shop.up):
            told.append(event)  # noqa: PERF402 those before the error
    assert told
    assert place.is_empty


def test_leaving_the_iteration_ends_the_work_and_a_first_up_is_rolled_back(place: Place) -> None:
    shop = place.environment()
    events = shop.events_of(shop.up)
    for event in events:
        if isinstance(event, ActionDone):
            break
    events.close()
    assert place.is_empty
    shop.up()  # it can be used again
    assert not place.is_empty
