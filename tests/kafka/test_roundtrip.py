"""A round trip depends on nothing that is set on the brokers, and keeps its deadline."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from kafka.protocol.admin import DescribeConfigsRequest, DescribeConfigsResponse

from provision.common.patience import Patience
from provision.errors import NotReady, UsageError
from provision.kafka.access import Access
from provision.kafka.roundtrip import CONFIG, roundtrip
from provision.spec.lint import known
from tests.kafka.scripted import listening

HARMLESS = {
    "compression.gzip.level": "nothing is compressed",
    "compression.lz4.level": "nothing is compressed",
    "compression.zstd.level": "nothing is compressed",
    "delete.retention.ms": "for compaction",
    "follower.replication.throttled.replicas": "a record is too small to be held up",
    "leader.replication.throttled.replicas": "a record is too small to be held up",
    "flush.messages": "when the log is flushed",
    "flush.ms": "when the log is flushed",
    "index.interval.bytes": "how dense the index is",
    "local.retention.bytes": "for tiered storage",
    "local.retention.ms": "for tiered storage",
    "max.compaction.lag.ms": "for compaction",
    "message.downconversion.enable": "for clients older than this one",
    "message.format.version": "brokers convert records, which are then read in the older form",
    "message.timestamp.after.max.ms": "for times of the client's, and the topic has the broker's",
    "message.timestamp.before.max.ms": "for times of the client's, and the topic has the broker's",
    "message.timestamp.difference.max.ms": "for times of the client's, and the topic has the broker's",
    "min.cleanable.dirty.ratio": "for compaction",
    "min.compaction.lag.ms": "for compaction",
    "segment.jitter.ms": "when a new segment begins",
    "segment.ms": "when a new segment begins",
    "unclean.leader.election.enable": "for brokers that are gone",
}
"""Why a setting that brokers give to their topics does not matter to a round trip."""


LINES = pytest.mark.parametrize("line", range(len(known.lines())), ids=known.line_name)


@LINES
def test_whatever_brokers_give_to_their_topics_is_set_or_does_not_matter(line: int) -> None:
    facts = {key: known.facts(known.TOPIC, key, line) for key in known.names(known.TOPIC, line)}
    from_brokers = {key for key, fact in facts.items() if fact and fact.broker_key}
    assert from_brokers - HARMLESS.keys() - CONFIG.keys() == set()
    assert HARMLESS.keys() & CONFIG.keys() == set()


@LINES
@pytest.mark.parametrize(("key", "value"), CONFIG.items())
def test_every_version_takes_the_settings_of_its_topic(line: int, key: str, value: str) -> None:
    facts = known.facts(known.TOPIC, key, line)
    assert facts is not None
    assert facts.demand(value) == ""


@pytest.fixture
def silent() -> Iterator[Access]:
    """Two brokers that listen and never say a word."""
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        yield Access({number: f"127.0.0.1:{server.getsockname()[1]}" for number, server in enumerate(servers, start=1)})


def test_brokers_that_say_nothing_end_it_at_its_deadline(silent: Access) -> None:
    with pytest.raises(NotReady) as raised:
        roundtrip(silent, Patience(0.3))
    assert raised.value.what == "the topic for a round trip was not created within 0.3 s"
    assert raised.value.why == "; ".join(f"broker-{number}: it does not answer in time" for number in (1, 2))


def configured(deletable: str, request: Any) -> Any:  # noqa: ANN401 the library's classes
    result: Any = DescribeConfigsResponse.DescribeConfigsResult
    (asked,) = request.resources
    entry = result.DescribeConfigsResourceResult(
        name="delete.topic.enable", value=deletable, read_only=True, config_source=5, is_sensitive=False, synonyms=[]
    )
    found = result(
        error_code=0, error_message=None, resource_type=4, resource_name=asked.resource_name, configs=[entry]
    )
    return DescribeConfigsResponse(throttle_time_ms=0, results=[found])


def test_what_any_broker_could_not_delete_is_not_created() -> None:
    with ExitStack() as stack:
        brokers = [
            stack.enter_context(listening(DescribeConfigsRequest, partial(configured, said)))
            for said in ("true", "false")
        ]
        access = Access(dict(enumerate((broker.address for broker in brokers), start=1)))
        with pytest.raises(UsageError, match="a round trip would leave its topic behind") as raised:
            roundtrip(access, Patience(10.0))
        # scripted brokers know no other request, so nothing was created
        assert [len(broker.asked) for broker in brokers] == [1, 1]
    assert raised.value.why == "broker-2: delete.topic.enable is false"
