"""The registration of a broker, which a KRaft cluster keeps for good when the broker only goes away (KIP-631).

While a broker that is gone counts, the version of the metadata cannot be raised past what it last supported. The client
library lacks this request; its form stands beside this module, in the library's own notation.
"""

import time
from collections.abc import Sequence

from kafka.protocol.api_message import ApiMessage

from provision.errors import Unavailable
from provision.kafka.connection import NotAnswering, ask

_NOT_REGISTERED = 102
_ANSWER_S, _PAUSE_S = 5.0, 0.3


class UnregisterBrokerRequest(ApiMessage, load_json=__package__):
    """`broker_id` is to be forgotten."""


class UnregisterBrokerResponse(ApiMessage, load_json=__package__):
    """`error_code`, 0 where it is, and `error_message`."""


def unregister(addresses: Sequence[str], broker: int, timeout_s: float) -> None:
    """Have the cluster forget a broker that was stopped; one that it does not know is forgotten already.

    Args:
        addresses: `host:port` of brokers, which hand the request on to the active controller.
        broker: its id.
        timeout_s: for how long they are asked again.

    Raises:
        Unavailable: none of them had it done.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        reasons: dict[str, str] = {}
        for address in addresses:
            if not (reason := _ask(address, broker)):
                return
            reasons[address] = reason
        if time.monotonic() > deadline:
            why = "\n".join(f"{address}: {reason}" for address, reason in reasons.items())
            raise Unavailable(f"broker-{broker} is still registered", why=why, hint="`provision up` again goes on")
        time.sleep(_PAUSE_S)


def _ask(address: str, broker: int) -> str:
    """Why it is not done; empty where it is."""
    try:
        request = UnregisterBrokerRequest(broker_id=broker, version=0)  # type: ignore[no-untyped-call]
        answer = ask(address, request, _ANSWER_S)
    except NotAnswering as reason:
        return str(reason)
    done = answer.error_code in (0, _NOT_REGISTERED)
    return "" if done else answer.error_message or f"error {answer.error_code}"
