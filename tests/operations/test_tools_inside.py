"""What a user writes for this machine, as a tool inside the environment needs it; all else stays to the letter."""

import io
from collections.abc import Mapping
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.cluster.layout import container_layout
from provision.cluster.model import Node, Role
from provision.cluster.resolve import resolve
from provision.errors import UsageError
from provision.operations.tools import as_seen_inside, run_tool
from provision.runtime.base import Streams
from provision.runtime.fake import FakeRuntime
from provision.spec.model import EnvironmentSpec

INSIDE = {
    "127.0.0.1:9092": "orders-broker-1:9092",
    "127.0.0.1:9093": "orders-broker-2:9092",
    "127.0.0.1:2181": "orders-zookeeper-1:2181",
    "10.0.0.7:9094": "orders-broker-3:9092",
    "[::1]:9095": "orders-broker-4:9092",
}


@pytest.mark.parametrize(
    ("argument", "inside"),
    [
        # every way to write an address of this machine
        ("127.0.0.1:9093", "orders-broker-2:9092"),
        ("localhost:9093", "orders-broker-2:9092"),
        ("10.0.0.7:9094", "orders-broker-3:9092"),
        ("[::1]:9095", "orders-broker-4:9092"),
        # wherever it stands
        ("localhost:9092,10.0.0.7:9094,[::1]:9095", "orders-broker-1:9092,orders-broker-3:9092,orders-broker-4:9092"),
        ("localhost:9092, localhost:9093", "orders-broker-1:9092, orders-broker-2:9092"),
        ("--bootstrap-server=localhost:9092", "--bootstrap-server=orders-broker-1:9092"),
        ("servers=localhost:9092,localhost:9093", "servers=orders-broker-1:9092,orders-broker-2:9092"),
        ("PLAINTEXT://localhost:9092", "PLAINTEXT://orders-broker-1:9092"),
        ("localhost:2181/kafka", "orders-zookeeper-1:2181/kafka"),
        ('{"servers": "localhost:9092"}', '{"servers": "orders-broker-1:9092"}'),
        ("[localhost:9092]", "[orders-broker-1:9092]"),
        # a mixture
        ("localhost:9092,elsewhere:9092,localhost:1", "orders-broker-1:9092,elsewhere:9092,localhost:1"),
    ],
)
def test_an_address_of_this_machine_is_replaced_wherever_it_stands(argument: str, inside: str) -> None:
    assert as_seen_inside(argument, INSIDE) == inside


@pytest.mark.parametrize(
    "argument",
    [
        *("", " ", ":", "localhost", "localhost:", ":9092", "9092", "127.0.0.1", "--list", "--topic", "größe"),
        *("localhost:9094", "10.0.0.7:9092", "127.0.0.1:9095"),  # each a port of another host
        *("localhost:909", "localhost:90920", "localhost:09092", "127.0.0.1:21810"),
        *("110.0.0.7:9094", "10.0.0.77:9094", "10.0.0.7.1:9094", "10x0y0z7:9094", "1.127.0.0.1:9092"),
        *("notlocalhost:9092", "my.localhost:9092", "my-localhost:9092", "my_localhost:9092", "localhost.my:9092"),
        *("orders-broker-1:9092", "elsewhere:9092", "localhost 9092", "localhost:x9092"),
    ],
)
def test_whatever_is_no_address_of_this_environment_stays(argument: str) -> None:
    assert as_seen_inside(argument, INSIDE) == argument


@pytest.mark.parametrize(
    ("known", "argument", "inside"),
    [
        ({}, "localhost:9092", "localhost:9092"),
        ({"a:1": "a:2", "a:2": "a:1"}, "a:1,a:2", "a:2,a:1"),
        ({"127.0.0.1:9092": "127.0.0.1:9092"}, "localhost:9092", "127.0.0.1:9092"),  # as the process runtime has it
        ({"a:1": "x:1", "a.b:1": "y:1", "a-b:1": "z:1"}, "a:1 a.b:1 a-b:1", "x:1 y:1 z:1"),
        ({"a:1": r"\1:\g<0>"}, "a:1", r"\1:\g<0>"),
    ],
)
def test_each_address_is_replaced_once_by_what_is_there_for_it(
    known: Mapping[str, str], argument: str, inside: str
) -> None:
    assert as_seen_inside(argument, known) == inside


ports = st.integers(1, 65535)
addresses = st.tuples(st.sampled_from(["127.0.0.1", "10.0.0.7", "host.example"]), ports).map(
    lambda at: f"{at[0]}:{at[1]}"
)


@given(outside=st.lists(addresses, unique=True, max_size=6), argument=st.lists(addresses, max_size=6))
def test_a_list_of_addresses_is_the_list_of_what_each_becomes(outside: list[str], argument: list[str]) -> None:
    inside = {address: f"node-{number}:9092" for number, address in enumerate(outside)}
    wanted = [inside.get(address, address) for address in (*argument, *outside)]
    assert as_seen_inside(",".join((*argument, *outside)), inside) == ",".join(wanted)
    seen = as_seen_inside(" ".join(argument), inside)
    assert as_seen_inside(seen, inside) == seen


@given(argument=st.text(), port=ports)
def test_a_text_without_an_address_of_this_machine_stays_to_the_letter(argument: str, port: int) -> None:
    inside = {f"127.0.0.1:{port}": "node:9092"}
    if f":{port}" not in argument:
        assert as_seen_inside(argument, inside) == argument
    assert as_seen_inside(argument, {}) == argument


# -- what a tool is started with ---------------------------------------------------------------------------------------


class Published(FakeRuntime):
    """Nodes that this machine reaches."""

    def endpoint_of(self, node: Node) -> str | None:
        """As it was resolved."""
        return node.endpoint


def published(**sections: object) -> Published:
    """An environment with two brokers."""
    spec = EnvironmentSpec.model_validate({"name": "orders", "brokers": {"nodes": 2, "port": 9092}, **sections})
    cluster = resolve(spec, container_layout(spec), {}, "/environments")
    runtime = Published()
    runtime.create_network(cluster)
    for node in cluster.nodes:
        runtime.create_node(cluster, node, ())
    return runtime


@pytest.fixture
def runtime() -> Published:
    return published(zookeeper={"port": 2181})


BROKERS = "orders-broker-1:9092,orders-broker-2:9092"


@pytest.mark.parametrize(
    ("tool", "arguments", "started_with"),
    [
        ("kafka-topics", ["--list"], f"--bootstrap-server {BROKERS} --list"),
        ("kafka-topics.sh", ["--list"], f"--bootstrap-server {BROKERS} --list"),
        ("kafka-topics", ["--bootstrap-server", "localhost:9093"], "--bootstrap-server orders-broker-2:9092"),
        ("kafka-topics", ["--bootstrap-server=127.0.0.1:9092"], "--bootstrap-server=orders-broker-1:9092"),
        ("kafka-topics", ["--zookeeper", "localhost:2181/x"], "--zookeeper orders-zookeeper-1:2181/x"),
        ("kafka-topics", ["--bootstrap-server", "others:9092"], "--bootstrap-server others:9092"),
        ("zookeeper-shell", ["ls", "/"], "-server orders-zookeeper-1:2181 ls /"),
        ("zookeeper-shell", ["localhost:2181", "ls", "/"], "-server orders-zookeeper-1:2181 ls /"),
        ("kafka-storage", ["random-uuid"], "random-uuid"),
    ],
)
def test_a_tool_is_started_with_addresses_that_hold_inside(
    runtime: Published, tool: str, arguments: list[str], started_with: str
) -> None:
    assert all(runtime.observe("orders").of_role(role) for role in (Role.ZOOKEEPER, Role.BROKER))
    out = io.BytesIO()
    assert run_tool(runtime, "orders", tool, arguments, Streams(None, out, io.BytesIO())) == 0
    _, _, said = out.getvalue().decode().strip().partition(" ")
    assert said == started_with


@pytest.mark.parametrize(
    ("arguments", "started_with"),
    [
        (["ls", "/"], None),
        ([], None),
        (["--help"], "-server --help"),
        (["others:2181", "ls", "/"], "-server others:2181 ls /"),
    ],
)
def test_a_tool_of_zookeeper_is_refused_where_there_is_none_unless_it_is_told_another(
    arguments: list[str], started_with: str | None
) -> None:
    runtime, out = published(kafka={"mode": "kraft"}), io.BytesIO()
    with pytest.raises(UsageError, match="orders has no ZooKeeper") if started_with is None else nullcontext():
        run_tool(runtime, "orders", "zookeeper-shell", arguments, Streams(None, out, io.BytesIO()))
    assert out.getvalue().decode().strip().partition(" ")[2] == (started_with or "")


@pytest.mark.parametrize(
    ("arguments", "starts"),
    [(["describe", "--status"], False), ([], False), (["--help"], True), (["--bootstrap-server", "others:9092"], True)],
)
def test_a_tool_of_kraft_is_refused_in_zookeeper_mode_unless_it_is_told_another(
    arguments: list[str], *, starts: bool
) -> None:
    runtime, out = published(kafka={"version": "3.9.1", "mode": "zookeeper"}), io.BytesIO()
    with nullcontext() if starts else pytest.raises(UsageError, match="orders has no quorum of controllers"):
        run_tool(runtime, "orders", "kafka-metadata-quorum", arguments, Streams(None, out, io.BytesIO()))
    assert bool(out.getvalue()) is starts
