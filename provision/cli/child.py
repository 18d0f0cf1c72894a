"""A command of the user's that runs while the program waits: it gets the signals, and says how it ended."""

import errno
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from shutil import which
from types import FrameType

from provision.errors import ProvisionError

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_OF_SIGNALS = 128  # what shells add to the number of the signal that has ended a command


def run_child(command: Sequence[str], variables: Mapping[str, str]) -> int:
    """Run a command to its end with these environment variables; returns its exit code, as a shell would.

    Each SIGINT, SIGTERM and SIGHUP of this process is passed on, and ends nothing by itself: what the command makes of
    it counts.

    Raises:
        ProvisionError: it cannot be started.
    """
    apart = not _has_terminal()
    with _passing_on(apart=apart) as pass_on_to:
        try:
            child = subprocess.Popen(command, env=variables, process_group=0 if apart else None)  # noqa: S603 the user's
        except OSError as error:
            what = f"{command[0]} does not start: {error.strerror or error}"
            raise ProvisionError(what, hint=_hint(command[0], error)) from error
        pass_on_to(child)
        code = child.wait()
    return code if code >= 0 else _OF_SIGNALS - code


def _hint(program: str, error: OSError) -> str:
    if error.errno == errno.ENOEXEC:
        return f"begin it with a line such as `#!/bin/sh`, or name what runs it: `sh {program}`"
    if error.errno == errno.ENOENT and which(program):
        return "it is there; so what its first line names to run it is not"
    return ""


def _has_terminal() -> bool:
    """Whether a terminal sends its signals to this process and to the commands that it starts in its group.

    Elsewhere the command gets a group of its own: then each signal reaches it once, whether it was sent to this process
    or to all of its group.
    """
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


class _Passing:
    """Passes signals on to the command, also those that came before it had started."""

    def __init__(self, *, apart: bool) -> None:
        self._apart = apart
        self._child: subprocess.Popen[bytes] | None = None
        self._came: list[int] = []

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        """A signal came to this process."""
        self._came.append(number)
        self._pass_on()

    def __call__(self, child: "subprocess.Popen[bytes]") -> None:
        """Take note of the command, and pass on what has come."""
        self._child = child
        self._pass_on()

    def _pass_on(self) -> None:
        while self._child and self._child.returncode is None and self._came:
            number = self._came.pop(0)
            with suppress(ProcessLookupError):  # it has just ended
                if self._apart:
                    os.killpg(self._child.pid, number)
                elif number != signal.SIGINT:  # the terminal has sent that to the command, too
                    self._child.send_signal(number)


@contextmanager
def _passing_on(*, apart: bool) -> Iterator[_Passing]:
    passing = _Passing(apart=apart)
    before = {
        number: signal.signal(number, passing.on_signal)
        for number in _SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN  # as `nohup` wants it
    }
    try:
        yield passing
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
