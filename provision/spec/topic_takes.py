"""What a topic takes of records, as far as the file says it for certain. The rest is up to the brokers."""

from collections.abc import Mapping

from msgspec import Struct

from provision.common.records import NewRecord
from provision.spec.units import size_text

_POLICY, _LARGEST = "cleanup.policy", "max.message.bytes"


class Takes(Struct, frozen=True):
    """Records for so many partitions; `keyed` is whether each needs a key. None larger than `largest_bytes`, if set."""

    partitions: int
    keyed: bool = False
    largest_bytes: int | None = None

    @classmethod
    def of(cls, partitions: int, config: Mapping[str, str]) -> "Takes":
        """What a topic with these settings takes."""
        largest = config.get(_LARGEST, "")
        return cls(
            partitions,
            keyed="compact" in {policy.strip() for policy in config.get(_POLICY, "").split(",")},
            largest_bytes=int(largest) if largest.isascii() and largest.isdecimal() else None,
        )

    def refusal(self, record: NewRecord) -> tuple[str, str] | None:
        """Why it does not take a record, and what to do; None if nothing is known against it.

        Kafka's limit is for what is sent, which is always a little more than what is in it.
        """
        if self.keyed and record.key is None:
            hint = f"give it a key, or the topic another {_POLICY} than `compact`"
            return "a record of a compacted topic needs a key", hint
        if self.largest_bytes is not None and record.size_bytes > self.largest_bytes:
            size, most = size_text(record.size_bytes), size_text(self.largest_bytes)
            return f"it is larger than the topic takes: {size}, and its {_LARGEST} is {most}", f"raise {_LARGEST}"
        return None
