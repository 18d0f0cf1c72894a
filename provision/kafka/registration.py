"""The registration of a broker, which a KRaft cluster keeps for good when the broker only goes away (KIP-631).

While a broker that is gone counts, the version of the metadata cannot be raised past what it last supported. The client
library lacks this request; its form stands beside this module, in the library's own notation.
"""

import kafka  # noqa: F401 the package first
from kafka.protocol.api_message import ApiMessage

from provision.cluster.model import Role
from provision.common.patience import Patience
from provision.errors import Unavailable
from provision.kafka.access import Access
from provision.kafka.connection import NotAnswering, ask

_NOT_REGISTERED = 102
_ANSWER_S, _PAUSE_S = 5.0, 0.3


class UnregisterBrokerRequest(ApiMessage, load_json=__package__):
    """`broker_id` is to be forgotten."""


class UnregisterBrokerResponse(ApiMessage, load_json=__package__):
    """`error_code`, 0 where it is, and `error_message`."""


def unregister(access: Access, broker: int, patience: Patience) -> None:
    """Have the cluster forget a broker that was stopped; one that it does not know is forgotten already.

    Args:
        access: to the other brokers, which hand the request on to the active controller.
        broker: its id.
        patience: how long they are asked again.

    Raises:
        Unavailable: none of them had it done in time.
        Interrupted: the wait was cancelled.
    """
    while True:
        reasons: dict[int, str] = {}
        for other in access.brokers:
            if not (reason := _ask(access, other, broker)):
                return
            reasons[other] = reason
        if not patience.pause(_PAUSE_S):
            why = "\n".join(f"{access.brokers[other]}: {reason}" for other, reason in reasons.items())
            what = f"{Role.BROKER.node(broker)} is still registered after {patience.given}"
            raise Unavailable(what, why=why, hint="run `provision up` again to continue")


def _ask(access: Access, asked: int, broker: int) -> str:
    """Why it is not done; empty where it is."""
    try:
        request = UnregisterBrokerRequest(broker_id=broker, version=0)  # type: ignore[no-untyped-call]
        answer = ask(access, asked, request, _ANSWER_S)
    except NotAnswering as reason:
        return str(reason)
    done = answer.error_code in (0, _NOT_REGISTERED)
    return "" if done else answer.error_message or f"error {answer.error_code}"
