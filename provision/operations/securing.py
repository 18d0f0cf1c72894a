"""The keys and certificates of an environment that is planned."""

from provision.cluster.model import Cluster
from provision.cluster.secured import subjects
from provision.home.place import Home
from provision.home.secrets import secrets_of
from provision.plan.observed import ObservedEnvironment
from provision.security.material import Material, material


def material_of(cluster: Cluster, observed: ObservedEnvironment, home: Home) -> Material:
    """What its nodes need: what is kept, and new ones, in memory only, for what is missing.

    Raises:
        Refused: its nodes exist, and trust an authority that is not kept here.
    """
    store = secrets_of(cluster.name, observed.about, home)
    alive = any(node.needs_stop for node in observed.nodes)
    return material(store, cluster.name, subjects(cluster), exists=alive and _is_secured(observed))


def _is_secured(observed: ObservedEnvironment) -> bool:
    return bool(observed.about and observed.about.security)
