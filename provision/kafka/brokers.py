"""Settings of running brokers: what Kafka itself declares as updatable, and what is set on them beside their file."""

from collections.abc import Collection, Mapping
from typing import Any

from provision.common.patience import Patience
from provision.kafka.settings import Entries, SettingsAdmin
from provision.plan.actions import BrokerSettings

_SET_ON_BROKER = "DYNAMIC_BROKER_CONFIG"
DELETE_TOPICS = "delete.topic.enable"
# More than any number of threads needs: what would take more steps is no pool.
_MOST_STEPS = 32
# How long a broker may take until a step that it has agreed to is in force.
_IN_FORCE_S, _PAUSE_S = 15.0, 0.1
Changes = Mapping[str, str | None]
"""By key: the new value, None to take it back."""


class BrokerAdmin:
    """The brokers of a cluster."""

    def __init__(self, settings: SettingsAdmin) -> None:
        self._settings = settings

    def settings(self, brokers: Collection[int]) -> dict[int, Entries]:
        """Every setting of each broker, as it describes itself (`DescribeConfigs`)."""
        found = self._settings.describe("broker", [str(broker) for broker in sorted(brokers)])
        return {int(name): entries for name, entries in found.items()}

    def configure(self, settings: BrokerSettings) -> str:
        """Set and take back settings of a running broker; returns Kafka's reason where it refuses, else nothing.

        Kafka at most doubles and at least halves a pool of threads at once, compared with the threads that it has, also
        where a value is taken back and the one below it comes to hold (KIP-226; `validateReconfiguration` of
        `DynamicThreadPool`, `SocketServer` and `LogCleaner`). What is further away is reached in steps:

        1. All changes are sent in one request. Nearly always that is all.
        2. If the broker refuses, it is asked about each number that would go further than that, alone and with
           `validate_only`. Those that it refuses are pools: which keys are differs between versions, and a time or a
           size may go as far as it likes.
        3. The pools go half or double the way in each request. The first one has all other changes too, so that a
           refusal for another reason comes before anything is changed.
        4. The broker answers when a change is written, and has it in force a moment later. A further step that comes
           too early is refused, and sent again for a while.
        5. The last request is the first one again: by now it goes no further than Kafka allows.

        A command that ends between two steps leaves a value that the next plan finds, like one that was set by hand.
        """
        wanted: Changes = {**settings.values, **dict.fromkeys(settings.reset)}
        reason = self._alter(settings.broker, wanted)
        ways = self._ways(settings.broker, wanted) if reason else {}
        if not ways:
            return reason
        steps: list[Changes] = [
            {**wanted, **{key: str(way[number]) for key, way in ways.items() if number < len(way)}}
            for number in range(max(map(len, ways.values())))
        ]
        patience_s = 0.0
        for step in (*steps, wanted):
            if reason := self._alter_in_time(settings.broker, step, patience_s):
                return reason
            patience_s = _IN_FORCE_S
        return ""

    def takes(self, broker: int, values: Mapping[str, str]) -> bool:
        """Whether the broker would take these values at once, without a restart; nothing is changed."""
        return not self._alter(broker, values, validate_only=True)

    def _ways(self, broker: int, wanted: Changes) -> dict[str, list[int]]:
        """The numbers between now and then, for each pool of threads that cannot go there at once."""
        (entries,) = self._settings.describe("broker", [str(broker)], synonyms=True).values()
        ways = {
            key: steps_between(int(now), int(then))
            for key, value in wanted.items()
            if (now := _text(entries.get(key, {}).get("value"))).isdecimal()
            and (then := _text(_falls_back_to(entries, key) if value is None else value)).isdecimal()
        }
        return {
            key: way
            for key, way in ways.items()
            if 0 < len(way) <= _MOST_STEPS and self._alter(broker, {key: wanted[key]}, validate_only=True)
        }

    def _alter_in_time(self, broker: int, changes: Changes, patience_s: float) -> str:
        patience = Patience(patience_s)
        while (reason := self._alter(broker, changes)) and patience.pause(_PAUSE_S):
            pass
        return reason

    def _alter(self, broker: int, changes: Changes, *, validate_only: bool = False) -> str:
        at = ("broker", str(broker))
        return self._settings.alter({at: changes}, validate_only=validate_only).get(at, "")


def steps_between(now: int, then: int) -> list[int]:
    """The numbers of threads on the way, each half or double the one before; none where Kafka goes there at once.

    Half is rounded down, as Kafka compares: of 9 threads it keeps 4.
    """
    steps: list[int] = []
    while now > 0 and then > 0 and not now // 2 <= then <= now * 2:
        now = now // 2 if then < now else now * 2
        steps.append(now)
    return steps


def _falls_back_to(entries: Entries, key: str) -> object:
    """What holds when nothing is set on the broker itself any more: the next of the values that Kafka has for the key.

    It is that of the file with which the broker was started, whatever is in its file by now, if there is none for all
    brokers together.
    """
    beneath: list[Any] = [s for s in entries[key].get("synonyms", ()) if s["source"] != _SET_ON_BROKER]
    return beneath[0]["value"] if beneath else None


def _text(value: object) -> str:
    return str(value or "").strip()


def updatable(entries: Entries) -> frozenset[str]:
    """The keys that Kafka declares as updatable without a restart, in the version that answers."""
    return frozenset(key for key, entry in entries.items() if not entry["read_only"])


def set_beside_file(entries: Entries) -> dict[str, str]:
    """What is set on this one broker and overrides its file; secrets, which Kafka does not show, are left out."""
    return {
        key: str(entry["value"])
        for key, entry in sorted(entries.items())
        if entry["config_source"] == _SET_ON_BROKER and entry["value"] is not None
    }
