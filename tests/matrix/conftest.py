"""What several modules of the matrix share."""

from collections.abc import Iterator

import pytest

from tests.engine import wait_until
from tests.matrix.fleet import NAME, Fleet
from tests.swarm import Lab


@pytest.fixture(scope="session")
def shared_fleet(swarm: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One environment on the swarm for all of its tests: six nodes take a minute to come up."""
    made = Fleet(swarm, tmp_path_factory.mktemp("fleet") / "home")
    yield made
    made.provision("down", NAME)
    assert wait_until(lambda: not swarm.traces(NAME)), swarm.traces(NAME)


@pytest.fixture
def fleet(shared_fleet: Fleet) -> Fleet:
    """The same, as the file has it, with two nodes on each engine."""
    shared_fleet.begins()
    return shared_fleet
