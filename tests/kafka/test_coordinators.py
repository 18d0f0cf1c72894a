"""Consumer groups that are asked of the brokers directly, and what is left to the library."""

from typing import Any

import pytest
from kafka.protocol.admin import (
    DeleteGroupsRequest,
    DeleteGroupsResponse,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
    ListGroupsRequest,
    ListGroupsResponse,
)

from provision.kafka import coordinators
from provision.kafka.access import Access
from provision.kafka.connection import NotAnswering
from provision.kafka.coordinators import Coordinators

ACCESS = Access({1: "127.0.0.1:1", 2: "127.0.0.1:2"})
GROUPS = {1: ["a", "c"], 2: ["b"]}
CODES = [14, 15, 16]
"""The coordinator loads its groups, is not there, or is another one."""


class Brokers:
    """Brokers that coordinate these groups; `errors` are codes of what they answer, `silent` do not answer."""

    def __init__(self) -> None:
        self.errors: dict[type, int] = {}
        self.silent: set[int] = set()
        self.asked: list[tuple[int, type, list[str]]] = []

    def ask(self, _access: Access, broker: int, request: Any, timeout_s: float) -> Any:  # noqa: ANN401 the library's classes
        """Instead of `provision.kafka.connection.ask`."""
        assert timeout_s == 1.0
        named = list(getattr(request, "groups", None) or getattr(request, "groups_names", None) or ())
        self.asked.append((broker, type(request), named))
        if broker in self.silent:
            raise NotAnswering("it does not listen yet")
        code = self.errors.get(type(request), 0)
        match request:
            case ListGroupsRequest():
                of = ListGroupsResponse.ListedGroup
                listed = [of(group_id=name, protocol_type="consumer") for name in GROUPS[broker]]
                return ListGroupsResponse(throttle_time_ms=0, error_code=code, groups=listed, version=request.version)
            case DescribeGroupsRequest():
                described = [_described(name, code) for name in named]
                return DescribeGroupsResponse(throttle_time_ms=0, groups=described, version=request.version)
            case DeleteGroupsRequest():
                result = DeleteGroupsResponse.DeletableGroupResult
                results = [result(group_id=name, error_code=code) for name in named]
                return DeleteGroupsResponse(throttle_time_ms=0, results=results, version=request.version)
        raise AssertionError(request)


def _described(name: str, code: int) -> DescribeGroupsResponse.DescribedGroup:
    of = DescribeGroupsResponse.DescribedGroup
    member = of.DescribedGroupMember(
        member_id=f"{name}-1",
        group_instance_id=None,
        client_id=f"client of {name}",
        client_host="/127.0.0.1",
        member_metadata=b"",
        member_assignment=b"",
    )
    return of(
        error_code=code, group_id=name, group_state="Stable", protocol_type="", protocol_data="", members=[member]
    )


@pytest.fixture
def brokers(monkeypatch: pytest.MonkeyPatch) -> Brokers:
    found = Brokers()
    monkeypatch.setattr(coordinators, "ask", found.ask)
    return found


@pytest.fixture
def asking(brokers: Brokers) -> Coordinators:
    found = Coordinators(ACCESS, 1.0)
    found.list_groups()
    brokers.asked.clear()
    return found


def test_every_broker_lists_its_groups(brokers: Brokers) -> None:
    listed = Coordinators(ACCESS, 1.0).list_groups()
    assert [group["group_id"] for group in listed or ()] == ["a", "c", "b"]
    assert sorted(broker for broker, _, _ in brokers.asked) == [1, 2]


def test_each_group_is_asked_of_its_coordinator(brokers: Brokers, asking: Coordinators) -> None:
    described = asking.describe_groups(["a", "b", "c"])
    assert described is not None
    assert {
        name: (group["group_state"], [member["client_id"] for member in group["members"]])
        for name, group in described.items()
    } == {name: ("Stable", [f"client of {name}"]) for name in "abc"}
    assert sorted(brokers.asked, key=lambda asked: asked[0]) == [
        (1, DescribeGroupsRequest, ["a", "c"]),
        (2, DescribeGroupsRequest, ["b"]),
    ]


@pytest.mark.parametrize(("code", "told"), [(0, "OK"), (68, "NonEmptyGroupError"), (69, "GroupIdNotFoundError")])
def test_groups_are_deleted_by_their_coordinators(brokers: Brokers, asking: Coordinators, code: int, told: str) -> None:
    brokers.errors[DeleteGroupsRequest] = code
    assert asking.delete_groups(["b", "c"]) == {"b": told, "c": told}
    assert sorted(brokers.asked, key=lambda asked: asked[0]) == [
        (1, DeleteGroupsRequest, ["c"]),
        (2, DeleteGroupsRequest, ["b"]),
    ]


@pytest.mark.parametrize("code", CODES)
def test_what_a_coordinator_cannot_tell_now_has_no_answer(brokers: Brokers, asking: Coordinators, code: int) -> None:
    brokers.errors = dict.fromkeys((ListGroupsRequest, DescribeGroupsRequest, DeleteGroupsRequest), code)
    assert asking.list_groups() is None
    assert asking.describe_groups(["a"]) is None
    assert asking.delete_groups(["a"]) is None


def test_a_silent_broker_has_no_answer(brokers: Brokers, asking: Coordinators) -> None:
    brokers.silent = {2}
    assert asking.list_groups() is None
    assert asking.describe_groups(["a", "b"]) is None
    assert asking.delete_groups(["b"]) is None
    assert asking.describe_groups(["a"]) is not None


def test_groups_that_were_not_listed_have_no_answer(brokers: Brokers, asking: Coordinators) -> None:
    assert asking.describe_groups(["a", "new"]) is None
    assert asking.delete_groups(["new"]) is None
    assert brokers.asked == []


def test_without_brokers_there_is_no_answer() -> None:
    assert Coordinators(Access({}), 1.0).list_groups() is None
