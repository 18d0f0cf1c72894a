"""How security shows in a resolved cluster: who needs what, and the files that nodes have of it."""

from collections.abc import Iterable, Mapping, Sequence

from provision.cluster import properties
from provision.cluster.model import Cluster, Node, RenderedFile, Role
from provision.common.values import replace
from provision.security import ensemble
from provision.security.certificates import Subject
from provision.security.listening import Security
from provision.security.material import AUTHORITY, USERS, Material
from provision.security.profiles import ITSELF, SCRAM, SECRETS, TRUSTSTORE, quoted

_LOCAL = ("localhost", "127.0.0.1")


def file_of(user: str) -> str:
    """How the files of a user's secrets are called: no user can be taken for a node or for the authority."""
    return user if user == ITSELF else f"{USERS}{user}"


def subjects(cluster: Cluster) -> Mapping[str, Subject]:
    """Who needs a certificate, by the names of their files: Kafka's nodes, this program and users; none without TLS."""
    security = cluster.listening
    if not security.encrypted:
        return {}
    nodes = {
        node.name: Subject(ITSELF, _names(cluster, node))
        for node in _secured(cluster)
        if _security_at(cluster, node).encrypted
    }
    users = {file_of(user.name): Subject(user.name) for user in cluster.users if security.asks_certificate}
    return nodes | {ITSELF: Subject(ITSELF)} | users


def ensemble_subjects(cluster: Cluster) -> Mapping[str, Subject]:
    """Whom ZooKeeper lets in, by the names of their files: its nodes, the brokers and this program, all as the same."""
    return nodes_of_ensemble(cluster) | {ITSELF: Subject(ITSELF)} if cluster.closes_ensemble else {}


def nodes_of_ensemble(cluster: Cluster) -> dict[str, Subject]:
    """ZooKeeper's nodes and the brokers, as it would let them in."""
    members = {node.name: Subject(ITSELF, _names(cluster, node)) for node in cluster.zookeepers}
    return members | {node.name: Subject(ITSELF) for node in cluster.brokers}


def with_passwords(cluster: Cluster) -> tuple[str, ...]:
    """Who needs a password: this program, and users; nobody unless passwords are asked for."""
    if not cluster.listening.mechanism:
        return ()
    return (ITSELF, *(user.name for user in cluster.users if cluster.listening.asks_password))


def kept_in_the_cluster(cluster: Cluster, material: Material) -> Mapping[str, str]:
    """The passwords of users whom no node's file names, by user."""
    if not cluster.listening.scram:
        return {}
    return {user.name: material.password(file_of(user.name)) for user in cluster.users if user.mechanism in SCRAM}


def secret_files(cluster: Cluster, material: Material) -> tuple[RenderedFile, ...]:
    """The files that are made and not rendered, of every node that has any."""
    if not material.files:
        return ()
    made = {node.name: {SECRETS: _secrets(cluster, node, material)} for node in _secured(cluster)}
    if trusted := material.authority_of_nodes:
        made = {node: {**files, TRUSTSTORE: trusted} if material.of(node) else files for node, files in made.items()}
    for name in nodes_of_ensemble(cluster) if cluster.closes_ensemble else ():
        made[name] = made.get(name, {}) | _for_ensemble(name, material.files)
    return _as_files(made)


def ensemble_files(cluster: Cluster, certificates: Mapping[str, bytes]) -> tuple[RenderedFile, ...]:
    """The files by which ZooKeeper's nodes and the brokers get in, also if it is to be open; none if there are none."""
    return _as_files({name: _for_ensemble(name, certificates) for name in nodes_of_ensemble(cluster) if certificates})


def _for_ensemble(node: str, certificates: Mapping[str, bytes]) -> dict[str, bytes]:
    own, trusted = (certificates[f"{ensemble.PREFIX}{file}"] for file in (f"{node}.pem", AUTHORITY))
    return {ensemble.KEYSTORE: own, ensemble.TRUSTSTORE: trusted}


def _as_files(made: Mapping[str, Mapping[str, bytes]]) -> tuple[RenderedFile, ...]:
    return tuple(
        RenderedFile(node, name, content, secret=True)
        for node, files in made.items()
        for name, content in files.items()
    )


def _secrets(cluster: Cluster, node: Node, material: Material) -> bytes:
    r"""The file to which a node's properties refer.

    It always has a key or password that is made of random bytes: a fingerprint of it tells nothing of the others.
    """
    users = (user.name for user in cluster.users if cluster.listening.has_in_files(user.mechanism))
    named = (ITSELF, *users) if cluster.listening.mechanism else ()
    lines = {f"password.{user}": quoted(material.password(file_of(user))) for user in named}
    if pair := material.of(node.name):  # a line ends as `\n` in the value of a property
        lines |= {"key": pair.key.decode(), "certificate": pair.certificate.decode()}
    return properties.encode("".join(f"{name}={_in_a_line(value)}\n" for name, value in lines.items()))


def with_kept(made: Sequence[RenderedFile], there: Sequence[RenderedFile]) -> tuple[RenderedFile, ...]:
    """Secret files with what nodes have in theirs and these lack, so that old properties can still refer to it."""
    files = {(file.node, file.name): file for file in there} | {(file.node, file.name): file for file in made}
    for old in there:
        new = files[old.node, old.name]
        if old.name == SECRETS and new is not old:
            known, kept = (properties.read(file.text) or {} for file in (new, old))
            missing = "".join(f"{name}={_in_a_line(kept[name])}\n" for name in sorted(kept.keys() - known.keys()))
            files[old.node, old.name] = replace(new, content=new.content + properties.encode(missing))
    return tuple(files.values())


def with_contents(
    there: Mapping[str, Sequence[RenderedFile]], known: Iterable[RenderedFile]
) -> dict[str, tuple[RenderedFile, ...]]:
    """The files of nodes, in which those that could not be read back have the content of the same ones, if known.

    Args:
        there: the nodes' files, by node.
        known: secret files with their content, as they may be.
    """
    contents = {(file.node, file.name, file.identity): file for file in known}
    return {
        node: tuple(contents.get((node, file.name, file.identity), file) if file.digest else file for file in files)
        for node, files in there.items()
    }


def _in_a_line(text: str) -> str:
    r"""A value of a properties file, where `\n` ends a line."""
    return "\\n".join(map(properties.escape_value, text.split("\n")))


def _secured(cluster: Cluster) -> tuple[Node, ...]:
    kafka = (node for node in cluster.nodes if node.role is not Role.ZOOKEEPER)
    return tuple(node for node in kafka if _security_at(cluster, node).is_secured)


def _security_at(cluster: Cluster, node: Node) -> Security:
    return cluster.listening.at([listener.name for listener in node.listeners])


def _names(cluster: Cluster, node: Node) -> tuple[str, ...]:
    """What others may call a node: its hosts, its container, and this machine."""
    hosts = (listener.host for listener in node.listeners)
    return tuple(sorted({*hosts, f"{cluster.name}-{node.name}", *_LOCAL}))
