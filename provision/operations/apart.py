"""Commands of this program that go on by themselves, apart from the one that has started them."""

import os
import sys
from pathlib import Path

from provision.common import told_passwords
from provision.home.place import Home
from provision.runtime.process import processes

PROGRAM: tuple[str, ...] = (sys.executable, "-m", "provision")
"""The command line of this program."""


def start(home: Path, *arguments: str, **variables: str) -> int:
    """Start a command that works in that home, with these further environment variables; returns its process id.

    It works for long, and connects to nothing that asks for a password: no variable that has one goes on to it.

    Raises:
        ProvisionError: it cannot be started.
    """
    # Where this program is found may depend on the present directory, which the command does not keep in use.
    path = os.pathsep.join(filter(None, (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", ""))))
    given = told_passwords.without(os.environ, Home.at(home).passwords)
    chosen = {**given, "PROVISION_HOME": str(home), "PYTHONPATH": path, **variables}
    return processes.start_apart((*PROGRAM, *arguments), chosen)
