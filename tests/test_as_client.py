"""An environment that is used as any client uses its Kafka: side by side with others, without a look at its nodes."""

from pathlib import Path

import pytest

from provision import Environment
from provision.errors import Refused
from provision.home.holders import Holder
from provision.home.locks import HomeLock
from provision.operations import status
from provision.plan.observed import NodeState, ObservedEnvironment
from provision.runtime.base import Runtime
from tests.test_environment import NAME, Shop, written


@pytest.fixture
def living(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    made = Shop(tmp_path)
    made.kafka.speak(monkeypatch)
    made.of().up()
    made.told.clear()
    return made


def test_nodes_are_looked_at_once(living: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    require = status.require

    def required(runtime: Runtime, name: str) -> ObservedEnvironment:
        looks.append(name)
        return require(runtime, name)

    monkeypatch.setattr(status, "require", required)
    client = living.of().as_client()
    client.create_topic("clicks", partitions=2)
    client.create_topic("views")
    assert {topic.name for topic in client.topics()} == {"orders", "clicks", "views"}
    client.delete_topics(["clicks", "views"])
    assert [topic.name for topic in client.topics()] == ["orders"]
    assert client.bootstrap_servers
    assert looks == [NAME]
    assert living.done == ["create topic clicks", "create topic views", "delete topic clicks", "delete topic views"]


def test_another_command_does_not_keep_it_off(living: Shop) -> None:
    client = living.of().as_client()
    lock = HomeLock(living.home, NAME)
    lock.take(Holder.of("up"))
    try:
        client.create_topic("clicks")
        client.delete_topics(["clicks"])
    finally:
        lock.release()


def test_no_history_is_kept_of_it(living: Shop) -> None:
    environment = living.of()
    client = environment.as_client()
    client.create_topic("clicks")
    assert [run.holder.command for run in environment.history()] == ["up"]
    environment.create_topic("views")
    assert [run.holder.command for run in environment.history()] == ["up", "topics create"]


@pytest.mark.parametrize("by", ["the environment", "the client"])
def test_what_is_stopped_from_here_is_seen(living: Shop, by: str) -> None:
    environment = living.of()
    client = environment.as_client()
    assert "broker-2" not in _down(client)
    (environment if by == "the environment" else client).stop(["broker-2"])
    assert "broker-2" in _down(client)
    environment.start(["broker-2"])
    assert _down(client) == set()


def _down(client: Environment) -> set[str]:
    return {node.name for node in client.observe().nodes if node.state is not NodeState.RUNNING}


def test_the_environment_itself_always_looks(living: Shop) -> None:
    environment = living.of()
    environment.as_client().topics()
    living.named.stop(["broker-2"])
    assert _down(environment) == {"broker-2"}
    assert _down(environment.as_client()) == {"broker-2"}


def test_that_of_another_file_is_refused(living: Shop, tmp_path: Path) -> None:
    file = written(tmp_path, {"brokers": {"nodes": 3}})
    other = Environment(file, runtimes=living.runtimes)
    with pytest.raises(Refused, match="made from"):
        other.as_client()
