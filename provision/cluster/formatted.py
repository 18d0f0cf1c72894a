"""The files of a freshly formatted KRaft storage, as `kafka-storage format` of each release writes them. Pure.

The tool takes a second and a JVM for each node, and writes two files that are known beforehand:

- `meta.properties`: the ids of the node and the cluster, and from 3.7 on a random one of the directory (KIP-858);
- `bootstrap.checkpoint`: a snapshot of the metadata log with which a new cluster begins (KIP-778). It has three batches
  of records: the snapshot's header (KIP-630), a `FeatureLevelRecord` for each feature, and the snapshot's footer.

The bytes are those of the tool but for what is different at each of its runs: the date in the comment of
`meta.properties`, `directory.id`, and the times of the batches with their checksums. A test compares them with the tool
of every release line.

Sources: `org.apache.kafka.metadata.storage.Formatter` (before 3.9, `kafka.tools.StorageTool`),
`org.apache.kafka.metadata.bootstrap.BootstrapDirectory`, `org.apache.kafka.common.record.DefaultRecordBatch`.
"""

import base64
import struct
import time
import uuid
from collections.abc import Mapping, Sequence

from provision.catalogue.versions import FIRST_WITH_DIRECTORY_IDS, KafkaVersion, features_of
from provision.cluster.properties import read

META, BOOTSTRAP = "meta.properties", "bootstrap.checkpoint"
# What `kafka-storage format` also reads: with one of them it writes something else, or elsewhere.
_OTHERWISE = ("metadata.log.dir", "inter.broker.protocol.version")
_OTHERWISE_BELOW = "unstable."
_CONTROL = 0x20
_HEADER, _FOOTER = 3, 4
_FEATURE_LEVEL_RECORD = 12
_NONE = -1
_MAGIC = 2
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_CASTAGNOLI = 0x82F63B78

Batch = Sequence[tuple[bytes | None, bytes]]
"""Records as (key, value)."""


def formatted(
    version: KafkaVersion, node_id: int, cluster_id: str, configuration: str, data_dir: str
) -> dict[str, bytes] | None:
    """The files of the storage by name, in the order in which they are written: the last one makes it formatted.

    Args:
        version: the release, which must be Apache's own.
        node_id: the node's id.
        cluster_id: the cluster's.
        configuration: the node's `server.properties` or `controller.properties`, as it stands.
        data_dir: the only directory that it should name.

    Returns:
        None if the release is not known, or the configuration has anything that the tool might heed: the tool decides.
    """
    features, settings = features_of(version), read(configuration)
    if features is None or settings is None or not _is_plain(settings, node_id, data_dir):
        return None
    directory_id = _random_id() if version >= FIRST_WITH_DIRECTORY_IDS else ""
    now_s = time.time()
    return {
        BOOTSTRAP: bootstrap_checkpoint(features, int(now_s * 1000)),
        META: meta_properties(node_id, cluster_id, directory_id, now_s),
    }


def _is_plain(settings: Mapping[str, str], node_id: int, data_dir: str) -> bool:
    expected = {"node.id": str(node_id), "log.dirs": data_dir}
    return (
        all(settings.get(key) == value for key, value in expected.items())
        and "," not in data_dir
        and bool(settings.get("process.roles"))
        and bool(settings.get("controller.quorum.voters"))
        and not any(key in _OTHERWISE or key.startswith(_OTHERWISE_BELOW) for key in settings)
    )


def meta_properties(node_id: int, cluster_id: str, directory_id: str, now_s: float) -> bytes:
    """`meta.properties`, in the order of Java's hash table; `directory_id` is empty before 3.7."""
    now = time.gmtime(now_s)
    date = f"{_DAYS[now.tm_wday]} {_MONTHS[now.tm_mon - 1]} {now.tm_mday:02} {time.strftime('%H:%M:%S', now)} UTC"
    directory = [f"directory.id={directory_id}"] if directory_id else []
    lines = ["#", f"#{date} {now.tm_year}", f"node.id={node_id}", *directory, "version=1", f"cluster.id={cluster_id}"]
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def bootstrap_checkpoint(features: Sequence[tuple[str, int]], now_ms: int) -> bytes:
    """`bootstrap.checkpoint` with the levels of these features."""
    header = struct.pack(">hqb", 0, 0, 0)  # its version, the time of the last record, no tagged fields
    footer = struct.pack(">hb", 0, 0)
    levels = [(None, _feature_level(name, level)) for name, level in features]
    return b"".join(
        (
            _batch(0, [(_control_key(_HEADER), header)], now_ms, _CONTROL),
            _batch(1, levels, now_ms, 0),
            _batch(1 + len(levels), [(_control_key(_FOOTER), footer)], now_ms, _CONTROL),
        )
    )


def _control_key(kind: int) -> bytes:
    return struct.pack(">hh", 0, kind)


def _feature_level(name: str, level: int) -> bytes:
    """A `FeatureLevelRecord` in the metadata log's frame: the frame's version, the record's type and version."""
    frame = bytes((1, _FEATURE_LEVEL_RECORD, 0))
    return frame + bytes((len(name) + 1,)) + name.encode() + struct.pack(">hb", level, 0)


def _batch(base_offset: int, records: Batch, now_ms: int, attributes: int) -> bytes:
    """A record batch of format 2, without compression or a producer (Kafka documentation, "Message Format")."""
    encoded = b"".join(_record(offset, key, value) for offset, (key, value) in enumerate(records))
    last = len(records) - 1
    checked = struct.pack(">hiqqqhii", attributes, last, now_ms, now_ms, _NONE, _NONE, _NONE, len(records)) + encoded
    body = struct.pack(">ibI", 0, _MAGIC, _crc32c(checked)) + checked
    return struct.pack(">qi", base_offset, len(body)) + body


def _record(offset_delta: int, key: bytes | None, value: bytes) -> bytes:
    shown = _varint(_NONE) if key is None else _varint(len(key)) + key
    body = b"\0" + _varint(0) + _varint(offset_delta) + shown + _varint(len(value)) + value + _varint(0)
    return _varint(len(body)) + body


def _varint(number: int) -> bytes:
    """A signed number in zigzag encoding, seven bits a byte, the lowest first."""
    rest = number * 2 if number >= 0 else -number * 2 - 1
    encoded = bytearray()
    while rest > 0x7F:  # noqa: PLR2004 seven bits
        encoded.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes((*encoded, rest))


def _crc32c(data: bytes) -> int:
    """The CRC-32C of some hundred bytes, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (_CASTAGNOLI if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def _random_id() -> str:
    """A random id as Kafka's `Uuid.randomUuid` makes them: URL-safe base64, never with a hyphen first."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text
