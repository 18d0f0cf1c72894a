"""How a tool is told whom to speak to, and how addresses of this machine become those inside."""

import io
from collections.abc import Sequence

import pytest

from provision.catalogue.versions import KafkaVersion, address_option
from provision.errors import ProvisionError
from provision.operations.tools import as_seen_inside, filled_in_address, given_addresses, run_tool
from provision.plan.observed import NodeState, ObservedEnvironment, ObservedNode
from provision.runtime.base import Streams
from provision.runtime.fake import FakeRuntime

SERVERS = "one:9092,two:9092"
INSIDE = {"127.0.0.1:9092": "one:9092", "127.0.0.1:2181": "zoo:2181"}


@pytest.mark.parametrize(
    ("tool", "arguments", "filled_in"),
    [
        ("kafka-topics", ["--list"], ("--bootstrap-server", SERVERS)),
        ("kafka-topics", [], ("--bootstrap-server", SERVERS)),
        ("kafka-topics", ["--bootstrap-server", "x:1", "--list"], ()),
        ("kafka-topics", ["--bootstrap-server=x:1", "--list"], ()),
        ("kafka-topics", ["--zookeeper", "x:1", "--list"], ()),
        ("kafka-console-producer", ["--broker-list", "x:1"], ()),
        ("kafka-topics", ["--bootstrap-s", "x:1", "--list"], ()),
        ("kafka-topics", ["-bootstrap-server=x:1", "--list"], ()),
        ("kafka-log-dirs", ["--describe", "--broker-list", "1,2"], ("--bootstrap-server", SERVERS)),
        ("kafka-topics", ["--help"], ()),
        ("kafka-topics", ["--version"], ()),
        ("zookeeper-shell", ["ls", "/"], (SERVERS,)),
        ("zookeeper-shell", ["localhost:2181", "ls", "/"], ()),
        ("kafka-dump-log", ["--files", "x"], ()),
        ("kafka-storage", ["random-uuid"], ()),
    ],
)
def test_an_address_is_filled_in_where_none_is_given(
    tool: str, arguments: list[str], filled_in: tuple[str, ...]
) -> None:
    assert filled_in_address(address_option(tool, KafkaVersion(3, 9, 1)), arguments, SERVERS) == filled_in


def test_an_old_tool_has_its_own_option() -> None:
    assert address_option("kafka-get-offsets", KafkaVersion(2, 8, 2)) == "--broker-list"
    assert address_option("kafka-get-offsets", KafkaVersion(3, 9, 1)) == "--bootstrap-server"


@pytest.mark.parametrize(
    ("argument", "inside"),
    [
        ("localhost:9092", "one:9092"),
        ("127.0.0.1:9092", "one:9092"),
        ("--bootstrap-server=localhost:9092", "--bootstrap-server=one:9092"),
        ("localhost:9092,localhost:2181", "one:9092,zoo:2181"),
        ("localhost:90921", "localhost:90921"),
        ("localhost:9093", "localhost:9093"),
        ("notlocalhost:9092", "notlocalhost:9092"),
        ("my.localhost:9092", "my.localhost:9092"),
        ("--topic", "--topic"),
    ],
)
def test_addresses_of_this_machine_become_those_inside(argument: str, inside: str) -> None:
    assert as_seen_inside(argument, INSIDE) == inside


@pytest.mark.parametrize("version", ["", "x", "3.9", "1.0.0"])
def test_where_nothing_tells_the_version_that_is_told(version: str) -> None:
    class Lost(FakeRuntime):
        """An environment of which little is known."""

        def observe(self, name: str, wanted: Sequence[str] = ()) -> ObservedEnvironment:  # noqa: ARG002
            nodes = (ObservedNode("broker-1", "broker", NodeState.RUNNING, ""),)
            return ObservedEnvironment(name, self.kind, version=version, nodes=nodes)

    with pytest.raises(ProvisionError, match="the Kafka version of lost is not known") as caught:
        run_tool(Lost(), "lost", "kafka-topics", (), Streams(None, io.BytesIO(), io.BytesIO()))
    assert "provision up lost" in caught.value.hint


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ("--list", ""),
        ("--bootstrap-server x:1 --list", "x:1"),
        ("--bootstrap-server x:1,y:2", "x:1 y:2"),
        ("--bootstrap-server=x:1", "x:1"),
        ("--boot x:1", "x:1"),
        ("-bootstrap-server x:1", "x:1"),
        ("--bootstrap-servers x:1", "x:1"),
        ("--bootstrap-server SASL_SSL://x:1", "x:1"),
        ("--bootstrap-server one:9092 --bootstrap-server x:1", "one:9092 x:1"),
        ("--bootstrap-controller x:1", "x:1"),
        ("--broker-list x:1", "x:1"),
        ("-bx:1", "x:1"),
        ("--producer-props acks=1 bootstrap.servers=x:1,y:2", "x:1 y:2"),
        ("--consumer-property=bootstrap.servers=x:1", "x:1"),
        ("--producer-property bootstrap.servers:x:1", "x:1"),
        ("--broker-list 1,2", ""),
        ("--topic t:0,1 --message localhost:9092", ""),
        ("--bootstrap-server", ""),
    ],
)
def test_every_address_is_found_however_it_is_given(arguments: str, given: str) -> None:
    assert given_addresses(arguments.split()) == tuple(given.split())
