"""One environment object, used by several threads, tasks and processes at once."""

# ruff: noqa: F811 the fixtures that it has from another module

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from provision.common.offloading import require_wanted
from provision.environment import Environment
from provision.errors import Busy, UsageError
from provision.events import ActionDone, ActionStep, Event
from provision.plan.observed import NodeState
from tests.test_environment import Shop, living, shop  # noqa: F401 the fixtures

LONG_S = 30.0
CHANGES: dict[str, Callable[[Environment], object]] = {
    "up": lambda env: env.up(),
    "down": lambda env: env.down(),
    "restart": lambda env: env.restart(),
    "stop": lambda env: env.stop("broker-1"),
    "create_topic": lambda env: env.create_topic("new"),
    "delete_topics": lambda env: env.delete_topics("orders"),
    "apply_resources": lambda env: env.apply_resources(),
    "changing": lambda env: env.changing("something").__enter__(),
    "with": lambda env: env.__enter__(),
}


@contextmanager
def changed_elsewhere(env: Environment) -> Iterator[None]:
    """Another thread is changing it, by way of the same object."""
    begun, ended = threading.Event(), threading.Event()

    def change() -> None:
        with env.changing("mine"):
            begun.set()
            assert ended.wait(LONG_S)

    with ThreadPoolExecutor() as pool:
        changing = pool.submit(change)
        assert begun.wait(LONG_S)
        try:
            yield
        finally:
            ended.set()
        changing.result()


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_one_thread_keeps_the_others_from_changing_it(living: Shop, change: str) -> None:
    shop = living.of()
    before = living.states
    with changed_elsewhere(shop), pytest.raises(Busy, match="is being changed by `provision mine`"):
        CHANGES[change](shop)
    assert living.states == before
    assert {topic.name for topic in shop.topics()} == {"orders"}
    shop.create_topic("afterwards")


def test_what_the_thread_itself_does_is_part_of_its_change_and_so_is_work_that_it_awaits(living: Shop) -> None:
    shop = living.of()

    async def change() -> None:
        with shop.changing("mine"):
            shop.create_topic("one")
            await shop.in_thread(shop.create_topic, "two")
            assert [event for event in shop.events_of(shop.create_topic, "three") if isinstance(event, ActionDone)]

    asyncio.run(change())
    assert {"one", "two", "three"} <= {topic.name for topic in shop.topics()}
    assert [run.holder.command for run in shop.history()][-1] == "mine"


def test_a_task_that_outlives_the_change_in_which_it_began_is_no_part_of_others(living: Shop) -> None:
    shop = living.of()

    async def use() -> None:
        goes_on = asyncio.Event()

        async def later() -> None:
            await goes_on.wait()
            with pytest.raises(Busy):
                await shop.in_thread(shop.create_topic, "late")

        with shop.changing("mine"):
            task = asyncio.create_task(later())
            await asyncio.sleep(0)
        with changed_elsewhere(shop):
            goes_on.set()
            await task

    asyncio.run(use())


@pytest.mark.parametrize("as_client", [False, True])
@pytest.mark.parametrize("watched", [False, True], ids=["awaited", "watched"])
def test_work_that_is_cancelled_leaves_other_work_of_the_same_object_alone(
    living: Shop,
    as_client: bool,
    watched: bool,
) -> None:
    shop = living.of()
    begun, ended = threading.Event(), threading.Event()

    def endless() -> None:
        begun.set()
        while not ended.wait(0.01):
            require_wanted()

    def takes_its_time(_verb: str, _subject: str) -> None:
        ended.wait(0.3)

    def create_and_go_on(env: Environment) -> None:
        env.create_topic("new")
        endless()

    async def begin_to_start() -> "asyncio.Task[Any]":
        shop.kill("broker-2")
        living.runtime.on_verb = takes_its_time
        starting = asyncio.create_task(shop.in_thread(shop.start))
        await asyncio.sleep(0.05)
        return starting

    async def use() -> None:
        other = shop.as_client() if as_client else shop
        if watched:
            events = other.events_of(create_and_go_on, other)
            next(events)
            assert await asyncio.to_thread(begun.wait, LONG_S)
            starting = await begin_to_start()
            events.close()
        else:
            task = asyncio.create_task(other.in_thread(endless))
            assert await asyncio.to_thread(begun.wait, LONG_S)
            starting = await begin_to_start()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await starting

    asyncio.run(use())
    assert set(living.states.values()) == {NodeState.RUNNING}


BROKEN_OFF: dict[str, Callable[[Environment], Any]] = {
    "restart": lambda env: env.restart,
    "an up that restarts": lambda env: env.up,
}


@pytest.mark.parametrize("what", BROKEN_OFF)
@pytest.mark.parametrize("step", range(12))
def test_a_change_that_is_broken_off_leaves_no_node_down(living: Shop, what: str, step: int) -> None:
    shop = living.of(brokers={"nodes": 3, "properties": {"queued.max.requests": 400}})
    if what == "restart":
        shop = living.of()
    events = shop.events_of(BROKEN_OFF[what](shop))
    came = 0
    for event in events:
        came += isinstance(event, ActionStep)
        if came > step:
            break
    events.close()
    assert set(living.states.values()) == {NodeState.RUNNING}
    assert came > step
    shop.up()
    assert set(living.states.values()) == {NodeState.RUNNING}


@pytest.mark.parametrize("later", [False, True], ids=["the last one first", "the first one first"])
def test_whoever_watches_hears_to_its_own_end(living: Shop, later: bool) -> None:
    shop = living.of()
    heard: list[Event] = []
    shop.on_event = heard.append
    one, two = shop.events_of(shop.restart), shop.events_of(shop.topics)
    next(one)
    assert list(two) is not None
    (one.close, lambda: list(one))[later]()
    before = len(heard)
    shop.create_topic("new")
    assert len(heard) > before
    assert shop.on_event == heard.append


def test_only_the_events_of_the_method_itself_are_heard(living: Shop) -> None:
    shop = living.of()
    restarted, quiet = threading.Event(), threading.Event()

    def wait() -> None:
        quiet.set()
        assert restarted.wait(LONG_S)

    with ThreadPoolExecutor() as pool:
        watching = pool.submit(lambda: list(shop.events_of(wait)))
        assert quiet.wait(LONG_S)
        events = list(shop.events_of(shop.restart))
        restarted.set()
        assert watching.result() == []
    assert any(isinstance(event, ActionStep) for event in events)


def test_an_archive_is_made_without_a_word_and_others_are_heard(living: Shop, tmp_path: Path) -> None:
    shop = living.of()
    heard: list[Event] = []
    shop.on_event = heard.append
    assert list(shop.events_of(shop.bundle, tmp_path / "one.tar.gz")) == []
    assert heard == []
    shop.create_topic("new")
    assert heard


def test_work_in_work_ends_with_it(shop: Shop) -> None:
    env, begun, heard = shop.of(), threading.Event(), list[Event]()

    def hear() -> None:
        for event in env.events_of(env.up):
            heard.append(event)
            begun.set()

    def takes_its_time(_verb: str, _subject: str) -> None:
        begun.wait(0.2)

    async def use() -> None:
        shop.runtime.on_verb = takes_its_time
        task = asyncio.create_task(env.in_thread(hear))
        assert await asyncio.to_thread(begun.wait, LONG_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(use())
    assert heard
    assert not shop.states


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forked processes")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_that_leaves_the_block_removes_nothing(shop: Shop) -> None:
    with shop.of() as entered:
        child = os.fork()
        if child == 0:
            left = 1
            try:
                entered.__exit__(None, None, None)
                left = 0 if shop.states else 2
            finally:
                os._exit(left)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert entered.bootstrap_servers
        shop.looks_away()
        shop.kafka.topics.clear()
    assert not shop.states


def test_what_was_not_entered_cannot_be_left(living: Shop) -> None:
    with pytest.raises(UsageError, match="shop is left, but was not entered"):
        living.of().__exit__(None, None, None)
