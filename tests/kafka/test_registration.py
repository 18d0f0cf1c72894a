"""A broker that has gone is taken out of the metadata, by whichever broker has it done."""

from types import SimpleNamespace
from typing import Any

import pytest

from provision.common.patience import Patience
from provision.errors import Interrupted, Unavailable
from provision.kafka import registration
from provision.kafka.access import Access
from provision.kafka.connection import NotAnswering
from provision.kafka.registration import UnregisterBrokerRequest, UnregisterBrokerResponse, unregister

Answer = SimpleNamespace | NotAnswering


class Brokers:
    """Brokers by their addresses, each with its answers in turn; the last one is repeated."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **answers: list[Answer]) -> None:
        self._answers, self.asked = answers, list[str]()
        monkeypatch.setattr(registration, "ask", self._ask)
        monkeypatch.setattr(registration, "_PAUSE_S", 0.001)

    def _ask(self, access: Access, broker: int, request: UnregisterBrokerRequest, _timeout_s: float) -> SimpleNamespace:
        assert request.broker_id == 4
        address = access.brokers[broker]
        self.asked.append(address)
        answers = self._answers[address]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, NotAnswering):
            raise answer
        return answer


def code(number: int, message: str | None = None) -> SimpleNamespace:
    return SimpleNamespace(error_code=number, error_message=message)


def test_the_form_of_the_request_is_kafkas() -> None:
    request: Any = UnregisterBrokerRequest
    asked = request(broker_id=4, version=0)
    asked.with_header(correlation_id=7, client_id="p")
    assert asked.encode(header=True) == b"\x00\x40\x00\x00\x00\x00\x00\x07\x00\x01p\x00\x00\x00\x00\x04\x00"
    response: Any = UnregisterBrokerResponse
    answer = response.decode(b"\x00\x00\x00\x00\x00\x66\x05gone\x00", version=0)
    assert (answer.error_code, answer.error_message) == (102, "gone")


@pytest.mark.parametrize("number", [0, 102])
def test_one_answer_is_enough_and_one_that_is_not_known_is_forgotten(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    brokers = Brokers(monkeypatch, one=[code(number)], two=[code(0)])
    unregister(Access.at("one,two"), 4, Patience(1.0))
    assert brokers.asked == ["one"]


def test_it_is_asked_again_while_there_is_no_controller_and_of_others_while_one_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    brokers = Brokers(monkeypatch, one=[NotAnswering("it does not listen yet")], two=[code(41), code(0)])
    unregister(Access.at("one,two"), 4, Patience(5.0))
    assert brokers.asked == ["one", "two", "one", "two"]


def test_when_time_is_up_every_broker_has_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    Brokers(monkeypatch, one=[NotAnswering("it does not listen yet")], two=[code(41)], three=[code(31, "not allowed")])
    with pytest.raises(Unavailable) as raised:
        unregister(Access.at("one,two,three"), 4, Patience(0.01))
    assert raised.value.what == "broker-4 is still registered after 0.01 s"
    assert raised.value.why == "one: it does not listen yet\ntwo: error 41\nthree: not allowed"


def test_the_wait_can_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    Brokers(monkeypatch, one=[code(41)])
    patience = Patience(60.0)
    patience.cancelled.set()
    with pytest.raises(Interrupted):
        unregister(Access.at("one"), 4, patience)
