"""Fixtures of the end-to-end tests: each runs on every runtime, and must leave nothing of what it started."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from provision.home.ports import port_is_free
from provision.runtime.process.vitals import holder_of
from tests.engine import DEFAULT_VERSION, Provision, anonymous_volumes, engine, java, wait_until
from tests.own_engine import OwnEngine, own_engine

FIXED_PORTS_S, OTHERS_PORTS_S = 300, 120


class FixedPorts:
    """The ports that files name, for one test of this run at a time."""

    def __init__(self, lock: Path) -> None:
        self._lock = FileLock(lock, timeout=FIXED_PORTS_S)

    @contextmanager
    def held(self, *ports: int) -> Iterator[None]:
        """Have these to oneself: nothing else on this machine, such as another run, uses them any more, either."""
        ours = self._lock.is_locked
        with self._lock:
            if not ours:
                _require_free(ports)
            yield


def _require_free(ports: Iterable[int]) -> None:
    taken: list[int] = []

    def are_free() -> bool:
        taken[:] = [port for port in ports if not port_is_free(port)]
        return not taken

    if not wait_until(are_free, OTHERS_PORTS_S):
        holders = ", ".join(f"{port} by {holder_of(port)}" for port in taken)
        pytest.fail(f"after {OTHERS_PORTS_S} s ports that the test needs are still taken: {holders}")


@pytest.fixture(
    scope="module",
    params=[pytest.param("docker", marks=pytest.mark.engine), pytest.param("process", marks=pytest.mark.process)],
)
def provision(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Provision:
    """The command line with a home of its own."""
    if request.param == "docker":
        engine()
    else:
        java(DEFAULT_VERSION)
    return Provision(tmp_path_factory.mktemp("home"), runtime=request.param)


@pytest.fixture(scope="module")
def own() -> Iterator[OwnEngine]:
    """An engine of the module's own."""
    with own_engine() as made:
        made.load_image()
        yield made


@pytest.fixture(scope="session")
def fixed_ports(tmp_path_factory: pytest.TempPathFactory) -> FixedPorts:
    """Held while an environment has the ports that its file says: there is one 9092 for both runtimes."""
    return FixedPorts(tmp_path_factory.getbasetemp().parent / "fixed-ports.lock")


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left(provision: Provision) -> Iterator[None]:
    """After the last test of a module nothing is left of what it started, and the home has no port lease."""
    before = anonymous_volumes() if provision.runtime == "docker" else frozenset()
    yield
    if provision.started:
        provision.ok("down", *sorted(provision.started), "--delete-data")
    assert [trace for environment in provision.started for trace in provision.traces(environment)] == []
    if provision.runtime == "docker":
        assert wait_until(lambda: anonymous_volumes() <= before)  # those of other tests come and go
    leases = provision.home / "ports.json"
    assert not leases.exists() or leases.read_text().strip() == "{}"
