"""The reaper: a process of our own that removes environments when their owners' processes end, and then ends itself.

`up` starts it for an environment that has an owner. It is not the command's child, and in a session of its own, so that
what kills a CI job with all its processes does not kill it. In each home, there is one for each engine.
"""

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from provision.common.process_identity import host_name
from provision.errors import ProvisionError, Unavailable
from provision.events import Listener, silent
from provision.home.turns import alone
from provision.home.usable import made
from provision.operations import apart
from provision.operations.gc.collector import Collector
from provision.operations.gc.kinds import OWNERLESS
from provision.plan.about import About
from provision.runtime import Runtimes

EVERY_S = 2.0
_GIVE_UP_S = 3600.0
"""How long what cannot be removed, or asked for, is tried again."""
_ENGINE = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG")


def start(home: Path) -> None:
    """Start the reaper of a home; one that runs already stays the only one.

    Raises:
        Unavailable: it cannot be started, so that nothing would remove the environment.
    """
    made(home)
    try:
        apart.start(home, "gc", "--watch", "--owned")
    except ProvisionError as error:
        what = "what removes the environment with its owner cannot be started"
        raise Unavailable(what, why=str(error)) from error


class Reaper:
    """Removes the environments of a home whose owners end, until none is left that has one.

    Args:
        runtimes: the home, and where environments may be.
        tell: receives the events.
        pause: waits for so many seconds between two looks.
    """

    def __init__(
        self, runtimes: Runtimes, tell: Listener = silent, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._runtimes, self._tell, self._pause = runtimes, tell, pause
        self._home = runtimes.home.directory
        self._kinds = set[str]()
        self._collector = Collector(runtimes, tell=tell, kinds=(OWNERLESS,))

    def run(self, every_s: float = EVERY_S) -> bool:
        """Work until nothing is left to watch; whether it did, and not another one that runs already."""
        worked = False
        while True:
            with self._alone() as alone:
                if not alone:
                    return worked
                worked = True
                if not self._watch(every_s):
                    return worked
            # An `up` may have come between the last look and here, whose own reaper has left the work to this one.
            if not self._owned():
                return worked

    def _alone(self) -> AbstractContextManager[bool]:
        engine = hashlib.sha256("\0".join(os.environ.get(name, "") for name in _ENGINE).encode()).hexdigest()[:8]
        return alone(self._home / f"reaper-{engine}.lock")

    def _watch(self, every_s: float) -> bool:
        """Remove what is due until nothing is left that has an owner; False if it gives up."""
        progress_s = time.monotonic()
        while (owned := self._owned()) or owned is None:
            due = {key for key, about in (owned or {}).items() if about.owner_process and about.owner_process.is_over}
            left = [one for one in self._collector.find() if one.environment in due] if due else []
            removed = any(outcome.removed for outcome in self._collector.remove(left))
            if removed or (owned is not None and not due):
                progress_s = time.monotonic()
            elif time.monotonic() - progress_s > _GIVE_UP_S:
                return False
            self._pause(every_s)
        return True

    def _owned(self) -> dict[str, About] | None:
        """What has an owner's process, by runtime and name; None if a runtime that had something does not answer."""
        found: dict[str, About] = {}
        for kind in sorted({*self._runtimes.kinds, *self._kinds}):
            try:
                runtime = self._runtimes.of_kind(kind)
                abouts = runtime.abouts()
            except Unavailable:
                if kind in self._kinds:
                    return None
                continue
            except ProvisionError:
                return None
            of_kind = {f"{runtime.kind} {name}": about for name, about in abouts.items() if self._is_ours(about)}
            if of_kind:
                self._kinds.add(kind)
            found |= of_kind
        return found

    def _is_ours(self, about: About) -> bool:
        process = about.owner_process
        return process is not None and about.home == str(self._home) and process.host == host_name()
