"""Users with SCRAM become what the file says: the whole pipeline on the fake runtime and a Kafka in memory."""

import json
from pathlib import Path
from typing import Any

import pytest

from provision.cluster.layout import container_layout
from provision.cluster.resolve import resolve_without_ports
from provision.environment import Environment
from provision.errors import InvalidEnvironment, NotReady, PartlyApplied, Refused, UsageError
from provision.events import Notice
from provision.kafka.access import Credentials
from provision.observe.reach import access_to
from provision.pipeline import UpOptions
from provision.plan.actions import Plan
from provision.resources.registry import KINDS
from provision.resources.users import Users
from provision.security.acls import Acl
from provision.security.profiles import PLAIN
from provision.spec.loader import load_values
from provision.spec.model import PRUNED
from tests.fake_kafka import Partition, Topic
from tests.test_converge import Living, living_in

OWN = "s3cret-of-app"
APP: dict[str, Any] = {"name": "app", "password": {"env": "APP_PASSWORD"}}
OPS: dict[str, Any] = {"name": "ops", "mechanism": "SCRAM-SHA-256", "iterations": 8192}
ROLLING = {"restart", "recreate"}


@pytest.fixture
def living(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Living:
    monkeypatch.setenv("APP_PASSWORD", OWN)
    found = living_in(tmp_path, monkeypatch)
    found.want(security="sasl-scram", users=[APP, OPS])
    return found


def made(living: Living, user: str) -> str:
    return (living.home.secrets("living").directory / f"user-{user}.password").read_text()


@pytest.mark.parametrize("version", ["2.8.2", "3.9.1"])
def test_those_of_the_file_are_created_with_the_cluster_and_come_and_go_without_a_restart(
    living: Living, version: str
) -> None:
    assert living.settles(kafka={"mode": "zookeeper", "version": version})[-2:] == [
        "create user app",
        "create user ops",
    ]
    assert living.kafka.users == {
        "app": {"SCRAM-SHA-512": (4096, OWN)},
        "ops": {"SCRAM-SHA-256": (8192, made(living, "ops"))},
    }
    assert living.settles(users=[APP, OPS, {"name": "new"}]) == ["create user new"]
    assert living.settles(users=[APP | {"iterations": 5000}, OPS]) == ["configure user app"]
    assert living.kafka.users["app"] == {"SCRAM-SHA-512": (5000, OWN)}
    assert living.settles(users=[APP, OPS | {"mechanism": "SCRAM-SHA-512"}]) == [
        "configure user app",
        "configure user ops",
    ]
    assert living.kafka.users["ops"] == {"SCRAM-SHA-512": (8192, made(living, "ops"))}


def test_a_password_is_in_no_file_of_a_node_and_in_no_plan(living: Living) -> None:
    plan = living.plan().plan
    shown = f"{plan!r} {json.dumps(plan.as_dict())} {plan}"
    living.settles()
    shown += repr(living.told)
    files = [file.content for node in living.plan().files for file in [node]]
    assert files
    assert not any(OWN.encode() in content or made(living, "ops").encode() in content for content in files)
    assert OWN not in shown
    assert made(living, "ops") not in shown


def test_drift_is_shown_and_mended_and_others_stay(living: Living) -> None:
    living.settles()
    del living.kafka.users["ops"]
    living.kafka.users["app"] = {"SCRAM-SHA-512": (4096, "by somebody"), "SCRAM-SHA-256": (4096, "by somebody")}
    living.kafka.users["other"] = {"SCRAM-SHA-256": (4096, "of their own")}
    app, ops = living.plan().plan.actions
    assert (app.resource, app.verb, app.impact) == ("user app", "configure", "dynamic")
    assert app.cause == "iterations changed: SCRAM-SHA-256 4096 → unset; the password is another one"
    assert (ops.resource, ops.verb, ops.cause) == ("user ops", "create", "not there")
    assert living.settles() == ["configure user app", "create user ops"]
    assert living.kafka.users["app"] == {"SCRAM-SHA-512": (4096, OWN)}
    assert "other" in living.kafka.users


def test_another_password_is_given_to_the_running_cluster(living: Living, monkeypatch: pytest.MonkeyPatch) -> None:
    living.settles()
    monkeypatch.setenv("APP_PASSWORD", "another")
    (action,) = living.plan().plan.actions
    assert (action.resource, action.cause) == ("user app", "the password is another one")
    assert living.settles() == ["configure user app"]
    assert living.kafka.users["app"] == {"SCRAM-SHA-512": (4096, "another")}


def test_who_was_taken_from_the_file_is_let_in_until_it_is_pruned_with_consent(living: Living) -> None:
    living.settles()
    told: list[object] = []
    living.want(users=[APP])
    plan = Environment(living.path, runtimes=living.runtimes, on_event=told.append).plan().plan
    assert plan.actions == ()
    (notice,) = [event.text for event in told if isinstance(event, Notice)]
    assert notice == "the cluster lets users in that are not in the file: ops; `prune: true` removes such users"

    def refuse(plan: Plan) -> None:
        assert [action.resource for action in plan.needs_consent] == ["user ops"]
        raise Refused("not agreed to")

    with pytest.raises(Refused, match="not agreed to"):
        living.want(prune=True).up(agree=refuse)
    assert "ops" in living.kafka.users
    assert living.settles() == ["delete user ops"]
    assert list(living.kafka.users) == ["app"]


def test_what_keep_says_stays_when_others_are_pruned(living: Living) -> None:
    living.settles(acls=[], quotas=[])
    living.kafka.users |= {"legacy-1": {"SCRAM-SHA-256": (4096, "")}, "other": {"SCRAM-SHA-256": (4096, "")}}
    kept, gone = (Acl(f"User:{user}", "topic", "t", "read") for user in ("legacy-1", "other"))
    living.kafka.acls |= {kept, gone}
    living.kafka.quotas |= {(("user", user),): {"producer_byte_rate": 1.0} for user in ("legacy-1", "other")}
    for name in ("legacy-1", "other"):
        living.kafka.topics[name] = Topic([Partition((1, 2, 3))], {})
    patterns = ["topic legacy-*", "user legacy-*", "acl allow User:legacy-1 *", "quota user legacy-1"]
    expected = ["delete topic other", "delete user other", f"delete acl {gone}", "delete quota user other"]
    assert living.settles(prune=True, keep=patterns) == expected
    assert living.settles(keep=["topic *", "user *", "acl *", "quota *"]) == []
    assert len(living.settles(keep=[])) == len(expected)


@pytest.mark.parametrize("wrong", ["legacy-*", "topic", "topic ", "node x", 5, None, "topic a\nb", "*"])
def test_a_pattern_of_keep_says_of_what(living: Living, wrong: object) -> None:
    with pytest.raises(InvalidEnvironment) as caught:
        living.up(keep=[wrong])
    assert "must be one of topic, user, acl, quota, then a name" in caught.value.why


def test_the_words_of_keep_are_those_of_plans() -> None:
    assert [kind.name for kind in KINDS] == list(PRUNED)


def test_one_that_kafka_refuses_does_not_stop_the_others(living: Living) -> None:
    living.kafka.refusals = {"app": "too few iterations"}
    with pytest.raises(PartlyApplied) as caught:
        living.up(UpOptions(retain=True))
    assert "user app: too few iterations" in caught.value.why
    assert list(living.kafka.users) == ["ops"]
    living.kafka.refusals = {}
    assert living.settles() == ["create user app"]


def test_every_broker_knows_them_when_up_ends_or_it_says_which_does_not(living: Living) -> None:
    living.kafka.late = 5
    living.settles()
    living.kafka.late = 1_000_000
    with pytest.raises(NotReady) as caught:
        living.up(UpOptions(timeout_s=0.5), users=[APP, OPS, {"name": "new"}])
    assert "broker 1 does not know them" in caught.value.why


def test_a_saved_plan_is_bound_to_who_is_there(living: Living) -> None:
    living.settles()
    before = living.plan().saved
    living.kafka.users["app"] = {"SCRAM-SHA-512": (4096, "by somebody")}
    with pytest.raises(Refused):
        before.require_fresh(living.plan().saved)


def test_with_tls_those_with_scram_are_kept_by_the_cluster_and_the_others_by_the_nodes(living: Living) -> None:
    plain = {"name": "plain"}
    done = living.settles(security="sasl-tls", users=[APP, OPS, plain])
    assert done[-1] == "create user ops"  # and no other user
    assert living.kafka.users == {"ops": {"SCRAM-SHA-256": (8192, made(living, "ops"))}}
    assert living.settles(users=[APP, OPS, plain, {"name": "new", "mechanism": "SCRAM-SHA-512"}]) == ["create user new"]
    assert living.kafka.users["new"] == {"SCRAM-SHA-512": (4096, made(living, "new"))}
    (secrets,) = [
        file.text for file in living.runtime.read_files("living", "broker-1") if file.name == "secrets.properties"
    ]
    assert {line.partition("=")[0] for line in secrets.splitlines()} >= {"password.app", "password.plain"}
    assert "password.ops" not in secrets
    assert "password.new" not in secrets


def test_who_changes_from_scram_to_plain_is_let_in_in_the_new_way_alone(living: Living) -> None:
    living.settles(security="sasl-tls", users=[OPS])
    ops = {"name": "ops", "mechanism": "PLAIN"}
    (action,) = [one for one in living.want(users=[ops]).plan().plan.actions if one.resource == "user ops"]
    assert (action.verb, action.cause) == ("configure", "its mechanism is PLAIN in the file")
    assert [str(one) for one in action.changes] == ["SCRAM-SHA-256 8192 → unset"]
    assert living.settles()[-1] == "configure user ops"
    assert living.kafka.users == {}


def test_who_changes_from_plain_to_scram_gets_in_at_every_broker_all_the_time(living: Living) -> None:
    living.settles(security="sasl-tls", users=[{"name": "ops"}, APP])
    living.want(users=[OPS, APP])
    who = [Credentials(mechanism, "ops", made(living, "ops")) for mechanism in (PLAIN, OPS["mechanism"])]
    let_in: list[list[str]] = []
    following = living.runtime.on_verb

    def on_verb(verb: str, subject: str) -> None:
        following(verb, subject)
        if verb == "stop_node":
            access = access_to(living.runtime.observe("living"))
            let_in.extend(
                [one.mechanism for one in who if living.kafka.lets_in(access, broker, one)] for broker in access.brokers
            )

    living.runtime.on_verb = on_verb
    done = living.settles()
    assert done[0] == "create user ops"
    assert {step.partition(" ")[0] for step in done[1:]} <= ROLLING
    assert all("SCRAM-SHA-256" in found for found in let_in)
    assert [PLAIN, "SCRAM-SHA-256"] in let_in
    assert ["SCRAM-SHA-256"] in let_in


def test_users_come_last_where_brokers_let_nobody_in_by_scram_before(living: Living) -> None:
    living.settles(security="tls", users=[])
    done = living.settles(security="sasl-tls", users=[OPS])
    assert done[-1] == "create user ops"


def test_who_was_removed_from_the_cluster_by_hand_is_not_told_to_use_plain(living: Living) -> None:
    living.settles(security="sasl-tls", users=[OPS, APP])
    environment = Environment(living.path, runtimes=living.runtimes)
    assert "SCRAM-SHA-256" in environment.client_config("properties", "ops").text
    assert "sasl.mechanism=PLAIN" in environment.client_config("properties", "app").text
    del living.kafka.users["ops"]
    with pytest.raises(UsageError) as caught:
        environment.client_config("properties", "ops")
    assert caught.value.what == "the cluster does not know the user ops"
    assert caught.value.hint == "`provision up` makes the file's users"
    assert living.settles() == ["create user ops"]
    assert "SCRAM-SHA-256" in environment.client_config("properties", "ops").text


def test_users_with_plain_are_planned_in_the_order_of_the_file() -> None:
    names = [f"user-{number}" for number in (3, 1, 4, 15, 9, 2, 6)]
    users = [{"name": name} for name in names] + [{"name": "kept", "mechanism": "SCRAM-SHA-256"}]
    spec = load_values({"name": "dev", "security": "sasl-tls", "users": users}, (), lambda _: None)
    desired = Users().desired(spec)
    assert desired is not None
    assert (desired.plain, list(desired.users)) == (tuple(names), ["kept"])


def test_a_cluster_that_can_keep_users_is_asked_for_them_and_one_that_cannot_is_not(living: Living) -> None:
    living.settles(security="sasl-tls", users=[APP])
    living.kafka.users["other"] = {"SCRAM-SHA-256": (4096, "of their own")}
    assert living.settles(prune=True) == ["delete user other"]
    for version, keeps in (("3.4.1", False), ("3.5.2", True)):
        spec = load_values({"name": "orders", "kafka": {"mode": "kraft", "version": version}, "security": "sasl-tls"})
        assert (Users().desired(spec) is not None) is keeps
        broker = resolve_without_ports(spec, container_layout(spec)).brokers[0]
        asked = broker.properties["listener.name.host_sasl_tls.sasl.enabled.mechanisms"]
        assert asked == ("PLAIN,SCRAM-SHA-256,SCRAM-SHA-512" if keeps else "PLAIN")


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        (
            {"kafka": {"mode": "kraft", "version": "3.4.1"}},
            "in KRaft mode Kafka keeps SCRAM users from 3.5.0 on",
        ),
        (
            {"users": [{"name": "app", "mechanism": "PLAIN"}]},
            "at listeners of sasl-scram, no user gets in by PLAIN (use SCRAM-SHA-256 or SCRAM-SHA-512)",
        ),
        ({"users": [{"name": "app", "mechanism": 5}]}, "must be one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"),
        ({"users": [{"name": "app", "mechanism": None}]}, "must be one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"),
        (
            {"kafka": {"mode": "kraft", "version": "3.4.1"}, "security": "sasl-tls", "users": [OPS]},
            "users[0].mechanism: in KRaft mode Kafka keeps SCRAM users from 3.5.0 on, not 3.4.1",
        ),
        (
            {"security": "sasl-tls", "users": [APP | {"iterations": 5000}]},
            "users[0].iterations: nothing is hashed with PLAIN",
        ),
        (
            {"security": {"HOST": "tls", "INTERNAL": "sasl-tls"}, "users": [OPS]},
            "users[0].mechanism: with security: HOST=tls INTERNAL=sasl-tls CONTROLLER=sasl-tls no user has SCRAM",
        ),
        ({"users": [{"name": "app", "iterations": 4095}]}, "must be a number from 4096 to 16384"),
        ({"users": [{"name": "app", "iterations": True}]}, "must be a number from 4096 to 16384"),
        ({"users": [{"name": "app", "iterations": "5000"}]}, "must be a number from 4096 to 16384"),
        ({"users": [{"name": "provision"}]}, "provision is the cluster's own user"),
        ({"security": "sasl-plain", "users": [OPS]}, "with security: sasl-plain no user has SCRAM"),
        (
            {"security": "mtls", "users": [{"name": "app", "iterations": 5000}]},
            "with security: mtls no user has a password",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_the_place(living: Living, sections: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidEnvironment) as caught:
        living.up(**sections)
    assert said in caught.value.why


@pytest.mark.parametrize("kafka", [{"mode": "zookeeper", "version": "2.8.2"}, {"mode": "kraft", "version": "3.5.2"}])
def test_versions_that_keep_users_are_taken(living: Living, kafka: dict[str, str]) -> None:
    assert living.want(kafka=kafka).plan().plan.actions


def test_topics_apply_leaves_users_to_up_which_knows_their_passwords(living: Living) -> None:
    living.settles()
    environment = Environment(living.path, runtimes=living.runtimes)
    before = dict(living.kafka.users)
    living.kafka.users["other"] = {"SCRAM-SHA-256": (4096, "of their own")}
    living.want(users=[APP, OPS, {"name": "new"}], topics=[{"name": "t", "partitions": 1}], prune=True)
    assert [action.resource for action in environment.plan_resources().actions] == ["topic t"]
    assert environment.apply_resources().actions
    assert living.kafka.users == before | {"other": living.kafka.users["other"]}
    assert living.settles() == ["create user new", "delete user other"]
