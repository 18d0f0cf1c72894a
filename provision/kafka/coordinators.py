"""Consumer groups, asked of the brokers directly: all of them for which groups they coordinate, then each for its own.

Whatever is not answered plainly has no answer here; the library's client, which is asked then, retries.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import provision.kafka.library  # noqa: F401 the library first
from kafka.errors import for_code
from kafka.protocol.admin.groups import DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest

from provision.kafka.access import Access
from provision.kafka.connection import NotAnswering, ask, ask_side_by_side

# Brokers from 2.4 on support them, and 4.x still does.
_LIST_VERSION, _DESCRIBE_VERSION, _DELETE_VERSION = 3, 5, 2
_LOADING, _NOT_AVAILABLE, _NOT_COORDINATOR = 14, 15, 16
_PASSING = frozenset({_LOADING, _NOT_AVAILABLE, _NOT_COORDINATOR})


class Coordinators:
    """The brokers as coordinators of consumer groups, which are remembered from when the groups were listed.

    Args:
        access: how they are reached.
        timeout_s: for each request.
    """

    def __init__(self, access: Access, timeout_s: float) -> None:
        self._access, self._timeout_s = access, timeout_s
        self._of: Mapping[str, int] = {}

    def list_groups(self) -> list[dict[str, Any]] | None:
        """All groups, as the library's client lists them."""
        answers = self._asked({broker: ListGroupsRequest(version=_LIST_VERSION) for broker in self._access.brokers})
        if not answers or any(answer.error_code for answer in answers.values()):
            return None
        listed = {broker: answer.groups for broker, answer in answers.items()}
        self._of = {group.group_id: broker for broker, groups in listed.items() for group in groups}
        return [group.to_dict() for groups in listed.values() for group in groups]

    def describe_groups(self, names: Sequence[str]) -> dict[str, dict[str, Any]] | None:
        """The named groups, as the library's client describes them: their states and members."""

        def request(own: list[str]) -> Any:  # noqa: ANN401 the library's class
            return DescribeGroupsRequest(groups=own, include_authorized_operations=False, version=_DESCRIBE_VERSION)

        answers = self._asked_of_coordinators(names, request)
        groups = [group for answer in answers or () for group in answer.groups]
        if answers is None or any(group.error_code for group in groups):
            return None
        return {group.group_id: group.to_dict() for group in groups}

    def delete_groups(self, names: Sequence[str]) -> dict[str, str] | None:
        """Delete the named groups; returns `OK` or an error's name for each, as the library's client does."""

        def request(own: list[str]) -> Any:  # noqa: ANN401 the library's class
            return DeleteGroupsRequest(groups_names=own, version=_DELETE_VERSION)

        answers = self._asked_of_coordinators(names, request)
        results = [result for answer in answers or () for result in answer.results]
        if answers is None or any(result.error_code in _PASSING for result in results):
            return None
        return {
            result.group_id: for_code(result.error_code).__name__ if result.error_code else "OK" for result in results
        }

    def _asked_of_coordinators(
        self, names: Sequence[str], request: Callable[[list[str]], Any]
    ) -> Collection[Any] | None:
        own = defaultdict[int, list[str]](list)
        for name in names:
            if name not in self._of:
                return None
            own[self._of[name]].append(name)
        answers = self._asked({broker: request(groups) for broker, groups in own.items()})
        return None if answers is None else answers.values()

    def _asked(self, requests: Mapping[int, Any]) -> dict[int, Any] | None:
        """The answer of each broker to its request; None if one does not answer."""
        answers = ask_side_by_side(
            {broker: partial(ask, self._access, broker, one, self._timeout_s) for broker, one in requests.items()}
        )
        return None if any(isinstance(answer, NotAnswering) for answer in answers.values()) else answers
