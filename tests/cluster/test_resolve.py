"""An environment's meaning: listeners, ports, racks, overrides, storage."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.catalogue.versions import (
    DEFAULT_VERSION,
    OLDEST,
    RELEASES,
    KafkaVersion,
    release_of,
)
from provision.cluster.layout import LocalLayout, automatic_ports, container_layout
from provision.cluster.model import Cluster, Listener, Role, Storage, StorageKind
from provision.cluster.render import render
from provision.cluster.resolve import resolve
from provision.spec.model import EnvironmentSpec


def spec_of(**sections: object) -> EnvironmentSpec:
    return EnvironmentSpec.model_validate({"name": "orders", **sections})


def cluster_of(ports: Mapping[str, int] | None = None, /, **sections: object) -> Cluster:
    spec = spec_of(**sections)
    return resolve(spec, container_layout(spec), ports or {}, "/home/me/orders")


def test_the_ensemble_comes_before_the_brokers_each_in_the_order_of_its_numbers() -> None:
    cluster = cluster_of(zookeeper={"nodes": 3}, brokers={"nodes": 2})
    assert [(node.name, node.role, node.id) for node in cluster.nodes] == [
        ("zookeeper-1", Role.ZOOKEEPER, 1),
        ("zookeeper-2", Role.ZOOKEEPER, 2),
        ("zookeeper-3", Role.ZOOKEEPER, 3),
        ("broker-1", Role.BROKER, 1),
        ("broker-2", Role.BROKER, 2),
    ]
    assert cluster.zookeepers + cluster.brokers == cluster.nodes


def test_a_broker_is_reached_by_name_inside_and_by_its_own_port_outside() -> None:
    listeners = cluster_of(brokers={"nodes": 2, "port": 9092}).brokers[1].listeners
    assert listeners == (
        Listener("INTERNAL", "0.0.0.0", 9092, "orders-broker-2", 9092),  # noqa: S104 inside a container
        Listener("HOST", "0.0.0.0", 19092, "127.0.0.1", 9093, 9093, "127.0.0.1"),  # noqa: S104 inside a container
    )


def test_a_zookeeper_has_client_quorum_and_election_ports_and_publishes_the_first() -> None:
    listeners = cluster_of(zookeeper={"nodes": 3, "port": 2181}).zookeepers[2].listeners
    assert listeners == (
        Listener("CLIENT", "0.0.0.0", 2181, "orders-zookeeper-3", 2181, 2183, "127.0.0.1"),  # noqa: S104 inside a container
        Listener("QUORUM", "0.0.0.0", 2888, "orders-zookeeper-3", 2888, None, "127.0.0.1"),  # noqa: S104 inside a container
        Listener("ELECTION", "0.0.0.0", 3888, "orders-zookeeper-3", 3888, None, "127.0.0.1"),  # noqa: S104 inside a container
    )


def test_ports_count_up_from_the_first_nodes() -> None:
    cluster = cluster_of(zookeeper={"nodes": 3, "port": 2181}, brokers={"nodes": 3, "port": 9092})
    assert [node.endpoint for node in cluster.nodes] == [
        *("127.0.0.1:2181", "127.0.0.1:2182", "127.0.0.1:2183"),
        *("127.0.0.1:9092", "127.0.0.1:9093", "127.0.0.1:9094"),
    ]
    assert cluster.bootstrap_servers == "127.0.0.1:9092,127.0.0.1:9093,127.0.0.1:9094"


def test_without_a_port_a_zookeeper_is_not_reached_from_outside() -> None:
    assert cluster_of().zookeepers[0].endpoint is None


def test_only_nodes_whose_port_is_auto_need_one_leased() -> None:
    assert automatic_ports(spec_of()) == ()
    assert automatic_ports(spec_of(brokers={"nodes": 2, "port": "auto"})) == ("broker-1", "broker-2")
    everything = spec_of(zookeeper={"nodes": 3, "port": "auto"}, brokers={"port": "auto"})
    assert automatic_ports(everything) == ("zookeeper-1", "zookeeper-2", "zookeeper-3", "broker-1")


def test_automatic_ports_are_the_leased_ones() -> None:
    ports = {"zookeeper-1": 20007, "broker-1": 20003, "broker-2": 20001}
    cluster = cluster_of(ports, zookeeper={"port": "auto"}, brokers={"nodes": 2, "port": "auto"})
    assert {node.name: node.endpoint for node in cluster.nodes} == {
        name: f"127.0.0.1:{port}" for name, port in ports.items()
    }
    assert cluster.brokers[0].listener("HOST").port == 20003


def test_a_listener_is_found_by_name() -> None:
    broker = cluster_of().brokers[0]
    assert broker.listener("HOST").listen_port == 19092
    with pytest.raises(KeyError):
        broker.listener("SSL")


def test_racks_are_dealt_out_in_turn_and_an_override_has_its_own() -> None:
    brokers = cluster_of(brokers={"nodes": 5, "racks": ["a", "b"], "overrides": {4: {"rack": "z"}}}).brokers
    assert [broker.rack for broker in brokers] == ["a", "b", "a", "z", "a"]


def test_without_racks_a_broker_has_none() -> None:
    assert [broker.rack for broker in cluster_of(brokers={"nodes": 2}).brokers] == [None, None]


def test_properties_of_an_override_win_over_the_brokers_and_those_over_the_defaults() -> None:
    brokers = cluster_of(
        brokers={
            "nodes": 2,
            "properties": {"num.io.threads": 8, "num.network.threads": 5},
            "overrides": {2: {"properties": {"num.io.threads": 16}}},
        }
    ).brokers
    assert [broker.properties["num.io.threads"] for broker in brokers] == ["8", "16"]
    assert [broker.properties["num.network.threads"] for broker in brokers] == ["5", "5"]


def test_the_heap_of_an_override_is_its_own() -> None:
    brokers = cluster_of(brokers={"nodes": 2, "heap": "300m", "overrides": {2: {"heap": "400m"}}}).brokers
    assert [broker.java_args[:2] for broker in brokers] == [("-Xms300m", "-Xmx300m"), ("-Xms400m", "-Xmx400m")]


def test_properties_are_sorted_by_key() -> None:
    cluster = cluster_of(
        zookeeper={"properties": {"zz": 1, "aa": 2}},
        brokers={"properties": {"zz": 1, "aa": 2}},
        topics=[{"name": "orders", "config": {"zz": 1, "aa": 2}}],
    )
    mappings = [*(node.properties for node in cluster.nodes), *(topic.config for topic in cluster.topics)]
    assert all(list(mapping) == sorted(mapping) for mapping in mappings)
    assert all(mapping["aa"] == "2" for mapping in mappings)


def test_every_broker_knows_the_whole_ensemble() -> None:
    cluster = cluster_of(zookeeper={"nodes": 3, "port": 4000}, brokers={"nodes": 2})
    connect = "orders-zookeeper-1:2181,orders-zookeeper-2:2181,orders-zookeeper-3:2181"
    assert [broker.properties["zookeeper.connect"] for broker in cluster.brokers] == [connect, connect]


@pytest.mark.parametrize(("brokers", "factor", "minimum"), [(1, "1", "1"), (2, "2", "2"), (3, "3", "2"), (5, "3", "2")])
def test_internal_topics_are_replicated_as_far_as_there_are_brokers(brokers: int, factor: str, minimum: str) -> None:
    properties = cluster_of(brokers={"nodes": brokers}).brokers[0].properties
    assert properties["offsets.topic.replication.factor"] == factor
    assert properties["transaction.state.log.replication.factor"] == factor
    assert properties["transaction.state.log.min.isr"] == minimum


@pytest.mark.parametrize(
    ("text", "storage"),
    [
        ("volume", Storage(StorageKind.VOLUME)),
        ("memory", Storage(StorageKind.MEMORY)),
        ("data", Storage(StorageKind.DIRECTORY, "/home/me/orders/data")),
        ("./data/", Storage(StorageKind.DIRECTORY, "/home/me/orders/data")),
        ("../data", Storage(StorageKind.DIRECTORY, "/home/me/data")),
        ("/srv/kafka", Storage(StorageKind.DIRECTORY, "/srv/kafka")),
        ("./volume", Storage(StorageKind.DIRECTORY, "/home/me/orders/volume")),
    ],
)
def test_a_storage_directory_is_relative_to_the_file(text: str, storage: Storage) -> None:
    assert cluster_of(storage=text).storage == storage


@pytest.mark.parametrize(("text", "templates"), [("./t", "/home/me/orders/./t"), ("/t", "/t"), (None, None)])
def test_a_templates_directory_is_relative_to_the_file(text: str | None, templates: str | None) -> None:
    assert cluster_of(templates=text).templates == templates


def test_only_data_in_memory_go_without_forced_writes() -> None:
    assert "forceSync" not in cluster_of(storage="volume").zookeepers[0].properties
    assert "forceSync" not in cluster_of(storage="data").zookeepers[0].properties
    assert cluster_of(storage="memory").zookeepers[0].properties["forceSync"] == "no"


def test_a_container_has_paths_that_name_no_machine() -> None:
    node = cluster_of(storage="data").brokers[0]
    assert (node.config_dir, node.data_dir, node.temp_dir) == (
        "/var/lib/provision/config",
        "/var/lib/provision/data",
        "/tmp",
    )


def test_the_command_ends_with_the_main_class_and_the_nodes_own_file() -> None:
    zookeeper, broker = cluster_of().nodes
    assert zookeeper.java_args[-4:] == (
        "-cp",
        "/opt/kafka/libs/*",
        "org.apache.zookeeper.server.quorum.QuorumPeerMain",
        "/var/lib/provision/config/zookeeper.properties",
    )
    assert broker.java_args[-2:] == ("kafka.Kafka", "/var/lib/provision/config/server.properties")


def test_a_zookeepers_limit_leaves_room_beside_its_heap_and_a_brokers_is_what_the_file_says() -> None:
    zookeeper, broker = cluster_of(zookeeper={"heap": "64m"}, brokers={"memory": "2g"}).nodes
    assert zookeeper.memory_bytes == (64 + 256) * 1024**2
    assert broker.memory_bytes == 2 * 1024**3


def test_a_version_that_is_left_out_is_that_of_the_image() -> None:
    assert str(cluster_of(kafka={"image": "apache/kafka:3.8.1"}).version) == "3.8.1"
    assert cluster_of(kafka={"image": "mirror.example/bitnamilegacy/kafka:4.0.0-debian-12-r10"}).mode == "kraft"
    assert cluster_of(kafka={"image": "apache/kafka:latest"}).version == DEFAULT_VERSION


def test_an_ensemble_runs_the_brokers_image_unless_one_is_named() -> None:
    same = cluster_of(kafka={"version": "3.6.2"})
    assert same.all_software == ("confluentinc/cp-kafka:7.6.1",)
    own = cluster_of(kafka={"version": "3.9.1"}, zookeeper={"image": "zookeeper:3.8.4"})
    assert own.software == "apache/kafka:3.9.1"
    assert own.all_software == ("zookeeper:3.8.4", "apache/kafka:3.9.1")
    zookeeper, broker = own.nodes
    assert "/conf:lib/*" in zookeeper.java_args
    assert "/opt/kafka/libs/*" in broker.java_args


def test_software_with_its_own_logging_gets_none_of_ours() -> None:
    own = cluster_of(kafka={"version": "3.9.1"}, zookeeper={"image": "zookeeper:3.8.4"})
    files = {(file.node, file.name) for file in render(own)}
    assert ("zookeeper-1", "log4j.properties") not in files
    assert ("broker-1", "log4j.properties") in files
    assert not [word for word in own.zookeepers[0].java_args if word.startswith("-Dlog4j")]


def test_the_image_follows_from_the_version_unless_it_is_named() -> None:
    assert cluster_of(kafka={"version": "3.8.1"}).software == "apache/kafka:3.8.1"
    assert cluster_of(kafka={"image": "example.org/kafka@sha256:0123"}).software == "example.org/kafka@sha256:0123"


def test_a_topic_takes_from_the_defaults_what_it_does_not_say() -> None:
    first, second = cluster_of(
        brokers={"nodes": 3},
        topic_defaults={"partitions": 6, "replication_factor": 2, "config": {"a": 1, "b": 2}},
        topics=[{"name": "x"}, {"name": "y", "partitions": 12, "replication_factor": 3, "config": {"b": 3}}],
    ).topics
    assert (first.partitions, first.replication_factor, first.config) == (6, 2, {"a": "1", "b": "2"})
    assert (second.partitions, second.replication_factor, second.config) == (12, 3, {"a": "1", "b": "3"})


@pytest.mark.parametrize(("brokers", "factor"), [(1, 1), (2, 2), (3, 3), (5, 3)])
def test_a_topic_without_any_replication_factor_gets_three_or_as_many_as_brokers(brokers: int, factor: int) -> None:
    assert cluster_of(brokers={"nodes": brokers}, topics=[{"name": "x"}]).topics[0].replication_factor == factor


def test_the_rest_of_the_file_is_carried_along() -> None:
    cluster = cluster_of(ttl="90m", vars={"a": [1]})
    assert (cluster.name, cluster.runtime, cluster.version, cluster.mode) == (
        "orders",
        "docker",
        KafkaVersion(3, 9, 1),
        "zookeeper",
    )
    assert (cluster.ttl_s, cluster.variables) == (5400, {"a": [1]})
    assert cluster_of().ttl_s is None


def test_the_default_mode_follows_the_version() -> None:
    spec = spec_of(kafka={"version": "4.0.0"})
    assert resolve(spec, container_layout(spec), {}).mode == "kraft"
    assert cluster_of(kafka={"version": "3.9.0"}).mode == "zookeeper"


@given(
    zookeepers=st.sampled_from([1, 3, 5, 7]),
    brokers=st.integers(1, 20),
    zookeeper_port=st.none() | st.integers(1024, 2000),
    broker_port=st.integers(9000, 60000),
)
def test_no_two_nodes_share_a_name_or_an_endpoint(
    zookeepers: int, brokers: int, zookeeper_port: int | None, broker_port: int
) -> None:
    cluster = cluster_of(
        zookeeper={"nodes": zookeepers, "port": zookeeper_port}, brokers={"nodes": brokers, "port": broker_port}
    )
    endpoints = [node.endpoint for node in cluster.nodes if node.endpoint]
    assert len({node.name for node in cluster.nodes}) == zookeepers + brokers
    assert len(set(endpoints)) == len(endpoints) == brokers + (zookeepers if zookeeper_port else 0)


@given(st.tuples(*[st.integers(0, 9999)] * 3), st.tuples(*[st.integers(0, 9999)] * 3))
def test_versions_are_ordered_as_releases_are_and_read_back(
    one: tuple[int, int, int], other: tuple[int, int, int]
) -> None:
    first, second = KafkaVersion(*one), KafkaVersion(*other)
    assert KafkaVersion.parse(str(first)) == first
    assert (first < second) == (one < other)


@pytest.mark.parametrize("text", ["3.9", "3.9.1.0", "v3.9.1", "3.9.x", "03.9.1", "3.9.1 ", "٣.9.1", "3.10000.0", ""])
def test_a_version_has_three_numbers(text: str) -> None:
    with pytest.raises(ValueError, match="is not a Kafka version of the form 3"):
        KafkaVersion.parse(text)


def test_the_entry_of_a_version_is_the_newest_that_is_not_newer() -> None:
    assert release_of(OLDEST) is RELEASES[0]
    assert release_of(KafkaVersion(3, 4, 1)).first == KafkaVersion(3, 3, 0)
    assert release_of(DEFAULT_VERSION).first == KafkaVersion(3, 9, 0)
    assert release_of(KafkaVersion(4, 9, 9)) is RELEASES[-1]
    assert list(RELEASES) == sorted(RELEASES, key=lambda release: release.first)


def test_kraft_begins_with_3_3_and_zookeeper_ends_with_3_9() -> None:
    modes = {str(release.first): release.modes for release in RELEASES}
    assert {first for first, known in modes.items() if "kraft" not in known} == {"2.8.0", "3.0.0"}
    assert {first for first, known in modes.items() if "zookeeper" not in known} == {"4.0.0", "4.2.0", "4.3.0"}
    assert release_of(DEFAULT_VERSION).modes[0] == "zookeeper"


# -- KRaft ------------------------------------------------------------------------------------------------------------


def voters(**sections: object) -> list[str]:
    return [node.name for node in cluster_of({}, **{"kafka": {"mode": "kraft"}, **sections}).voters]


def test_the_voters_are_the_dedicated_controllers_or_one_broker_or_the_first_three() -> None:
    assert voters() == ["broker-1"]
    assert voters(brokers={"nodes": 2}) == ["broker-1"]
    assert voters(brokers={"nodes": 3}) == voters(brokers={"nodes": 5}) == ["broker-1", "broker-2", "broker-3"]
    assert voters(controllers={"nodes": 1}, brokers={"nodes": 5}) == ["controller-1"]
    assert voters(controllers={"nodes": 5}) == [f"controller-{number}" for number in range(1, 6)]


def test_in_zookeeper_mode_nobody_votes() -> None:
    cluster = cluster_of(brokers={"nodes": 3})
    assert cluster.voters == cluster.controllers == ()
    assert not any(listener.name == "CONTROLLER" for node in cluster.nodes for listener in node.listeners)


def test_dedicated_controllers_come_first_and_count_from_1001() -> None:
    cluster = cluster_of(kafka={"version": "4.3.0"}, controllers={"nodes": 3, "heap": "96m"}, brokers={"nodes": 2})
    assert [(node.name, node.role, node.id, node.votes) for node in cluster.nodes] == [
        ("controller-1", Role.CONTROLLER, 1001, True),
        ("controller-2", Role.CONTROLLER, 1002, True),
        ("controller-3", Role.CONTROLLER, 1003, True),
        ("broker-1", Role.BROKER, 1, False),
        ("broker-2", Role.BROKER, 2, False),
    ]
    assert {node.memory_bytes for node in cluster.controllers} == {(96 + 256) * 1024**2}
    assert cluster.zookeepers == ()
    assert cluster.mode == "kraft"


def test_a_broker_that_votes_is_reached_by_controllers_and_its_first_listener_stays_that_between_brokers() -> None:
    voter, other = cluster_of(kafka={"mode": "kraft"}, brokers={"nodes": 2}).brokers
    assert [listener.name for listener in voter.listeners] == ["INTERNAL", "HOST", "CONTROLLER"]
    assert voter.listener("CONTROLLER") == Listener("CONTROLLER", "orders-broker-1", 9093, "orders-broker-1", 9093)
    assert [listener.name for listener in other.listeners] == ["INTERNAL", "HOST"]


def test_controllers_have_no_port_outside_and_an_ensemble_no_port_at_all() -> None:
    cluster = cluster_of(kafka={"mode": "kraft"}, controllers={"nodes": 1}, zookeeper={"port": "auto", "nodes": 3})
    assert cluster.controllers[0].endpoint is None
    spec = spec_of(kafka={"mode": "kraft"}, zookeeper={"port": "auto", "nodes": 3}, brokers={"port": "auto"})
    assert automatic_ports(spec) == ("broker-1",)


def test_processes_lease_a_port_for_each_voter() -> None:
    layout = LocalLayout("kafka 3.9.1", "libs", "/home/me/orders", "/home/me/orders")
    three = spec_of(kafka={"mode": "kraft"}, brokers={"nodes": 4})
    assert layout.leased_ports(three) == tuple(f"broker-{number}/CONTROLLER" for number in (1, 2, 3))
    dedicated = spec_of(kafka={"mode": "kraft"}, controllers={"nodes": 1}, brokers={"port": "auto"})
    assert layout.leased_ports(dedicated) == ("broker-1", "controller-1/CONTROLLER")


def test_no_setting_of_zookeeper_is_left_in_kraft_mode_and_share_groups_come_with_4_0() -> None:
    def settings(version: str, nodes: int) -> set[str]:
        kafka = {"version": version, "mode": "kraft"}
        properties = cluster_of(kafka=kafka, brokers={"nodes": nodes}).brokers[0].properties
        return {f"{key}={value}" for key, value in properties.items() if key.startswith(("zookeeper", "share"))}

    assert settings("3.9.1", 3) == set()
    prefix = "share.coordinator.state.topic"
    assert settings("4.0.0", 1) == {f"{prefix}.replication.factor=1", f"{prefix}.min.isr=1"}
    assert settings("4.3.0", 5) == {f"{prefix}.replication.factor=3", f"{prefix}.min.isr=2"}


def test_a_cluster_logs_with_the_library_of_its_release() -> None:
    def options(version: str) -> set[str]:
        cluster = cluster_of(kafka={"version": version, "mode": "kraft"})
        return {word.partition("=")[0] for word in cluster.brokers[0].java_args if word.startswith("-Dlog4j")}

    assert options("3.9.1") == {"-Dlog4j.configuration"}
    assert options("4.0.0") == options("4.3.0") == {"-Dlog4j2.configurationFile"}
