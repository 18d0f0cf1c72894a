"""Volumes that nodes leave behind on engines that are not reached: noted, and removed or named by `down`."""

from typing import Any

import pytest

from provision.errors import PartlyApplied
from provision.runtime.docker import containers as spec
from provision.runtime.swarm import removing
from provision.runtime.swarm.records import BEGUN, ENGINE, ENGINE_NAME, GIVEN_UP, REACHED, Record, Records
from tests.runtime.test_swarm_removing import NAME, VOLUME, EngineApi, Manager


@pytest.fixture
def manager() -> Manager:
    return Manager()


def recorded(manager: Manager, **labels: str) -> tuple[Records, Record]:
    records = Records(manager)
    own = {spec.ENVIRONMENT: NAME, spec.NODE: "broker-1", ENGINE: "b", ENGINE_NAME: "beta", REACHED: "tcp://b:2376"}
    records.create(NAME, "broker-1", own | {BEGUN: "true"} | labels)
    found = records.of(NAME, "broker-1")
    assert found is not None
    return records, found


def test_what_is_given_up_is_noted_in_the_record(manager: Manager) -> None:
    records, found = recorded(manager)
    assert not found.given_up
    records.mark(found, {GIVEN_UP: "true"})
    assert [one.given_up for one in records.all_of(NAME)] == [True]


def test_an_abandoned_volume_goes_where_its_engine_is_reached(manager: Manager) -> None:
    records, found = recorded(manager)
    engine = EngineApi(NAME)
    removing.abandoned(manager, records, NAME, found, engine)
    assert (engine.volumes, manager.things["configs"], records.left_of(NAME)) == ({}, {}, ())


def test_elsewhere_it_is_noted_once_with_its_engine_and_is_no_storage_of_a_node(manager: Manager) -> None:
    records, found = recorded(manager)
    removing.abandoned(manager, records, NAME, found, None)
    records.leave(NAME, found)  # a command that was killed before it removed the record does so again
    (left,) = records.left_of(NAME)
    assert (left.volume, left.engine, left.engine_name, left.reached) == (VOLUME, "b", "beta", "tcp://b:2376")
    assert left.is_at(found)
    assert records.all_of(NAME) == ()
    assert records.left_of("another") == ()


def test_a_volume_that_was_never_made_is_not_noted(manager: Manager) -> None:
    records = Records(manager)
    records.create(NAME, "broker-1", {spec.ENVIRONMENT: NAME, spec.NODE: "broker-1"})
    (found,) = records.all_of(NAME)
    removing.abandoned(manager, records, NAME, found, None)
    assert records.left_of(NAME) == ()


@pytest.mark.parametrize(
    ("is_reached", "engines", "stays", "named"),
    [(True, {"a", "b"}, False, False), (False, {"a", "b"}, True, True), (False, {"a"}, True, False)],
    ids=["reached", "not reached", "no longer in the swarm"],
)
def test_the_end_of_the_environment_removes_it_or_names_it(
    manager: Manager,
    *,
    is_reached: bool,
    engines: set[str],
    stays: bool,
    named: bool,
) -> None:
    records, found = recorded(manager)
    removing.abandoned(manager, records, NAME, found, None)
    engine = EngineApi(NAME)

    def reach(record: Record) -> Any:  # noqa: ANN401 as of the SDK
        assert record.reached == "tcp://b:2376"
        return engine if is_reached else None

    if named:
        with pytest.raises(PartlyApplied, match=f"the volume {VOLUME} is left on engine beta") as caught:
            removing.left(records, NAME, engines, reach)
        assert "on beta: `docker volume rm fleet-broker-1`" in caught.value.hint
    else:
        removing.left(records, NAME, engines, reach)
    assert (list(engine.volumes) == [VOLUME]) is stays
    assert manager.things["configs"] == {}
