"""The known failures: each module registers its checks when it is imported, in the order of this list."""

from provision.operations.doctor.checks import engine, exits, limits, nodes, places, readiness
from provision.operations.doctor.registry import findings

__all__ = ["engine", "exits", "findings", "limits", "nodes", "places", "readiness"]
