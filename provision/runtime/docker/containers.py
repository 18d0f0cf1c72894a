"""The options of a node's container: names, labels and limits. Pure: makes no calls."""

import io
import os
import re
import stat
import tarfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from docker.types import LogConfig, Mount
from msgspec import Struct

from provision.catalogue.images import layout_of
from provision.catalogue.versions import KRAFT, KafkaVersion, version_of
from provision.cluster.layout import NODE_HOME
from provision.cluster.model import UNREADABLE, Cluster, Node, RenderedFile, Role, StorageKind
from provision.common.clocks import now_s
from provision.common.process_identity import ProcessIdentity
from provision.common.whole_files import MAX_BYTES
from provision.plan.observed import NodeState
from provision.runtime.base import SECRET_MODE
from provision.security.listening import written

ENVIRONMENT, NODE, ROLE, HASH = (
    "provision.environment",
    "provision.node",
    "provision.role",
    "provision.config-hash",
)
ENDPOINT, INSIDE, SOFTWARE = "provision.endpoint", "provision.inside-address", "provision.software"
LISTENERS = "provision.listeners"
VERSION, MODE, STORAGE = "provision.kafka-version", "provision.kafka-mode", "provision.storage"
CREATED, TTL = "provision.created", "provision.ttl-seconds"
CLUSTER_ID = "provision.cluster-id"
NOTE, PROCESS = "provision.note", "provision.process"
TOOL_ROLE = "tool"
READER = "provision.reader"
"""The label of a tool's container that only reads, so that another command may remove it at any time."""
# The suffix of names of things that are not ready yet, or temporary: not part of an environment.
DRAFT = ".new"
UNKNOWN = KafkaVersion(0, 0, 0)

STATES: Mapping[str, NodeState | None] = {
    "created": NodeState.CREATED,
    "running": NodeState.RUNNING,
    "paused": NodeState.PAUSED,
    "restarting": NodeState.RESTARTING,
    "exited": NodeState.EXITED,
    "removing": None,
    "dead": None,
}
"""The states of the Docker Engine API. None: what is left of a container, which can only be removed, is no node."""

_PROCESSES = 1024
_DIRECTORY_MODE, _FILE_MODE = 0o755, 0o644
_LARGEST_ARCHIVE = 4 * MAX_BYTES  # of a node with several agents
_DEPTH = 2  # of a file in an archive of a directory: `config/server.properties`


def name_of(environment: str, node: str) -> str:
    """The container's and the volume's name."""
    return f"{environment}-{node}"


def environment_labels(cluster: Cluster) -> dict[str, str]:
    """The labels of everything in the environment, sufficient to describe it without its file."""
    labels = {
        ENVIRONMENT: cluster.name,
        SOFTWARE: cluster.software,
        VERSION: str(cluster.version),
        MODE: cluster.mode,
        STORAGE: cluster.storage.directory or cluster.storage.kind,
        CREATED: str(int(now_s())),
    }
    if cluster.cluster_id:
        labels[CLUSTER_ID] = cluster.cluster_id
    if cluster.ttl_s:
        labels[TTL] = str(int(cluster.ttl_s))
    return labels


def node_labels(cluster: Cluster, node: Node, config_hash: str = "") -> dict[str, str]:
    """The labels of the node's container and volume."""
    first = node.listeners[0]
    labels = environment_labels(cluster) | {NODE: node.name, ROLE: node.role, INSIDE: f"{first.host}:{first.port}"}
    if config_hash:
        labels[HASH] = config_hash
    if node.endpoint:
        labels[ENDPOINT] = node.endpoint
    if listeners := node.told_listeners:
        labels[LISTENERS] = written(listeners)
    return labels


def process_label() -> dict[str, str]:
    """The label of a container that is there only as long as this command runs: the command's process."""
    return {PROCESS: ProcessIdentity.of().model_dump_json()}


def hardening(*, memory_bytes: int, image_volumes: Sequence[str]) -> dict[str, Any]:
    """Limits of every container: no capabilities, a read-only root with a tmpfs, bounded memory and processes.

    `image_volumes` are the paths for which the image declares an anonymous volume; an empty tmpfs replaces each, so
    that none is left behind.
    """
    tmpfs = dict.fromkeys(image_volumes, "rw,noexec,nosuid,nodev,size=1m")
    tmpfs["/tmp"] = "rw,exec,nosuid,nodev,size=128m,mode=1777"  # noqa: S108 native libraries are unpacked there
    return {
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "read_only": True,
        "tmpfs": tmpfs,
        "mem_limit": memory_bytes,
        "memswap_limit": memory_bytes,
        "pids_limit": _PROCESSES,
    }


def on_tmpfs(cluster: Cluster, node: Node) -> bool:
    """Whether the node's data are on a tmpfs, which is empty at each start, so it cannot be formatted beforehand."""
    return cluster.storage.kind is StorageKind.MEMORY and node.role is Role.BROKER and cluster.mode != KRAFT


def node_options(
    cluster: Cluster, node: Node, config_hash: str, image_volumes: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The container's configuration and host configuration, for the Docker SDK's low-level API."""
    in_memory = on_tmpfs(cluster, node)
    # A tmpfs counts towards the container's memory, so data in memory get the same amount again.
    memory_bytes = node.memory_bytes * 2 if in_memory else node.memory_bytes
    host = hardening(memory_bytes=memory_bytes, image_volumes=image_volumes)
    user = user_of(cluster, node)
    if in_memory:
        uid, _, gid = user.partition(":")
        options = f"rw,noexec,nosuid,nodev,size={node.memory_bytes},mode=0750,uid={uid},gid={gid}"
        host["tmpfs"][node.data_dir] = options
    published = {one.listen_port: one for one in (*node.listeners, *node.java_ports) if one.endpoint}
    host |= {
        "network_mode": cluster.name,
        "mounts": _mounts(cluster, node),
        "port_bindings": {port: (listener.host_address, listener.host_port) for port, listener in published.items()},
        "log_config": LogConfig(type="json-file", config={"max-size": "16m", "max-file": "2"}),
    }
    container = {
        "image": node.software,
        "name": name_of(cluster.name, node.name),
        "hostname": name_of(cluster.name, node.name),
        "entrypoint": [node.java, *node.java_args],
        "command": [],
        "user": user,
        "labels": node_labels(cluster, node, config_hash),
        "ports": list(published),
    }
    return container, host


def format_options(
    environment: str, details: Mapping[str, Any], command: Sequence[str], image_volumes: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The container that formats a node's storage, with the node's mounts and account but no network.

    `details` are those of the node's container, as the engine inspects it.
    """
    host = hardening(memory_bytes=details["HostConfig"]["Memory"], image_volumes=image_volumes)
    host |= {"network_mode": "none", "mounts": details["HostConfig"]["Mounts"]}
    container = {
        "image": details["Config"]["Image"],
        "entrypoint": list(command),
        "command": [],
        "user": details["Config"]["User"],
        "labels": {ENVIRONMENT: environment, ROLE: TOOL_ROLE, **process_label()},
    }
    return container, host


def user_of(cluster: Cluster, node: Node) -> str:
    """`uid:gid` of the node's account: the image's own, or the caller's if the data are in the user's directory."""
    if cluster.storage.kind is StorageKind.DIRECTORY and hasattr(os, "getuid") and os.getuid() != 0:
        return f"{os.getuid()}:{os.getgid()}"
    account = layout_of(node.software).user
    return f"{account}:{account}"


def volume_mount(environment: str, node: str, labels: Mapping[str, str], *, read_only: bool = False) -> Mount:
    """The node's volume, where each of its containers has it.

    `labels` are those that it gets if it is not there: the engine creates it then by itself.
    """
    volume = name_of(environment, node)
    return Mount(NODE_HOME, volume, type="volume", no_copy=True, labels=dict(labels), read_only=read_only)


def mounts_to_read(environment: str, node: str, labels: Mapping[str, str], directory: Path | None) -> list[Mount]:
    """The node's volume, and what is there of its data in the user's directory, which nobody can write to."""
    mounts = [volume_mount(environment, node, labels, read_only=True)]
    if directory and (data := directory / node / "data").is_dir():
        mounts.append(Mount(f"{NODE_HOME}/data", str(data), type="bind", read_only=True))
    return mounts


def _mounts(cluster: Cluster, node: Node) -> list[Mount]:
    mounts = [volume_mount(cluster.name, node.name, node_labels(cluster, node))]
    if cluster.storage.kind is StorageKind.DIRECTORY:
        mounts.append(Mount(node.data_dir, str(Path(cluster.storage.directory, node.name, "data")), type="bind"))
    return mounts


def archive(cluster: Cluster, node: Node, files: Sequence[RenderedFile], *, with_data: bool) -> bytes:
    """The content of a node's volume as a tar file: its configuration, an empty data directory, ZooKeeper's `myid`."""
    entries = [_Entry("config"), *_config_entries(files), _Entry("log")]
    if with_data:
        entries.append(_Entry("data"))
    if node.role is Role.ZOOKEEPER:
        entries.append(_Entry("data/myid", f"{node.id}\n".encode()))
    return _tar(entries, user_of(cluster, node))


def archive_of_files(files: Sequence[RenderedFile], user: str) -> bytes:
    """The configuration alone, for a node with an existing volume and the account `uid:gid`."""
    return _tar(_config_entries(files), user)


def archive_of_data(contents: Mapping[str, bytes], user: str) -> bytes:
    """Files of a node's data directory, in this order, for the account `uid:gid`."""
    return _tar([_Entry(name, content) for name, content in contents.items()], user)


class _Entry(Struct, frozen=True):
    """An entry of a tar file: a file, or a directory if there is no content."""

    path: str
    content: bytes | None = None
    mode: int = _FILE_MODE


def _config_entries(files: Sequence[RenderedFile]) -> list[_Entry]:
    return [_Entry(f"config/{file.name}", file.content, SECRET_MODE if file.secret else _FILE_MODE) for file in files]


def _tar(entries: Iterable[_Entry], user: str) -> bytes:
    """A tar file whose entries belong to an account; all but secret files are readable by every account."""
    uid, _, gid = user.partition(":")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for entry in entries:
            member = tarfile.TarInfo(entry.path)
            member.uid, member.gid, member.mtime = int(uid), int(gid), int(time.time())
            member.mode = _DIRECTORY_MODE if entry.content is None else entry.mode
            member.type = tarfile.DIRTYPE if entry.content is None else tarfile.REGTYPE
            member.size = len(entry.content or b"")
            tar.addfile(member, io.BytesIO(entry.content or b""))
    return buffer.getvalue()


def files_in_archive(node: str, stream: Iterable[bytes]) -> tuple[RenderedFile, ...]:
    """The files of a directory in a tar file, whatever has become of them; none if it is no tar file, or a huge one."""
    archive = io.BytesIO()
    for piece in stream:
        archive.write(piece)
        if archive.tell() > _LARGEST_ARCHIVE:
            return ()
    archive.seek(0)
    try:
        with tarfile.open(fileobj=archive) as tar:
            return tuple(
                RenderedFile(node, PurePosixPath(member.name).name, _content(tar, member), secret=_is_secret(member))
                for member in tar.getmembers()
                if len(PurePosixPath(member.name).parts) == _DEPTH
            )
    except tarfile.TarError:
        return ()


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = tar.extractfile(member) if member.isreg() and member.size <= MAX_BYTES else None
    return stream.read() if stream else UNREADABLE


def _is_secret(member: tarfile.TarInfo) -> bool:
    return stat.S_IMODE(member.mode) == SECRET_MODE


def version_in(labels: Mapping[str, str]) -> KafkaVersion:
    """The Kafka version in labels; `UNKNOWN`, the lowest of all, if there is no valid one."""
    return version_of(labels.get(VERSION, "")) or UNKNOWN


_UP = re.compile(r"Up (?:(?P<number>\d+|About an?|Less than a) )?(?P<unit>second|minute|hour)")
_UNITS_S = {"second": 1.0, "minute": 60.0, "hour": 3600.0}


def up_s(container: Mapping[str, Any]) -> float | None:
    """For how many seconds it has been running, roughly, by the engine's own clock; None if it does not tell.

    Docker writes `Up 5 seconds`, `Up Less than a second`, `Up About a minute`, `Up 3 days`.
    """
    status = str(container.get("Status", ""))
    if not status.startswith("Up "):
        return None
    match = _UP.match(status)
    if match is None:  # days, weeks, months
        return 86400.0
    number = float(match["number"]) if (match["number"] or "").isdecimal() else 1.0
    return number * _UNITS_S[match["unit"]]


def label_float(labels: Mapping[str, str], key: str) -> float | None:
    """A number in a label; None if it is missing or not valid."""
    try:
        return float(labels[key])
    except (KeyError, ValueError):
        return None
