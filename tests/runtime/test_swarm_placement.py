"""Which engine each new node of a swarm gets."""

from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from provision.cluster.model import Node, Role
from provision.runtime.swarm.engines import RACK_LABEL, Engine, engines_in
from provision.runtime.swarm.placement import placed


def node(name: str, rack: str | None = None) -> Node:
    role, number = Role.parse(name)
    return Node(name, role, number, (), rack, 0, {}, "", "", "", None, "", "", ())


def engine(name: str, rack: str = "", **more: str) -> Engine:
    return Engine(f"id-{name}", name, "10.0.0.1", labels={RACK_LABEL: rack} if rack else {}, **more)


def nodes(controllers: int, brokers: int, racks: Sequence[str] = ()) -> list[Node]:
    voters = [node(name) for name in Role.CONTROLLER.nodes(controllers)]
    dealt = [racks[index % len(racks)] if racks else None for index in range(brokers)]
    return [*voters, *(node(Role.BROKER.node(number), rack) for number, rack in enumerate(dealt, start=1))]


def test_nodes_of_each_role_are_spread_over_all_engines() -> None:
    chosen = placed(nodes(3, 4), [engine("c"), engine("a"), engine("b")], {})
    assert chosen == {
        "controller-1": "id-a",
        "controller-2": "id-b",
        "controller-3": "id-c",
        "broker-1": "id-a",
        "broker-2": "id-b",
        "broker-3": "id-c",
        "broker-4": "id-a",
    }


def test_a_broker_goes_where_its_role_is_rarest_before_where_there_is_least() -> None:
    there = {"broker-1": "id-a", "controller-1": "id-b", "controller-2": "id-b"}
    chosen = placed(nodes(2, 2), [engine("a"), engine("b")], there)
    assert chosen["broker-2"] == "id-b"


def test_nodes_stay_where_they_are_even_if_that_engine_is_away_or_gone() -> None:
    there = {"broker-1": "id-b", "broker-2": "id-gone"}
    chosen = placed(nodes(0, 3), [engine("a"), engine("b", state="down")], there)
    assert chosen == {**there, "broker-3": "id-a"}


def test_no_new_node_gets_an_engine_that_is_down_paused_or_drained() -> None:
    others = [engine("a", state="down"), engine("b", availability="pause"), engine("c", availability="drain")]
    assert set(placed(nodes(1, 3), [*others, engine("d")], {}).values()) == {"id-d"}
    assert placed(nodes(1, 3), others, {}) == {}


def test_a_rack_that_labels_name_is_heeded_and_others_are_not() -> None:
    engines = [engine("a", "north"), engine("b", "south"), engine("c", "south")]
    chosen = placed(nodes(0, 6, ["south", "north", "east"]), engines, {})
    assert {chosen["broker-1"], chosen["broker-4"]} <= {"id-b", "id-c"}
    assert {chosen["broker-2"], chosen["broker-5"]} == {"id-a"}
    assert len(chosen) == 6


@given(st.integers(1, 6), st.integers(0, 7), st.integers(1, 20))
def test_no_engine_has_two_more_nodes_of_a_role_than_another(engines: int, controllers: int, brokers: int) -> None:
    names = [engine(str(number)) for number in range(engines)]
    chosen = placed(nodes(controllers, brokers), names, {})
    for role in (Role.CONTROLLER, Role.BROKER):
        per_engine = Counter(at for name, at in chosen.items() if name.startswith(role))
        counts = [per_engine[one.id] for one in names]
        assert max(counts) - min(counts) <= 1


def test_engines_are_read_from_what_a_manager_tells() -> None:
    listed = [
        {
            "ID": "two",
            "Description": {"Hostname": "beta"},
            "Spec": {"Labels": {RACK_LABEL: "r"}, "Availability": "drain"},
            "Status": {"State": "ready", "Addr": "10.0.0.2"},
        },
        {
            "ID": "one",
            "Description": {"Hostname": "alpha"},
            "Spec": {"Labels": {"provision.address": "alpha.example"}, "Availability": "active"},
            "Status": {"State": "ready", "Addr": "0.0.0.0"},  # noqa: S104 as a leader tells
            "ManagerStatus": {"Addr": "10.0.0.1:2377"},
        },
        {"ID": "three", "Status": {"State": "down"}},
    ]
    one, two, three = engines_in(listed)
    assert (one.name, one.address, one.is_usable, one.trouble) == ("alpha", "10.0.0.1", True, "")
    assert (two.name, two.rack, two.is_usable, two.trouble) == ("beta", "r", False, "engine beta is drained")
    assert (three.name, three.is_usable, three.trouble) == ("three", False, "engine three is down")
    assert one.host({}) == "alpha.example"
    assert one.host({"alpha": "kafka.example"}) == "kafka.example"
    assert two.host({"alpha": "kafka.example"}) == "10.0.0.2"
