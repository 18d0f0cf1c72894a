"""Settings of running brokers: which ones Kafka declares as updatable, and those set dynamically over their file."""

from collections.abc import Collection, Mapping
from typing import Any

from provision.common.patience import Patience
from provision.errors import KafkaRefused
from provision.kafka.settings import Entries, SettingsAdmin
from provision.plan.actions import BrokerSettings

_SET_ON_BROKER, _SET_FOR_ALL = "DYNAMIC_BROKER_CONFIG", "DYNAMIC_DEFAULT_BROKER_CONFIG"
DELETE_TOPICS = "delete.topic.enable"
# More than any thread pool needs: a setting that would take more steps is not a pool.
_MOST_STEPS = 32
_PAUSE_S = 0.1
Changes = Mapping[str, str | None]
"""By key: the new value, None to remove it."""


class BrokerAdmin:
    """The brokers of a cluster.

    Args:
        settings: of everything.
        in_force_s: how long a broker may take until an accepted step takes effect.
    """

    def __init__(self, settings: SettingsAdmin, in_force_s: float = 15.0) -> None:
        self._settings, self._in_force_s = settings, in_force_s

    def settings(self, brokers: Collection[int]) -> dict[int, Entries]:
        """Every setting of each broker, as it describes itself (`DescribeConfigs`)."""
        found = self._settings.describe("broker", [str(broker) for broker in sorted(brokers)])
        return {int(name): entries for name, entries in found.items()}

    def defaults(self, broker: int) -> dict[str, tuple[str, str]]:
        """The dynamic settings for all brokers that take effect on this one, by key, and what would without them."""
        (entries,) = self._settings.describe("broker", [str(broker)], synonyms=True).values()
        return {
            key: (_text(entry["value"]), _text(_beneath(entry, _SET_FOR_ALL)))
            for key, entry in sorted(entries.items())
            if entry["config_source"] == _SET_FOR_ALL and entry["value"] is not None
        }

    def configure(self, settings: BrokerSettings) -> str:
        """Set and remove dynamic settings of a running broker; returns Kafka's reason if it refuses, else nothing.

        A change can at most double or halve a thread pool, also when a value is removed and the one below it applies
        (KIP-226; `validateReconfiguration` of `DynamicThreadPool`, `SocketServer` and `LogCleaner`). Larger changes are
        made in steps:

        1. All changes are sent in one request, which nearly always suffices.
        2. If the broker refuses, each number that would exceed the limit is validated alone with `validate_only`. Those
           that are refused are pools: which keys are differs between versions, and times and sizes have no such limit.
        3. The pools are halved or doubled in each request. The first one has all other changes too, so that a refusal
           for another reason comes before anything is changed.
        4. The broker answers when a change is written, and applies it a moment later. A further step that comes too
           early is refused, and is retried for a while.
        5. The last request repeats the first one, which is now within the limit.

        A command that ends between two steps leaves a value that the next plan finds, like one that was set by hand.
        """
        wanted: Changes = {**settings.values, **dict.fromkeys(settings.reset)}
        reason = self._alter(settings.broker, wanted)
        try:
            ways = self._ways(settings.broker, wanted) if reason else {}
        except KafkaRefused:  # without permission to read the settings; the refusal of the change says more
            return reason
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
            patience_s = self._in_force_s
        return ""

    def takes(self, broker: int, values: Mapping[str, str]) -> bool:
        """Whether the broker would accept these values without a restart; changes nothing."""
        return not self._alter(broker, values, validate_only=True)

    def _ways(self, broker: int, wanted: Changes) -> dict[str, list[int]]:
        """The intermediate sizes of each thread pool that cannot reach its new size in one step."""
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
    """The intermediate sizes, each half or double the one before; none if one step suffices.

    Half is rounded down, as Kafka compares: of 9 threads it keeps 4.
    """
    steps: list[int] = []
    while now > 0 and then > 0 and not now // 2 <= then <= now * 2:
        now = now // 2 if then < now else now * 2
        steps.append(now)
    return steps


def _falls_back_to(entries: Entries, key: str) -> object:
    """The value that takes effect once the broker's own setting is removed: Kafka's next synonym of the key.

    Without a cluster-wide default, that is the value in the file that the broker was started with, even if the file has
    changed since.
    """
    return _beneath(entries[key], _SET_ON_BROKER)


def _beneath(entry: Mapping[str, Any], source: str) -> object:
    """The value of the next synonym that is not from that source."""
    beneath: list[Any] = [synonym for synonym in entry.get("synonyms", ()) if synonym["source"] != source]
    return beneath[0]["value"] if beneath else None


def _text(value: object) -> str:
    return str(value or "").strip()


def updatable(entries: Entries) -> frozenset[str]:
    """The keys that this version of Kafka declares as updatable without a restart."""
    return frozenset(key for key, entry in entries.items() if not entry["read_only"])


def dynamic_overrides(entries: Entries) -> dict[str, str]:
    """The dynamic settings of this broker that override its file; secrets, which Kafka does not show, are left out."""
    return {
        key: str(entry["value"])
        for key, entry in sorted(entries.items())
        if entry["config_source"] == _SET_ON_BROKER and entry["value"] is not None
    }
