"""Problems are reported together: two mistakes that have nothing to do with each other are both told, in any pair."""

from itertools import combinations
from typing import Any

import pytest

from provision.errors import InvalidEnvironment
from provision.spec.loader import load_values

Values = dict[str, Any]

# Each is wrong in itself; those of one list are further items of it.
MISTAKES: dict[str, Values] = {
    "a quota without a limit": {"quotas": [{"user": "a"}]},
    "a quota for nobody": {"quotas": [{"producer_byte_rate": 1}]},
    "a quota of what is no address": {"quotas": [{"ip": "foo", "connection_creation_rate": 1}]},
    "a rate that is none": {"quotas": [{"user": "b", "producer_byte_rate": "much"}]},
    "an entry that allows nothing": {"acls": [{"user": "a"}]},
    "an entry that allows what there is not": {"acls": [{"user": "a", "allow": ["fly topic x"]}]},
    "too many replicas": {"topics": [{"name": "many", "replication_factor": 9}]},
    "replicas in words": {"topics": [{"name": "words", "replication_factor": "nine"}]},
    "a partition without a broker": {"topics": [{"name": "far", "replicas": [[8]]}]},
    "a topic of Kafka's own": {"topics": [{"name": "__mine"}]},
    "an unknown setting": {"topics": [{"name": "unknown", "config": {"retention.sm": 1}}]},
    "a storage with a comma": {"storage": "a,b"},
    "a heap that is no size": {"zookeeper": {"heap": "much"}},
    "a ttl that is no duration": {"ttl": "soon"},
}
USERS: Values = {"name": "xx", "security": "sasl-plain", "users": [{"name": "a"}], "brokers": {"nodes": 3}}


def _problems(*mistakes: Values) -> list[tuple[str, str]]:
    """Each as the message and the last key, because items move in their list."""
    values: Values = dict(USERS)
    for mistake in mistakes:
        for key, value in mistake.items():
            values[key] = [*values.get(key, []), *value] if isinstance(value, list) else value
    with pytest.raises(InvalidEnvironment) as raised:
        load_values(values)
    return sorted((problem.path.rpartition("]")[2], problem.message) for problem in raised.value.problems)


@pytest.mark.parametrize(("one", "other"), list(combinations(MISTAKES, 2)))
def test_two_mistakes_are_both_told_and_nothing_else(one: str, other: str) -> None:
    expected = sorted(_problems(MISTAKES[one]) + _problems(MISTAKES[other]))
    assert _problems(MISTAKES[one], MISTAKES[other]) == _problems(MISTAKES[other], MISTAKES[one]) == expected


def test_an_address_that_is_none_does_not_hide_what_does_not_go_with_it() -> None:
    with pytest.raises(InvalidEnvironment) as raised:
        load_values({"name": "xx", "bootstrap_servers": "foo", "runtime": "docker"})
    assert [problem.path for problem in raised.value.problems] == ["bootstrap_servers", "runtime"]
