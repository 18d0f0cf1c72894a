"""The stages of closing a ZooKeeper that is running open, as in environments secured before it could be closed. Pure.

Source: ZooKeeper Administrator's Guide, "Upgrading existing non-TLS cluster with no downtime", and the same for the
client port (`client.portUnification`). Nodes restart one at a time, ZooKeeper's before brokers, in up to three phases:

1. `open`: ZooKeeper's ports take connections with and without TLS; brokers connect with it.
2. `move`: its nodes, all of which take TLS by then, use it between them. A single node has nobody to talk to.
3. `close`: its ports take nothing but TLS, with a certificate.

What the nodes' files say decides which phases are left. One that runs closed and is to be open goes the same way back:
its ports take both, then nobody uses TLS any more, then nothing has it. Nodes that do not run are started as the others
are in the first phase that is left, so that they understand all who run.
"""

from collections.abc import Mapping, Sequence

from provision.cluster.model import MAIN_FILES, Cluster, Node, RenderedFile, Role
from provision.cluster.properties import read
from provision.common.values import replace
from provision.plan.actions import Action, Kind, Verb
from provision.plan.observed import ObservedEnvironment
from provision.plan.phases import Stage
from provision.security.ensemble import (
    CLIENT_PORT,
    DECIDED_OF_BROKERS,
    KEYSTORE,
    ON,
    QUORUM_PORT,
    QUORUM_TLS,
    TLS_OF_BROKERS,
    TRUSTSTORE,
    X509,
    of_broker,
    of_member,
)

OPEN_PHASE, MOVE_PHASE, CLOSE_PHASE = "open", "move", "close"
Files = Mapping[str, Sequence[RenderedFile]]


def is_running_open(observed: ObservedEnvironment, files: Files) -> bool:
    """Whether a running member lets in whoever has no certificate, or a running broker has none."""
    members = [settings_of(files, name) for name in _running(observed, Role.ZOOKEEPER)]
    brokers = [settings_of(files, name) for name in _running(observed, Role.BROKER)]
    return not all(map(_is_closed, members)) or any(one and one.get(TLS_OF_BROKERS) != ON for one in brokers)


def stages_of_closing(
    cluster: Cluster, observed: ObservedEnvironment, files: Files, issued: Sequence[RenderedFile] = ()
) -> tuple[Stage, ...]:
    """What is left to do, `cluster` being the last stage, the only one if ZooKeeper does not run, or runs closed.

    Args:
        cluster: the desired cluster.
        observed: what the runtime has.
        files: the present files of its ZooKeeper nodes and brokers.
        issued: if ZooKeeper is to be open, the keys and certificates with which any of these gets in while it is not.
    """
    if not cluster.closes_ensemble:
        return _stages_of_opening(cluster, observed, files, issued)
    if not is_running_open(observed, files):
        return (Stage(cluster),)
    members = [settings_of(files, name) for name in _running(observed, Role.ZOOKEEPER)]
    brokers = [settings_of(files, name) for name in _running(observed, Role.BROKER)]
    opened = all(_takes_both(one) for one in members) and all(one.get(TLS_OF_BROKERS) == ON for one in brokers)
    moved = len(cluster.zookeepers) == 1 or (opened and all(one.get(QUORUM_TLS) == ON for one in members))
    both = unified(cluster, encrypted=False)
    first = without_tls_yet(both, observed, files)
    left = [Stage(cluster, CLOSE_PHASE, "nobody connects to ZooKeeper without TLS any more then")]
    if not moved or first != both:
        left.insert(0, Stage(unified(cluster, encrypted=True), MOVE_PHASE, "all ZooKeeper nodes take TLS then"))
    if not opened:
        left.insert(0, Stage(first, OPEN_PHASE))
    return (Stage(cluster),) if len(left) == 1 else tuple(left)


def _stages_of_opening(
    cluster: Cluster, observed: ObservedEnvironment, files: Files, issued: Sequence[RenderedFile]
) -> tuple[Stage, ...]:
    members = [settings_of(files, name) for name in _running(observed, Role.ZOOKEEPER)]
    brokers = [settings_of(files, name) for name in _running(observed, Role.BROKER)]
    opened = all("clientPort" in one for one in members if one)
    moved = all(one.get(QUORUM_TLS) != ON for one in members) and all(one.get(TLS_OF_BROKERS) != ON for one in brokers)
    left = [Stage(cluster, CLOSE_PHASE, "nobody connects to ZooKeeper with TLS any more then")]
    if not (opened and moved):
        ready = "all ZooKeeper nodes take connections without TLS then"
        left.insert(0, _still_closed(cluster, files, issued, MOVE_PHASE, ready))
    if not opened:
        left.insert(0, _still_closed(cluster, files, issued, OPEN_PHASE))
    return (Stage(cluster),) if len(left) == 1 else (replace(left[0], cause=""), *left[1:])


def takes_part(cluster: Cluster, role: str, settings: Mapping[str, str], *, used: bool) -> bool:
    """Whether a node is open in the way in which ZooKeeper is to be, or also uses that way."""
    closes, members = cluster.closes_ensemble, len(cluster.zookeepers)
    if not members:
        return True
    if role == Role.BROKER:
        has_tls = settings.get(TLS_OF_BROKERS) == ON
        return has_tls if closes else not (used and has_tls)
    opened = _takes_both(settings) if closes else "clientPort" in settings
    moved = members == 1 or (settings.get(QUORUM_TLS) == ON) is closes
    return opened and (moved or not used)


def _still_closed(cluster: Cluster, files: Files, issued: Sequence[RenderedFile], name: str, cause: str = "") -> Stage:
    """A stage in which ZooKeeper's ports still take TLS; at first, brokers and its nodes use it."""
    used = name == OPEN_PHASE
    roles = (Role.ZOOKEEPER, Role.BROKER) if used else (Role.ZOOKEEPER,)
    parts = {node.name for node in cluster.nodes if node.role in roles}
    there = [file for node in parts for file in files.get(node, ()) if file.name in (KEYSTORE, TRUSTSTORE)]
    kept = {(file.node, file.name): file for file in (*issued, *there) if file.node in parts}
    nodes = []
    for node in cluster.nodes:
        own = {}
        if (node.name, KEYSTORE) in kept:
            has_peers = len(cluster.zookeepers) > 1
            is_member = node.role is Role.ZOOKEEPER
            own = of_member(node.config_dir, has_peers=has_peers) if is_member else of_broker(node.config_dir)
        with_tls = replace(node, properties=dict(sorted({**node.properties, **own}.items())))
        nodes.append(_taking_both(with_tls, encrypted=used) if own and node.role is Role.ZOOKEEPER else with_tls)
    return Stage(replace(cluster, nodes=tuple(nodes)), name, cause, kept=tuple(kept.values()))


def one_after_the_other(cluster: Cluster, upgrade: Sequence[Stage], closing: Sequence[Stage]) -> tuple[Action, ...]:
    """The refusal of a new version in the same step; empty unless both have phases."""
    if len(upgrade) == 1 or len(closing) == 1:
        return ()
    how = "closed to all but its nodes and the brokers" if cluster.closes_ensemble else "open again"
    cause = f"kafka.version changes, and ZooKeeper is to be {how}"
    hint = "`provision up` with the version before first: one change after the other"
    return (Action(Verb.REFUSE, Kind.SOFTWARE, cluster.software, cause, hint),)


def without_tls_yet(cluster: Cluster, observed: ObservedEnvironment, files: Files) -> Cluster:
    """The cluster as it is first: brokers that do not run start before ZooKeeper takes TLS, and go without it."""
    members = [settings_of(files, name) for name in _running(observed, Role.ZOOKEEPER)]
    if all(map(_takes_both, members)):
        return cluster
    starting = {node.name for node in observed.of_role(Role.BROKER) if not node.needs_stop}
    nodes = (_without_tls(node) if node.name in starting else node for node in cluster.nodes)
    return replace(cluster, nodes=tuple(nodes))


def _without_tls(broker: Node) -> Node:
    kept = {key: value for key, value in broker.properties.items() if not key.startswith(DECIDED_OF_BROKERS)}
    return replace(broker, properties=kept)


def unified(cluster: Cluster, *, encrypted: bool) -> Cluster:
    """The cluster with ZooKeeper's ports taking both, TLS being used between its nodes or not."""
    nodes = (_taking_both(node, encrypted=encrypted) if node.role is Role.ZOOKEEPER else node for node in cluster.nodes)
    return replace(cluster, nodes=tuple(nodes))


def _taking_both(node: Node, *, encrypted: bool) -> Node:
    properties = {**node.properties, CLIENT_PORT: ON, **X509}
    if QUORUM_TLS in node.properties:
        properties |= {QUORUM_PORT: ON, QUORUM_TLS: ON if encrypted else "false"}
    listeners = tuple(replace(listener, protocol="PLAINTEXT") for listener in node.listeners)
    return replace(node, properties=dict(sorted(properties.items())), listeners=listeners)


def _running(observed: ObservedEnvironment, role: Role) -> list[str]:
    return [node.name for node in observed.of_role(role) if node.needs_stop]


def _is_closed(settings: Mapping[str, str]) -> bool:
    return not settings or ("secureClientPort" in settings and "clientPort" not in settings)


def _takes_both(settings: Mapping[str, str]) -> bool:
    return "secureClientPort" in settings or settings.get(CLIENT_PORT) == ON


def settings_of(files: Files, node: str) -> Mapping[str, str]:
    """The properties that a node has; none if its file is missing or damaged."""
    name = MAIN_FILES[Role.parse(node)[0]]
    main = next((file for file in files.get(node, ()) if file.name == name), None)
    return (read(main.text) if main else None) or {}
