"""The environment that a later test asks for is started while others run, by a process of its own.

It is a process, and not a thread, because tests may replace whatever they like in theirs: clocks, files, sockets.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from provision import ProvisionError
from provision.common.sessions import OUT_OF_REACH
from provision.home.place import Home

_PACKAGES = str(Path(__file__).parents[2])
_END_S = 60.0
"""How long a process has to undo what it has begun."""


class Ahead:
    """What starts environments ahead of the tests of this process that need them, one after the other.

    Args:
        home: where they are noted.
        run: identifies the test run.
        controller: the id of the process that controls it.
    """

    def __init__(self, home: Home, run: str, controller: int) -> None:
        self._home, self._said = home, {"run": run, "controller": controller}
        self._process: subprocess.Popen[str] | None = None
        self._untold: set[str] = set()

    @property
    def is_busy(self) -> bool:
        """Whether one is being started."""
        return self._process is not None and self._process.poll() is None

    def begin(self, key: str, wanted: dict[str, Any]) -> bool:
        """Begin to start one; returns False if that cannot be done, so that the test does it.

        Args:
            key: of what is wanted.
            wanted: the file, values and overrides.
        """
        try:
            said = json.dumps({**self._said, "wanted": wanted})
        except TypeError:
            return False
        if json.loads(said)["wanted"] != wanted:
            return False
        try:
            self._process = self._started()
        except OSError:  # the machine has no room for one more
            return False
        assert self._process.stdin is not None
        with suppress(BrokenPipeError), self._process.stdin as given:  # it has died: then the test starts it
            given.write(said)
        self._untold.add(key)
        return True

    def _started(self) -> subprocess.Popen[str]:
        path = os.pathsep.join(filter(None, (_PACKAGES, os.environ.get("PYTHONPATH", ""))))
        return subprocess.Popen(  # noqa: S603 a program of ours
            [sys.executable, "-P", "-c", f"import {__name__} as ahead; ahead.main()"],
            env={**os.environ, **self._home.variables, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            **OUT_OF_REACH,  # Ctrl-C ends it by `end`, once
        )

    def is_untold(self, key: str) -> bool:
        """Whether nobody has asked yet what became of that start; who does is the one to tell of a failure."""
        if key not in self._untold:
            return False
        self._untold.remove(key)
        return True

    def end(self) -> None:
        """End what is being started; it is undone."""
        if self._process is None or not self.is_busy:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def start(said: dict[str, Any], room: Callable[[], int]) -> bool:
    """Start an environment, as a test would that asks for it; a failure is noted for that test.

    Args:
        said: the run, its controller, and what is wanted.
        room: how much memory is free, in bytes.

    Returns:
        Whether it runs; it is left to the test if the memory might not suffice beside what runs already.
    """
    from provision.testing.pool import Pool, Wanted

    wanted = Wanted.described(said["wanted"])
    try:
        needed = sum(node.memory_bytes for node in wanted.named("any").validate().nodes)
        if needed > room():
            return False
        Pool(said["run"], said["controller"]).environment(wanted)
    except ProvisionError:
        return False
    return True


def main() -> None:
    """What the process runs: it is told on its standard input what to start."""
    import psutil

    start(json.load(sys.stdin), lambda: int(psutil.virtual_memory().available))
