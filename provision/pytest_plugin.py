"""The pytest plugin: fixtures for tests against a real cluster, started once for all workers of a test run.

It is loaded with every pytest of an environment where the distribution is installed, so nothing is imported here that
costs time; the rest of the program is loaded by the first test that asks for a cluster.
"""

import os
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from provision.pytest_run import Run, begin, given_in, hand_on, home_of, is_worker, run_of, settle

if TYPE_CHECKING:
    from provision import Environment
    from provision.testing import Kafka
    from provision.testing.choice import Choice

_MARK = (
    "kafka(version=None, mode=None, brokers=None, check=True): which cluster the `kafka` fixture gives the test, and "
    "whether what the test leaves behind fails it."
)
_FIXTURES = frozenset({"kafka", "kafka_environment"})
_TAIL = 200
_choice = pytest.StashKey["Choice"]()
_seen = pytest.StashKey["Environment"]()
"""What a test uses, or all of them."""
_has_shared = pytest.StashKey[bool]()
"""Whether a test has `kafka_environment`."""
_item = pytest.StashKey[pytest.Item]()
"""The test that runs."""
_began = pytest.StashKey[float]()
"""When a test began that asks for an environment."""
_outliving = pytest.StashKey[set[pytest.FixtureDef[Any]]]()
"""The fixtures of a wider scope than a test that exist, and may have clients and topics of the environment."""
_UNSTARTED = "provision_unstarted"
"""As `provision.testing.choice.UNSTARTED`, which is loaded only where a test asks for an environment."""
_USED = "provision_used"
"""Where a worker tells whether it has asked for an environment."""
_STATELESS = "provision_stateless"
"""The attribute of a failure that tells what a test has left behind: the state of the cluster says no more of it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, and the keys of the configuration file."""
    group = parser.getgroup("kafka", "clusters by provision")
    group.addoption(
        "--kafka-environment",
        metavar="FILE",
        help="The environment file: its path from the current directory, or its name, as in `kafka_environment`, which "
        "this overrides.",
    )
    group.addoption(
        "--kafka-keep", action="store_true", help="Leave the clusters running; the next run with this option uses them."
    )
    group.addoption(
        "--kafka-logs", metavar="DIR", help="Write the logs of nodes around failed tests to this directory."
    )
    parser.addini("kafka_environment", "The environment file: its path from the root, or its name.", default="")
    parser.addini("kafka_check", "Fail tests that leave topics, groups or connections.", type="bool", default=True)


def pytest_configure(config: pytest.Config) -> None:
    """The mark is known, also with `--strict-markers`; options that cannot be used are refused before any test runs."""
    config.addinivalue_line("markers", _MARK)
    config.stash[_outliving] = set()
    for option in ("--kafka-environment", "--kafka-logs"):
        if config.getoption(option.removeprefix("--").replace("-", "_")) == "":
            raise pytest.UsageError(f"{option} is empty; perhaps it is a variable that is not set")
    for key in ("kafka_environment", "kafka_check"):
        try:
            value = config.getini(key)
        except (ValueError, TypeError) as error:  # as pytest says it of a type; from 9 on, of any
            raise pytest.UsageError(f"{key}: {error}") from error
        if key == "kafka_environment" and not isinstance(value, str):
            raise pytest.UsageError(f"{key} is the name or the path of one file, not {value!r}")
    if (directory := config.getoption("kafka_logs")) and not is_worker(config):
        from provision.common.whole_files import require_writable

        try:
            require_writable(given_in(config) / directory / "any")
        except OSError as error:
            raise pytest.UsageError(f"--kafka-logs {directory}: it cannot be written to: {error.strerror}") from error


class _Workers:
    """What the process that controls a run does for its workers."""

    def __init__(self, run: Run, config: pytest.Config) -> None:
        self._run, self._config = run, config
        self._told = set[str]()
        self._at_work = 0
        self._one_used = False

    @property
    def may_have_started(self) -> bool:
        """Whether one of them has asked for an environment, as far as they could say that."""
        return self._one_used or self._at_work > 0

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:  # noqa: ANN401 a class of xdist
        hand_on(self._run, self._config, node.workerinput)
        self._at_work += 1

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:  # noqa: ANN401 a class of xdist
        """A worker that has crashed says nothing."""
        self._at_work -= 1
        said = getattr(node, "workeroutput", None) or {}
        if said.get(_USED, True) and not self._one_used:
            self._one_used = True
            threading.Thread(target=self._prepare_removal, daemon=True).start()

    def _prepare_removal(self) -> None:
        """Load what removes the clusters, while the others run their last tests."""
        _load()
        from provision import ProvisionError

        with suppress(ProvisionError):  # the removal tells it
            _choice_of(self._config).pool.prepare_removal()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Why there is no cluster is told once. Workers that have no home cannot agree on which of them tells it."""
        # What the report of a test says that is run again is not shown.
        reason = getattr(report, _UNSTARTED, None) if report.failed else None
        if reason in self._told:
            path, line, _ = report.location
            report.outcome, report.longrepr = "skipped", (path, line or 0, f"Skipped: {reason}")
        elif reason:
            self._told.add(reason)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """The run gets its identity before pytest-xdist starts the workers."""
    config = session.config
    if not is_worker(config):
        config.stash[_workers] = _Workers(begin(config), config)
        config.pluginmanager.register(config.stash[_workers], "provision-workers")


_loading = threading.Lock()


def pytest_collection_finish(session: pytest.Session) -> None:
    """All that is loaded before the first test may say where the home is."""
    settle(session.config)


_workers = pytest.StashKey[_Workers]()


def _load() -> None:
    """Load what gives tests their clusters, in one thread at a time: two would find modules that are not whole yet."""
    with _loading:
        from provision.testing import choice  # noqa: F401


def _choice_of(config: pytest.Config) -> "Choice":
    if _choice not in config.stash:
        from provision.testing import Pool
        from provision.testing.choice import Choice

        keep = config.getoption("kafka_keep")

        def pool() -> "Pool":
            run = run_of(config)
            return Pool(run.identity, run.controller, keep=keep, home=home_of(config))

        config.stash[_choice] = Choice(config, pool, given_in(config), ahead=not keep and not is_worker(config))
    return config.stash[_choice]


# -- fixtures ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def kafka_environment_values() -> Mapping[str, Any]:
    """The environment as values instead of a file: override it in `conftest.py`."""
    return {}


@pytest.fixture(scope="session")
def kafka_environment(request: pytest.FixtureRequest, kafka_environment_values: Mapping[str, Any]) -> "Environment":
    """The running environment of the test run, shared by all tests and workers."""
    from provision.common.clocks import now_s

    config, item = request.config, request.config.stash[_item]
    item.stash.setdefault(_began, now_s())
    _, running = _choice_of(config).running(request, kafka_environment_values, item, with_marks=False)
    config.stash[_seen], item.stash[_has_shared] = running, True
    return running


@pytest.fixture
def kafka(request: pytest.FixtureRequest, kafka_environment_values: Mapping[str, Any]) -> Iterator["Kafka"]:
    """A running cluster with topics and groups of this test alone, which are removed after it."""
    from provision import Interrupted, ProvisionError, UsageError
    from provision.common.clocks import now_s
    from provision.testing import Kafka
    from provision.testing.choice import as_told
    from provision.testing.marks import asked

    request.node.stash.setdefault(_began, now_s())  # unless it is known already, as where it is no `getfixturevalue`
    config, choice = request.config, _choice_of(request.config)
    wanted, environment = choice.running(request, kafka_environment_values, request.node, with_marks=True)
    pool = choice.pool
    request.node.stash[_seen] = environment
    own = os.getpid()
    with pool.use(wanted) as use:  # released also if it is interrupted, by Ctrl-C or by a timeout
        given, told = None, list[str]()
        try:
            alone = not is_worker(config) and pool.has_alone(wanted)
            given = Kafka(environment, use, alone=alone, spare=config.getoption("kafka_keep"))
        except Interrupted:
            raise
        except ProvisionError as error:  # the cluster is ill, perhaps by another test: that is no reason to end the run
            told = [as_told(error)]
        if given is None:
            pytest.fail("\n".join(told), pytrace=False)
        yield given
        if os.getpid() != own:  # of a process that the test has forked
            return
        told = []
        try:
            check = asked(request.node).get("check", True)
        except UsageError as error:  # of a mark that it got meanwhile
            check, told = True, [as_told(error)]
        try:
            given.close(check=check and config.getini("kafka_check"), beside=bool(config.stash[_outliving]))
        except AssertionError as error:
            told.append("\n".join([str(error), *getattr(error, "__notes__", ())]))
        except Interrupted:
            raise
        except ProvisionError as error:
            told.append(as_told(error))
    if told:
        left = pytest.fail.Exception("\n".join(told), pytrace=False)
        setattr(left, _STATELESS, True)
        raise left


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> None:
    """Fixtures of modules, for example, that are built on `kafka_environment` may keep things that outlive a test."""
    config = request.config
    if fixturedef.scope == "function":  # as most are
        _heed_what_it_asks_for(request)
        return
    if fixturedef.func.__module__ == __name__ and fixturedef.argname == "kafka_environment":
        _choice_of(config).shared = request.getfixturevalue("kafka_environment_values")
        _require_as_it_is(config, {fixturedef.argname})  # before it is started for a test that cannot have it
    outliving = config.stash[_outliving]

    def built_on(name: str) -> None:
        if name in _sources(config) and fixturedef not in outliving:
            outliving.add(fixturedef)
            fixturedef.addfinalizer(lambda: outliving.discard(fixturedef))

    for name in fixturedef.argnames:
        built_on(name)
    _tell_what_it_asks_for(request, built_on)


def _sources(config: pytest.Config) -> set[str]:
    """The fixtures that give `kafka_environment`, or are built on it."""
    return {"kafka_environment", *(known.argname for known in config.stash[_outliving])}


def _tell_what_it_asks_for(request: pytest.FixtureRequest, tell: Callable[[str], None]) -> None:
    """Call that with the name of each fixture that is asked for by `request.getfixturevalue`: no hook tells of it."""
    ask = request.getfixturevalue

    def asked_for(argname: str) -> Any:  # noqa: ANN401 of any fixture
        __tracebackhide__ = True
        value = ask(argname)
        tell(argname)
        return value

    request.getfixturevalue = asked_for  # type: ignore[method-assign]


def _heed_what_it_asks_for(request: pytest.FixtureRequest) -> None:
    """If the test asks for `kafka_environment` while it runs, note that, and hold its marks against it."""
    config = request.config
    item = config.stash.get(_item, None)
    if item is None or (_seen not in config.stash and not item.get_closest_marker("kafka")):
        return

    def asked_for(name: str) -> None:
        __tracebackhide__ = True
        if name in _sources(config):
            item.stash[_has_shared] = True
            _require_as_it_is(config, {name})

    _tell_what_it_asks_for(request, asked_for)


def _require_as_it_is(config: pytest.Config, names: AbstractSet[str]) -> None:
    """Fail the test if it has `kafka_environment` by one of these fixtures, and its marks ask for another one."""
    __tracebackhide__ = True
    item = config.stash.get(_item, None)
    has_mark = item is not None and item.get_closest_marker("kafka")
    if item and has_mark and _choice in config.stash and names & _sources(config):
        config.stash[_choice].require_shared(item)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """`kafka_environment` is the same in all tests, so nothing can change it for one."""
    config, names = item.config, set(getattr(item, "fixturenames", ()))
    config.stash[_item] = item
    if _seen in item.stash:  # it is run again, and may find no cluster
        del item.stash[_seen]
    item.stash[_has_shared] = "kafka_environment" in names
    if names & _FIXTURES or _seen in config.stash:
        from provision.common.clocks import now_s

        item.stash[_began] = now_s()
    if "kafka_environment" in names:
        from provision.testing.choice import require_described_alike

        require_described_alike(item)
    yield
    if names & _sources(config):
        item.stash[_has_shared] = True
    _require_as_it_is(config, names)
    if request := getattr(item, "funcargs", {}).get("request"):
        _heed_what_it_asks_for(request)


# -- failures, and the end --------------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test's report has the state of the cluster and its logs, or the reason why there is none."""
    report = yield
    if call.excinfo and _is_interrupt(call.excinfo.value):
        raise KeyboardInterrupt from call.excinfo.value  # as if the program had not said how far it got
    if call.excinfo and (reason := getattr(call.excinfo.value, _UNSTARTED, None)):
        setattr(report, _UNSTARTED, reason)
    says_all = call.excinfo and hasattr(call.excinfo.value, _STATELESS)
    if report.failed and not says_all and (environment := _environment_of(item)):
        from provision.testing.reporting import sections

        directory = item.config.getoption("kafka_logs")
        place = given_in(item.config) / directory if directory else None
        report.sections += sections(environment, item.nodeid, item.stash.get(_began, call.start), place, tail=_TAIL)
    return report


@pytest.hookimpl(specname="pytest_runtest_makereport")
def pytest_runtest_makereport_trimmed(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Before pytest makes the report, and after its unittest plugin has told what was raised.

    Its name is for pytest, which knows no others as hooks.
    """
    if call.excinfo and _began in item.stash and not item.config.getoption("fulltrace", default=False):
        from provision.testing.tracebacks import trimmed

        call.excinfo = trimmed(call.excinfo)


def _environment_of(item: pytest.Item) -> "Environment | None":
    """The environment that a test uses, if it runs."""
    shared = item.config.stash.get(_seen, None) if item.stash.get(_has_shared, False) else None
    return item.stash.get(_seen, None) or shared


def _is_interrupt(error: BaseException) -> bool:
    """Whether it is Ctrl-C, or what the program makes of it; also among errors of several fixtures."""
    if isinstance(error, BaseExceptionGroup):
        return any(map(_is_interrupt, error.exceptions))
    if isinstance(error, KeyboardInterrupt) or "provision" not in sys.modules:
        return isinstance(error, KeyboardInterrupt)
    from provision import Interrupted

    return isinstance(error, Interrupted)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """The controlling process removes what the run has started, once all workers have ended.

    An interrupt here ends the run as it would anywhere else, but pytest tells afterwards what became of the tests.
    """
    try:
        with _heeding_interrupts(session, "fixtures were not torn down"):
            yield
    finally:
        _finish(session)


@contextmanager
def _heeding_interrupts(session: pytest.Session, left: str) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        if not _is_interrupt(error):
            raise
        session.exitstatus = pytest.ExitCode.INTERRUPTED
        _say(session.config, f"interrupted: {left}")


def _finish(session: pytest.Session) -> None:
    config = session.config
    made = config.stash[_choice].made if _choice in config.stash else None
    if is_worker(config):
        config.workeroutput[_USED] = made is not None  # type: ignore[attr-defined]
        if made:
            made.close()
        return
    is_forked = os.getpid() != run_of(config).controller  # by a test
    if not is_forked and (made or config.stash[_workers].may_have_started or _others_have_started(session)):
        _remove_all(session)


def _others_have_started(session: pytest.Session) -> bool:
    """Whether processes that were forked for tests (by pytest-forked) have noted that this run uses an environment."""
    if not any(_FIXTURES.intersection(getattr(item, "fixturenames", ())) for item in session.items):
        return False
    from provision import ProvisionError
    from provision.home.runs import KEPT, directory_of

    run = run_of(session.config).identity
    try:
        home = home_of(session.config).directory
        if session.config.getoption("kafka_keep"):
            return any(directory_of(home, KEPT).glob(f"*.{run}.used"))
        return directory_of(home, run).is_dir()
    except (ProvisionError, OSError):  # without a home nothing was started
        return False


def _remove_all(session: pytest.Session) -> None:
    _load()
    from provision import ProvisionError
    from provision.testing.choice import as_told

    config, keep = session.config, session.config.getoption("kafka_keep")
    try:
        pool = _choice_of(config).pool
    except ProvisionError:  # without a home nothing was started, and a test that asked for it has told that
        return
    names = pool.names
    left = f"what is left of {', '.join(names)} is removed within seconds, or by `provision gc`"
    with _heeding_interrupts(session, "the clusters are kept" if keep else left):
        if (directory := config.getoption("kafka_logs")) and session.testsfailed:
            try:
                pool.bundle(given_in(config) / directory)
            except (ProvisionError, OSError) as error:
                if _is_interrupt(error):
                    raise
                _say(config, f"{directory} does not have all of the clusters' state: {error}")
        try:
            pool.remove()
        except ProvisionError as error:
            if _is_interrupt(error):
                raise
            _say(config, as_told(error))
    for name in names if keep else ():
        _say(config, f"{name} is kept: `provision status {name}` shows it, `provision down {name}` removes it")


def _say(config: pytest.Config, text: str) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter:
        reporter.write_line(f"\n{text}")
    else:  # -p no:terminal
        sys.stderr.write(f"{text}\n")
