"""Commands that hold a lock, or did."""

import subprocess
import sys

from provision.common.process_identity import ProcessIdentity
from provision.home.holders import Holder


def living(command: str = "up") -> Holder:
    """One that is this process."""
    return Holder.of(command)


def dead(command: str = "up", options: str = "") -> Holder:
    """One that was killed."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        identity = ProcessIdentity.of(process.pid)
        process.kill()
    return Holder.of(command, options).model_copy(update={"process": identity})


def reused(command: str = "up") -> Holder:
    """One that was killed, and whose process id another process has now."""
    identity = ProcessIdentity.of()
    return Holder.of(command).model_copy(update={"process": identity.model_copy(update={"started": "1"})})


def elsewhere(command: str = "up") -> Holder:
    """One on another machine, of which nothing can be seen from here."""
    there = {"host": "elsewhere", "boot": "another", "machine": "another"}
    return Holder.of(command).model_copy(update={"process": ProcessIdentity.of().model_copy(update=there)})
