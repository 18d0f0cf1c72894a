"""Changes that are sent again to whom Kafka refused them for a reason that passes.

A broker that was paused for longer than its ZooKeeper session lasts, or one that is no longer the controller, answers
with an error although nothing is wrong with the change. All changes that come through here may be made twice.
"""

import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import provision.kafka.library  # noqa: F401 the library first
from kafka.errors import (
    KafkaError,
    NotControllerError,
    RequestTimedOutError,
    UnknownError,
    UnknownTopicOrPartitionError,
)
from msgspec import Struct

from provision.common.patience import Patience, Pauses
from provision.common.values import replace
from provision.errors import Unavailable
from provision.kafka.access import Access
from provision.kafka.connection import ask_any
from provision.kafka.translation import passes, reason_of

PATIENCE_S = 10.0
# The first change after a broker's session has ended is refused so, and not the next. The code stands for lasting
# faults, too, of which some make KRaft's controller resign.
_MOST_UNKNOWN = 4
# What has taken its whole time once; and what is gone, which nothing here waits for.
_SETTLED = frozenset({RequestTimedOutError.errno, UnknownTopicOrPartitionError.errno})
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 1.0

Item = TypeVar("Item", bound=Hashable)
Answer = TypeVar("Answer")


class Refusal(Struct, frozen=True):
    """Why Kafka did not make one of several changes: its error code, and its message if it has one."""

    code: int
    message: str | None = None

    def passes(self, attempt: int) -> bool:
        """Whether the change may succeed in a moment, after so many attempts before this one."""
        if self.code == UnknownError.errno:
            return attempt < _MOST_UNKNOWN
        return self.code not in _SETTLED and passes(self.code)

    @property
    def reason(self) -> str:
        """The message, or else the name of the error."""
        return reason_of(self.code, self.message)


def insist(
    send: Callable[[Sequence[Item], int], Mapping[Item, Refusal]], items: Sequence[Item], patience_s: float = PATIENCE_S
) -> dict[Item, str]:
    """Send changes until all are made or refused for good, or the time has passed.

    Args:
        send: sends those that are left, and returns those that were refused; the number counts the attempts from 0.
        items: what is to be changed, each named once.
        patience_s: for the attempts after the first.

    Returns:
        Those that were refused, with Kafka's last reasons.

    Raises:
        Unavailable: nothing is known of any of them.
    """
    refused: dict[Item, str] = {}
    patience: Patience | None = None
    pauses, left = Pauses(_FIRST_PAUSE_S, _LONGEST_PAUSE_S), items
    for attempt in itertools.count():
        try:
            answer = send(left, attempt) if left else {}
        except Unavailable as error:
            patience = patience or Patience(patience_s)
            if _has_no_controller(error) and patience.pause(pauses.next_s()):
                continue
            if refused:  # what was told of them is not lost
                break
            raise
        refused = {item: why for item, why in refused.items() if item not in left}
        refused |= {item: refusal.reason for item, refusal in answer.items()}
        left = [item for item in left if item in answer and answer[item].passes(attempt)]
        patience = patience or Patience(patience_s)
        if not left or not patience.pause(pauses.next_s()):
            break
    return refused


def insist_on_brokers(
    access: Access,
    doing: str,
    items: Sequence[Item],
    request: Callable[[Sequence[Item]], Any],
    refused: Callable[[Any, Sequence[Item], int], Mapping[Item, Refusal]],
    patience_s: float = PATIENCE_S,
) -> dict[Item, str]:
    """The same where any broker may be asked; at each attempt, another one is asked first.

    Args:
        access: how they are reached.
        doing: names the operation in an error.
        items: what is to be changed.
        request: creates the request for some of them.
        refused: those of them that were refused, from the response to this attempt, counted from 0.
        patience_s: for the attempts after the first.

    Raises:
        Unavailable: no broker answers.
    """

    def send(left: Sequence[Item], attempt: int) -> Mapping[Item, Refusal]:
        return refused(ask_any(_beginning_with(access, attempt), partial(request, left), doing), left, attempt)

    return insist(send, items, patience_s)


def patiently(ask: Callable[[], Answer], patience: Patience, pause_s: float) -> Answer:
    """Ask again after errors that the library calls transient: a coordinator that loads, a leader that just died."""
    while True:
        try:
            return ask()
        except KafkaError as error:
            if not error.retriable or not patience.pause(pause_s):
                raise


def _has_no_controller(error: Unavailable) -> bool:
    """Whether the brokers named no controller, or a former one: the library raises then, in one of two ways."""
    return isinstance(error.__cause__, (RuntimeError, NotControllerError))


def refusals(answers: Iterable[Mapping[str, Any]], *harmless: int) -> dict[str, Refusal]:
    """The answers of the library with an error code, by name."""
    return {
        answer["name"]: Refusal(answer["error_code"], answer.get("error_message"))
        for answer in answers
        if answer["error_code"] not in (0, *harmless)
    }


def _beginning_with(access: Access, number: int) -> Access:
    """Access to the same brokers, of which another is asked first at each attempt."""
    brokers = list(access.brokers)
    first = number % (len(brokers) or 1)
    return replace(access, brokers={broker: access.brokers[broker] for broker in brokers[first:] + brokers[:first]})
