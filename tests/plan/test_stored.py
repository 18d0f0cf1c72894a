"""Kept data are protected like running ones, and a storage without data is not taken for one with data."""

from collections.abc import Callable

import pytest

from provision.catalogue.versions import KafkaVersion
from provision.cluster.model import Cluster
from provision.common.values import replace
from provision.plan.actions import Action, Kind, Verb
from provision.plan.stored import StoredData, common_cluster_id, is_used, meta_in, shows_use
from tests.plan.world import (
    CLUSTER_ID,
    CREATED,
    EXITED,
    RUNNING,
    World,
    brokers_with,
    cluster_of,
    kept,
    left,
    plan,
    running,
    stored_by,
)

OTHER_ID = "fwAAAAAAAAAAAAAAAAAAAQ"
OLD, NEW = (cluster_of(kafka={"version": version}) for version in ("3.8.1", "3.9.1"))
ONE, THREE = (cluster_of(zookeeper={"nodes": nodes, "port": 2181}) for nodes in (1, 3))


def kraft(version: str = "3.9.1", controllers: int = 3, **sections: object) -> Cluster:
    kafka = {"version": version, "mode": "kraft"}
    spec = cluster_of(zookeeper={}, kafka=kafka, controllers={"nodes": controllers}, **sections)
    return replace(spec, cluster_id=CLUSTER_ID)


def names(cluster: Cluster) -> list[str]:
    return [node.name for node in cluster.nodes]


def with_data(world: World, cluster: Cluster) -> World:
    return world.storing(cluster, *names(cluster))


def refused(cluster: Cluster, world: World) -> list[Action]:
    actions = plan(cluster, world)
    assert all(action.verb is Verb.REFUSE for action in actions) or not any(
        action.verb is Verb.REFUSE for action in actions
    )
    return [action for action in actions if action.verb is Verb.REFUSE]


# -- what is refused on a running environment is refused over its kept data -------------------------------------------

FORBIDDEN = {
    "older-release": (NEW, OLD),
    "older-patch-release": (cluster_of(kafka={"version": "3.9.1"}), cluster_of(kafka={"version": "3.9.0"})),
    "older-release-in-kraft": (kraft("4.3.0"), kraft("4.2.0")),
    "zookeeper-to-kraft": (NEW, kraft()),
    "kraft-to-zookeeper": (kraft(), NEW),
    "volume-to-directory": (NEW, cluster_of(storage="/srv/kafka")),
    "directory-to-volume": (cluster_of(storage="/srv/kafka"), NEW),
    "directory-to-directory": (cluster_of(storage="/srv/kafka"), cluster_of(storage="/srv/other")),
    "volume-to-memory": (NEW, cluster_of(storage="memory")),
    "volume-to-directory-in-kraft": (kraft(), kraft(storage="/srv/kafka")),
    "quorum-grown": (kraft(controllers=3), kraft(controllers=5)),
    "quorum-shrunk": (kraft(controllers=3), kraft(controllers=1)),
    "controllers-put-into-brokers": (kraft(), kraft(controllers=0)),
    "controllers-taken-out-of-brokers": (kraft(controllers=0), kraft()),
    "ensemble-shrunk": (THREE, ONE),
}


@pytest.mark.parametrize("leave", [kept, left], ids=["kept", "left-in-a-directory"])
@pytest.mark.parametrize("name", sorted(FORBIDDEN))
def test_what_a_running_environment_refuses_is_refused_over_its_kept_data(
    name: str, leave: Callable[[Cluster], World]
) -> None:
    before, after = FORBIDDEN[name]
    assert refused(after, running(before)), "this is no case"
    world = with_data(leave(before), before)
    refusals = refused(after, world)
    assert refusals
    assert all(action.detail for action in refusals)
    assert not refused(before, world)


@pytest.mark.parametrize("name", sorted(FORBIDDEN))
def test_storages_that_were_never_used_forbid_nothing_but_a_smaller_ensemble(name: str) -> None:
    before, after = FORBIDDEN[name]
    unused = kept(before).storing(before, *names(before), used=False)
    meta_only = {key: replace(data, meta={}) for key, data in unused.stored.items()}
    assert not refused(after, replace(unused, stored=meta_only))


def test_newer_releases_and_larger_ensembles_are_welcome_over_kept_data() -> None:
    assert not refused(NEW, with_data(kept(OLD), OLD))
    assert not refused(kraft("4.3.0"), with_data(kept(kraft("4.2.0")), kraft("4.2.0")))
    assert not refused(THREE, with_data(kept(ONE), ONE))


def test_a_refusal_names_the_node_the_reason_and_the_place() -> None:
    refusal = refused(OLD, with_data(kept(NEW), NEW))[0]
    assert (refusal.kind, refusal.name) == (Kind.NODE, "broker-1")
    assert "Kafka 3.9.1 → 3.8.1" in refusal.cause
    assert "/data/broker-1/meta.properties" in refusal.cause
    assert refusal.detail == "undo the change, or `provision down` removes the rest"


# -- fewer brokers ----------------------------------------------------------------------------------------------------

FEWER: dict[str, tuple[Callable[[int], Cluster], Callable[[Cluster], World]]] = {
    "volumes": (lambda nodes: cluster_of(brokers=brokers_with(nodes=nodes)), kept),
    "volumes-in-kraft": (lambda nodes: kraft(brokers=brokers_with(nodes=nodes)), kept),
    "directories": (lambda nodes: cluster_of(brokers=brokers_with(nodes=nodes), storage="/srv/kafka"), kept),
    "forgotten-directories": (lambda nodes: cluster_of(brokers=brokers_with(nodes=nodes), storage="/srv/kafka"), left),
    "forgotten-directories-in-kraft": (
        lambda nodes: kraft(brokers=brokers_with(nodes=nodes), storage="/srv/kafka"),
        left,
    ),
}


@pytest.mark.parametrize("read", [True, False], ids=["read", "not-readable"])
@pytest.mark.parametrize("fewer", [1, 2, 9, 10])
@pytest.mark.parametrize("what", sorted(FEWER))
def test_kept_data_of_a_broker_that_the_file_no_longer_has_are_refused(what: str, fewer: int, read: bool) -> None:
    of, leave = FEWER[what]
    before = of(11)
    world = with_data(leave(before), before) if read else leave(before)
    refusals = refused(of(fewer), world)
    assert [action.name for action in refusals] == [f"broker-{number}" for number in range(fewer + 1, 12)]
    for action in refusals:
        assert (f"/data/{action.name}/meta.properties" in action.cause) is read
        assert "`provision up --set brokers.nodes=11` first" in action.detail
        assert ("delete /srv/kafka" if world.orphaned_data else "`provision down") in action.detail
    for enough in (11, 12):
        assert not refused(of(enough), world)


@pytest.mark.parametrize("what", sorted(FEWER))
def test_brokers_leave_a_cluster_whose_brokers_can_say_what_they_hold(what: str) -> None:
    of, _ = FEWER[what]
    two, three = of(2), of(3)
    there = running(three)
    stopped = with_data(there.but(EXITED), three)
    removed = with_data(there.without("broker-3", keep_storage=True), three)
    for world in (there, stopped, stopped.but(RUNNING, "broker-1"), removed, removed.but(EXITED)):
        assert not refused(two, world)


@pytest.mark.parametrize("what", sorted(FEWER))
def test_brokers_that_were_only_created_can_say_nothing(what: str) -> None:
    of, leave = FEWER[what]
    two, three = of(2), of(3)
    world = with_data(leave(three), three).having(two, "broker-1", state=CREATED)
    assert [action.name for action in refused(two, world)] == ["broker-3"]


@pytest.mark.parametrize("what", sorted(FEWER))
def test_kept_storages_of_a_broker_that_never_started_keep_nobody_from_leaving(what: str) -> None:
    of, leave = FEWER[what]
    two, three = of(2), of(3)
    assert not refused(two, emptied(with_data(leave(three), three), "broker-3"))


def test_what_else_forbids_the_data_is_told_first() -> None:
    """`up --set brokers.nodes=3` would not help."""
    for before, after in ((NEW, OLD), (kraft(), NEW)):
        fewer = replace(after, nodes=tuple(node for node in after.nodes if node.name != "broker-3"))
        assert all("brokers.nodes" not in action.detail for action in refused(fewer, with_data(kept(before), before)))


# -- lost data --------------------------------------------------------------------------------------------------------


def emptied(world: World, *nodes: str) -> World:
    """The world with the data of those nodes wiped."""
    empty = {name: replace(world.stored[name], meta={}, written=False) for name in nodes}
    return replace(world, stored={**world.stored, **empty})


CONTROLLERS = ["controller-1", "controller-2", "controller-3"]
LOST: dict[str, tuple[Cluster, World, list[str]]] = {
    "only-member-wiped": (ONE, emptied(with_data(running(ONE).but(EXITED), ONE), "zookeeper-1"), ["zookeeper-1"]),
    "only-member-wiped-under-running-brokers": (
        ONE,
        emptied(with_data(running(ONE).but(EXITED, "zookeeper-1"), ONE), "zookeeper-1"),
        ["zookeeper-1"],
    ),
    "only-member-wiped-in-kept-data": (ONE, emptied(with_data(kept(ONE), ONE), "zookeeper-1"), ["zookeeper-1"]),
    "only-member-missing-in-a-directory": (
        cluster_of(storage="/srv/kafka"),
        World(orphaned_data=frozenset({"broker-1"})).storing(cluster_of(storage="/srv/kafka"), "broker-1"),
        ["zookeeper-1"],
    ),
    "one-of-three-wiped": (THREE, emptied(with_data(running(THREE).but(EXITED), THREE), "zookeeper-2"), []),
    "two-of-three-wiped": (
        THREE,
        emptied(with_data(running(THREE).but(EXITED), THREE), "zookeeper-2", "zookeeper-3"),
        ["zookeeper-2", "zookeeper-3"],
    ),
    "most-controllers-wiped": (
        kraft(),
        emptied(with_data(running(kraft()).but(EXITED), kraft()), *CONTROLLERS[:2]),
        CONTROLLERS[:2],
    ),
    "one-controller-wiped": (kraft(), emptied(with_data(running(kraft()).but(EXITED), kraft()), CONTROLLERS[0]), []),
    "a-broker-wiped": (ONE, emptied(with_data(running(ONE).but(EXITED), ONE), "broker-2"), []),
}


@pytest.mark.parametrize("name", sorted(LOST))
def test_an_ensemble_whose_data_are_lost_is_not_begun_anew(name: str) -> None:
    cluster, world, expected = LOST[name]
    refusals = refused(cluster, world)
    assert [action.name for action in refusals] == expected
    assert all("its data are gone" in action.cause for action in refusals)


# -- data of others ---------------------------------------------------------------------------------------------------


def with_cluster_id(world: World, cluster: Cluster, *nodes: str) -> World:
    stored = {node: stored_by(cluster, node, cluster_id=OTHER_ID) for node in nodes}
    return replace(world, stored={**world.stored, **stored})


@pytest.mark.parametrize("cluster", [ONE, kraft()], ids=["zookeeper", "kraft"])
@pytest.mark.parametrize("leave", [kept, left, lambda cluster: running(cluster).but(EXITED, "broker-3")])
def test_the_data_of_another_cluster_are_named(cluster: Cluster, leave: Callable[[Cluster], World]) -> None:
    refusals = refused(cluster, with_cluster_id(with_data(leave(cluster), cluster), cluster, "broker-3"))
    (only,) = refusals
    assert only.name == "broker-3"
    assert OTHER_ID in only.cause
    assert "/data/broker-3/meta.properties" in only.cause
    assert CLUSTER_ID in only.cause


def test_where_no_cluster_has_the_majority_all_are_named() -> None:
    two = cluster_of(brokers=brokers_with(nodes=2))
    refusals = refused(two, with_cluster_id(with_data(kept(two), two), two, "broker-2"))
    assert [action.name for action in refusals] == ["broker-1", "broker-2"]


def noting(world: World, cluster: Cluster, *identities: str) -> World:
    """With an ensemble that has noted those clusters."""
    members = {node.name: world.stored[node.name] for node in cluster.zookeepers}
    noted = {name: replace(data, ensemble_of=frozenset(identities)) for name, data in members.items()}
    return replace(world, stored={**world.stored, **noted})


@pytest.mark.parametrize("brokers", [1, 2, 3])
@pytest.mark.parametrize("others", [1, 2, 3])
def test_the_ensemble_says_whose_data_are_those_of_others(brokers: int, others: int) -> None:
    cluster = cluster_of(brokers=brokers_with(nodes=brokers))
    names = [f"broker-{number}" for number in range(1, min(brokers, others) + 1)]
    world = with_cluster_id(with_data(running(cluster).but(EXITED), cluster), cluster, *names)
    refusals = refused(cluster, noting(world, cluster, CLUSTER_ID))
    assert [action.name for action in refusals] == names
    assert all(CLUSTER_ID in action.cause and OTHER_ID in action.cause for action in refusals)


def test_an_ensemble_that_knew_several_clusters_refuses_none_of_them() -> None:
    cluster = cluster_of(brokers=brokers_with(nodes=1))
    world = with_cluster_id(with_data(running(cluster).but(EXITED), cluster), cluster, "broker-1")
    assert refused(cluster, noting(world, cluster, CLUSTER_ID, OTHER_ID)) == []
    assert refused(cluster, noting(world, cluster)) == []


def test_swapped_data_are_named() -> None:
    world = with_data(kept(ONE), ONE)
    one, two = (stored_by(ONE, node) for node in ("broker-1", "broker-2"))
    swapped = {
        "broker-1": replace(one, meta=two.meta),
        "broker-2": replace(two, meta=one.meta),
    }
    refusals = refused(ONE, replace(world, stored={**world.stored, **swapped}))
    assert [(action.name, "node 2" in action.cause, "node 1" in action.cause) for action in refusals] == [
        ("broker-1", True, False),
        ("broker-2", False, True),
    ]


# -- an interrupted `up` ----------------------------------------------------------------------------------------------


def growth(state: str) -> tuple[Cluster, Cluster, World]:
    """KRaft from three brokers to four, with the fourth in some state."""
    three, four = (kraft(brokers=brokers_with(nodes=nodes)) for nodes in (3, 4))
    world = with_data(running(three), three)
    match state:
        case "storage only":
            world = replace(world, storages=world.storages | {"broker-4"})
        case "created" | "formatted":
            world = world.having(four, "broker-4", state=CREATED)
        case "started without being formatted":
            world = world.having(four, "broker-4", state=EXITED)
    formatted = state == "formatted"
    world = world.storing(four, "broker-4", used=False)
    return three, four, world if formatted else emptied(world, "broker-4")


STATES = ["storage only", "created", "formatted", "started without being formatted"]


@pytest.mark.parametrize("state", STATES)
def test_a_growth_that_was_interrupted_goes_on(state: str) -> None:
    _, four, world = growth(state)
    actions = [action for action in plan(four, world) if action.name == "broker-4"]
    formats = [action for action in actions if action.verb is Verb.FORMAT]
    starts = [action for action in actions if action.verb is Verb.START]
    assert len(starts) == 1
    assert len(formats) == (state != "formatted")
    assert not formats or formats[0].key in starts[0].after


@pytest.mark.parametrize("state", STATES)
def test_a_growth_that_was_interrupted_can_be_undone(state: str) -> None:
    three, _, world = growth(state)
    (only,) = plan(three, world)
    assert (only.verb, only.name, only.impact) == (Verb.REMOVE, "broker-4", only.impact)
    assert not only.needs_consent
    done = world.after(three, only)
    assert "broker-4" not in {*done.nodes, *done.storages}
    assert plan(three, done) == ()


def test_members_of_an_ensemble_that_never_ran_are_removed_too() -> None:
    grown = running(ONE).having(THREE, "zookeeper-2", "zookeeper-3", state=CREATED)
    actions = plan(ONE, grown)
    assert [(action.verb, action.name) for action in actions] == [
        (Verb.REMOVE, "zookeeper-2"),
        (Verb.REMOVE, "zookeeper-3"),
    ]


def test_a_broker_that_may_have_replicas_is_not_a_leftover() -> None:
    three, four, _ = growth("created")
    for state in (RUNNING, EXITED):
        for world in (running(three).having(four, "broker-4", state=state), with_data(running(four), four)):
            assert all(action.verb is not Verb.REMOVE for action in plan(three, world))


def test_what_a_stopped_node_had_in_memory_is_not_there_and_proves_nothing() -> None:
    three, two = (cluster_of(storage="memory", brokers=brokers_with(nodes=nodes)) for nodes in (3, 2))
    stopped = replace(running(three).but(EXITED, "broker-3"), storage="memory")
    world = emptied(with_data(stopped, three), "broker-3")
    assert all(action.verb is not Verb.REMOVE for action in plan(two, world))


# -- what a storage tells ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "size_bytes", "is_directory", "expected"),
    [
        ("meta.properties", 90, False, False),
        ("bootstrap.checkpoint", 200, False, False),
        (".lock", 0, False, False),
        (".kafka_cleanshutdown", 0, False, False),
        ("recovery-point-offset-checkpoint", 4, False, False),
        ("lost+found", 0, True, False),
        ("", 0, True, False),
        (".", 0, True, False),
        ("__cluster_metadata-0", 0, True, False),
        ("__cluster_metadata-0/quorum-state", 90, False, False),
        ("__cluster_metadata-0/00000000000000000000-0000000000.checkpoint", 200, False, False),
        ("__cluster_metadata-0/00000000000000000000.log", 0, False, False),
        ("__cluster_metadata-0/00000000000000000000.log", 1, False, True),
        ("orders-0", 0, True, True),
        ("orders-0/00000000000000000000.log", 0, False, False),
        ("myid", 2, False, False),
        ("initialize", 0, False, False),
        ("version-2", 0, True, False),
        ("version-2/snapshot.0", 400, False, True),
        ("version-2/log.1", 0, False, False),
        ("version-2/log.1", 1, False, True),
    ],
)
def test_what_shows_that_a_storage_was_used(path: str, size_bytes: int, is_directory: bool, expected: bool) -> None:
    assert shows_use(path, size_bytes, is_directory=is_directory) is expected


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"a=1\na=2\n", b"a=\\u12", b"\x00" * 9])
def test_a_damaged_meta_file_tells_nothing(content: bytes) -> None:
    meta = meta_in(content)
    assert not is_used(meta)
    assert StoredData("broker-1", "", meta).cluster_id == ""


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[]", b"{", b"1", b'{"kafka": 3}', b'{"kafka": "three", "storage": []}', b"[" * 9999]
)
def test_damaged_files_tell_nothing(content: bytes) -> None:
    files = tuple(replace(file, content=content) for file in stored_by(kraft(), "broker-1").files)
    data = StoredData("broker-1", "", files=files)
    assert (data.version, data.storage, data.voters, data.mode) == (None, "", frozenset(), "")
    assert StoredData("zookeeper-1", "").members == 0


def test_what_a_storage_was_last_used_with() -> None:
    broker, controller = (stored_by(kraft("4.3.0"), node) for node in ("broker-1", "controller-1"))
    assert broker.version == KafkaVersion(4, 3, 0)
    assert broker.voters == controller.voters == {1001, 1002, 1003}
    assert (broker.mode, controller.mode, stored_by(ONE, "broker-1").mode) == ("kraft", "kraft", "zookeeper")
    assert (broker.storage, broker.node_id, controller.node_id) == ("volume", "1", "1001")
    assert [stored_by(cluster, "zookeeper-1").members for cluster in (ONE, THREE)] == [1, 3]


def test_the_common_id_needs_a_majority() -> None:
    def common(*ids: str) -> str:
        stored = {
            f"broker-{n}": stored_by(ONE, f"broker-{n}", cluster_id=identity) for n, identity in enumerate(ids, 1)
        }
        return common_cluster_id(stored)

    assert common() == common("", "") == common(CLUSTER_ID, OTHER_ID) == common("no id") == ""
    assert common(CLUSTER_ID, OTHER_ID, CLUSTER_ID) == common("", CLUSTER_ID) == CLUSTER_ID
