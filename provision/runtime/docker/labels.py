"""The labels of the engine's things, read back: anybody can label a container. What is not valid counts as missing."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from provision.catalogue.versions import KRAFT, ZOOKEEPER, version_of
from provision.cluster.identity import is_cluster_id
from provision.cluster.model import StorageKind, is_node_name
from provision.common.endpoints import is_endpoint
from provision.common.notes import LATEST_S
from provision.runtime.docker import containers as spec
from provision.security.listening import listeners_in


def _is_version(text: str) -> bool:
    return version_of(text) is not None


def _is_mode(text: str) -> bool:
    return text in (ZOOKEEPER, KRAFT)


def _is_storage(text: str) -> bool:
    return text in (StorageKind.VOLUME, StorageKind.MEMORY) or Path(text).is_absolute()


def _is_seconds(text: str) -> bool:
    try:
        number = float(text)
    except ValueError:
        return False
    return math.isfinite(number) and 0 <= number <= LATEST_S


_CHECKS: Mapping[str, Callable[[str], bool]] = {
    spec.NODE: is_node_name,
    spec.ENDPOINT: is_endpoint,
    spec.INSIDE: is_endpoint,
    spec.LISTENERS: lambda text: bool(listeners_in(text)),
    spec.VERSION: _is_version,
    spec.MODE: _is_mode,
    spec.STORAGE: _is_storage,
    spec.CLUSTER_ID: is_cluster_id,
    spec.CREATED: _is_seconds,
    spec.TTL: _is_seconds,
}


def checked(thing: Mapping[str, Any]) -> Mapping[str, Any]:
    """A container, network or volume as the engine describes it, without the labels whose values are not valid."""
    labels = thing.get("Labels") or {}
    return {**thing, "Labels": {key: text for key, text in labels.items() if key not in _CHECKS or _CHECKS[key](text)}}
