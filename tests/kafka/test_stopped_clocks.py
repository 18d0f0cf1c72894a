"""Tests of an application stop the clocks of `time`; what is asked of the client library ends all the same."""

import subprocess
import sys

import pytest

# In a program of its own: the library leaves sockets open where nobody answers.
PROGRAM = """
import sys, time
import provision.kafka.library
from provision.errors import Unavailable
from provision.kafka.access import Access
from provision.kafka.connection import admin_client, consumer, producer

for name in ("time", "monotonic", "perf_counter"):
    setattr(time, name, lambda: 1e5)
try:
    {opened}
except Unavailable:
    print("unavailable")
modules = {{name: module for name, module in sys.modules.items() if name.startswith("kafka.")}}
print([name for name, module in modules.items() if vars(module).get("time") is time])
timed = modules["kafka.util"].time
before = timed.monotonic()
timed.sleep(0.001)
print(timed.monotonic() > before, timed.time() == 1e5)
"""


@pytest.mark.parametrize(
    "opened",
    [
        "admin_client(Access.at('127.0.0.1:1'), timeout_s=0.3)",
        "consumer(Access.at('127.0.0.1:1'), bootstrap_timeout_ms=300)",
        "producer(Access.at('127.0.0.1:1'), bootstrap_timeout_ms=300)",
    ],
)
def test_a_client_that_reaches_nobody_gives_up_and_all_its_modules_have_a_clock_that_goes_on(opened: str) -> None:
    command = [sys.executable, "-c", PROGRAM.format(opened=opened)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("unavailable\n[]\nTrue True\n", "")
