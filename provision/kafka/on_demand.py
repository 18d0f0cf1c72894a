"""The library's admin client, opened only when something of it is needed.

To open it takes a tenth of a second or more: it loads the library's clients, connects, and asks for versions and
metadata. What nearly every command asks, or every test, is asked of the brokers directly, several at a time, and takes
milliseconds: settings, reassignments, the creation and deletion of topics, and consumer groups. Whatever is not
answered plainly goes to the client, which retries and knows how to go on.
"""

import importlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import provision.kafka.library  # noqa: F401 the library first
from kafka.errors import RequestTimedOutError
from kafka.protocol.admin.configs import DescribeConfigsRequest
from kafka.protocol.admin.topics import CreateTopicsRequest, DeleteTopicsRequest, ListPartitionReassignmentsRequest
from kafka.protocol.metadata import MetadataRequest
from kafka.structs import TopicPartition

from provision.kafka.access import Access
from provision.kafka.connection import NotAnswering, NotServing, admin_client, ask, ask_side_by_side
from provision.kafka.coordinators import Coordinators

BROKER = 4
"""The type of a resource that only the broker itself describes."""
_TYPES = {2: "topic", BROKER: "broker"}
_SOURCES = {
    1: "DYNAMIC_TOPIC_CONFIG",
    2: "DYNAMIC_BROKER_CONFIG",
    3: "DYNAMIC_DEFAULT_BROKER_CONFIG",
    4: "STATIC_BROKER_CONFIG",
    5: "DEFAULT_CONFIG",
    6: "DYNAMIC_BROKER_LOGGER_CONFIG",
    7: "DYNAMIC_CLIENT_METRICS_CONFIG",
    8: "DYNAMIC_GROUP_CONFIG",
}
# Brokers from 2.7 on support them, and 4.x still does.
_METADATA_VERSION, _DESCRIBE_VERSION, _LIST_VERSION, _CREATE_VERSION, _DELETE_VERSION = 9, 1, 0, 5, 5
_NOT_CONTROLLER = 41
_CONTROLLER_S = 5.0
_MARGIN_S = 2.0  # for the controller's own answer that the time is over


class OnDemand:
    """An admin client of the library, or what stands for it.

    Args:
        access: how the brokers are reached.
        timeout_s: for each request.
    """

    def __init__(self, access: Access, timeout_s: float) -> None:
        self._access, self._timeout_s = access, timeout_s
        self._coordinators = Coordinators(access, timeout_s)
        self._opened: Any = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 the library's methods
        return getattr(self._client, name)

    @property
    def _client(self) -> Any:  # noqa: ANN401 the library's class
        if self._opened is None:
            self._opened = admin_client(self._access, self._timeout_s)
        return self._opened

    def close(self) -> None:
        """Close it, if it was opened."""
        if self._opened is not None:
            self._opened.close()

    # -- settings -----------------------------------------------------------------------------------------------------

    def describe_configs(
        self, resources: Sequence[Any], include_synonyms: bool, config_filter: str
    ) -> dict[str, dict[str, dict[str, Any]]]:
        """Like the client's own: settings by the type of the resource, its name and their key."""
        by_broker = defaultdict[int, list[Any]](list)
        anybody = next(iter(self._access.brokers), -1)
        for resource in resources:
            by_broker[int(resource.name) if resource.resource_type == BROKER else anybody].append(resource)
        answers: Mapping[int, Any] = {}
        if by_broker.keys() <= self._access.brokers.keys():
            answers = ask_side_by_side(
                {
                    broker: partial(
                        ask, self._access, broker, _described(asked, synonyms=include_synonyms), self._timeout_s
                    )
                    for broker, asked in by_broker.items()
                }
            )
        if not answers or any(isinstance(answer, NotAnswering) for answer in answers.values()):
            found: dict[str, dict[str, dict[str, Any]]] = self._client.describe_configs(
                [_of_the_library(resource) for resource in resources],
                include_synonyms=include_synonyms,
                config_filter=config_filter,
            )
            return found
        found = {}
        for answer in answers.values():
            for result in answer.results:
                entries = {entry.name: _entry(entry) for entry in result.configs}
                found.setdefault(_TYPES[result.resource_type], {})[result.resource_name] = entries
        return found

    # -- consumer groups ----------------------------------------------------------------------------------------------

    def list_groups(self) -> list[dict[str, Any]]:
        """Like the client's own: all groups."""
        listed = self._coordinators.list_groups()
        found: list[dict[str, Any]] = self._client.list_groups() if listed is None else listed
        return found

    def describe_groups(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Like the client's own, of groups that were listed before."""
        described = self._coordinators.describe_groups(names)
        found: dict[str, dict[str, Any]] = self._client.describe_groups(names) if described is None else described
        return found

    def delete_groups(self, names: Sequence[str]) -> dict[str, str]:
        """Like the client's own, for groups that were listed before."""
        deleted = self._coordinators.delete_groups(names)
        found: dict[str, str] = self._client.delete_groups(names) if deleted is None else deleted
        return found

    # -- what the controller does -------------------------------------------------------------------------------------

    def list_partition_reassignments(self) -> dict[TopicPartition, dict[str, list[int]]]:
        """Like the client's own: the ongoing reassignments."""
        request = ListPartitionReassignmentsRequest(
            timeout_ms=int(self._timeout_s * 1000), topics=None, version=_LIST_VERSION
        )
        answer = self._ask_controller(request)
        if answer is None or answer.error_code:
            found: dict[TopicPartition, dict[str, list[int]]] = self._client.list_partition_reassignments()
            return found
        return {
            TopicPartition(topic.name, partition.partition_index): {
                "replicas": list(partition.replicas),
                "adding_replicas": list(partition.adding_replicas),
                "removing_replicas": list(partition.removing_replicas),
            }
            for topic in answer.topics
            for partition in topic.partitions
        }

    def create_topics(self, topics: Mapping[str, Any], *, timeout_ms: int, raise_errors: bool) -> dict[str, Any]:
        """Like the client's own, for topics with explicit assignments; each answer has its error."""
        of = CreateTopicsRequest.CreatableTopic
        request = CreateTopicsRequest(
            topics=[
                of(
                    name=name,
                    num_partitions=-1,
                    replication_factor=-1,
                    assignments=[
                        of.CreatableReplicaAssignment(partition_index=number, broker_ids=replicas)
                        for number, replicas in topic["assignments"].items()
                    ],
                    configs=[of.CreatableTopicConfig(name=key, value=str(v)) for key, v in topic["configs"].items()],
                )
                for name, topic in topics.items()
            ],
            timeout_ms=timeout_ms,
            validate_only=False,
            version=_CREATE_VERSION,
        )
        answer = self._ask_controller(request, lasting=True)
        if answer is None or any(topic.error_code == _NOT_CONTROLLER for topic in answer.topics):
            made: dict[str, Any] = self._client.create_topics(topics, timeout_ms=timeout_ms, raise_errors=raise_errors)
            return made
        return {"topics": [_told(topic) for topic in answer.topics]}

    def delete_topics(self, names: Sequence[str], *, timeout_ms: int, raise_errors: bool) -> dict[str, Any]:
        """Like the client's own; each answer has its error."""
        request = DeleteTopicsRequest(topic_names=list(names), timeout_ms=timeout_ms, version=_DELETE_VERSION)
        answer = self._ask_controller(request, lasting=True)
        if answer is None or any(topic.error_code == _NOT_CONTROLLER for topic in answer.responses):
            gone: dict[str, Any] = self._client.delete_topics(names, timeout_ms=timeout_ms, raise_errors=raise_errors)
            return gone
        return {"topics": [_told(topic) for topic in answer.responses]}

    def _ask_controller(self, request: Any, *, lasting: bool = False) -> Any | None:  # noqa: ANN401 the library's classes
        """Ask the broker that the brokers name as the controller; None if it is not known, or does not answer.

        Raises:
            RequestTimedOutError: the work of a `lasting` request is not done in time.
        """
        asked = MetadataRequest(topics=[], allow_auto_topic_creation=False, version=_METADATA_VERSION)
        questions = {
            broker: partial(ask, self._access, broker, asked, _CONTROLLER_S) for broker in self._access.brokers
        }
        named = {
            answer.controller_id
            for answer in ask_side_by_side(questions).values()
            if not isinstance(answer, NotAnswering) and answer.controller_id in self._access.brokers
        }
        if not named:
            return None
        try:
            return ask(self._access, named.pop(), request, self._timeout_s + _MARGIN_S)
        except NotServing:  # what has been made nevertheless exists already when it is asked for again
            return None
        except NotAnswering as reason:
            if lasting:
                raise RequestTimedOutError(str(reason)) from reason
            return None


def _told(topic: Any) -> dict[str, Any]:  # noqa: ANN401 the library's class
    return {"name": topic.name, "error_code": topic.error_code, "error_message": topic.error_message}


def _described(resources: Sequence[Any], *, synonyms: bool) -> Any:  # noqa: ANN401 the library's class
    of = DescribeConfigsRequest.DescribeConfigsResource
    return DescribeConfigsRequest(
        resources=[
            of(
                resource_type=int(one.resource_type),
                resource_name=one.name,
                configuration_keys=None if one.configs is None else list(one.configs),
            )
            for one in resources
        ],
        include_synonyms=synonyms,
        version=_DESCRIBE_VERSION,
    )


def _entry(entry: Any) -> dict[str, Any]:  # noqa: ANN401 the library's class
    return {
        "value": entry.value,
        "read_only": entry.read_only,
        "config_source": _SOURCES.get(entry.config_source, "UNKNOWN"),
        "synonyms": [
            {"name": one.name, "value": one.value, "source": _SOURCES.get(one.source, "UNKNOWN")}
            for one in entry.synonyms or ()
        ],
    }


def _of_the_library(resource: Any) -> Any:  # noqa: ANN401 the library's class
    admin = importlib.import_module("kafka.admin")
    return admin.ConfigResource(admin.ConfigResourceType(int(resource.resource_type)), resource.name, resource.configs)
