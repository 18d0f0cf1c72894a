"""Client quotas (KIP-546), by protocol requests, since kafka-python's admin client does not support them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from provision.kafka.access import Access
from provision.kafka.connection import ask, ask_any

# Brokers from 2.6 on support it, including 4.x.
_VERSION = 0
_ANSWER_S = 5.0

Entity = tuple[tuple[str, str | None], ...]
"""Sorted pairs of a type (`user`, `client-id`, `ip`) and a name; the name None is Kafka's default entity."""
Limits = Mapping[str, float]
"""By Kafka's own keys, for example `producer_byte_rate`."""


def describe_quotas(access: Access) -> dict[Entity, dict[str, float]]:
    """All quotas of the cluster, read from the first broker that answers.

    Raises:
        Unavailable: no broker answers.
        KafkaRefused: Kafka refuses the request.
    """
    doing = "reading quotas"
    return _read(ask_any(access, _describe_request, doing), doing)


def quotas_of(access: Access, broker: int) -> dict[Entity, dict[str, float]]:
    """All quotas of the cluster, as one broker knows them.

    Raises:
        NotAnswering: it does not answer.
        KafkaRefused: Kafka refuses the request.
    """
    return _read(ask(access, broker, _describe_request(), _ANSWER_S), "reading quotas")


def alter_quotas(access: Access, changes: Mapping[Entity, Mapping[str, float | None]]) -> dict[Entity, str]:
    """Set limits, and remove those that are None; an entity that Kafka refuses does not stop the others.

    Returns:
        The entities that were refused, with Kafka's reasons.

    Raises:
        Unavailable: no broker answers.
    """
    import provision.kafka.library  # noqa: F401 the library first
    from kafka.protocol.admin.client_quotas import AlterClientQuotasRequest

    from provision.kafka.insisting import Refusal, insist_on_brokers

    entry = AlterClientQuotasRequest.EntryData

    def request(entities: Sequence[Entity]) -> Any:  # noqa: ANN401 the library's classes
        return AlterClientQuotasRequest(
            entries=[
                entry(
                    entity=[entry.EntityData(entity_type=kind, entity_name=name) for kind, name in entity],
                    ops=[
                        entry.OpData(key=key, value=0.0 if value is None else float(value), remove=value is None)
                        for key, value in changes[entity].items()
                    ],
                )
                for entity in entities
            ],
            validate_only=False,
            version=_VERSION,
        )

    def refused(answer: Any, _entities: Sequence[Entity], _attempt: int) -> dict[Entity, Refusal]:  # noqa: ANN401 the library's classes
        return {
            _entity(told.entity): Refusal(told.error_code, told.error_message)
            for told in answer.entries
            if told.error_code
        }

    return insist_on_brokers(access, "changing quotas", list(changes), request, refused)


def _describe_request() -> Any:  # noqa: ANN401 the library's classes
    import provision.kafka.library  # noqa: F401 the library first
    from kafka.protocol.admin.client_quotas import DescribeClientQuotasRequest

    return DescribeClientQuotasRequest(components=[], strict=False, version=_VERSION)


def _read(response: Any, doing: str) -> dict[Entity, dict[str, float]]:  # noqa: ANN401 the library's classes
    if response.error_code:
        import provision.kafka.library  # noqa: F401 the library first
        from kafka.errors import for_code

        from provision.kafka.translation import as_provision_error

        raise as_provision_error(doing, for_code(response.error_code)(response.error_message or ""))
    return {_entity(entry.entity): {told.key: told.value for told in entry.values} for entry in response.entries or ()}


def _entity(parts: Iterable[Any]) -> Entity:
    return tuple(sorted((part.entity_type, part.entity_name) for part in parts))
