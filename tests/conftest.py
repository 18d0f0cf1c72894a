"""What all tests share: the golden files, and no deadlines for single examples on a busy machine."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.golden import Golden
from tests.swarm import Lab, lab
from tests.sweeping import sweep

# How many examples a property is tried with: few in `make test`, and the same ones each time, so that it fails for what
# was changed; many and other ones in `make test-soak`, which is there to find what nobody looked for. A property whose
# examples take longer than most takes a part of them (`tests.examples`).
for _name, _examples in (("quick", 40), ("thorough", 200)):
    settings.register_profile(
        _name,
        deadline=None,
        derandomize=_name == "quick",
        suppress_health_check=[HealthCheck.too_slow],
        max_examples=_examples,
    )
settings.load_profile("quick")


@pytest.fixture
def swept() -> Iterator[None]:
    """What a test's clients leave behind goes with that test, and is not blamed on whichever comes next.

    kafka-python (3.0.12) closes no connection that is still in its TLS handshake when its client is closed, or fails:
    the garbage collector does, at any time, and warns of it. On a busy machine that happens often.
    """
    yield
    sweep()


def pytest_configure() -> None:
    """Let the commands that tests start heed the signals that tests send them.

    Who runs the tests in the background, or with `nohup`, has them ignore Ctrl-C or the end of the terminal, and a
    process inherits that. One that is handled is heeded by whoever is started: so the tests handle it and do nothing.

    Nor have Java programs that they start options of whoever runs the tests; and commands keep the bytecode of this
    checkout, as installed ones have theirs: without it, each of them compiles all that it imports.
    """
    for name in ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "PYTHONDONTWRITEBYTECODE"):
        os.environ.pop(name, None)
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="rewrite the golden files instead of comparing with them")


@pytest.hookimpl(tryfirst=True)  # before the workers read the rows
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Which tests a target runs, and which of them run side by side: each test says it by markers where it stands.

    - `engine` and `process` say the runtime; the parameters of the fixture `provision` bear them.
    - `matrix` and `soak` say the group: `make test-matrix` or `make test-soak`, and without one `make test`. Where it
      depends on the runtime, `group(docker="soak", process="matrix")` says it for either or for one of them, at a
      test, a module or a `pytest.param`; the nearest counts. The time of `make test` and of CI is bounded: what behaves
      alike on both runtimes, or is shown by a cheaper test too, is left to the other groups.
    - `row` keeps tests apart that would meet. All of a runtime run one after the other, in one row. A file whose
      environments share no name or port with those of other rows says `row("apart")` or `row("soak")`, and runs in a
      second or third row beside the first; one whose environments share them with nobody says `row(None)`, for none.

    There is one port 9092 for both runtimes: the engine has it first, processes have it last.
    """
    for item in items:
        runtime = _runtime(item)
        groups = [_groups(*marker.args, **marker.kwargs).get(runtime) for marker in item.iter_markers("group")]
        if group := next(filter(None, groups), None):
            item.add_marker(group)
        row = item.get_closest_marker("row")
        name = row.args[0] if row else ""
        if runtime and name is not None:
            item.add_marker(pytest.mark.xdist_group(f"{runtime}-{name}" if name else runtime))
    items.sort(key=lambda item: "fixed_ports" in getattr(item, "fixturenames", ()) and _TURN[_runtime(item)])


_TURN = {"engine": -1, "": 0, "process": 1}


def _runtime(item: pytest.Item) -> str:
    """The marker of the runtime that a test is for, or nothing."""
    return next((name for name in ("engine", "process") if item.get_closest_marker(name)), "")


def _groups(*, docker: str = "", process: str = "") -> dict[str, str]:
    """What a marker `group` says, by the marker of the runtime; a name that is not known is an error."""
    return {"engine": docker, "process": process}


@pytest.fixture(scope="session")
def swarm() -> Iterator[Lab]:
    """Three engines, joined to one swarm: made by the first test that needs them."""
    with lab("engine-a", "engine-b", "engine-c") as made:
        yield made


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compares with golden files."""
    return Golden(rewrite=bool(request.config.getoption("--golden")))
