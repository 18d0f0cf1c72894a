"""Which process is meant, and whether it still runs: told apart from a later one with the same id, also after a reboot.

Process ids are reused, machines restart, and containers have ids of their own. So a process is known by its id, its
start, and the machine's boot; where that cannot be compared, nothing is claimed about it.
"""

import os
import platform
import sys
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field

from provision.common.notes import Note
from provision.errors import UsageError

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_MACHINE = Path("/etc/machine-id")
_NAMESPACE = "/proc/self/ns/pid"
_HIDDEN = "hidden"
_STARTED = 19  # the field `starttime` of proc(5), counted after the command's name


class ProcessIdentity(Note):
    """A process: its id and start, the boot of its machine, the machine, and the namespace that the id is from.

    `started` and `boot` are only compared; `machine` and `namespace` are empty where a system has no such thing.
    """

    pid: Annotated[int, Field(ge=1, lt=2**31)]
    started: str
    boot: str
    host: str
    machine: str = ""
    namespace: str = ""

    @classmethod
    def of(cls, pid: int | None = None) -> Self:
        """A running process of this machine; without an id, this one.

        Raises:
            UsageError: there is no such process.
        """
        number = os.getpid() if pid is None else pid
        started = _started(number) if number > 0 else None
        if started is None:
            raise UsageError(f"there is no process {number}", hint="give the id of one that runs")
        return cls(
            pid=number, started=started, boot=_boot(), host=host_name(), machine=_machine(), namespace=_namespace()
        )

    @property
    def is_over(self) -> bool | None:
        """Whether it has ended; None if that cannot be told from here."""
        if not self.is_of_this_boot:
            # Where nothing but a host's name tells machines apart, as in containers, it may be another one.
            return True if self.machine and self._names == (host_name(), _machine()) else None
        if self.namespace != _namespace():
            return None
        started = _started(self.pid)
        return None if started == _HIDDEN else started != self.started

    @property
    def is_of_this_boot(self) -> bool:
        """Whether it was started on this machine, and that has not been started again since."""
        # Linux gives each boot an id of its own; elsewhere it is a time, which several machines may have in common.
        return self.boot == _boot() and (bool(self.namespace) or self._names == (host_name(), _machine()))

    @property
    def _names(self) -> tuple[str, str]:
        return self.host, self.machine

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def host_name() -> str:
    """The name of this machine; a container has one of its own."""
    return platform.node()


def _started(pid: int) -> str | None:
    """When a process started, to be compared only; None if there is none, or it has ended but is not reaped yet."""
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        if sys.platform != "linux":
            return str(process.create_time())
        # In ticks since the boot: as a time of day it would change with the clock.
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[_STARTED]
    except psutil.AccessDenied:  # it runs, for somebody else
        return _HIDDEN
    except (psutil.Error, OSError, OverflowError, IndexError):
        return None


def _boot() -> str:
    try:
        return _BOOT.read_text().strip()
    except OSError:
        import psutil

        return str(round(psutil.boot_time()))


def _machine() -> str:
    try:
        return _MACHINE.read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return os.readlink(_NAMESPACE)  # noqa: PTH115 it leads nowhere
    except OSError:
        return ""
