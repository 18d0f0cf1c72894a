"""The clocks of the module `time` stand still, as libraries for tests make them do."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

CLOCKS = ("time", "monotonic", "perf_counter")
LIMIT_S = 60.0
T = TypeVar("T")


def stop_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the test ends."""
    for name in CLOCKS:
        monkeypatch.setattr(time, name, lambda: 1e5)


def ended(call: Callable[[], T]) -> T:
    """What it returns or raises; a call that does not end fails the test, and is left to its thread."""
    returned: list[T] = []
    raised: list[Exception] = []

    def run() -> None:
        try:
            returned.append(call())
        except Exception as error:  # noqa: BLE001 it is raised below
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(LIMIT_S)
    if raised:
        raise raised[0]
    assert returned, "it does not end"
    return returned[0]
