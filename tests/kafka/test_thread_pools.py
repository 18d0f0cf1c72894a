"""Pools of threads go where Kafka does not let them go at once: requests, and answers of a client with its rule."""

from collections.abc import Sequence
from typing import Any

import pytest

from provision.kafka.brokers import BrokerAdmin, steps_between
from provision.kafka.settings import SettingsAdmin
from provision.plan.actions import BrokerSettings

IO, CLEANER, RETENTION = "num.io.threads", "log.cleaner.threads", "log.retention.ms"
STATIC = {IO: "4", CLEANER: "1", RETENTION: "600000"}


class Client:
    """One broker, which compares with what is in force: a change is after `late` further requests."""

    def __init__(self, late: int = 0, **dynamic: str) -> None:
        self.dynamic = {name.replace("_", "."): value for name, value in dynamic.items()}
        self.in_force = dict(self.dynamic)
        self.late = self._left = late
        self.for_all: dict[str, str] = {}
        self.unwanted = ""
        self.sent: list[dict[str, str | None]] = []
        self.asked: list[str] = []

    def value(self, key: str, dynamic: dict[str, str]) -> str:
        """What holds."""
        return {**STATIC, **self.for_all, **dynamic}[key]

    def alter_configs(self, resources: Sequence[Any], *, validate_only: bool, **_: object) -> dict[str, dict[str, str]]:
        """Taken as a whole or not at all."""
        (resource,) = resources
        changes = {key: value for key, (_, value) in resource.configs.items()}
        self._left -= 1
        if self._left < 0:
            self.in_force = dict(self.dynamic)
        if validate_only:
            self.asked += changes
        else:
            self.sent.append(changes)
        then = {key: value for key, value in {**self.dynamic, **changes}.items() if value is not None}
        if self.unwanted in changes or not all(self._in_reach(key, then) for key in (IO, CLEANER)):
            return {"broker": {resource.name: "Invalid dynamic configuration"}}
        if not validate_only:
            self.dynamic, self._left = then, self.late
        return {"broker": {resource.name: "OK"}}

    def _in_reach(self, key: str, then: dict[str, str]) -> bool:
        before, after = int(self.value(key, self.in_force)), int(self.value(key, then))
        return after > 0 and before // 2 <= after <= before * 2

    def describe_configs(self, resources: Sequence[Any], **options: object) -> dict[str, dict[str, Any]]:
        """With what lies beneath."""
        assert options == {"include_synonyms": True, "config_filter": "all"}
        (resource,) = resources
        sources = {
            "DYNAMIC_BROKER_CONFIG": self.dynamic,
            "DYNAMIC_DEFAULT_BROKER_CONFIG": self.for_all,
            "STATIC_BROKER_CONFIG": STATIC,
        }
        entries = {
            key: {
                "value": self.value(key, self.in_force),
                "synonyms": [{"value": v[key], "source": source} for source, v in sources.items() if key in v],
            }
            for key in STATIC
        }
        return {"broker": {resource.name: entries}}


def configure(client: Client, values: dict[str, str], *reset: str) -> str:
    admin = BrokerAdmin(SettingsAdmin(client), in_force_s=0.5)
    return admin.configure(BrokerSettings(1, values, reset))


@pytest.mark.parametrize(
    ("now", "then", "steps"),
    [
        (16, 4, [8]),
        (33, 4, [16, 8]),
        (9, 4, []),
        (4, 8, []),
        (4, 9, [8]),
        (1, 16, [2, 4, 8]),
        (7, 1, [3]),
        (4, 4, []),
        (4, 0, []),
        (0, 4, []),
    ],
)
def test_each_step_is_half_or_double_the_one_before(now: int, then: int, steps: list[int]) -> None:
    assert steps_between(now, then) == steps


def test_what_kafka_takes_at_once_is_one_request() -> None:
    client = Client(num_io_threads="8")
    assert configure(client, {}, IO) == ""
    assert client.sent == [{IO: None}]
    assert client.asked == []


def test_a_value_is_taken_back_when_what_comes_to_hold_is_within_reach() -> None:
    client = Client(num_io_threads="33")
    assert configure(client, {}, IO) == ""
    assert client.sent == [{IO: None}, {IO: "16"}, {IO: "8"}, {IO: None}]
    assert client.dynamic == {}


def test_what_comes_to_hold_may_be_what_is_set_for_all_brokers() -> None:
    client = Client(num_io_threads="2")
    client.for_all = {IO: "16"}
    assert configure(client, {}, IO) == ""
    assert client.sent[1:] == [{IO: "4"}, {IO: "8"}, {IO: None}]


def test_several_pools_go_side_by_side_and_all_else_goes_at_once() -> None:
    client = Client(num_io_threads="64", log_cleaner_threads="4", log_retention_ms="7")
    assert configure(client, {IO: "5", RETENTION: "600000"}, CLEANER) == ""
    assert client.sent[1:] == [
        {IO: "32", RETENTION: "600000", CLEANER: "2"},
        {IO: "16", RETENTION: "600000", CLEANER: None},
        {IO: "8", RETENTION: "600000", CLEANER: None},
        {IO: "5", RETENTION: "600000", CLEANER: None},
    ]
    assert client.dynamic == {IO: "5", RETENTION: "600000"}
    assert set(client.asked) == {IO, CLEANER, RETENTION}


def test_a_step_that_comes_before_the_last_one_is_in_force_is_sent_again() -> None:
    client = Client(late=3, num_io_threads="32")
    assert configure(client, {IO: "4"}) == ""
    assert [key for n, key in enumerate(client.sent[1:]) if key not in client.sent[1:][:n]] == [
        {IO: "16"},
        {IO: "8"},
        {IO: "4"},
    ]
    assert client.dynamic == {IO: "4"}


def test_a_refusal_for_another_reason_comes_before_anything_is_changed() -> None:
    client = Client(num_io_threads="33")
    client.unwanted = RETENTION
    assert configure(client, {RETENTION: "-5"}, IO) == "Invalid dynamic configuration"
    assert client.dynamic == {IO: "33"}


def test_a_broker_that_takes_no_further_step_ends_it_with_its_reason() -> None:
    client = Client(late=10**9, num_io_threads="33")
    assert configure(client, {}, IO) == "Invalid dynamic configuration"
    assert client.dynamic == {IO: "16"}


class Reticent(Client):
    """It does not say what lies beneath."""

    def describe_configs(self, resources: Sequence[Any], **options: object) -> dict[str, dict[str, Any]]:
        """The values alone."""
        told = super().describe_configs(resources, **options)["broker"]
        bare = {name: {key: {"value": e["value"]} for key, e in entries.items()} for name, entries in told.items()}
        return {"broker": bare}


def test_where_it_is_not_known_what_comes_to_hold_the_refusal_stands() -> None:
    client = Reticent(num_io_threads="33")
    assert configure(client, {}, IO) == "Invalid dynamic configuration"
    assert client.sent == [{IO: None}]
