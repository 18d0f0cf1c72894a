"""What the nodes' storages contain, as far as it decides what may run over them. Pure."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct, field

from provision.catalogue.versions import KRAFT, ZOOKEEPER, KafkaVersion
from provision.cluster.identity import is_cluster_id
from provision.cluster.model import LAUNCH_FILE, MAIN_FILES, RenderedFile, Role
from provision.cluster.properties import read

META_FILE = "meta.properties"
LOGS = _METADATA_LOG, ZOOKEEPER_LOG = "__cluster_metadata-0", "version-2"
"""The directories of a data directory whose files show whether it was used."""
FIRST_METADATA = f"{_METADATA_LOG}/{0:020}.log"
"""The file that mostly shows it in KRaft mode; Kafka removes it once it has snapshots of what comes after it."""
CHUNK = 1024 * 1024
"""How much of a file to read at once for `clusters_noted`, in bytes."""
_CLUSTER_ID, _NODE_IDS = "cluster.id", ("node.id", "broker.id")
_VOTERS = "controller.quorum.voters"
_NOTED, _LONGEST_NOTE = b'{"version":"1","id":"', 64
_CLUSTER_NOTE = re.compile(_NOTED + rb'([A-Za-z0-9_-]{22})"')


class StoredData(Struct, frozen=True):
    """The content of one node's storage.

    `place` is where it is, as users know it. `meta` is Kafka's `meta.properties`, which `kafka-storage format` writes,
    or in ZooKeeper mode the broker's first start. `written` is whether the node has ever been part of a cluster: it has
    a history, which nothing else may replace. `files` are the configuration files that the data were last used with.
    `ensemble_of` are the ids of the cluster that a ZooKeeper node has noted: usually one, none before the first broker.
    """

    node: str
    place: str
    meta: Mapping[str, str] = field(default_factory=dict)
    written: bool = False
    files: tuple[RenderedFile, ...] = ()
    ensemble_of: frozenset[str] = frozenset()

    @property
    def role(self) -> Role:
        """The role of the node."""
        return Role.parse(self.node)[0]

    @property
    def cluster_id(self) -> str:
        """The cluster it belongs to; empty if it was never formatted."""
        identity = self.meta.get(_CLUSTER_ID, "")
        return identity if is_cluster_id(identity) else ""

    @property
    def node_id(self) -> str:
        """The id of the node that wrote it; empty if that is not known."""
        return next((self.meta[key] for key in _NODE_IDS if key in self.meta), "")

    @property
    def expected_id(self) -> str:
        """The id of the node whose storage it is."""
        role, number = Role.parse(self.node)
        return str(role.id_of(number))

    @property
    def version(self) -> KafkaVersion | None:
        """The Kafka release that last used it; None if that is not known."""
        try:
            return KafkaVersion.parse(self._launch("kafka"))
        except ValueError:
            return None

    @property
    def storage(self) -> str:
        """The kind or directory of storage that it was last used as; empty if that is not known."""
        return self._launch("storage")

    @property
    def mode(self) -> str:
        """The mode of its cluster; empty if that is not known."""
        if self.role is Role.ZOOKEEPER:
            return ZOOKEEPER
        if self.role is Role.CONTROLLER or "node.id" in self.meta:
            return KRAFT
        return ZOOKEEPER if "broker.id" in self.meta else ""

    @property
    def voters(self) -> frozenset[int]:
        """The ids of the KRaft quorum's voters; empty if they are not known."""
        try:
            return frozenset(int(voter.partition("@")[0]) for voter in self._settings().get(_VOTERS, "").split(","))
        except ValueError:
            return frozenset()

    @property
    def members(self) -> int:
        """The size of the ZooKeeper ensemble; 0 if it is not known."""
        settings = self._settings() if self.role is Role.ZOOKEEPER else {}
        return max(sum(key.startswith("server.") for key in settings), 1) if settings else 0

    def _settings(self) -> Mapping[str, str]:
        return read(self._text(MAIN_FILES[self.role])) or {}

    def _launch(self, key: str) -> str:
        try:
            content = json.loads(self._text(LAUNCH_FILE))
        except (ValueError, RecursionError):
            return ""
        value = content.get(key) if isinstance(content, dict) else None
        return value if isinstance(value, str) else ""

    def _text(self, name: str) -> str:
        return next((f.content.decode(errors="replace") for f in self.files if f.name == name and not f.secret), "")


def meta_in(content: bytes) -> dict[str, str]:
    """The keys and values of a `meta.properties`; empty if it is not one."""
    return read(content.decode(errors="replace")) or {}


def clusters_noted(chunks: Iterable[bytes]) -> Iterator[str]:
    """The ids of the cluster in a log or snapshot of ZooKeeper, where the first broker writes it to `/cluster/id`."""
    rest = b""
    for chunk in chunks:
        read = rest + chunk
        if _NOTED in read:  # most of a log is empty, and this is faster
            yield from (match[1].decode() for match in _CLUSTER_NOTE.finditer(read))
        rest = read[-_LONGEST_NOTE:]


def is_used(meta: Mapping[str, str]) -> bool:
    """Whether a broker in ZooKeeper mode wrote it: it does so when it has found its cluster."""
    return _CLUSTER_ID in meta and "broker.id" in meta


def shows_use(path: str, size_bytes: int, *, is_directory: bool) -> bool:
    """Whether a file or directory exists only once its node has been part of a cluster.

    Formatting a storage writes some files, and a node that finds no quorum some more; a leader's metadata, a partition
    or ZooKeeper's log is more than that.

    Args:
        path: relative to the data directory, with `/` between its parts.
        size_bytes: the size of a file.
        is_directory: whether it is a directory.
    """
    top, *below = path.split("/")
    if top == _METADATA_LOG:
        return not is_directory and path.endswith(".log") and size_bytes > 0
    if top == ZOOKEEPER_LOG:
        return not is_directory and size_bytes > 0
    return is_directory and not below and top not in ("", ".", "lost+found")


def common_cluster_id(stored: Mapping[str, StoredData]) -> str:
    """The cluster id that most storages have; empty if none has one, or as many have another."""
    ids = Counter(data.cluster_id for data in stored.values() if data.cluster_id).most_common(2)
    return ids[0][0] if len(ids) == 1 or (ids and ids[0][1] > ids[1][1]) else ""


def strangers(stored: Mapping[str, StoredData], cluster_id: str) -> Iterator[tuple[str, str]]:
    """The nodes whose storage has the data of another cluster or another node, each with the reason.

    `cluster_id` is the cluster's id, if it is known; else what the ensemble has noted counts, or that of most storages.
    """
    noted = frozenset[str]().union(*(data.ensemble_of for data in stored.values()))
    expected = frozenset({cluster_id} - {""}) or noted or frozenset({common_cluster_id(stored)} - {""})
    known = {name: data for name, data in sorted(stored.items()) if data.cluster_id}
    for name, data in known.items():
        if data.cluster_id not in expected and (expected or len(known) > 1):
            ours = f"the cluster is {' or '.join(sorted(expected))}" if expected else "others are of another"
            yield name, f"its data are of cluster {data.cluster_id} ({data.place}), but {ours}"
        elif data.node_id and data.node_id != data.expected_id:
            yield name, f"its data are those of node {data.node_id} ({data.place}), but its id is {data.expected_id}"
