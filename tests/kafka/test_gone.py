"""A topic is gone when nobody who knows the cluster knows of it."""

from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from kafka.protocol.metadata import MetadataRequest, MetadataResponse

from provision.kafka.access import Access
from provision.kafka.readiness import is_gone
from tests.kafka.scripted import listening

KNOWS, KNOWS_NOT, STARTING, SILENT = "knows it", "does not know it", "has just started", "says nothing"
UNKNOWN_TOPIC, NO_LEADER = 3, 5


def answer(said: str, request: Any) -> Any:  # noqa: ANN401 the library's classes
    assert request.allow_auto_topic_creation is False
    (asked,) = request.topics
    if said == SILENT:
        return None
    started = said != STARTING
    error = NO_LEADER if said == KNOWS else UNKNOWN_TOPIC
    response: Any = MetadataResponse
    broker = response.MetadataResponseBroker(node_id=1, host="127.0.0.1", port=1, rack=None)
    topic = response.MetadataResponseTopic(error_code=error, name=asked.name, is_internal=False, partitions=[])
    return response(
        throttle_time_ms=0,
        brokers=[broker] if started else [],
        cluster_id="id",
        controller_id=1 if started else -1,
        topics=[topic],
    )


@pytest.mark.parametrize(
    ("said", "gone"),
    [
        ((KNOWS,), False),
        ((KNOWS_NOT,), True),
        ((STARTING,), False),
        ((SILENT,), False),
        ((KNOWS_NOT, KNOWS_NOT), True),
        ((KNOWS_NOT, KNOWS), False),
        ((KNOWS_NOT, SILENT), True),
        ((KNOWS_NOT, STARTING), True),
        ((STARTING, SILENT), False),
    ],
)
def test_a_topic_is_gone_if_nobody_who_answers_knows_of_it(said: tuple[str, ...], *, gone: bool) -> None:
    with ExitStack() as stack:
        brokers = [stack.enter_context(listening(MetadataRequest, partial(answer, one))) for one in said]
        assert is_gone(Access.at(",".join(broker.address for broker in brokers)), "t") is gone
    assert not is_gone(Access({}), "t")
