"""How security shows in a resolved cluster: whom certificates are for, and the files that nodes have of it."""

from collections.abc import Mapping

from provision.cluster.model import Cluster, Node, RenderedFile, Role
from provision.security.certificates import Subject
from provision.security.material import Material
from provision.security.profiles import ITSELF, PROFILES, SECRETS, TRUSTSTORE

_LOCAL = ("localhost", "127.0.0.1")


def subjects(cluster: Cluster) -> Mapping[str, Subject]:
    """Who needs a certificate, by the names of their files: the nodes of Kafka and this program; empty without TLS."""
    if not PROFILES[cluster.security].encrypted:
        return {}
    return {node.name: Subject(ITSELF, _names(cluster, node)) for node in _secured(cluster)} | {ITSELF: Subject(ITSELF)}


def secret_files(cluster: Cluster, material: Material) -> tuple[RenderedFile, ...]:
    """The files that are made and not rendered, of every node that has any."""
    if not material.files:
        return ()
    return tuple(
        RenderedFile(node.name, name, content, secret=True)
        for node in _secured(cluster)
        for name, content in ((SECRETS, material.properties_of(node.name)), (TRUSTSTORE, material.authority))
    )


def _secured(cluster: Cluster) -> tuple[Node, ...]:
    return tuple(node for node in cluster.nodes if node.role is not Role.ZOOKEEPER)


def _names(cluster: Cluster, node: Node) -> tuple[str, ...]:
    """What others may call a node: its hosts, its container, and this machine."""
    hosts = (listener.host for listener in node.listeners)
    return tuple(sorted({*hosts, f"{cluster.name}-{node.name}", *_LOCAL}))
