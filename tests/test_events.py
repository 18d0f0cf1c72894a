"""What is told: every event says where and when, and an action ends once for each thing that it is done to."""

import inspect
import random
import sys
import typing
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision import events
from provision.errors import Problem, ProvisionError
from provision.events import (
    ActionDone,
    ActionFailed,
    ActionSkipped,
    ActionStarted,
    ActionStep,
    Event,
    Listener,
    Notice,
    action,
    of_environment,
    silent,
)

VALUES: Mapping[Any, Any] = {
    str: "some",
    str | None: "127.0.0.1:9092",
    int: 3,
    float: 1.5,
    Problem: Problem("orders.yaml", 1, 1, "brokers", "is wrong"),
    Mapping[str, Any]: {"changes": False},
    BaseException: ProvisionError("no"),
}
"""A value for each type of an event's own fields."""
OF_EVERY_EVENT = {"environment", "at_s"}


def kinds(base: type[Event] = Event) -> list[type[Event]]:
    """All classes of events, each once: a class with slots is a copy, of which the original may still be there."""
    there = [kind for kind in base.__subclasses__() if getattr(sys.modules[kind.__module__], kind.__name__) is kind]
    return [one for kind in there for one in (kind, *kinds(kind))]


def made(kind: type[Event], **stamps: object) -> Event:
    """One of that class, its own fields given by their places."""
    types = typing.get_type_hints(kind)
    own = [VALUES[types[field.name]] for field in fields(kind) if field.name not in OF_EVERY_EVENT]
    event: Event = cast("Any", kind)(*own, **stamps)
    return event


every_kind = pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)


def test_every_class_of_the_module_that_is_told_is_an_event() -> None:
    told = {one for _, one in inspect.getmembers(events, inspect.isclass) if one.__module__ == events.__name__}
    assert told - {Event, events.Ending} == set(kinds())
    assert len(kinds()) > 10


@every_kind
def test_every_event_says_where_and_when(kind: type[Event]) -> None:
    event = made(kind)
    assert is_dataclass(event)
    assert event.environment == ""
    assert isinstance(event.at_s, float)
    assert event.at_s > 0
    stamped = made(kind, environment="orders", at_s=12.5)
    assert (stamped.environment, stamped.at_s) == ("orders", 12.5)


@every_kind
def test_an_event_is_a_value(kind: type[Event]) -> None:
    early, late = made(kind, at_s=1.0), made(kind, at_s=2.0)
    assert early == late
    assert early != made(kind, environment="elsewhere", at_s=1.0)
    with pytest.raises(FrozenInstanceError):
        early.environment = "elsewhere"  # type: ignore[misc]
    assert not hasattr(early, "__dict__")


@every_kind
def test_where_and_when_are_never_taken_for_a_field_of_its_own(kind: type[Event]) -> None:
    own = [field for field in fields(kind) if field.name not in OF_EVERY_EVENT]
    assert {field.name for field in fields(kind)} > OF_EVERY_EVENT
    with pytest.raises(TypeError):
        cast("Any", kind)(*(None for _ in own), "orders")


@every_kind
@pytest.mark.parametrize("name", ["orders", "a-b"])
def test_an_event_of_an_environment_has_its_name_and_is_otherwise_as_it_was(kind: type[Event], name: str) -> None:
    told: list[Event] = []
    event = made(kind, at_s=7.25)
    of_environment(name, told.append)(event)
    assert told == [made(kind, environment=name)]
    assert [(type(one), one.at_s) for one in told] == [(kind, 7.25)]
    assert event.environment == ""


@every_kind
def test_an_event_that_has_a_name_keeps_it(kind: type[Event]) -> None:
    told: list[Event] = []
    event = made(kind, environment="inner")
    of_environment("outer", told.append)(event)
    of_environment("outer", of_environment("between", told.append))(event)
    assert told[0] is event
    assert told[1] is event


def test_whoever_is_nearest_names_it() -> None:
    told: list[Event] = []
    of_environment("nearest", of_environment("further", told.append))(Notice("hello"))
    assert [event.environment for event in told] == ["nearest"]


def test_silence_takes_everything() -> None:
    assert [silent(made(kind)) for kind in kinds()] == [None] * len(kinds())  # type: ignore[func-returns-value]


# -- actions ----------------------------------------------------------------------------------------------------------


def shown(told: Sequence[Event]) -> list[tuple[str, str, str]]:
    """Each event of an action as its kind, what is done, and to what."""
    known = (ActionStarted, ActionStep, ActionDone, ActionFailed, ActionSkipped)
    return [(type(event).__name__, event.verb, event.resource) for event in told if isinstance(event, known)]


def failures(told: Sequence[Event]) -> dict[str, BaseException]:
    return {event.resource: event.error for event in told if isinstance(event, ActionFailed)}


def test_what_ends_well_is_told_at_its_beginning_and_at_its_end() -> None:
    told: list[Event] = []
    with action(told.append, "start", "broker-1"):
        assert told == [ActionStarted("broker-1", "start")]
        told.append(Notice("in between"))
    assert [type(event) for event in told] == [ActionStarted, Notice, ActionDone]
    assert shown(told) == [("ActionStarted", "start", "broker-1"), ("ActionDone", "start", "broker-1")]


def test_steps_come_between_the_two() -> None:
    told: list[Event] = []
    with action(told.append, "restart", "broker-1"):
        told += [ActionStep("broker-1", "restart", step) for step in ("stopping", "starting")]
    assert [type(event) for event in told] == [ActionStarted, ActionStep, ActionStep, ActionDone]
    assert [event.step for event in told if isinstance(event, ActionStep)] == ["stopping", "starting"]


RAISED = [ProvisionError("no", why="a reason", hint="a way out"), ValueError(), KeyboardInterrupt(), SystemExit(3)]


@pytest.mark.parametrize("raised", RAISED, ids=lambda error: type(error).__name__)
def test_what_is_raised_is_the_failure_of_all_and_is_raised_on(raised: BaseException) -> None:
    told: list[Event] = []
    with pytest.raises(type(raised)) as caught, action(told.append, "delete", "topic a", "topic b"):
        raise raised
    assert caught.value is raised
    assert failures(told) == {"topic a": raised, "topic b": raised}
    assert shown(told) == [
        *(("ActionStarted", "delete", "topic a"), ("ActionStarted", "delete", "topic b")),
        *(("ActionFailed", "delete", "topic a"), ("ActionFailed", "delete", "topic b")),
    ]


def test_what_failed_for_a_reason_of_its_own_keeps_it_when_the_rest_fails() -> None:
    told: list[Event] = []
    own, common = ProvisionError("its own"), ProvisionError("of all others")

    def perform() -> None:
        with action(told.append, "create", "a", "b", "c") as ending:
            ending.failed = {"b": own}
            raise common

    with pytest.raises(ProvisionError, match="of all others"):
        perform()
    assert failures(told) == {"a": common, "b": own, "c": common}


def test_of_a_batch_some_fail_some_are_done_and_some_were_there() -> None:
    told: list[Event] = []
    reason = ProvisionError("refused")
    with action(told.append, "create", "made", "refused", "there already") as ending:
        ending.failed = {"refused": reason}
        ending.skipped = {"there already": "it existed"}
    assert shown(told)[3:] == [
        ("ActionDone", "create", "made"),
        ("ActionFailed", "create", "refused"),
        ("ActionSkipped", "create", "there already"),
    ]
    assert failures(told) == {"refused": reason}
    assert [event.reason for event in told if isinstance(event, ActionSkipped)] == ["it existed"]


def test_nothing_is_done_to_nothing() -> None:
    told: list[Event] = []
    with action(told.append, "create"):
        pass
    with pytest.raises(ProvisionError, match="no"), action(told.append, "create"):
        raise ProvisionError("no")
    assert told == []


names = st.lists(st.text("abcdef", min_size=1, max_size=3), unique=True, max_size=6)


@given(resources=names, choice=st.randoms(use_true_random=False), raises=st.booleans())
def test_everything_begins_once_and_ends_once(resources: list[str], choice: random.Random, *, raises: bool) -> None:
    told: list[Event] = []
    failed = {name: ProvisionError(name) for name in resources if choice.random() < 0.5}
    skipped = {name: "it was there" for name in resources if choice.random() < 0.5}
    error = ProvisionError("of all")
    others = {name: error for name in resources if raises and name not in skipped}
    with (
        pytest.raises(ProvisionError, match="of all") if raises else nullcontext(),
        action(told.append, "create", *resources) as ending,
    ):
        ending.failed, ending.skipped = failed, skipped
        if raises:
            raise error
    assert told[: len(resources)] == [ActionStarted(name, "create") for name in resources]
    ends = [event for event in told if isinstance(event, ActionDone | ActionFailed | ActionSkipped)]
    assert told[len(resources) :] == ends
    assert [event.resource for event in ends] == resources
    assert failures(told) == {**others, **failed}
    assert {e.resource for e in ends if isinstance(e, ActionSkipped)} == skipped.keys() - failed.keys()
    took = {event.seconds for event in ends}
    assert len(took) == min(len(ends), 1)
    assert all(seconds >= 0 for seconds in took)


def test_an_action_of_an_environment_is_told_with_its_name() -> None:
    told: list[Event] = []
    tell: Listener = of_environment("orders", told.append)
    with pytest.raises(ProvisionError, match="no"), action(tell, "start", "broker-1"):
        raise ProvisionError("no")
    assert [(type(event), event.environment) for event in told] == [
        (ActionStarted, "orders"),
        (ActionFailed, "orders"),
    ]
