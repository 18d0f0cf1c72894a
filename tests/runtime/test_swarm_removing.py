"""A node's volume goes if its engine is reached; else it is named, and nothing of it is kept in the swarm."""

from collections.abc import Mapping
from typing import Any

import pytest
import requests
from docker.errors import APIError, NotFound

from provision.errors import PartlyApplied
from provision.runtime.docker import containers as spec
from provision.runtime.swarm import removing, services
from provision.runtime.swarm.records import BEGUN, ENGINE_NAME, Record, Records
from tests.fake_swarm import FakeManager

NAME, VOLUME = "fleet", "fleet-broker-1"


class Manager(FakeManager):
    """One with jobs."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs = ["job"]

    def services(self, filters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The jobs of the node."""
        assert filters == {"label": [f"{spec.ENVIRONMENT}={NAME}", f"{services.JOB_OF}=broker-1"]}
        return [{"ID": job} for job in self.jobs]

    def remove_service(self, job: str) -> None:
        """Remove one."""
        self.jobs.remove(job)


class EngineApi:
    """An engine with one volume, which is in use at first."""

    def __init__(self, owner: str, in_use: int = 0) -> None:
        self.volumes = {VOLUME: {"Labels": {services.OWNER: owner}}}
        self.in_use = in_use

    def inspect_volume(self, name: str) -> Mapping[str, Any]:
        """What it is."""
        if name not in self.volumes:
            raise NotFound("no such volume")
        return self.volumes[name]

    def remove_volume(self, name: str) -> None:
        """Remove it, unless it is in use."""
        if self.in_use:
            self.in_use -= 1
            response = requests.Response()
            response.status_code = 409
            raise APIError("volume is in use", response=response, explanation="volume is in use")
        del self.volumes[name]


@pytest.fixture
def manager() -> Manager:
    return Manager()


def record(manager: Manager, *, begun: bool = True) -> tuple[Records, Record]:
    records = Records(manager)
    labels = {spec.ENVIRONMENT: NAME, spec.NODE: "broker-1", ENGINE_NAME: "beta"}
    records.create(NAME, "broker-1", labels | ({BEGUN: "true"} if begun else {}))
    found = records.of(NAME, "broker-1")
    assert found is not None
    return records, found


@pytest.mark.parametrize("in_use", [0, 2])
def test_a_volume_goes_once_nothing_uses_it_any_more(manager: Manager, in_use: int) -> None:
    records, found = record(manager)
    engine = EngineApi(NAME, in_use)
    removing.volume(manager, records, NAME, found, engine)
    assert (engine.volumes, manager.jobs, manager.things["configs"]) == ({}, [], {})


def test_a_volume_that_is_somebody_elses_stays(manager: Manager) -> None:
    records, found = record(manager)
    engine = EngineApi("another")
    removing.volume(manager, records, NAME, found, engine)
    assert list(engine.volumes) == [VOLUME]


def test_a_volume_that_is_gone_is_no_trouble(manager: Manager) -> None:
    records, found = record(manager)
    engine = EngineApi(NAME)
    engine.volumes.clear()
    removing.volume(manager, records, NAME, found, engine)
    assert manager.things["configs"] == {}


def test_a_volume_on_an_engine_that_is_not_reached_is_named_with_the_command(manager: Manager) -> None:
    records, found = record(manager)
    with pytest.raises(PartlyApplied, match="the volume fleet-broker-1 is left on engine beta") as caught:
        removing.volume(manager, records, NAME, found, None)
    assert caught.value.exit_code == 3
    assert "on beta: `docker volume rm fleet-broker-1`" in caught.value.hint
    assert manager.things["configs"] == {}


def test_a_volume_that_was_never_made_is_not_left(manager: Manager) -> None:
    records, found = record(manager, begun=False)
    removing.volume(manager, records, NAME, found, None)
    assert manager.things["configs"] == {}
