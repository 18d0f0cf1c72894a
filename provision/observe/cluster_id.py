"""The id of a KRaft cluster: that of the data that exist, else a new one. With another id, no node would start."""

import base64
import secrets
from pathlib import Path

from provision.cluster.model import Cluster, Role, StorageKind
from provision.errors import Refused
from provision.plan.observed import ObservedEnvironment
from provision.plan.stored import common_cluster_id
from provision.runtime.directories import cluster_id_in


def cluster_id_for(cluster: Cluster, observed: ObservedEnvironment) -> str:
    """The id with which the cluster's storages are formatted, or will be.

    Raises:
        Refused: there are data, and nothing tells the id of their cluster.
    """
    if known := observed.cluster_id or common_cluster_id(observed.stored) or _kept_cluster_id(cluster):
        return known
    if why := observed.unidentified or _unidentified(cluster, observed):
        remove = f"delete {cluster.storage.directory}"  # of an absent environment, `down` would find nothing
        if not observed.is_absent:
            remove = f"remove the environment with its data: `provision down --delete-data {cluster.name}`"
        hint = f"restore it from a copy, or {remove}"
        raise Refused(f"{cluster.name} has data of a cluster whose id cannot be read", why=why, hint=hint)
    return _new_cluster_id()


def _kept_cluster_id(cluster: Cluster) -> str:
    """The cluster id of the data that an earlier `down` left in the user's directory."""
    if cluster.storage.kind is not StorageKind.DIRECTORY:
        return ""
    return cluster_id_in(Path(cluster.storage.directory), cluster.name)


def _unidentified(cluster: Cluster, observed: ObservedEnvironment) -> str:
    data = [
        Path(cluster.storage.directory, name, "data")
        for name in sorted(observed.orphaned_data)
        if Role.parse(name)[0] is not Role.ZOOKEEPER
    ]
    return "\n".join(f"{place} has files, but no readable meta.properties with a cluster.id" for place in data)


def _new_cluster_id() -> str:
    """A random id in Kafka's format: 128 bits in URL-safe base64, without a leading hyphen."""
    return base64.urlsafe_b64encode(bytes([0x7F, *secrets.token_bytes(15)])).decode().rstrip("=")
