"""Quotas become what the file says: the whole pipeline on the fake runtime and a Kafka in memory."""

from pathlib import Path

import pytest

from provision.environment import Environment
from provision.errors import InvalidEnvironment, KafkaRefused, NotReady, PartlyApplied, Refused
from provision.events import Event, Notice
from provision.kafka.access import Access
from provision.kafka.quotas import Entity, Limits
from provision.pipeline import UpOptions
from provision.plan.actions import Plan
from provision.resources.registry import KINDS
from provision.spec.loader import load_values
from tests.test_converge import Living, living_in, topic

ALICE = (("user", "alice"),)
ALL_USERS = (("user", None),)
FILE = [{"user": "alice", "producer_byte_rate": 1024}, {"user": "default", "request_percentage": 12.5}]
THERE: dict[Entity, dict[str, float]] = {ALICE: {"producer_byte_rate": 1024}, ALL_USERS: {"request_percentage": 12.5}}
OTHER: dict[Entity, dict[str, float]] = {
    (("client-id", "app"), ("user", "bob")): {"consumer_byte_rate": 5},
    (("ip", None),): {"connection_creation_rate": 7},
}
# A user of that name is not Kafka's default entity, and a file has no word for it.
CALLED_DEFAULT: dict[Entity, dict[str, float]] = {(("user", "default"),): {"consumer_byte_rate": 9}}


@pytest.fixture
def living(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Living:
    return living_in(tmp_path, monkeypatch)


def test_those_of_the_file_are_created_with_the_cluster_and_others_left_alone(living: Living) -> None:
    living.kafka.quotas = dict(OTHER)
    assert living.settles(quotas=FILE, topics=[topic()])[-3:] == [
        "create topic t",
        "create quota user alice",
        "create quota default user",
    ]
    assert living.kafka.quotas == THERE | OTHER


@pytest.mark.parametrize(
    ("limits", "change", "cause"),
    [
        (
            {"producer_byte_rate": 2048},
            {"producer_byte_rate": 2048.0},
            "limits changed: producer_byte_rate 1024 → 2048",
        ),
        (
            {"producer_byte_rate": 1024, "request_percentage": 0.5},
            {"request_percentage": 0.5},
            "limits changed: request_percentage unset → 0.5",
        ),
        (
            {"consumer_byte_rate": 1},
            {"consumer_byte_rate": 1.0, "producer_byte_rate": None},
            "limits changed: consumer_byte_rate unset → 1; producer_byte_rate 1024 → unset",
        ),
    ],
)
def test_only_the_limits_that_differ_are_changed(
    living: Living, limits: dict[str, float], change: dict[str, float | None], cause: str
) -> None:
    living.settles(quotas=FILE)
    living.want(quotas=[{"user": "alice"} | limits, FILE[1]])
    (action,) = living.plan().plan.actions
    assert (action.resource, action.cause) == ("quota user alice", cause)
    living.kafka.calls.clear()
    assert living.settles() == ["configure quota user alice"]
    assert [about for what, about in living.kafka.calls if what == "alter quotas"] == [{ALICE: change}]
    assert living.kafka.quotas == THERE | {ALICE: limits}


def test_a_limit_that_was_changed_outside_the_file_is_set_back(living: Living) -> None:
    living.settles(quotas=FILE)
    living.kafka.quotas[ALICE] = {"producer_byte_rate": 5, "consumer_byte_rate": 5}
    assert living.settles() == ["configure quota user alice"]
    assert living.kafka.quotas == THERE


def test_prune_removes_those_that_the_file_does_not_name_and_could(living: Living) -> None:
    living.settles(quotas=FILE)
    living.kafka.quotas |= OTHER | CALLED_DEFAULT
    done = living.settles(prune=True)
    assert done == ["delete quota default ip", "delete quota user bob, client-id app"]
    assert living.kafka.quotas == THERE | CALLED_DEFAULT
    assert living.settles(quotas=[]) == ["delete quota default user", "delete quota user alice"]
    assert living.kafka.quotas == CALLED_DEFAULT


def test_a_deletion_needs_consent(living: Living) -> None:
    living.settles(quotas=FILE)
    before = living.state

    def refuse(plan: Plan) -> None:
        assert [action.resource for action in plan.needs_consent] == ["quota default user", "quota user alice"]
        raise Refused("not agreed to")

    with pytest.raises(Refused, match="not agreed to"):
        living.want(prune=True, quotas=[]).up(agree=refuse)
    assert living.state == before


def test_a_file_that_does_not_speak_of_them_has_them_not_even_read(living: Living) -> None:
    living.kafka.quotas = dict(OTHER)
    living.settles(prune=True, topics=[topic()])
    living.settles(topics=[topic(partitions=4)])
    assert living.kafka.quotas == OTHER
    assert not [what for what, _ in living.kafka.calls if "quotas" in what]


def test_those_that_kafka_refuses_are_told_and_the_rest_is_done(living: Living) -> None:
    living.settles()
    living.kafka.refusals = {"alice": "no such user"}
    with pytest.raises(PartlyApplied) as caught:
        living.up(quotas=FILE)
    assert caught.value.why == "quota user alice: no such user"
    assert living.done == ["create quota default user"]
    living.kafka.refusals = {}
    assert living.settles() == ["create quota user alice"]


def test_it_is_done_only_when_every_broker_knows(living: Living) -> None:
    living.settles()
    living.kafka.late = 5
    living.kafka.calls.clear()
    living.settles(quotas=FILE)
    assert [about for what, about in living.kafka.calls if what == "quotas of"] == [1, 2, 3] * 3


def test_a_broker_that_never_knows_is_named(living: Living) -> None:
    living.settles()
    living.kafka.late = 1_000_000
    with pytest.raises(NotReady, match="the quotas of living are not in force after") as caught:
        living.up(UpOptions(timeout_s=0.5), quotas=FILE)
    assert caught.value.why == "broker 1 does not know them"


def test_a_saved_plan_is_stale_when_a_quota_changed_since(living: Living) -> None:
    living.settles(quotas=FILE)
    living.want(quotas=[{"user": "alice", "producer_byte_rate": 1}, FILE[1]])
    saved = living.plan().saved
    living.kafka.quotas[ALICE] = {"producer_byte_rate": 3}
    with pytest.raises(Refused, match="the plan is stale"):
        living.up(UpOptions(timeout_s=60.0, saved=saved))
    saved = living.plan().saved
    assert living.up(UpOptions(timeout_s=60.0, saved=saved)).changed
    assert living.kafka.quotas == THERE | {ALICE: {"producer_byte_rate": 1}}


def test_every_kind_has_a_section_of_the_file_and_a_name_of_its_own() -> None:
    """What `resources` says of kinds in general; a file without sections leaves all but topics alone."""
    assert {kind.name for kind in KINDS} == {"topic", "user", "acl", "quota"}
    assert len({kind.section for kind in KINDS}) == len(KINDS)
    performed = [name for kind in KINDS for name in kind.performs]
    assert len(performed) == len(set(performed))
    spec = load_values({"name": "orders"})
    assert {kind.section for kind in KINDS if kind.desired(spec) is not None} == {"topics"}


def test_names_that_read_alike_are_two_entities(living: Living) -> None:
    quotas = [
        {"user": "a, client-id b", "producer_byte_rate": 1},
        {"user": "a", "client_id": "b", "producer_byte_rate": 2},
        {"user": 'a "b"', "producer_byte_rate": 3},
    ]
    done = living.settles(quotas=quotas)[-3:]
    assert len(set(done)) == 3
    assert sorted(living.kafka.quotas.values(), key=str) == [{"producer_byte_rate": float(n)} for n in (1, 2, 3)]


def test_the_largest_rates_come_into_force(living: Living) -> None:
    quotas = [
        {"user": "alice", "producer_byte_rate": 2**53, "consumer_byte_rate": 2**53 - 1},
        {"ip": "::1", "connection_creation_rate": 2**31 - 1},
    ]
    living.settles(quotas=quotas)
    assert living.kafka.quotas[ALICE] == {"producer_byte_rate": 2**53, "consumer_byte_rate": 2**53 - 1}


def test_what_a_file_cannot_express_is_neither_pruned_nor_adopted(living: Living) -> None:
    living.settles(quotas=FILE)
    odd: dict[Entity, dict[str, float]] = {
        (("user", "a\tb"),): {"consumer_byte_rate": 1},
        (("region", "eu"),): {"consumer_byte_rate": 1},
    }
    living.kafka.quotas |= odd | CALLED_DEFAULT
    assert living.settles(prune=True) == []
    assert living.kafka.quotas == THERE | odd | CALLED_DEFAULT
    adopted = Environment(living.path, runtimes=living.runtimes).adopt()
    assert sorted(adopted["quotas"], key=str) == sorted(FILE, key=str)


def test_a_cluster_that_refuses_to_tell_quotas_is_adopted_without_them(
    living: Living, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_access: Access) -> dict[Entity, Limits]:
        raise KafkaRefused("reading quotas: Kafka denies this user permission")

    living.settles(topics=[topic()])
    monkeypatch.setattr("provision.resources.quotas.describe_quotas", refuse)
    told: list[Event] = []
    adopted = Environment(living.path, runtimes=living.runtimes, on_event=told.append).adopt()
    assert list(adopted) == ["topics"]
    assert [event.text for event in told if isinstance(event, Notice)] == [
        "quotas are left out: reading quotas: Kafka denies this user permission"
    ]


@pytest.mark.parametrize("address", ["fe80::1%eth0", "10.0.0.1/8", "10.0.0", "localhost", ""])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidEnvironment, match="the environment is not valid"):
        load_values({"name": "orders", "quotas": [{"ip": address, "connection_creation_rate": 1}]})


def test_one_address_in_two_spellings_is_one_entity() -> None:
    quotas = [{"ip": address, "connection_creation_rate": 1} for address in ("::1", "0:0:0:0:0:0:0:1")]
    with pytest.raises(InvalidEnvironment, match="1 problem"):
        load_values({"name": "orders", "quotas": quotas})
