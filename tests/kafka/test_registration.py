"""A broker that has gone is taken out of the metadata, by whichever broker has it done."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from provision.common.patience import Patience
from provision.errors import Interrupted, Unavailable
from provision.kafka.access import Access
from provision.kafka.quorum import Quorum
from provision.kafka.registration import UnregisterBrokerRequest, UnregisterBrokerResponse, unregister
from tests.kafka.scripted import listening

HANGS_UP = None


class Brokers:
    """Brokers that listen, each with its answers in turn, of which the last one is repeated."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.addresses: list[str] = []
        self.asked: list[str] = []
        self.on_ask: Callable[[], None] = lambda: None
        self.reach_none: list[str] = []
        """The addresses, in turn, at which it is asked for the active controller and reaches none."""

    def answer(self, *answers: Any) -> str:  # noqa: ANN401 the library's classes
        """One more; returns its address."""
        left = list(answers)

        def one(request: Any) -> Any:  # noqa: ANN401 see above
            assert request.broker_id == 4
            self.asked.append(broker.address)
            self.on_ask()
            return left.pop(0) if len(left) > 1 else left[0]

        broker = self._stack.enter_context(listening(UnregisterBrokerRequest, one))
        self.addresses.append(broker.address)
        return broker.address

    def quorum(self, access: Access, asked: int) -> Quorum | None:
        """What the active controller says, if the broker reaches it."""
        if access.brokers[asked] in self.reach_none:
            self.reach_none.remove(access.brokers[asked])
            return None
        return Quorum(1, {}, {})

    @property
    def access(self) -> Access:
        """To all of them."""
        return Access.at(",".join(self.addresses))


@pytest.fixture
def brokers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Brokers]:
    with ExitStack() as stack:
        made = Brokers(stack)
        monkeypatch.setattr("provision.kafka.registration.describe_quorum", made.quorum)
        yield made


def code(number: int, message: str | None = None) -> Any:  # noqa: ANN401 see above
    response: Any = UnregisterBrokerResponse
    return response(throttle_time_ms=0, error_code=number, error_message=message)


def test_the_form_of_the_request_is_kafkas() -> None:
    request: Any = UnregisterBrokerRequest
    asked = request(broker_id=4, version=0)
    asked.with_header(correlation_id=7, client_id="p")
    assert asked.encode(header=True) == b"\x00\x40\x00\x00\x00\x00\x00\x07\x00\x01p\x00\x00\x00\x00\x04\x00"
    response: Any = UnregisterBrokerResponse
    answer = response.decode(b"\x00\x00\x00\x00\x00\x66\x05gone\x00", version=0)
    assert (answer.error_code, answer.error_message) == (102, "gone")


@pytest.mark.parametrize("number", [0, 102])
def test_one_answer_is_enough_and_one_that_is_not_known_is_forgotten(brokers: Brokers, number: int) -> None:
    one, _ = brokers.answer(code(number)), brokers.answer(code(0))
    unregister(brokers.access, 4, Patience(20.0))
    assert brokers.asked == [one]


def test_it_is_asked_again_while_there_is_no_controller_and_of_others_while_one_is_silent(brokers: Brokers) -> None:
    one, two = brokers.answer(HANGS_UP), brokers.answer(code(41), code(0))
    unregister(brokers.access, 4, Patience(20.0))
    assert brokers.asked == [one, two, one, two]


def test_one_that_reaches_no_controller_is_not_asked_because_it_would_keep_the_request(brokers: Brokers) -> None:
    one, two = brokers.answer(code(0)), brokers.answer(code(0))
    brokers.reach_none = [one, two, one]
    unregister(brokers.access, 4, Patience(20.0))
    assert brokers.asked == [two]


def test_when_no_controller_is_found_in_time_nothing_is_left_with_any_broker(brokers: Brokers) -> None:
    one = brokers.answer(code(0))
    brokers.reach_none = [one] * 1000
    with pytest.raises(Unavailable) as raised:
        unregister(brokers.access, 4, Patience(0.01))
    assert raised.value.why == f"{one}: it reaches no active controller"
    assert brokers.asked == []


def test_when_time_is_up_every_broker_has_its_reason(brokers: Brokers) -> None:
    one, two, three = (brokers.answer(answer) for answer in (HANGS_UP, code(41), code(31, "not allowed")))
    brokers.addresses.append("127.0.0.1:1")
    with pytest.raises(Unavailable) as raised:
        unregister(brokers.access, 4, Patience(0.01))
    assert raised.value.what == "broker-4 is still registered after 0.01 s"
    assert raised.value.why.splitlines() == [
        f"{one}: it closes the connection",
        f"{two}: error 41",
        f"{three}: not allowed",
        "127.0.0.1:1: it does not listen yet",
    ]


def test_a_wait_that_was_cancelled_asks_nobody(brokers: Brokers) -> None:
    patience = Patience(60.0)
    patience.cancelled.set()
    brokers.answer(code(41))
    with pytest.raises(Interrupted):
        unregister(brokers.access, 4, patience)
    assert brokers.asked == []


def test_the_wait_can_be_cancelled_between_two_brokers(brokers: Brokers) -> None:
    patience = Patience(60.0)
    one, _ = brokers.answer(HANGS_UP), brokers.answer(code(41))
    brokers.on_ask = patience.cancelled.set
    with pytest.raises(Interrupted):
        unregister(brokers.access, 4, patience)
    assert brokers.asked == [one]
