"""The known failures: each module registers its checks when it is imported, in the order of this list."""

from provision.operations.doctor.checks import (
    certificates,
    changes,
    data,
    engine,
    exits,
    files,
    limits,
    nodes,
    places,
    quorum,
    readiness,
    replication,
    settings,
)
from provision.operations.doctor.registry import findings

__all__ = [
    "certificates",
    "changes",
    "data",
    "engine",
    "exits",
    "files",
    "findings",
    "limits",
    "nodes",
    "places",
    "quorum",
    "readiness",
    "replication",
    "settings",
]
