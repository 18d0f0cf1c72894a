"""Which environment each test gets, and what is told if it is wrong or cannot be started."""

import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from provision import Environment, Interrupted, ProvisionError, UsageError, described_file
from provision.testing.marks import (
    OVERRIDES,
    asked,
    asked_later,
    described_by,
    described_otherwise,
    has_ours,
    origin_of,
    overridden,
)
from provision.testing.pool import AlreadyFailed, Pool, Wanted

FIXTURES = frozenset({"kafka", "kafka_environment"})
"""Who takes one of them asks for an environment."""
UNSTARTED = "provision_unstarted"
"""The attribute of a failure, and of its report, that says why there is no environment."""
_tells = pytest.StashKey[bool]()


class Choice:
    """What gives the tests of one process their environments.

    Args:
        config: of the test run.
        make_pool: makes what the environments come from, once one is asked for.
        given_in: from where the paths of pytest's command line are.
        ahead: whether those that later tests ask for are started while earlier ones run.

    Attributes:
        made: what the environments come from, once one was asked for.
        shared: the values of `kafka_environment`, once it was.
    """

    def __init__(self, config: pytest.Config, make_pool: Callable[[], Pool], given_in: Path, *, ahead: bool) -> None:
        self.made: Pool | None = None
        self.shared: Mapping[str, Any] | None = None
        self._config, self._make_pool, self._given_in, self._ahead = config, make_pool, given_in, ahead
        self._coming: tuple[object, list[dict[str, Any]]] | None = None

    @property
    def pool(self) -> Pool:
        """What the environments come from.

        Raises:
            ProvisionError: there is no home for it.
        """
        if self.made is None:
            self.made = self._make_pool()
        return self.made

    def running(
        self, request: pytest.FixtureRequest, values: Mapping[str, Any], item: pytest.Item, *, with_marks: bool
    ) -> tuple[Wanted, Environment]:
        """What is wanted, and that environment, which runs.

        If it cannot be started, that is told once, and the run ends. A mark that is wrong is the test's own failure.

        Args:
            request: of the fixture.
            values: what describes the environment, unless a file does.
            item: the test that runs, which a fixture of a wider scope is not told.
            with_marks: whether its marks count.
        """
        said = overridden(asked_rightly(item)) if with_marks else {}
        shown = ", ".join(f"{key}={value!r}" for key, value in said.items())
        asking = f"the mark kafka({shown}) of {item.nodeid} asks for " if shown else ""
        wrong = wanted = None
        try:
            wanted = self._wanted(values, said, origin_of(item))
            wrong = wanted.wrong_overrides
            if wrong is None:
                environment = self.pool.environment(wanted)
                if with_marks:
                    self._start_ahead(item, values)
                return wanted, environment
        except Interrupted:
            raise
        except ProvisionError as failure:
            error = failure
            # If the description is valid, it is the cluster itself that cannot be had.
            if asking and wanted and wanted.problem is None and not isinstance(failure, AlreadyFailed):
                error.add(f"{asking}this cluster")
        except Exception as failure:  # noqa: BLE001 raised again unless it has a meaning here
            error = _as_ours(failure)
        if wrong:
            wrong.add(f"{asking}that")
            pytest.fail(as_told(wrong), pytrace=False)
        request.session.shouldfail = reason = f"no Kafka environment: {error.what}"
        if isinstance(error, AlreadyFailed) and not request.node.stash.get(_tells, False):
            pytest.skip(reason)
        request.node.stash[_tells] = True  # also if it is run again
        raise _unstarted(error, reason)

    def require_shared(self, item: pytest.Item) -> None:
        """Fail a test that has `kafka_environment`, the same in all tests, if its marks make another one of it."""
        __tracebackhide__ = True
        if self.shared is None or not has_ours(item, "kafka_environment"):
            return
        said = asked_rightly(item)
        with suppress(ProvisionError, OSError):  # starting it tells that
            shared = self._wanted(self.shared, {}).key
            changed = [
                key for key, value in overridden(said).items() if self._wanted(self.shared, {key: value}).key != shared
            ]
            if changed:
                told = f"the mark kafka({changed[0]}=…) cannot change kafka_environment, which is the same in all tests"
                hint = "take the fixture kafka instead; its kafka.environment follows the mark"
                pytest.fail(as_told(UsageError(told, hint=hint)), pytrace=False)

    def _start_ahead(self, item: pytest.Item, values: Mapping[str, Any]) -> None:
        """Have the next environment started that tests after this one ask for, one at a time.

        Args:
            item: the test that is about to run.
            values: what describes its environment, unless a file does.
        """
        if not self._ahead:
            return
        if self._coming is None:
            self._coming = described_by(item), asked_later(item, FIXTURES)
        by, coming = self._coming
        while coming and by == described_by(item) and not self.pool.is_starting_ahead:
            wanted = self._wanted(values, coming.pop(0))
            if wanted.wrong_overrides is None:
                self.pool.start_ahead(wanted)

    def _wanted(self, values: Mapping[str, Any], said: Mapping[str, Any], by: str = "") -> Wanted:
        if not isinstance(values, Mapping) or not all(isinstance(key, str) for key in values):
            shown = type(values).__name__ if not isinstance(values, Mapping) else "a mapping with other keys than text"
            hint = 'for example {"brokers": {"nodes": 3, "port": "auto"}}'
            raise UsageError(
                f"kafka_environment_values returns the keys of an environment file, not {shown}", hint=hint
            )
        option = self._config.getoption("kafka_environment")
        named = option or self._config.getini("kafka_environment")
        overrides = tuple(f"{OVERRIDES[key]}={value}" for key, value in said.items())
        if values and not option:
            return Wanted(values=values, overrides=overrides, given_by=by)
        root = self._given_in if option and not _is_name(option) else self._config.rootpath
        return Wanted(described_file(named, root) if named else None, overrides=overrides)


def _is_name(word: str) -> bool:
    """Whether an environment can be called so, and it is no path."""
    try:
        Environment.named(word).close()
    except UsageError:
        return False
    return True


def require_described_alike(item: pytest.Item) -> None:
    """Fail a test that takes `kafka_environment`, the same in all tests, if another one is described for it."""
    if other := described_otherwise(item):
        told = f"kafka_environment is the same in all tests, and {other}"
        hint = "take the fixture kafka instead, whose kafka.environment is the test's own; or run these tests alone"
        pytest.fail(as_told(UsageError(told, hint=hint)), pytrace=False)
    if has_ours(item, "kafka_environment"):
        asked_rightly(item)


def asked_rightly(item: pytest.Item) -> dict[str, Any]:
    """What the marks of a test say; it fails if one of them is wrong, and no other test does."""
    try:
        return asked(item)
    except UsageError as error:
        told = as_told(error)
    pytest.fail(told, pytrace=False)


def _as_ours(failure: Exception) -> ProvisionError:
    """What tells an error of the home, of the file, or of a plugin that forbids connections; any other is raised."""
    if isinstance(failure, OSError):
        return ProvisionError(str(failure))
    *_, (frame, _) = traceback.walk_tb(failure.__traceback__)
    if frame.f_globals.get("__name__") != "pytest_socket":  # its warnings may be errors, too
        raise failure
    hint = "`--allow-hosts=127.0.0.1 --allow-unix-socket` allows those to Kafka"
    return ProvisionError("tests may not open connections", why=f"pytest-socket blocks them: {failure}", hint=hint)


def as_told(error: ProvisionError) -> str:
    """An error as the command line shows it."""
    why = "".join(f"\n  {line}" for line in error.why.splitlines())
    return f"error: {error.what}{why}" + (f"\nhint: {error.hint}" if error.hint else "")


def _unstarted(error: ProvisionError, reason: str) -> BaseException:
    failed = pytest.fail.Exception(as_told(error), pytrace=False)
    setattr(failed, UNSTARTED, reason)
    return failed
