"""Changes that are sent again to whom Kafka refused them for a reason that passes.

A broker that was paused for longer than its ZooKeeper session lasts, or one that is no longer the controller, answers
with an error although nothing is wrong with the change. All changes that come through here may be made twice.
"""

import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import provision.kafka.library  # noqa: F401 the library first
from kafka.errors import RequestTimedOutError

from provision.common.patience import Patience, Pauses
from provision.kafka.access import Access
from provision.kafka.translation import passes, reason_of

PATIENCE_S = 10.0
_LONGEST_PAUSE_S = 0.5

Item = TypeVar("Item", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why Kafka did not make one of several changes: its error code, and its message if it has one."""

    code: int
    message: str | None = None

    @property
    def passes(self) -> bool:
        """Whether the change may succeed in a moment; what has taken its whole time is not sent again."""
        return self.code != RequestTimedOutError.errno and passes(self.code)

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
    """
    refused: dict[Item, str] = {}
    patience, pauses, left = Patience(patience_s), Pauses(longest_s=_LONGEST_PAUSE_S), items
    for attempt in itertools.count():
        answer = send(left, attempt) if left else {}
        refused = {item: why for item, why in refused.items() if item not in left}
        refused |= {item: refusal.reason for item, refusal in answer.items()}
        left = [item for item in left if item in answer and answer[item].passes]
        if not left or not patience.pause(pauses.next_s()):
            break
    return refused


def refusals(answers: Iterable[Mapping[str, Any]], *harmless: int) -> dict[str, Refusal]:
    """The answers of the library with an error code, by name."""
    return {
        answer["name"]: Refusal(answer["error_code"], answer.get("error_message"))
        for answer in answers
        if answer["error_code"] not in (0, *harmless)
    }


def beginning_with(access: Access, number: int) -> Access:
    """Access to the same brokers, of which another is asked first at each attempt."""
    brokers = list(access.brokers)
    first = number % (len(brokers) or 1)
    return access.to({broker: access.brokers[broker] for broker in brokers[first:] + brokers[:first]})
