"""What all tests share: the golden files, and no deadlines for single examples on a busy machine."""

import pytest
from hypothesis import HealthCheck, settings

from tests.golden import Golden

settings.register_profile("provision", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("provision")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="write the golden files anew instead of comparing with them")


@pytest.hookimpl(tryfirst=True)  # before the workers read the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests apart that would meet: those of one engine, and those of this machine's processes, run in a row."""
    for item in items:
        if "e2e/test_converge.py" in item.nodeid and "[process]" in item.nodeid:
            item.add_marker(pytest.mark.soak)  # the runtimes differ little here: `make test` shows it on one
        if item.get_closest_marker("engine"):
            item.add_marker(pytest.mark.xdist_group("engine"))
        elif "process" in item.nodeid:
            item.add_marker(pytest.mark.xdist_group("process"))


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compares with golden files."""
    return Golden(rewrite=bool(request.config.getoption("--golden")))
