"""Settings of running brokers: what Kafka itself declares as updatable, and what is set on them beside their file."""

from collections.abc import Collection, Mapping

from provision.kafka.settings import Entries, SettingsAdmin
from provision.plan.actions import BrokerSettings

_SET_ON_BROKER = "DYNAMIC_BROKER_CONFIG"
DELETE_TOPICS = "delete.topic.enable"


class BrokerAdmin:
    """The brokers of a cluster."""

    def __init__(self, settings: SettingsAdmin) -> None:
        self._settings = settings

    def settings(self, brokers: Collection[int]) -> dict[int, Entries]:
        """Every setting of each broker, as it describes itself (`DescribeConfigs`)."""
        found = self._settings.describe("broker", [str(broker) for broker in sorted(brokers)])
        return {int(name): entries for name, entries in found.items()}

    def configure(self, settings: BrokerSettings) -> str:
        """Set and take back settings of a running broker; returns Kafka's reason where it refuses, else nothing."""
        return self._alter(settings, validate_only=False)

    def takes(self, broker: int, values: Mapping[str, str]) -> bool:
        """Whether the broker would take these values without a restart; nothing is changed."""
        return not self._alter(BrokerSettings(broker, values), validate_only=True)

    def _alter(self, settings: BrokerSettings, *, validate_only: bool) -> str:
        at = ("broker", str(settings.broker))
        changes: dict[str, str | None] = {**settings.values, **dict.fromkeys(settings.reset)}
        return self._settings.alter({at: changes}, validate_only=validate_only).get(at, "")


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
