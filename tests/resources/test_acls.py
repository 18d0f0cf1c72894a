"""ACLs become what the file says: the whole pipeline on the fake runtime and a Kafka in memory."""

from pathlib import Path
from typing import Any

import pytest

from provision.environment import Environment
from provision.errors import InvalidEnvironment, KafkaRefused, NotReady, PartlyApplied, Refused
from provision.events import Notice
from provision.home.seeds import SeedNotes
from provision.home.throttles import ThrottleNote
from provision.kafka.access import Access
from provision.pipeline import UpOptions
from provision.plan.actions import Plan
from provision.plan.observed import ObservedCluster
from provision.resources.acls import Acls
from provision.resources.kind import Target
from provision.security.acls import Acl
from provision.spec.loader import load_values
from tests.test_converge import Living, living_in

APP = {"name": "app", "allow": ["read topic orders", "write topic orders.*"]}
ADMIN = {"name": "admin", "super": True}
OWN = {
    Acl("User:app", "topic", "orders", "read"),
    Acl("User:app", "topic", "orders", "describe"),
    Acl("User:app", "topic", "orders.", "write", prefixed=True),
    Acl("User:app", "topic", "orders.", "describe", prefixed=True),
    Acl("User:app", "topic", "orders.", "create", prefixed=True),
}
OTHER = Acl("User:someone", "group", "g", "read", host="10.0.0.1", allowed=False)
# A name that a file has no word for: of a group that has a star in it.
ODD = Acl("User:app", "group", "a*b", "read")


@pytest.fixture
def living(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Living:
    found = living_in(tmp_path, monkeypatch)
    found.want(security="sasl-tls", users=[APP, ADMIN])
    return found


def test_those_of_the_file_are_created_with_the_cluster(living: Living) -> None:
    assert living.settles()[-5:] == [
        "create acl allow User:app read topic orders",
        "create acl allow User:app describe topic orders",
        "create acl allow User:app write topic orders.*",
        "create acl allow User:app describe topic orders.*",
        "create acl allow User:app create topic orders.*",
    ]
    assert living.kafka.acls == OWN
    assert [what for what, _ in living.kafka.calls].count("create acls") == 1


@pytest.mark.parametrize("kafka", [{"mode": "zookeeper", "version": "2.8.2"}, {"mode": "zookeeper"}])
def test_the_long_form_has_all_that_kafka_has(living: Living, kafka: dict[str, str]) -> None:
    entry: dict[str, Any] = {"principal": "User:someone", "operation": "read", "resource": "group", "name": "g"}
    living.settles(kafka=kafka, acls=[entry | {"host": "10.0.0.1", "permission": "deny"}])
    assert living.kafka.acls == OWN | {OTHER}
    acls = [{"user": "*", "host": "10.0.0.1", "allow": ["describe cluster"]}, entry | {"pattern": "prefixed"}]
    living.settles(acls=acls, prune=True)
    everybody = Acl("User:*", "cluster", "kafka-cluster", "describe", host="10.0.0.1")
    assert living.kafka.acls == OWN | {everybody, Acl("User:someone", "group", "g", "read", prefixed=True)}


@pytest.mark.parametrize(
    ("host", "known"),
    [("::1", "0:0:0:0:0:0:0:1"), ("FE80::00a1", "fe80:0:0:0:0:0:0:a1"), ("::ffff:10.0.0.1", "10.0.0.1")],
)
def test_an_address_is_written_as_kafka_compares_it(living: Living, host: str, known: str) -> None:
    living.settles(acls=[{"user": "*", "host": host, "allow": ["describe cluster"]}])
    (other,) = living.kafka.acls - OWN
    assert other.host == known


@pytest.mark.parametrize("host", ["localhost", "10.0.0.0/8", "fe80::1%eth0", "", 5])
def test_what_is_no_address_is_refused(living: Living, host: object) -> None:
    with pytest.raises(InvalidEnvironment, match="1 problem") as caught:
        living.up(acls=[{"user": "*", "host": host, "allow": ["describe cluster"]}])
    assert "must be an IP address" in caught.value.why


def test_drift_is_shown_and_mended_and_others_stay(living: Living) -> None:
    living.settles()
    lost = Acl("User:app", "topic", "orders", "read")
    living.kafka.acls -= {lost}
    living.kafka.acls |= {OTHER}
    (action,) = living.plan().plan.actions
    assert (action.resource, action.cause, action.impact) == (f"acl {lost}", "not there", "none")
    assert living.settles() == [f"create acl {lost}"]
    assert living.kafka.acls == OWN | {OTHER}


CREATE = "allow User:app create topic orders.*"
EVERYBODY = {"user": "*", "allow": ["describe cluster"]}


@pytest.mark.parametrize(
    ("without", "others"),
    [
        (
            {"users": [APP | {"allow": ["write topic orders.*"]}, ADMIN], "acls": [EVERYBODY]},
            "allow User:app describe topic orders, allow User:app read topic orders",
        ),
        ({"acls": []}, "allow User:* describe cluster"),  # of everybody
        (
            {"users": [ADMIN], "acls": [EVERYBODY]},  # of a user who is not in the file either
            f"allow User:app describe topic orders, allow User:app read topic orders, {CREATE}, …",
        ),
        (
            {"users": [{"name": "app"}, ADMIN]},  # of all, where nobody but the super user has a say
            "allow User:* describe cluster, allow User:app describe topic orders, allow User:app read topic orders, …",
        ),
    ],
)
def test_what_was_taken_from_the_file_and_is_still_in_force_is_told_or_removed(
    living: Living, without: dict[str, Any], others: str
) -> None:
    living.settles(acls=[EVERYBODY])
    told: list[object] = []
    del living.file["acls"]
    living.want(**without)
    plan = Environment(living.path, runtimes=living.runtimes, on_event=told.append).plan().plan
    assert not [action for action in plan.actions if action.kind == "acl"]
    assert [event.text for event in told if isinstance(event, Notice)] == [
        f"the cluster has ACLs that are not in the file: {others}; `prune: true` removes such ACLs"
    ]
    told.clear()
    gone = living.settles(prune=True)
    deleted = [line.removeprefix("delete acl ") for line in gone if line.startswith("delete acl ")]
    assert deleted[:3] == others.removesuffix(", …").split(", ")
    assert (len(deleted) > 3) is others.endswith("…")
    Environment(living.path, runtimes=living.runtimes, on_event=told.append).plan()
    assert not [event for event in told if isinstance(event, Notice)]


def test_of_what_is_kept_nothing_is_told_and_what_cannot_be_said_stays_with_a_word(living: Living) -> None:
    living.settles(keep=["acl deny User:someone*"])
    living.kafka.acls |= {OTHER}
    told: list[object] = []
    Environment(living.path, runtimes=living.runtimes, on_event=told.append).plan()
    assert not [event for event in told if isinstance(event, Notice)]
    living.kafka.acls |= {ODD}
    living.settles(prune=True)
    assert living.kafka.acls == OWN | {OTHER, ODD}
    Environment(living.path, runtimes=living.runtimes, on_event=told.append).plan()
    (notice,) = [event.text for event in told if isinstance(event, Notice)]
    assert notice == f"the cluster has ACLs that a file cannot express, which stay: {ODD}"


def test_prune_removes_others_with_consent(living: Living) -> None:
    living.settles()
    living.kafka.acls |= {OTHER, ODD}

    def refuse(plan: Plan) -> None:
        assert [action.resource for action in plan.needs_consent] == [f"acl {OTHER}"]
        raise Refused("not agreed to")

    with pytest.raises(Refused, match="not agreed to"):
        living.want(prune=True).up(agree=refuse)
    assert living.kafka.acls == OWN | {OTHER, ODD}
    assert living.settles() == [f"delete acl {OTHER}"]
    assert living.kafka.acls == OWN | {ODD}
    assert len(living.settles(users=[{"name": "app", "allow": []}, ADMIN])) == len(OWN)
    assert living.kafka.acls == {ODD}


def test_to_ask_for_permission_is_a_rolling_restart_after_which_they_are_created(living: Living) -> None:
    living.settles(users=[{"name": "app"}, {"name": "admin"}])
    assert not living.kafka.asks_for_permission
    plan = living.want(users=[APP, ADMIN]).plan().plan
    restarts = [action for action in plan.actions if action.verb == "restart"]
    assert [action.name for action in restarts] == ["broker-2", "broker-3", "broker-1"]  # the controller last
    assert "authorizer.class.name unset → kafka.security.authorizer.AclAuthorizer" in restarts[0].cause
    done = living.settles()
    assert done[:3] == ["restart broker-2", "restart broker-3", "restart broker-1"]
    assert sorted(done[3:]) == sorted(f"create acl {acl}" for acl in OWN)
    assert living.kafka.acls == OWN


def test_permissions_come_while_a_broker_leaves_that_never_asked_for_them(living: Living) -> None:
    living.settles(users=[{"name": "app"}])
    done = living.settles(users=[APP, ADMIN], brokers={"nodes": 2})
    assert "remove broker-3" in done
    assert living.kafka.acls == OWN


def test_another_super_user_is_a_rolling_restart(living: Living) -> None:
    living.settles()
    done = living.settles(users=[APP, ADMIN | {"super": False}])
    assert done == ["restart broker-2", "restart broker-3", "restart broker-1"]
    assert living.kafka.static[1]["super.users"] == "User:provision;User:CN=provision"


def test_a_file_that_does_not_speak_of_them_has_them_not_even_read(living: Living) -> None:
    living.settles(users=[{"name": "app"}], prune=True)
    assert not [what for what, _ in living.kafka.calls if "acls" in what]


def test_those_that_kafka_refuses_are_told_and_the_rest_is_done(living: Living) -> None:
    living.settles(users=[APP | {"allow": []}, ADMIN])
    living.kafka.refusals = {"User:app": "no such principal"}
    with pytest.raises(PartlyApplied) as caught:
        living.up(users=[APP, ADMIN], acls=[{"user": "*", "allow": ["describe cluster"]}])
    assert caught.value.what == "5 of 6 acls could not be applied"
    assert "acl allow User:app read topic orders: no such principal" in caught.value.why
    assert living.done[-1:] == ["create acl allow User:* describe cluster"]
    living.kafka.refusals = {}
    assert len(living.settles()) == len(OWN)


def test_it_is_done_only_when_every_broker_knows(living: Living) -> None:
    living.settles(users=[{"name": "app", "allow": []}])
    living.kafka.late = 5
    living.kafka.calls.clear()
    living.settles(users=[APP | {"allow": ["describe topic orders"]}])
    assert [about for what, about in living.kafka.calls if what == "acls of"] == [1, 2, 3] * 3


def test_a_broker_that_never_knows_is_named(living: Living) -> None:
    living.settles(users=[{"name": "app", "allow": []}])
    living.kafka.late = 1_000_000
    with pytest.raises(NotReady, match="the ACLs of living are not in force after") as caught:
        living.up(UpOptions(timeout_s=0.5), users=[APP])
    assert caught.value.why == "broker 1 does not know them"


def test_a_saved_plan_is_stale_when_they_changed_since(living: Living) -> None:
    living.settles()
    living.want(acls=[{"user": "*", "allow": ["describe cluster"]}])
    saved = living.plan().saved
    living.kafka.acls |= {OTHER}
    with pytest.raises(Refused, match="the plan is stale"):
        living.up(UpOptions(timeout_s=60.0, saved=saved))
    saved = living.plan().saved
    assert living.up(UpOptions(timeout_s=60.0, saved=saved)).changed


def test_they_are_adopted_as_a_file_says_them(living: Living) -> None:
    entry = {"principal": "User:someone", "operation": "read", "resource": "group", "name": "g"}
    acls = [entry | {"pattern": "prefixed"}, entry | {"host": "10.0.0.1", "permission": "deny"}]
    living.settles(acls=acls, users=[{"name": "app", "allow": ["describe cluster"]}])
    living.kafka.acls |= {ODD}
    adopted = Environment(living.path, runtimes=living.runtimes).adopt()["acls"]
    cluster = {"principal": "User:app", "operation": "describe", "resource": "cluster"}
    assert sorted(adopted, key=str) == sorted([*acls, cluster], key=str)
    assert living.settles(acls=adopted, users=[{"name": "app"}], prune=True) == []


def test_a_cluster_that_asks_for_no_permission_is_adopted_without_a_word_of_them(living: Living) -> None:
    living.settles(users=[{"name": "app"}])
    told: list[object] = []
    adopted = Environment(living.path, runtimes=living.runtimes, on_event=told.append).adopt()
    assert list(adopted) == ["topics"]
    assert not [event for event in told if isinstance(event, Notice)]


def test_a_cluster_that_does_not_tell_its_acls_is_adopted_without_them(
    living: Living, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_access: Access) -> frozenset[Acl]:
        raise KafkaRefused("reading ACLs: Kafka denies this user permission")

    living.settles()
    monkeypatch.setattr("provision.resources.acls.describe_acls", refuse)
    told: list[object] = []
    adopted = Environment(living.path, runtimes=living.runtimes, on_event=told.append).adopt()
    assert "acls" not in adopted
    texts = [event.text for event in told if isinstance(event, Notice)]
    assert texts == ["acls are left out: reading ACLs: Kafka denies this user permission"]


@pytest.mark.parametrize(
    "sections",
    [
        {"acls": [{"user": "admin", "operation": "all", "resource": "topic", "name": "*", "permission": "deny"}]},
        {"acls": [{"principal": "User:provision", "operation": "all", "resource": "cluster", "permission": "deny"}]},
        {"acls": [{"principal": "User:CN=provision", "operation": "all", "resource": "cluster", "permission": "deny"}]},
        {"security": "plaintext", "users": [], "acls": []},
        {"security": "tls", "users": [], "acls": [{"principal": "User:app", "allow": ["all cluster"]}]},
        {"brokers": {"nodes": 3, "properties": {"super.users": "User:app"}}},
        {"brokers": {"nodes": 3, "properties": {"ssl.principal.mapping.rules": "DEFAULT"}}},
        {"brokers": {"nodes": 3, "overrides": {2: {"properties": {"authorizer.class.name": "a.B"}}}}},
    ],
)
def test_a_plan_that_locks_out_whoever_must_not_be_is_refused_and_nothing_changed(
    living: Living, sections: dict[str, object]
) -> None:
    living.settles()
    before = living.state, set(living.kafka.acls)
    for attempt in (living.want(**sections).plan, living.up):
        with pytest.raises(InvalidEnvironment):
            attempt()
    assert (living.state, living.kafka.acls) == before


# -- clusters of others, where provision is no super user --------------------------------------------------------------

ANYBODY = Acl("User:*", "cluster", "kafka-cluster", "all")
US = Acl("User:ANONYMOUS", "cluster", "kafka-cluster", "alter")
THEIRS = Acl("User:them", "cluster", "kafka-cluster", "all")


def _planned(observed: set[Acl], **sections: object) -> dict[str, str]:
    """What a file for a cluster of others would do with these ACLs."""
    spec = load_values({"name": "shared", "bootstrap_servers": "kafka.example:9092", "acls": [], **sections})
    desired = Acls().desired(spec)
    assert desired
    target = Target("shared", Access({1: "kafka.example:9092"}), ThrottleNote(Path("t")), SeedNotes(Path("s")))
    actions = Acls().plan(desired, frozenset(observed), ObservedCluster("id", 1, (), ()), target)
    return {action.name: str(action.verb) for action in actions}


@pytest.mark.parametrize(
    ("observed", "sections", "expected"),
    [
        ({US, OTHER}, {}, {}),
        ({US, OTHER}, {"prune": True}, {str(OTHER): "delete", str(US): "refuse"}),
        ({ANYBODY, US}, {"prune": True}, {str(ANYBODY): "refuse", str(US): "refuse"}),
        ({ANYBODY, US}, {"prune": True, "keep": [f"acl {US}"]}, {str(ANYBODY): "delete"}),
        ({THEIRS, OTHER}, {"prune": True}, {str(OTHER): "delete", str(THEIRS): "delete"}),  # it is a super user
        (
            {ANYBODY, US},
            {"prune": True, "acls": [{"principal": US.principal, "allow": ["alter cluster"]}]},
            {str(ANYBODY): "delete"},
        ),
    ],
)
def test_what_lets_provision_itself_in_is_not_pruned(
    observed: set[Acl], sections: dict[str, object], expected: dict[str, str]
) -> None:
    assert _planned(observed, **sections) == expected


def test_in_a_cluster_of_its_own_it_is_a_super_user(living: Living) -> None:
    living.settles()
    living.kafka.acls |= {ANYBODY}
    assert living.settles(prune=True) == [f"delete acl {ANYBODY}"]


@pytest.mark.parametrize("who", [{"user": "*"}, {"principal": "User:*"}, {"principal": "User:ANONYMOUS"}])
@pytest.mark.parametrize("operation", ["all", "alter", "describe"])
def test_what_would_keep_provision_itself_out_is_refused(who: dict[str, str], operation: str) -> None:
    entry = who | {"operation": operation, "resource": "cluster", "permission": "deny"}
    others = {"name": "shared", "bootstrap_servers": "kafka.example:9092"}
    with pytest.raises(InvalidEnvironment, match="1 problem") as caught:
        load_values({**others, "acls": [entry]})
    assert "kept from all permissions" in caught.value.why
    for harmless in ({"operation": "create"}, {"host": "10.0.0.1"}, {"permission": "allow"}):
        assert load_values({**others, "acls": [entry | harmless]})
