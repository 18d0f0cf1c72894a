"""A node that its swarm does not start, and why."""

from collections.abc import Mapping
from typing import Any

import pytest

from provision.errors import PortTaken, Unavailable
from provision.runtime.swarm import running
from provision.runtime.swarm.records import Record
from tests.fake_swarm import Answer

RECORD = Record("r", "shop-broker-1", "broker-1", "e1", "engine-a", "", True, True, False, (), {})
IN_USE = "no suitable node (scheduling constraints not satisfied on 2 nodes; host-mode port already in use on 1 node)"


def service(name: str, *ports: int) -> dict[str, Any]:
    return {
        "ID": name,
        "Version": {"Index": 1},
        "Spec": {
            "Name": name,
            "Labels": {},
            "Mode": {"Replicated": {"Replicas": 0}},
            "TaskTemplate": {"ContainerSpec": {}},
            "EndpointSpec": {"Ports": [{"PublishedPort": port} for port in ports]},
        },
    }


class Manager:
    """A manager whose tasks stay where they are."""

    base_url, api_version, timeout = "http+docker://localhost", "1.41", 60

    def __init__(self, error: str, *listed: Mapping[str, Any]) -> None:
        self.error, self.listed, self.is_wanted = error, listed, False

    def services(self) -> list[Mapping[str, Any]]:
        """All of them."""
        return list(self.listed)

    def tasks(self, filters: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """One that no engine takes, once it is wanted; and on an engine, one for each service but those elsewhere."""
        if "node" in filters:
            assert filters["node"] == RECORD.engine
            return [{"ServiceID": one["ID"]} for one in self.listed if "elsewhere" not in one["Spec"]["Name"]]
        task = {"ID": "t", "ServiceID": filters["service"], "Status": {"State": "pending", "Err": self.error}}
        return [task] if self.is_wanted else []

    def get(self, _url: str, **_options: Any) -> Answer:  # noqa: ANN401 as of requests
        """The first service."""
        return Answer(self.listed[0])

    def post(self, _url: str, **_options: Any) -> Answer:  # noqa: ANN401 as of requests
        """It is wanted."""
        self.is_wanted = True
        return Answer(None)


@pytest.mark.parametrize(
    ("others", "port", "why"),
    [
        ([service("fleet-broker-1", 9092)], 9092, "the service fleet-broker-1 has it"),
        ([service("web", 80), service("fleet-broker-2", 9193)], 9193, "the service fleet-broker-2 has it"),
        ([service("web", 9193), service("elsewhere", 9193)], 9193, "the service web has it"),
        ([service("elsewhere", 9092)], 9092, "another service of the swarm has it"),
        ([], 9092, "another service of the swarm has it"),
    ],
)
def test_a_port_of_its_engine_that_another_service_has_is_named(
    monkeypatch: pytest.MonkeyPatch, others: list[dict[str, Any]], port: int, why: str
) -> None:
    monkeypatch.setattr(running, "_WAITS_S", 0.0)
    own = service("shop-broker-1", 9092, 9193)
    with pytest.raises(PortTaken, match=f"starting broker-1: port {port} of engine engine-a is taken") as caught:
        running.start(Manager(IN_USE, own, *others), own, RECORD, "1000:1000")
    assert (caught.value.port, caught.value.why) == (port, why)


def test_what_else_keeps_it_from_its_engine_is_told_as_the_swarm_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_WAITS_S", 0.0)
    own = service("shop-broker-1", 9092)
    with pytest.raises(Unavailable, match="broker-1 waits for engine engine-a") as caught:
        running.start(Manager("no suitable node", own), own, RECORD, "1000:1000")
    assert caught.value.why == "no suitable node"
