"""When a swarm is chosen: only if the file says so, or if it has the environment already."""

from pathlib import Path

import pytest

from provision.catalogue.versions import KafkaVersion
from provision.cluster.model import Cluster, Storage, StorageKind, TopicPolicy
from provision.errors import Refused, Unavailable
from provision.home.place import Home
from provision.home.secrets import note_where
from provision.runtime import Runtimes
from provision.runtime.base import Runtime
from provision.runtime.fake import FakeRuntime

NAME = "fleet"


class Manager(FakeRuntime):
    """An engine that manages a swarm."""

    manages = True

    @property
    def manages_swarm(self) -> bool:
        """Whether it does now."""
        return self.manages


class Three(Runtimes):
    """Three fake runtimes; which kinds were asked for is counted."""

    def __init__(self, home: Path) -> None:
        super().__init__(Home.at(home, home / "cache"))
        self.docker = Manager()
        self.fakes: dict[str, FakeRuntime] = {"docker": self.docker, "process": FakeRuntime(), "swarm": FakeRuntime()}
        for kind, fake in self.fakes.items():
            fake.kind = kind  # type: ignore[misc]
        self.asked: list[str] = []

    def of_kind(self, kind: str) -> Runtime:
        """One of them; a swarm only while the engine manages one."""
        self.asked.append(kind)
        if kind == "swarm" and not self.docker.manages:
            raise Unavailable("the Docker engine is no manager of a swarm")
        return self.fakes[kind]


@pytest.fixture
def three(tmp_path: Path) -> Three:
    return Three(tmp_path / "home")


def create(runtime: FakeRuntime) -> None:
    storage, policy = Storage(StorageKind.VOLUME), TopicPolicy()
    version = KafkaVersion(3, 9, 1)
    runtime.create_network(Cluster(NAME, runtime.kind, version, "kraft", "x", storage, (), (), policy, {}, None, None))


def test_a_new_environment_never_gets_a_swarm_by_itself(three: Three) -> None:
    assert three.choose("auto", NAME).kind == "docker"
    assert three.holding(NAME).kind == "docker"
    assert three.choose("swarm", NAME).kind == "swarm"


def test_one_that_the_swarm_has_is_found_by_its_name(three: Three) -> None:
    create(three.fakes["swarm"])
    assert three.choose("auto", NAME).kind == "swarm"
    assert three.holding(NAME).kind == "swarm"
    assert three.elsewhere(NAME, three.docker) is True
    assert three.environments_at("") == {NAME}
    assert set(three.answering()) == {"docker", "process", "swarm"}


@pytest.mark.parametrize("there", ["docker", "process", "swarm"])
def test_the_others_are_refused_with_the_name_of_the_one_that_has_it(three: Three, there: str) -> None:
    create(three.fakes[there])
    for asked in {"docker", "process", "swarm"} - {there}:
        with pytest.raises(Refused, match="has data there") as caught:
            three.choose(asked, NAME)
        assert f"`runtime: {there}`" in caught.value.hint


def test_an_engine_that_manages_no_swarm_is_not_asked_for_one(three: Three) -> None:
    three.docker.manages = False
    assert three.choose("auto", NAME).kind == "docker"
    assert three.elsewhere(NAME, three.docker) is False
    assert three.environments_at("") == set()
    assert set(three.answering()) == {"docker", "process"}
    assert "swarm" not in three.asked
    with pytest.raises(Unavailable, match="no manager"):
        three.choose("swarm", NAME)


def test_what_the_home_knows_to_be_in_a_swarm_is_not_made_anew_beside_it(three: Three) -> None:
    three.docker.manages = False
    note_where(three.home.secrets(NAME), "swarm abc", "volume")
    with pytest.raises(Unavailable, match="fleet is in a swarm, which does not answer"):
        three.choose("auto", NAME)
    with pytest.raises(Unavailable, match="fleet is in a swarm, which does not answer"):
        three.holding(NAME)
