"""Unregister a broker, which a KRaft cluster otherwise keeps registered after it is gone (KIP-631).

While a removed broker is registered, metadata.version cannot be raised past what it last supported. The client library
lacks this request; its schema is next to this module, in the library's own notation.

The broker that is asked passes the request on to the active controller. While there is none, it keeps the request for a
minute, even if nobody waits for the answer any more, and has it carried out later. A broker that has come back by then
would lose its registration, and not serve until it is restarted. So only a broker is asked that has just reached the
active controller, and its answer is waited for.
"""

import provision.kafka.library  # noqa: F401 the library first
from kafka.protocol.api_message import ApiMessage

from provision.cluster.model import Role
from provision.common.patience import Patience
from provision.errors import Unavailable
from provision.kafka.access import Access
from provision.kafka.connection import NotAnswering, ask
from provision.kafka.quorum import describe_quorum

_NOT_REGISTERED = 102
_ANSWER_S, _PAUSE_S = 65.0, 0.3


class UnregisterBrokerRequest(ApiMessage, load_json=__package__):
    """Unregister `broker_id`."""


class UnregisterBrokerResponse(ApiMessage, load_json=__package__):
    """`error_code`, 0 for success, and `error_message`."""


def unregister(access: Access, broker: int, patience: Patience) -> None:
    """Unregister a stopped broker; one that is not registered is no error.

    Args:
        access: to the other brokers, which forward the request to the active controller.
        broker: its id.
        patience: how long to retry; the answer to a request that is on its way is waited for anyway.

    Raises:
        Unavailable: no broker got it done in time.
        Interrupted: the wait was cancelled.
    """
    while True:
        reasons: dict[int, str] = {}
        for other in access.brokers:
            patience.check()  # one that is silent takes a while
            if not (reason := _ask(access, other, broker)):
                return
            reasons[other] = reason
        if not patience.pause(_PAUSE_S):
            why = "\n".join(f"{access.brokers[other]}: {reason}" for other, reason in reasons.items())
            what = f"{Role.BROKER.node(broker)} is still registered after {patience.given}"
            raise Unavailable(what, why=why, hint="run `provision up` again to continue")


def _ask(access: Access, asked: int, broker: int) -> str:
    """Why it failed; empty if it succeeded."""
    if describe_quorum(access, asked) is None:
        return "it reaches no active controller"
    try:
        request = UnregisterBrokerRequest(broker_id=broker, version=0)  # type: ignore[no-untyped-call]
        answer = ask(access, asked, request, _ANSWER_S)
    except NotAnswering as reason:
        return str(reason)
    done = answer.error_code in (0, _NOT_REGISTERED)
    return "" if done else answer.error_message or f"error {answer.error_code}"
