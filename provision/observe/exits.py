"""Why nodes have exited, and errors that this explains better than what clients saw of a node."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from provision.cluster.model import Role
from provision.common.patience import Patience
from provision.errors import NodeFailed, Unavailable
from provision.kafka.causes import Failure
from provision.kafka.failures import explain, last_run
from provision.plan.observed import WAS_ASKED_TO_STOP, ObservedNode

# Kafka writes it when SIGTERM comes.
_ASKED_TO_STOP = "Terminating process due to signal"
# ZooKeeper, or its JVM, writes one of them when it ends by itself. Errors alone mean nothing: a leader logs one for
# each follower that goes.
_ENDED_BY_ITSELF = re.compile(
    r"exiting abnormally|Exiting JVM with code|Severe unrecoverable error|fatal error has been detected by the Java"
)
# A JVM that is dying closes its connections a moment before it has exited.
_EXITS_S, _PAUSE_S = 3.0, 0.2


def was_stopped(node: ObservedNode, log: Sequence[str]) -> bool:
    """Whether a node that has exited was asked to, by its exit code, or by its log where that is not known.

    Whoever stops a node from here notes its exit code. A broker also writes it when others ask; ZooKeeper does not.
    """
    if node.exit_code is not None:
        return node.exit_code == WAS_ASKED_TO_STOP
    return any(_ASKED_TO_STOP in line for line in last_run(log))


def may_have_been_stopped(node: ObservedNode, log: Sequence[str]) -> bool:
    """The same, and whether nobody knows: a ZooKeeper was ended from outside, and it is not noted how.

    So it is after SIGKILL, but also after the machine was shut down.
    """
    untold = node.role == Role.ZOOKEEPER and node.exit_code is None
    return was_stopped(node, log) or (untold and explain(log) is None and not has_ended_by_itself(node, log))


def has_ended_by_itself(node: ObservedNode, log: Sequence[str]) -> bool:
    """Whether a ZooKeeper says in its log that it ends, for whatever reason: nothing from outside has ended it."""
    return node.role == Role.ZOOKEEPER and any(_ENDED_BY_ITSELF.search(line) for line in last_run(log))


def failure_of(node: ObservedNode, log: Sequence[str]) -> Failure | None:
    """Why a node that has exited failed; None if its log tells no reason that is known, or it was asked to stop."""
    return None if was_stopped(node, log) else explain(log, out_of_memory=node.out_of_memory)


@contextmanager
def told_by_exits(check: Callable[[], None]) -> Iterator[None]:
    """Replace "the brokers do not answer" by the exit of a node, with its reason and log, if that is why.

    Args:
        check: raises `NodeFailed` if a node has exited.
    """
    try:
        yield
    except Unavailable:
        patience = Patience(_EXITS_S)
        while True:
            check()
            if not patience.pause(_PAUSE_S):
                raise


def check_beside(check: Callable[[], None], reasons: Sequence[str]) -> None:
    """Check for exits; one that has happened is told together with what was found before.

    Raises:
        NodeFailed: a node has exited; `reasons` follow its own.
    """
    try:
        check()
    except NodeFailed as error:
        error.add(*reasons)
        raise
