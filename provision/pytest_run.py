"""A run of pytest: who controls it, where it was called, and in which home its clusters are noted.

All of that is settled at its begin, the same for all of its processes: tests may change it for themselves.
"""

import os
import secrets
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from provision.home.place import Home

_RUN, _GIVEN_IN = "provision_run", "provision_given_in"
_OF_HOME = ("PROVISION_HOME", "PROVISION_CACHE", "HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")
"""What tells where the home is, and the cache."""


class Run(NamedTuple):
    """What identifies a test run, the process that controls it, and those of `_OF_HOME` that were set at its begin."""

    identity: str
    controller: int
    variables: Mapping[str, str] = {}

    def encoded(self) -> tuple[str, int, dict[str, bytes]]:
        """It for a worker: paths may be no valid text, which execnet does not pass on."""
        return self.identity, self.controller, {name: os.fsencode(value) for name, value in self.variables.items()}

    @classmethod
    def begun(cls) -> "Run":
        """A new one, which this process controls."""
        return cls(secrets.token_hex(4), os.getpid(), _variables())

    @classmethod
    def decoded(cls, identity: str, controller: int, variables: Mapping[str, bytes]) -> "Run":
        """What `encoded` gave."""
        return cls(identity, controller, {name: os.fsdecode(value) for name, value in variables.items()})


_run, _home = pytest.StashKey[Run](), pytest.StashKey["Home"]()
_settling = threading.Lock()


def begin(config: pytest.Config) -> Run:
    """Begin the run that this process controls."""
    config.stash[_run] = run = Run.begun()
    return run


def settle(config: pytest.Config) -> None:
    """Let what a `conftest.py` has set that was loaded meanwhile count too, if there are no workers."""
    if not is_worker(config):
        run = config.stash[_run]
        config.stash[_run] = Run(run.identity, run.controller, _variables())


def hand_on(run: Run, config: pytest.Config, workerinput: dict[str, Any]) -> None:
    """Tell a worker what it belongs to."""
    workerinput |= {_RUN: run.encoded(), _GIVEN_IN: str(given_in(config))}


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is a worker of pytest-xdist, which another one controls."""
    return hasattr(config, "workerinput")


def run_of(config: pytest.Config) -> Run:
    """The run, in each of its processes."""
    return Run.decoded(*config.workerinput[_RUN]) if is_worker(config) else config.stash[_run]  # type: ignore[attr-defined]


def given_in(config: pytest.Config) -> Path:
    """The directory in which pytest was called, from which paths of its command line are."""
    if is_worker(config):
        return Path(config.workerinput[_GIVEN_IN])  # type: ignore[attr-defined]
    return config.invocation_params.dir


def home_of(config: pytest.Config) -> "Home":
    """The home of the run: as it was before the first test, because tests may have one of their own.

    Raises:
        ProvisionError: there can be none.
    """
    from provision.home.place import Home

    with _settling:  # also a thread asks for it that loads what removes the clusters
        if _home not in config.stash:
            given, now = run_of(config).variables, _variables()
            changed = {name: os.environ.get(name) for name in _OF_HOME if given.get(name) != now.get(name)}
            try:
                _put({name: given.get(name) for name in changed})
                config.stash[_home] = Home.of_user()
            finally:
                _put(changed)
        return config.stash[_home]


def _variables() -> dict[str, str]:
    """Those of `_OF_HOME` that are set, independent of the present directory."""
    found = {name: os.environ[name] for name in _OF_HOME if name in os.environ}
    for name in _OF_HOME[:2]:
        if found.get(name):
            found[name] = os.path.abspath(found[name])  # noqa: PTH100 `Path.absolute` keeps `..`
    return found


def _put(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
