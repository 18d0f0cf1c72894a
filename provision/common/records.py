"""Records, as they are written and read."""

from dataclasses import dataclass
from typing import Literal, get_args

Headers = tuple[tuple[str, bytes | None], ...]
"""Names and values, in order: a name may be there twice, and a value may be null."""
Codec = Literal["none", "gzip", "snappy", "lz4", "zstd"]
"""How what is sent is compressed."""
CODECS: tuple[Codec, ...] = get_args(Codec)
Isolation = Literal["read_uncommitted", "read_committed"]
"""Whether records of transactions that are open or were aborted are read, too; the names are Kafka's."""
ISOLATIONS: tuple[Isolation, ...] = get_args(Isolation)

LAST_PARTITION = 2**31 - 1
FIRST_MS, LAST_MS = 1, 2**63 - 1
"""The times that a record can be given: 0 is none for librdkafka, which writes the present time then."""


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A record to be written.

    `key` and `value` may be None: a record without a key, and a tombstone. Without a `partition` the key decides, or
    chance. `timestamp_ms` is in milliseconds since 1970, from 1 on; the default is now.
    """

    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    partition: int | None = None
    timestamp_ms: int | None = None

    @property
    def size_bytes(self) -> int:
        """The size of its key, value and headers."""
        parts = [self.key, self.value, *(part for name, value in self.headers for part in (name.encode(), value))]
        return sum(len(part or b"") for part in parts)


@dataclass(frozen=True, slots=True)
class Record:
    """A record that was read: `key` and `value` as written, None if absent; the time in milliseconds since 1970."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp_ms: int = -1
