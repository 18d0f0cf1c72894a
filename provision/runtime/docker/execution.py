"""Commands that are run in a node's container with `exec`, and other questions that a container may never answer.

An engine waits for such a command as long as the container, though that may be frozen, or be half killed.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from docker.errors import APIError

from provision.common.clocks import running_s
from provision.common.patience import Patience
from provision.plan.observed import WAS_KILLED
from provision.runtime.base import NOT_ENDED

LIMIT_S = 8
"""How long a command may take; a JVM that asks a node takes one or two seconds, several on a busy machine."""
_MARGIN_S = 2.0
ASKS = "asks a container"
"""The name of the threads that wait for answers."""
# A command that does not end would stay in the container for ever. Not every image has `timeout`.
_LIMITED = 'limit=$1; shift; command -v timeout >/dev/null && exec timeout -s KILL "$limit" "$@"; exec "$@"'
_CANNOT_RUN = (126, 127)
_NOTICED_S, _POLL_S = 1.0, 0.1
_KILLED = (WAS_KILLED, "what it was to run in has ended")
_ENDED_BY_SIGNAL = 128  # what shells, and `timeout`, add to the number of the signal

T = TypeVar("T")


def run(api: Any, container: str, command: Sequence[str]) -> tuple[int, str]:  # noqa: ANN401 the SDK's client has no types
    """Run a command in a container; returns its exit code and output, `NOT_ENDED` if it does not end in time.

    One that ends meanwhile kills the command with it; it is the same for one that has just ended.
    """

    def ask() -> tuple[int, str]:
        words = ["sh", "-c", _LIMITED, "limited", str(LIMIT_S), *command]
        execution = api.exec_create(container, words)
        output = api.exec_start(execution["Id"])
        return api.exec_inspect(execution["Id"])["ExitCode"], output.decode(errors="replace")

    late, began = (NOT_ENDED, f"it has not ended within {LIMIT_S} s"), running_s()
    try:
        code, output = within(LIMIT_S + _MARGIN_S, ask, late)
    except APIError:
        if not _ends(api, container):
            raise
        return _KILLED
    if code in _CANNOT_RUN and _ends(api, container):
        return _KILLED
    is_late = code > _ENDED_BY_SIGNAL and running_s() - began >= LIMIT_S
    return late if is_late else (code, output)


def _ends(api: Any, container: str) -> bool:  # noqa: ANN401 as above
    """Whether a container in which nothing could be run has ended; the engine may notice that only in a moment."""
    patience = Patience(_NOTICED_S)
    while api.inspect_container(container)["State"]["Running"]:
        if not patience.pause(_POLL_S):
            return False
    return True


def within(limit_s: float, ask: Callable[[], T], late: T) -> T:
    """What a question is answered with, or `late`; what it raises is raised here."""
    answer: Future[T] = Future()

    def work() -> None:
        try:
            answer.set_result(ask())
        except Exception as error:  # noqa: BLE001 whatever it is, it is raised where it is asked
            answer.set_exception(error)

    threading.Thread(
        target=work, name=ASKS, daemon=True
    ).start()  # a daemon: it may wait for as long as the engine does
    try:
        return answer.result(limit_s)
    except TimeoutError:
        if answer.done():  # it is the question's own
            raise
        return late
