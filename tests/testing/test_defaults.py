"""What clusters of tests have instead of Kafka's defaults: short leases and small internal topics, unless told."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from provision.cluster.render import shipped_templates
from provision.environment import Environment
from provision.testing.defaults import overrides_of
from provision.testing.pool import DEFAULT, Wanted

SESSION, BEAT, OLD = "broker.session.timeout.ms", "broker.heartbeat.interval.ms", "zookeeper.session.timeout.ms"
OFFSETS, TRANSACTIONS = "offsets.topic.num.partitions", "transaction.state.log.num.partitions"
IDLE = "metadata.max.idle.interval.ms"
LEASES, FEW = {SESSION: "3000", BEAT: "500"}, {OFFSETS: "5", TRANSACTIONS: "5"}
FETCH_WAIT, FETCH_BACKOFF = "replica.fetch.wait.max.ms", "replica.fetch.backoff.ms"
OF_SEVERAL = FEW | {FETCH_WAIT: "100", FETCH_BACKOFF: "100"}
SETUP = {"socket.connection.setup.timeout.ms": "1000", "socket.connection.setup.timeout.max.ms": "1000"}
ELECTION, BACKOFF = "controller.quorum.election.timeout.ms", "controller.quorum.election.backoff.max.ms"
ALL_BUT_LEASES = SETUP | {IDLE: "200"}
SEVERAL = LEASES | ALL_BUT_LEASES
THREE: dict[str, Any] = {"nodes": 3, "port": "auto"}
KRAFT: dict[str, Any] = {"kafka": {"mode": "kraft"}, "brokers": THREE}
OF_ZOOKEEPER: dict[str, Any] = {"kafka": {"version": "3.9.1", "mode": "zookeeper"}, "brokers": {"port": "auto"}}
SWARM = KRAFT | {"runtime": "swarm", "swarm": {"publish": "none"}}


def said(environment: Environment) -> list[Mapping[str, str]]:
    """What each node says about these settings, if anything."""
    with closing(environment):
        nodes = environment.validate().nodes
    asked = (*SEVERAL, OLD, *OF_SEVERAL)
    found = [{key: node.properties[key] for key in asked if key in node.properties} for node in nodes]
    return [one for one in found if one]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, [LEASES | FEW]),
        (KRAFT, [SEVERAL | OF_SEVERAL] * 3),
        (KRAFT | {"kafka": {"mode": "kraft", "version": "3.3.2"}}, [SEVERAL | OF_SEVERAL] * 3),
        (KRAFT | {"kafka": {"mode": "kraft", "version": "4.3.0"}}, [SEVERAL | OF_SEVERAL] * 3),
        (KRAFT | {"controllers": {"nodes": 3}}, [SEVERAL] * 3 + [SEVERAL | OF_SEVERAL] * 3),
        (KRAFT | {"controllers": {"nodes": 1}}, [LEASES | SETUP] + [LEASES | SETUP | OF_SEVERAL] * 3),
        (OF_ZOOKEEPER, [{OLD: "6000"} | FEW]),
        (OF_ZOOKEEPER | {"brokers": THREE}, [{OLD: "6000"} | SETUP | OF_SEVERAL] * 3),
        (OF_ZOOKEEPER | {"kafka": {"version": "2.8.2"}}, [{OLD: "6000"} | FEW]),
    ],
)
def test_they_are_set(values: dict[str, Any], expected: list[dict[str, str]]) -> None:
    assert said(Wanted(values=values).named("of-tests")) == expected


@pytest.mark.parametrize(
    ("values", "left"),
    [
        (KRAFT | {"brokers": {"port": "auto", "properties": {SESSION: 9000}}}, FEW),
        (KRAFT | {"brokers": THREE | {"properties": {SESSION: 9000}}}, ALL_BUT_LEASES | OF_SEVERAL),
        (KRAFT | {"brokers": THREE | {"properties": {IDLE: 0}}}, LEASES | SETUP | OF_SEVERAL),
        (KRAFT | {"brokers": THREE | {"properties": {FETCH_WAIT: 500}}}, SEVERAL | FEW | {FETCH_BACKOFF: "100"}),
        (KRAFT | {"brokers": THREE | {"properties": {FETCH_BACKOFF: 500}}}, SEVERAL | FEW | {FETCH_WAIT: "100"}),
        (KRAFT | {"brokers": {"port": "auto", "properties": {BEAT: 3000}}}, FEW),
        (KRAFT | {"brokers": {"port": "auto", "overrides": {1: {"properties": {BEAT: 3000}}}}}, FEW),
        (KRAFT | {"controllers": {"nodes": 1, "properties": {SESSION: 9000}}}, SETUP | OF_SEVERAL),
        (KRAFT | {"brokers": {"port": "auto", "properties": {OFFSETS: 50}}}, LEASES | {TRANSACTIONS: "5"}),
        (OF_ZOOKEEPER | {"brokers": {"port": "auto", "properties": {OLD: 18000}}}, FEW),
        (OF_ZOOKEEPER | {"zookeeper": {"properties": {"tickTime": 4000}}}, FEW),
        (OF_ZOOKEEPER | {"zookeeper": {"properties": {"minSessionTimeout": 9000}}}, FEW),
        (SWARM, FEW),
        ({"bootstrap_servers": "127.0.0.1:9092"}, {}),
        (KRAFT | {"brokers": {"nodes": "many"}}, {}),
    ],
)
def test_what_the_description_says_stays(values: dict[str, Any], left: dict[str, str]) -> None:
    with closing(Environment(name="of-tests", **values)) as described:
        wanted = overrides_of(described)
    assert {one for one in wanted if one.startswith("brokers.properties.")} == {
        f"brokers.properties.{key}={value}" for key, value in left.items()
    }


@pytest.mark.parametrize(
    ("values", "timeouts_ms", "backoff_ms"),
    [
        (KRAFT, ["1000", "500", "200"], "500"),
        (KRAFT | {"brokers": {"nodes": 5, "port": "auto"}}, ["1000", "500", "200"], "500"),
        (KRAFT | {"controllers": {"nodes": 3}}, ["500", "500", "500"], "500"),
        (KRAFT | {"brokers": THREE | {"overrides": {2: {"properties": {ELECTION: 900}}}}}, [None, "900", None], None),
        (KRAFT | {"brokers": THREE | {"properties": {BACKOFF: 700}}}, [None, None, None], "700"),
        (KRAFT | {"controllers": {"nodes": 3, "properties": {ELECTION: 900}}}, ["900", "900", "900"], None),
        (KRAFT | {"brokers": {"port": "auto"}}, [None], None),
        (KRAFT | {"controllers": {"nodes": 1}}, [None], None),
        (SWARM, [None, None, None], None),
    ],
)
def test_the_last_broker_asks_for_votes_first(
    values: dict[str, Any], timeouts_ms: list[str | None], backoff_ms: str | None
) -> None:
    with closing(Wanted(values=values).named("of-tests")) as environment:
        voters = environment.validate().voters
    assert [voter.properties.get(ELECTION) for voter in voters] == timeouts_ms
    assert {voter.properties.get(BACKOFF) for voter in voters} == {backoff_ms}


def test_overrides_of_the_description_stay() -> None:
    wanted = Wanted(values=DEFAULT, overrides=(f"brokers.properties.{SESSION}=12000",))
    assert said(wanted.named("of-tests")) == [{SESSION: "12000"} | FEW]


def test_templates_may_say_anything(tmp_path: Path) -> None:
    template = (shipped_templates() / "server.kraft.properties.j2").read_text()
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "server.kraft.properties.j2").write_text(f"{SESSION}=12000\n{template}")
    file = tmp_path / "kafka.yaml"
    file.write_text("kafka: {mode: kraft}\nbrokers: {port: auto}\ntemplates: templates\n")
    with closing(Wanted(file).named("of-tests")) as environment:
        (text,) = [one.text for one in environment.render() if one.name == "server.properties"]
    assert text.startswith(f"{SESSION}=12000\n")


def test_a_file_says_it_too(tmp_path: Path) -> None:
    file = tmp_path / "kafka.yaml"
    file.write_text(f"kafka: {{mode: kraft}}\nbrokers: {{port: auto, properties: {{{SESSION}: 12000}}}}\n")
    assert said(Wanted(file).named("of-tests")) == [{SESSION: "12000"} | FEW]
    with closing(Wanted(tmp_path / "missing.yaml").named("of-tests")) as environment:
        assert not any(SESSION in text for text in environment.source.overridden)
