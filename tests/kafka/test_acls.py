"""Requests about ACLs, to a broker that answers as a test says."""

from typing import Any

import pytest
from kafka.protocol.admin import (
    CreateAclsRequest,
    CreateAclsResponse,
    DeleteAclsRequest,
    DeleteAclsResponse,
    DescribeAclsRequest,
    DescribeAclsResponse,
)

from provision.errors import KafkaRefused, Unavailable
from provision.kafka.access import Access
from provision.kafka.acls import acls_of, create_acls, delete_acls, describe_acls
from provision.kafka.connection import NotAnswering
from provision.security.acls import OPERATIONS, Acl
from tests.kafka.scripted import listening

DISABLED, DENIED, INVALID = 54, 31, 42
ACLS = [
    Acl("User:app", "topic", "orders.", "read", prefixed=True),
    Acl("User:*", "cluster", "kafka-cluster", "describe", host="10.0.0.1", allowed=False),
    *(Acl("User:app", resource, "a", operation) for resource, some in OPERATIONS.items() for operation in some),
]


def described(acls: list[Acl], error: int = 0, odd: tuple[int, int] | None = None) -> DescribeAclsResponse:
    """The answer of a broker that has these, each as the requests name it, and one of an unknown kind."""
    rows = [creation(acl) for acl in acls] + ([odd] if odd else [])
    resource = DescribeAclsResponse.DescribeAclsResource
    resources = [
        resource(
            resource_type=row[0] if isinstance(row, tuple) else row.resource_type,
            resource_name="a" if isinstance(row, tuple) else row.resource_name,
            pattern_type=3 if isinstance(row, tuple) else row.resource_pattern_type,
            acls=[
                resource.AclDescription(
                    principal="User:app" if isinstance(row, tuple) else row.principal,
                    host="*" if isinstance(row, tuple) else row.host,
                    operation=row[1] if isinstance(row, tuple) else row.operation,
                    permission_type=3 if isinstance(row, tuple) else row.permission_type,
                )
            ],
        )
        for row in rows
    ]
    return DescribeAclsResponse(throttle_time_ms=0, error_code=error, error_message=None, resources=resources)


def creation(acl: Acl) -> Any:  # noqa: ANN401 the library's classes
    """How a request to create it says it."""
    return asked_to_create([acl]).creations[0]


def asked_to_create(acls: list[Acl], code: int = 0) -> Any:  # noqa: ANN401 the library's classes
    answer = CreateAclsResponse.AclCreationResult
    results = [answer(error_code=code if acl is acls[0] else 0, error_message=None) for acl in acls]
    with listening(CreateAclsRequest, lambda _: CreateAclsResponse(throttle_time_ms=0, results=results)) as broker:
        refused = create_acls(Access({1: broker.address}), acls)
        assert refused == ({acls[0]: "InvalidRequestError"} if code else {})
    (request,) = broker.asked
    return request


def test_what_is_created_comes_back_as_it_was() -> None:
    with listening(DescribeAclsRequest, lambda _: described(ACLS)) as broker:
        access = Access({1: broker.address})
        assert describe_acls(access) == acls_of(access, 1) == frozenset(ACLS)
    for request in broker.asked:
        assert (request.resource_type_filter, request.pattern_type_filter, request.operation) == (1, 1, 1)
        assert request.resource_name_filter is request.principal_filter is request.host_filter is None


def test_codes_are_those_of_kafka() -> None:
    from kafka.admin import ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourceType

    for acl in ACLS:
        row = creation(acl)
        assert ResourceType(row.resource_type).name == acl.resource.upper().replace("-", "_")
        assert ACLOperation(row.operation).name == acl.operation.upper().replace("-", "_")
        assert ACLPermissionType(row.permission_type).name == ("ALLOW" if acl.allowed else "DENY")
        assert ACLResourcePatternType(row.resource_pattern_type).name == ("PREFIXED" if acl.prefixed else "LITERAL")


@pytest.mark.parametrize("odd", [(99, 3), (2, 99)], ids=["type of resource", "operation"])
def test_what_is_not_known_here_is_left_out(odd: tuple[int, int]) -> None:
    with listening(DescribeAclsRequest, lambda _: described(ACLS[:1], odd=odd)) as broker:
        assert describe_acls(Access({1: broker.address})) == frozenset(ACLS[:1])


def test_a_cluster_without_an_authorizer_has_none_and_one_that_does_not_tell_them_says_so() -> None:
    with listening(DescribeAclsRequest, lambda _: described([], DISABLED)) as broker:
        assert describe_acls(Access({1: broker.address})) is None
    with (
        listening(DescribeAclsRequest, lambda _: described([], DENIED)) as broker,
        pytest.raises(KafkaRefused) as caught,
    ):
        describe_acls(Access({1: broker.address}))
    assert caught.value.what == "reading ACLs: Kafka denies this user permission"


def test_one_that_is_refused_does_not_stop_the_others() -> None:
    assert len(asked_to_create(ACLS, INVALID).creations) == len(ACLS)
    result = DeleteAclsResponse.DeleteAclsFilterResult
    match = result.DeleteAclsMatchingAcl(
        error_code=INVALID,
        error_message="not that one",
        resource_type=2,
        resource_name="a",
        pattern_type=3,
        principal="User:app",
        host="*",
        operation=3,
        permission_type=3,
    )
    results = [
        result(error_code=DENIED, error_message=None, matching_acls=[]),
        result(error_code=0, error_message=None, matching_acls=[match]),
        *(result(error_code=0, error_message=None, matching_acls=[]) for _ in ACLS[2:]),
    ]
    answer = DeleteAclsResponse(throttle_time_ms=0, filter_results=results)
    with listening(DeleteAclsRequest, lambda _: answer) as broker:
        refused = delete_acls(Access({1: broker.address}), ACLS)
    assert refused == {ACLS[0]: "ClusterAuthorizationFailedError", ACLS[1]: "not that one"}
    (request,) = broker.asked
    for acl, row in zip(ACLS, request.filters, strict=True):  # exactly that one, and no other that it would match
        said = creation(acl)
        assert (row.resource_type_filter, row.resource_name_filter) == (said.resource_type, acl.name)
        assert (row.pattern_type_filter, row.operation) == (said.resource_pattern_type, said.operation)
        assert (row.principal_filter, row.host_filter) == (acl.principal, acl.host)
        assert row.permission_type == said.permission_type


def test_where_nobody_answers_that_is_told() -> None:
    access = Access({1: "127.0.0.1:1"})
    with pytest.raises(Unavailable, match="reading ACLs: no broker answers"):
        describe_acls(access)
    with pytest.raises(Unavailable, match="creating ACLs: no broker answers"):
        create_acls(access, ACLS)
    with pytest.raises(Unavailable, match="deleting ACLs: no broker answers"):
        delete_acls(access, ACLS)
    with pytest.raises(NotAnswering):
        acls_of(access, 1)
