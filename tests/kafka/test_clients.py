"""The library's clients never have a broker create a topic, whatever they ask for."""

from typing import Any

import pytest
from kafka.cluster import ClusterMetadata

from provision.kafka import connection
from provision.kafka.access import Access


class Opened:
    """A client of the library's that has no connection; the metadata it asks for are known."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 the library's own
        # As in the library's connection manager, which hands on what it knows itself.
        self._metadata = self._cluster = ClusterMetadata(bootstrap_servers=options["bootstrap_servers"])
        self.options = options


def test_metadata_are_asked_for_without_creating_topics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kafka.KafkaConsumer", Opened)
    opened: Any = connection.consumer(Access.at("127.0.0.1:9092"))
    assert opened.options["allow_auto_create_topics"] is False
    opened._cluster.add_topic("nowhere")  # noqa: SLF001
    assert opened._cluster.metadata_request().allow_auto_topic_creation is False  # noqa: SLF001
