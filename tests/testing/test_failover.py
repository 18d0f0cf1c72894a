"""Clusters of tests take a killed broker for dead soon, unless their description says when."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from provision.testing.failover import prompt_failover
from provision.testing.pool import Wanted

SESSION, BEAT, OLD = "broker.session.timeout.ms", "broker.heartbeat.interval.ms", "zookeeper.session.timeout.ms"
SHORT = {SESSION: "4000", BEAT: "500"}
KRAFT: dict[str, Any] = {"kafka": {"mode": "kraft"}, "brokers": {"nodes": 3, "port": "auto"}}
OF_ZOOKEEPER: dict[str, Any] = {"kafka": {"version": "3.9.1", "mode": "zookeeper"}, "brokers": {"port": "auto"}}


def leases(values: dict[str, Any], *overrides: str) -> list[dict[str, str]]:
    """What each node says about them."""
    with closing(Wanted(values=values, overrides=overrides).named("failover")) as environment:
        nodes = environment.validate().nodes
    said = [{key: node.properties[key] for key in (SESSION, BEAT, OLD) if key in node.properties} for node in nodes]
    return [one for node, one in zip(nodes, said, strict=True) if one or node.role == "broker"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (KRAFT, [SHORT] * 3),
        (KRAFT | {"kafka": {"mode": "kraft", "version": "4.3.0"}}, [SHORT] * 3),
        (KRAFT | {"controllers": {"nodes": 3}}, [SHORT] * 6),
        (OF_ZOOKEEPER, [{OLD: "6000"}]),
        (OF_ZOOKEEPER | {"kafka": {"version": "2.8.2"}}, [{OLD: "6000"}]),
        ({}, [SHORT]),
    ],
)
def test_a_lease_is_short(values: dict[str, Any], expected: list[dict[str, str]]) -> None:
    assert leases(values) == expected


@pytest.mark.parametrize(
    "values",
    [
        KRAFT | {"brokers": {"port": "auto", "properties": {SESSION: 9000}}},
        KRAFT | {"brokers": {"port": "auto", "properties": {BEAT: 3000}}},
        KRAFT | {"brokers": {"port": "auto", "overrides": {1: {"properties": {BEAT: 3000}}}}},
        KRAFT | {"controllers": {"nodes": 1, "properties": {SESSION: 9000}}},
        OF_ZOOKEEPER | {"brokers": {"port": "auto", "properties": {OLD: 18000}}},
        OF_ZOOKEEPER | {"zookeeper": {"properties": {"tickTime": 4000}}},
        OF_ZOOKEEPER | {"zookeeper": {"properties": {"minSessionTimeout": 9000}}},
        {"bootstrap_servers": "127.0.0.1:9092"},
        KRAFT | {"brokers": {"nodes": "many"}},
    ],
)
def test_it_stays_as_it_is_described(values: dict[str, Any]) -> None:
    with closing(Wanted(values=values)._under("failover")) as described:  # noqa: SLF001 as it is without it
        assert prompt_failover(described) == ()


def test_an_override_says_it_too() -> None:
    (lease,) = leases({}, f"brokers.properties.{SESSION}=12000")
    assert lease == {SESSION: "12000"}


def test_a_file_says_it_too(tmp_path: Path) -> None:
    file = tmp_path / "kafka.yaml"
    file.write_text(f"kafka: {{mode: kraft}}\nbrokers: {{port: auto, properties: {{{SESSION}: 12000}}}}\n")
    with closing(Wanted(file).named("failover")) as environment:
        assert environment.validate().nodes[0].properties[SESSION] == "12000"
    with closing(Wanted(tmp_path / "missing.yaml").named("failover")) as environment:
        assert SESSION not in str(environment.source.overridden)
