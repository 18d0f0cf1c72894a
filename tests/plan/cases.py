"""Every kind of state in which an environment can be found, each with what it must become."""

from provision.cluster.model import Cluster
from provision.common.values import replace
from tests.plan.world import (
    CREATED,
    EXITED,
    NOTHING,
    RUNNING,
    World,
    brokers_with,
    cluster_of,
    files_of,
    kept,
    left,
    running,
)

Cases = dict[str, tuple[Cluster, World]]
"""By name: what must be, and what is there."""

CLUSTER = cluster_of()
ENSEMBLE = cluster_of(zookeeper={"nodes": 3})
LARGE_ENSEMBLE = cluster_of(zookeeper={"nodes": 5})
OLD, NEW, PATCHED = (cluster_of(kafka={"version": version}) for version in ("3.8.1", "3.9.0", "3.9.1"))
# With it the number of brokers changes no property of those that stay.
FACTORS = {
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
}


def additions() -> Cases:
    """Nothing that runs is disturbed."""
    there = running(CLUSTER)
    brokers = [node.name for node in CLUSTER.brokers]
    two, three = (cluster_of(brokers=brokers_with(FACTORS, nodes)) for nodes in (2, 3))
    in_memory = cluster_of(storage="memory")
    return {
        "everything-new": (CLUSTER, NOTHING),
        "everything-new-and-image-missing": (CLUSTER, replace(NOTHING, software=False)),
        "second-run": (CLUSTER, there),
        "second-run-and-image-missing": (CLUSTER, replace(there, software=False)),
        "ensemble-new-without-host-ports": (ENSEMBLE, NOTHING),
        "half-created": (CLUSTER, there.without("broker-2", "broker-3")),
        "network-and-storages-only": (CLUSTER, World(network=True, storages=there.storages)),
        "network-lost": (CLUSTER, replace(there, network=False).but(EXITED)),
        "network-lost-under-running-nodes": (ENSEMBLE, replace(running(ENSEMBLE).astray(), network=False)),
        "network-lost-and-some-nodes-down": (
            CLUSTER,
            replace(there.astray("broker-1", "broker-3").but(EXITED, "zookeeper-1"), network=False),
        ),
        "one-node-cut-off": (CLUSTER, there.astray("broker-2")),
        "one-node-at-another-address-while-a-broker-is-stopped": (
            CLUSTER,
            there.astray("broker-2", how="it has the address 10.0.0.9", cut_off=False).but(EXITED, "broker-3"),
        ),
        "leaving-broker-cut-off": (two, running(three).astray("broker-3")),
        "one-node-at-another-address-and-one-cut-off": (
            CLUSTER,
            there.astray("zookeeper-1", how="it has the address 10.0.0.9", cut_off=False).astray("broker-2"),
        ),
        "all-created-none-started": (CLUSTER, there.but(CREATED)),
        "all-stopped": (CLUSTER, there.but(EXITED)),
        "never-started-stopped-and-killed": (
            CLUSTER,
            there.but(CREATED, "broker-1").but(EXITED, "broker-2").but(EXITED, "broker-3", exit_code=137),
        ),
        "stopped-with-unknown-exit-code": (CLUSTER, there.but(EXITED, "broker-1", exit_code=None)),
        "broker-killed": (CLUSTER, there.but(EXITED, "broker-2", exit_code=137)),
        "broker-removed-by-hand-storage-kept": (CLUSTER, there.without("broker-2", keep_storage=True)),
        "broker-added-to-the-file": (three, running(two)),
        "ensemble-lost-before-any-broker-started": (CLUSTER, there.but(CREATED, *brokers).without("zookeeper-1")),
        "ensemble-lost-in-memory": (in_memory, running(in_memory).without("zookeeper-1")),
        "ensemble-of-three-stopped": (ENSEMBLE, running(ENSEMBLE).but(EXITED)),
        "ensemble-of-three-lost-one": (ENSEMBLE, running(ENSEMBLE).without("zookeeper-2")),
        "ensemble-of-three-removed-by-hand-storages-kept": (
            ENSEMBLE,
            running(ENSEMBLE).without("zookeeper-1", "zookeeper-2", "zookeeper-3", keep_storage=True),
        ),
        "zookeeper-removed-by-hand-storage-kept": (CLUSTER, there.without("zookeeper-1", keep_storage=True)),
    }


def changes() -> Cases:
    """Something that runs gets another file, or another container."""
    eight, sixteen = (cluster_of(brokers=brokers_with({"num.io.threads": threads})) for threads in (8, 16))
    both = cluster_of(brokers=brokers_with({"num.io.threads": 16, "background.threads": 9}))
    there = replace(running(eight), controller=2)
    taken = replace(there, dynamic=frozenset({"num.io.threads"}))
    one = brokers_with(overrides={2: {"properties": {"log.retention.ms": 1}}})
    two, three = (cluster_of(brokers=brokers_with(FACTORS, nodes)) for nodes in (2, 3))
    stopped = there.but(EXITED, "broker-1").but(CREATED, "broker-3")
    return {
        "property-changed": (sixteen, there),
        "property-changed-that-is-dynamic": (sixteen, taken),
        "properties-changed-of-which-one-is-dynamic": (both, taken),
        "dynamic-property-removed": (CLUSTER, taken),
        "property-of-one-broker-changed": (cluster_of(brokers=one), running(CLUSTER)),
        "property-changed-while-brokers-are-stopped": (sixteen, stopped),
        "dynamic-property-changed-while-a-broker-is-stopped": (sixteen, taken.but(EXITED, "broker-1")),
        "property-changed-and-network-lost": (sixteen, replace(there, network=False)),
        "heap-changed": (cluster_of(brokers=brokers_with(heap="300m")), running(CLUSTER)),
        "port-changed": (cluster_of(brokers=brokers_with(port=9192)), running(CLUSTER)),
        "image-changed-and-missing": (
            cluster_of(kafka={"image": "mine/kafka:1"}),
            replace(running(CLUSTER), software=False),
        ),
        "image-heap-and-port-changed": (
            cluster_of(zookeeper={"port": 2191, "heap": "96m"}, brokers={"nodes": 3}, kafka={"version": "3.9.1"}),
            running(NEW),
        ),
        "mark-of-another-version": (CLUSTER, _marked_otherwise(running(CLUSTER))),
        "launch-files-damaged": (CLUSTER, _marked_otherwise(_with_damaged_launch_files(running(CLUSTER)))),
        "broker-left-out-of-the-file": (two, running(three)),
        "broker-left-out-of-the-file-and-stopped": (two, running(three).but(EXITED, "broker-3", exit_code=1)),
        "broker-left-out-of-the-file-and-all-stopped-and-network-lost": (
            two,
            replace(running(three), network=False).but(EXITED),
        ),
        "two-brokers-left-out-of-the-file": (cluster_of(brokers=brokers_with(nodes=1)), running(CLUSTER)),
    }


def drifts() -> Cases:
    """Something is set on a running broker outside its file."""
    eight, sixteen = (cluster_of(brokers=brokers_with({"num.io.threads": threads})) for threads in (8, 16))
    both = cluster_of(brokers=brokers_with({"num.io.threads": 16, "background.threads": 9}))
    there = replace(
        running(eight),
        controller=1,
        dynamic=frozenset({"num.io.threads"}),
        settings={
            "broker-1": {"num.io.threads": "2", "background.threads": "3"},
            "broker-2": {"num.io.threads": "8", "leader.replication.throttled.rate": "1000"},
            "broker-3": {"follower.replication.throttled.rate": "1000", "log.retention.ms": "5"},
        },
    )
    throttled = {"leader.replication.throttled.rate": "1", "follower.replication.throttled.rate": "1"}
    return {
        "drift": (eight, there),
        "drift-where-a-dynamic-property-changes": (sixteen, there),
        "drift-where-a-restart-is-planned": (both, there),
        "drift-on-a-stopped-broker": (eight, there.but(EXITED, "broker-1")),
        "drift-of-what-the-file-says-in-other-words": (
            eight,
            replace(running(eight), settings={"broker-1": {"num.io.threads": " 08"}}),
        ),
        "throttles-of-a-reassignment": (eight, replace(running(eight), settings={"broker-2": throttled})),
    }


def edits() -> Cases:
    """Somebody has edited the files of nodes."""
    eight = cluster_of(brokers=brokers_with({"num.io.threads": 8}))
    there = replace(running(eight), controller=1)
    dynamic = replace(there, dynamic=frozenset({"num.io.threads"}))
    threads, no_text = ("num.io.threads=8", "num.io.threads=80"), ("broker.id=", "# caf\xe9\nbroker.id=")
    in_memory = cluster_of(storage="memory", brokers=brokers_with({"num.io.threads": 8}))
    drifting = replace(dynamic, settings={"broker-2": {"background.threads": "3"}})
    return {
        "edited-ensemble": (eight, there.edited("zookeeper-1", "tickTime=", "tickTime=1")),
        "edited-property": (eight, there.edited("broker-2", *threads)),
        "edited-property-that-is-dynamic": (eight, dynamic.edited("broker-2", *threads)),
        "edited-property-of-a-stopped-broker": (eight, there.but(EXITED, "broker-2").edited("broker-2", *threads)),
        "edited-property-in-memory": (in_memory, running(in_memory).edited("broker-2", *threads)),
        "edited-launch-file": (eight, there.edited("zookeeper-1", "-Xmx64m", "-Xmx96m", "launch.json")),
        "edited-to-no-text": (
            eight,
            there.edited("broker-2", *no_text).edited("zookeeper-1", "tickTime", "#\xe9\ntickTime"),
        ),
        "edited-to-no-text-while-all-were-stopped": (eight, there.but(EXITED).edited("broker-2", *no_text)),
        "edited-to-no-text-and-drifted": (eight, drifting.edited("broker-2", *no_text)),
        "edited-and-property-changed": (
            cluster_of(brokers=brokers_with({"num.io.threads": 16})),
            dynamic.edited("broker-2", *threads),
        ),
    }


def ensembles() -> Cases:
    """The ensemble grows, or nobody can tell whether it does."""
    standalone = replace(running(CLUSTER), controller=3)
    grown = cluster_of(zookeeper={"nodes": 3, "port": 2181})
    three = replace(running(ENSEMBLE), ensemble_leader="zookeeper-2", controller=1)
    interrupted = standalone.having(grown, "zookeeper-1").having(grown, "zookeeper-2", "zookeeper-3", state=CREATED)
    later = three.having(LARGE_ENSEMBLE, "zookeeper-1", "zookeeper-3", "zookeeper-4").having(
        LARGE_ENSEMBLE, "zookeeper-5", state=CREATED
    )
    recreated = standalone.having(grown, "zookeeper-1", "zookeeper-2", "zookeeper-3", state=CREATED)
    in_directory = cluster_of(zookeeper={"nodes": 3, "port": 2181}, storage="/srv/kafka")
    return {
        "ensemble-grown-over-kept-data-from-1-to-3": (grown, kept(CLUSTER)),
        "ensemble-grown-over-kept-data-from-3-to-5": (LARGE_ENSEMBLE, kept(ENSEMBLE)),
        "ensemble-grown-over-data-in-a-directory": (in_directory, left(CLUSTER)),
        "ensemble-growth-interrupted-over-kept-data": (grown, kept(grown)),
        "ensemble-growth-interrupted-while-the-first-was-recreated": (grown, recreated),
        "ensemble-growth-interrupted-while-all-were-stopped": (
            grown,
            recreated.but(EXITED, *(node.name for node in CLUSTER.brokers)),
        ),
        "ensemble-of-three-kept-without-one": (
            ENSEMBLE,
            World(storages=kept(ENSEMBLE).storages - {"zookeeper-1"}),
        ),
        "ensemble-grown-from-1-to-3": (grown, standalone),
        "ensemble-grown-from-3-to-5": (LARGE_ENSEMBLE, three),
        "ensemble-grown-while-a-member-and-a-broker-are-stopped": (
            LARGE_ENSEMBLE,
            three.but(EXITED, "zookeeper-3", "broker-2"),
        ),
        "ensemble-growth-interrupted-before-the-first-joined": (grown, interrupted),
        "ensemble-growth-interrupted-before-the-last-joined": (grown, interrupted.but(RUNNING, "zookeeper-2")),
        "ensemble-growth-interrupted-while-members-are-rolled": (LARGE_ENSEMBLE, later),
    }


def upgrades() -> Cases:
    """Another version of Kafka."""
    old = replace(running(OLD), controller=1)
    spoken = {"inter.broker.protocol.version": "3.8"}
    interim = cluster_of(kafka={"version": "3.9.1"}, brokers=brokers_with(spoken))
    first = old.having(PATCHED, "zookeeper-1")
    added = cluster_of(kafka={"version": "3.9.1"}, brokers=brokers_with(FACTORS, 3))
    before = cluster_of(kafka={"version": "3.8.1"}, brokers=brokers_with(FACTORS, 2))
    return {
        "upgrade": (PATCHED, replace(old, software=False)),
        "upgrade-to-a-patch-release": (PATCHED, replace(running(NEW), controller=2)),
        "upgrade-interrupted-in-the-first-step": (PATCHED, first.having(interim, "broker-2")),
        "upgrade-interrupted-between-the-steps": (PATCHED, first.having(interim, "broker-1", "broker-2", "broker-3")),
        "upgrade-interrupted-in-the-second-step": (
            PATCHED,
            first.having(interim, "broker-1", "broker-3").having(PATCHED, "broker-2"),
        ),
        "upgrade-of-a-stopped-cluster": (PATCHED, old.but(EXITED)),
        "upgrade-while-a-broker-is-stopped": (PATCHED, old.but(EXITED, "broker-2")),
        "upgrade-where-the-file-says-the-protocol": (interim, old),
        "upgrade-with-another-property-and-a-new-broker": (added, running(before)),
    }


def refusals() -> Cases:
    """What is refused."""
    there = running(CLUSTER)
    three = running(ENSEMBLE)
    in_memory = cluster_of(storage="memory")
    threads = brokers_with({"num.io.threads": 16})
    foreign = ("container orders-broker-1", "network orders", "volume orders-broker-2")
    kraft = replace(CLUSTER, mode="kraft")
    return {
        "names-taken-by-others": (CLUSTER, replace(NOTHING, foreign=foreign)),
        "ensemble-lost": (CLUSTER, there.without("zookeeper-1")),
        "ensemble-of-three-lost-two": (ENSEMBLE, three.without("zookeeper-1", "zookeeper-3")),
        "ensemble-of-three-lost-all": (ENSEMBLE, three.without("zookeeper-1", "zookeeper-2", "zookeeper-3")),
        "ensemble-lost-while-it-is-to-grow": (ENSEMBLE, there.without("zookeeper-1")),
        "ensemble-shrunk": (CLUSTER, three),
        "storage-moved": (cluster_of(storage="/srv/kafka"), there),
        "storage-moved-and-versions-apart": (
            cluster_of(storage="/srv/kafka", kafka={"version": "3.9.1"}),
            running(OLD),
        ),
        "property-changed-in-memory": (cluster_of(storage="memory", brokers=threads), running(in_memory)),
        "downgrade": (OLD, running(PATCHED)),
        "downgrade-to-a-patch-release": (NEW, running(PATCHED)),
        "downgrade-in-the-middle-of-an-upgrade": (OLD, running(OLD).having(PATCHED, "zookeeper-1", "broker-1")),
        "mode-changed": (kraft, there),
        "broker-left-out-of-the-file-while-the-version-changes": (
            cluster_of(kafka={"version": "3.9.1"}, brokers=brokers_with(nodes=2)),
            running(OLD),
        ),
    }


def _marked_otherwise(world: World) -> World:
    nodes = {name: replace(node, config_hash="0123") for name, node in world.nodes.items()}
    return replace(world, nodes=nodes)


def _with_damaged_launch_files(world: World) -> World:
    files = {
        name: tuple(
            replace(file, content=b"{") if file.name == "launch.json" else file for file in files_of(CLUSTER, name)
        )
        for name in world.nodes
    }
    return replace(world, files=files)
