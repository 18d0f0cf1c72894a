"""What all tests share: the golden files, and no deadlines for single examples on a busy machine."""

import pytest
from hypothesis import HealthCheck, settings

from tests.golden import Golden

settings.register_profile("provision", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("provision")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="write the golden files anew instead of comparing with them")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compares with golden files."""
    return Golden(rewrite=bool(request.config.getoption("--golden")))
