"""ACLs, by protocol requests: kafka-python's admin client does not tell which of several were refused, nor why."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from provision.kafka.access import Access
from provision.kafka.connection import ask, ask_any
from provision.security.acls import Acl

# Brokers from 2.0 on support it, including 4.x.
_VERSION = 1
_ANSWER_S = 5.0
_SECURITY_DISABLED = 54
_ANY = 1
_LITERAL, _PREFIXED = 3, 4
_DENY, _ALLOW = 2, 3
# Kafka's codes (`ResourceType` and `AclOperation`).
_RESOURCES = {"topic": 2, "group": 3, "cluster": 4, "transactional-id": 5, "delegation-token": 6, "user": 7}
_OPERATIONS = {
    "all": 2,
    "read": 3,
    "write": 4,
    "create": 5,
    "delete": 6,
    "alter": 7,
    "describe": 8,
    "cluster-action": 9,
    "describe-configs": 10,
    "alter-configs": 11,
    "idempotent-write": 12,
    "create-tokens": 13,
    "describe-tokens": 14,
}
_NAMES_OF_RESOURCES = {code: name for name, code in _RESOURCES.items()}
_NAMES_OF_OPERATIONS = {code: name for name, code in _OPERATIONS.items()}


def describe_acls(access: Access) -> frozenset[Acl] | None:
    """All ACLs of the cluster, read from the first broker that answers; None if it has no authorizer.

    Those with an operation or a type of resource that is not known here are left out.

    Raises:
        Unavailable: no broker answers.
        KafkaRefused: Kafka refuses the request.
    """
    return _read(ask_any(access, _describe_request, "reading ACLs"))


def acls_of(access: Access, broker: int) -> frozenset[Acl] | None:
    """The same, as one broker knows them.

    Raises:
        NotAnswering: it does not answer.
        KafkaRefused: Kafka refuses the request.
    """
    return _read(ask(access, broker, _describe_request(), _ANSWER_S))


def create_acls(access: Access, acls: Sequence[Acl]) -> dict[Acl, str]:
    """Create ACLs; those that exist already stay, and one that Kafka refuses does not stop the others.

    Returns:
        Those that were refused, with Kafka's reasons.

    Raises:
        Unavailable: no broker answers.
    """
    import provision.kafka.library  # noqa: F401 the library first
    from kafka.protocol.admin.acl import CreateAclsRequest

    entry = CreateAclsRequest.AclCreation

    def request(some: Sequence[Acl]) -> Any:  # noqa: ANN401 the library's classes
        creations = [
            entry(
                resource_type=_RESOURCES[acl.resource],
                resource_name=acl.name,
                resource_pattern_type=_pattern(acl),
                principal=acl.principal,
                host=acl.host,
                operation=_OPERATIONS[acl.operation],
                permission_type=_permission(acl),
            )
            for acl in some
        ]
        return CreateAclsRequest(creations=creations, version=_VERSION)

    return _change(access, "creating ACLs", acls, request, lambda answer: [(told,) for told in answer.results])


def delete_acls(access: Access, acls: Sequence[Acl]) -> dict[Acl, str]:
    """Delete exactly these ACLs. Returns and raises as `create_acls`."""
    import provision.kafka.library  # noqa: F401 the library first
    from kafka.protocol.admin.acl import DeleteAclsRequest

    entry = DeleteAclsRequest.DeleteAclsFilter

    def request(some: Sequence[Acl]) -> Any:  # noqa: ANN401 the library's classes
        filters = [
            entry(
                resource_type_filter=_RESOURCES[acl.resource],
                resource_name_filter=acl.name,
                pattern_type_filter=_pattern(acl),
                principal_filter=acl.principal,
                host_filter=acl.host,
                operation=_OPERATIONS[acl.operation],
                permission_type=_permission(acl),
            )
            for acl in some
        ]
        return DeleteAclsRequest(filters=filters, version=_VERSION)

    def told_of_each(answer: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401 the library's classes
        return [(told, *told.matching_acls) for told in answer.filter_results]

    return _change(access, "deleting ACLs", acls, request, told_of_each)


def _change(
    access: Access,
    doing: str,
    acls: Sequence[Acl],
    request: Callable[[Sequence[Acl]], Any],
    told_of_each: Callable[[Any], Sequence[Sequence[Any]]],
) -> dict[Acl, str]:
    """Send a change of ACLs; `told_of_each` has what an answer tells of each, in their order."""
    from provision.kafka.insisting import Refusal, insist_on_brokers

    def refused(answer: Any, some: Sequence[Acl], _: int) -> dict[Acl, Refusal]:  # noqa: ANN401 the library's classes
        return {
            acl: Refusal(one.error_code, one.error_message)
            for acl, told in zip(some, told_of_each(answer), strict=True)
            for one in told
            if one.error_code
        }

    return insist_on_brokers(access, doing, acls, request, refused)


def _describe_request() -> Any:  # noqa: ANN401 the library's classes
    import provision.kafka.library  # noqa: F401 the library first
    from kafka.protocol.admin.acl import DescribeAclsRequest

    return DescribeAclsRequest(
        resource_type_filter=_ANY,
        resource_name_filter=None,
        pattern_type_filter=_ANY,
        principal_filter=None,
        host_filter=None,
        operation=_ANY,
        permission_type=_ANY,
        version=_VERSION,
    )


def _read(response: Any) -> frozenset[Acl] | None:  # noqa: ANN401 the library's classes
    if response.error_code == _SECURITY_DISABLED:
        return None
    if response.error_code:
        import provision.kafka.library  # noqa: F401 the library first
        from kafka.errors import for_code

        from provision.kafka.translation import as_provision_error

        raise as_provision_error("reading ACLs", for_code(response.error_code)(response.error_message or ""))
    return frozenset(_known(response))


def _known(response: Any) -> Iterator[Acl]:  # noqa: ANN401 the library's classes
    for at in response.resources:
        for told in at.acls:
            resource, operation = at.resource_type in _NAMES_OF_RESOURCES, told.operation in _NAMES_OF_OPERATIONS
            if resource and operation:
                yield Acl(
                    told.principal,
                    _NAMES_OF_RESOURCES[at.resource_type],
                    at.resource_name,
                    _NAMES_OF_OPERATIONS[told.operation],
                    prefixed=at.pattern_type == _PREFIXED,
                    host=told.host,
                    allowed=told.permission_type == _ALLOW,
                )


def _pattern(acl: Acl) -> int:
    return _PREFIXED if acl.prefixed else _LITERAL


def _permission(acl: Acl) -> int:
    return _ALLOW if acl.allowed else _DENY
