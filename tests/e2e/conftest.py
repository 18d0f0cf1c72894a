"""Fixtures of the end-to-end tests. Every test must leave the engine as it found it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine import Provision, anonymous_volumes, engine, traces


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them need an engine."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.engine)


@pytest.fixture(scope="module")
def provision(tmp_path_factory: pytest.TempPathFactory) -> Provision:
    """The command line with a home of its own."""
    engine()
    return Provision(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_left(provision: Provision) -> Iterator[None]:
    """After the last test of a module the engine has what it had before, and the home no port lease."""
    before = anonymous_volumes()
    yield
    for environment in provision.started:
        provision.ok("down", environment, "--delete-data")
        assert traces(environment) == []
    assert anonymous_volumes() <= before
    leases = provision.home / "ports.json"
    assert not leases.exists() or leases.read_text().strip() == "{}"
