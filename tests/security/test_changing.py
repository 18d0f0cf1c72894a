"""Another `security` while nodes are running: in phases, with both ways open, from wherever it was cut off."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from provision import Environment, UpOptions
from provision.cli.plans import plan_lines
from provision.cluster.model import MAIN_FILES, RenderedFile, Role
from provision.cluster.properties import parse
from provision.common.values import replace
from provision.errors import Refused, UsageError
from provision.home.secrets import WHERE
from provision.observe.reach import access_to
from provision.plan.actions import Action, NodeTarget, Plan, Verb
from provision.plan.observed import NodeState, ObservedEnvironment, ObservedNode
from provision.plan.securing import CLOSE_PHASE, MOVE_PHASE, OPEN_PHASE
from provision.security.profiles import PROFILES
from provision.spec.listeners import security_of
from tests.security.test_ensemble import understood
from tests.security.test_environments import NAME, Closed

SOON = UpOptions(timeout_s=60.0)
PHASES = (OPEN_PHASE, MOVE_PHASE, CLOSE_PHASE)
PAIRS = list(itertools.permutations(PROFILES, 2))
THREE: dict[str, Any] = {"brokers": {"nodes": 3, "port": "auto"}}
KRAFT: dict[str, Any] = {"kafka": {"version": "3.9.1", "mode": "kraft"}}
SHAPES: dict[str, dict[str, Any]] = {
    "zookeeper": THREE,
    "ensemble": THREE | {"zookeeper": {"nodes": 3}},
    "combined": THREE | KRAFT,
    "some vote": KRAFT | {"brokers": {"nodes": 4, "port": "auto"}},
    "dedicated": KRAFT | {"controllers": {"nodes": 3}},
}
every_shape = pytest.mark.parametrize("shape", SHAPES)
TABLE = [
    pytest.param(*pair, shape, marks=[] if number % len(SHAPES) == turn else [pytest.mark.soak])
    for number, pair in enumerate(PAIRS)
    for turn, shape in enumerate(SHAPES)
]
"""Every pair of profiles, by turns in one of the shapes; in all of them under `make test-soak`."""


class Killed(BaseException):
    """What nothing catches."""


class Changing(Closed):
    """It notes by which profiles clients get in whenever a node stops, and that the nodes understand each other."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.seen: list[list[frozenset[str]]] = []
        self.kept: list[frozenset[str]] = []
        self.left = -1
        objections = self.runtime.on_verb

        def on_verb(verb: str, subject: str) -> None:
            if self.left == 0:
                raise Killed
            self.left -= 1
            objections(verb, subject)
            if verb == "stop_node":
                self.understand_each_other()
                self.kept.append(self.store.names)

        self.runtime.on_verb = on_verb
        self.runtime.endpoint_of = lambda node: None if node.role is Role.ZOOKEEPER else node.endpoint  # type: ignore[method-assign]

    def like(self, shape: str, security: str, **values: Any) -> Environment:  # noqa: ANN401
        """An environment of this shape, secured so, with a user where there can be one."""
        users = {"users": [{"name": "app"}]} if PROFILES[security].knows_users else {}
        return self.of(security, **(SHAPES[shape] | users | values))

    def by_listener(self, shape: str, file: Mapping[str, Any]) -> Environment:
        """An environment of this shape with that part of a file."""
        users = {"users": [{"name": "app"}]} if {"sasl-tls", "mtls", "sasl-plain"} & {*_profiles(file)} else {}
        values: dict[str, Any] = {"security": "plaintext", **SHAPES[shape], **users, **file}
        if "listeners" in file:
            values["brokers"] = {"nodes": values.get("brokers", {}).get("nodes", 2)}
        return self.of(**values)

    def main_file(self, node: ObservedNode) -> dict[str, str]:
        """What it was started with."""
        name = MAIN_FILES[Role.parse(node.name)[0]]
        return parse(next(file.text for file in self.runtime.read_files(NAME, node.name) if file.name == name))

    def understand_each_other(self) -> None:
        """Each running node finds open at every other one what it uses itself, and is secured there as it expects."""
        observed = self.runtime.observe(NAME)
        nodes = [node for node in observed.nodes if node.state is NodeState.RUNNING and node.role != Role.ZOOKEEPER]
        files = {node.name: self.main_file(node) for node in nodes}
        for file in files.values():  # as Kafka demands it
            assert len(set(_listeners(file).values())) == len(_listeners(file))
        for one, other in itertools.permutations(files, 2):
            listeners, protocols = _listeners(files[other]), _protocols(files[other])
            used = [files[one]["inter.broker.listener.name"]] if "broker" in one and "broker" in other else []
            for name in used:
                assert name in listeners, (one, other)
                assert _protocols(files[one])[name] == protocols[name]
            controllers = files[one].get("controller.listener.names", "").split(",")[:1]
            if controllers != [""] and controllers[0] in listeners:
                ports = {port.rpartition(":")[2] for port in files[one]["controller.quorum.voters"].split(",")}
                assert listeners[controllers[0]] in ports
            elif controllers != [""]:
                assert "controller" not in files[other]["process.roles"], (one, other)
        understood(self)
        brokers = [node for node in observed.of_role(Role.BROKER) if node.state is NodeState.RUNNING]
        self.seen.append([frozenset(node.open_ways) for node in brokers])
        assert len(access_to(observed).brokers) == len(brokers)

    def up(self, environment: Environment) -> None:
        """Bring it up, with nodes that understand each other in the end too."""
        environment.up(SOON)
        self.understand_each_other()

    def is_killed(self, environment: Environment, after: int) -> bool:
        """Let it be killed after so many changes; False if it had less to do."""
        self.left = after
        try:
            environment.up(SOON)
        except Killed:
            return True
        finally:
            self.left = -1
        return False


def _profiles(file: Mapping[str, Any]) -> Iterator[str]:
    said = file.get("security", {})
    yield from [said] if isinstance(said, str) else said.values()
    yield from (one["security"] for one in file.get("listeners", {}).values() if "security" in one)


def _listeners(file: dict[str, str]) -> dict[str, str]:
    """Port by name."""
    parts = (one.partition("://") for one in file["listeners"].split(","))
    return {name: address.rpartition(":")[2] for name, _, address in parts}


def _protocols(file: dict[str, str]) -> dict[str, str]:
    return dict(one.split(":") for one in file["listener.security.protocol.map"].split(","))


@pytest.fixture
def changing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Changing]:
    made = Changing(tmp_path)
    made.kafka.speak(monkeypatch)
    yield made
    assert made.seen


def rolled(plan: Plan) -> list[Action]:
    """Its restarts."""
    return [action for action in plan.actions if action.verb in (Verb.RESTART, Verb.RECREATE)]


@pytest.mark.parametrize(("before", "after", "shape"), TABLE)
def test_every_change_goes_in_phases_with_both_ways_open(
    changing: Changing, shape: str, before: str, after: str
) -> None:
    changing.up(changing.like(shape, before))
    endpoints = changing.runtime.observe(NAME).broker_endpoints
    environment = changing.like(shape, after)
    plan = environment.plan().plan
    brokers = [(action.phase, action.name) for action in rolled(plan) if action.name.startswith("broker")]
    assert [phase for phase, _ in brokers] == [phase for phase in PHASES for _ in endpoints]
    assert sorted(name for _, name in brokers) == sorted(f"broker-{n}" for n in endpoints for _ in PHASES)
    changing.seen.clear()
    changing.kept.clear()
    old = changing.store.names
    changing.up(environment)
    assert all(old <= names for names in changing.kept)  # those of the old way work until it is closed
    made = environment.plan().material.files.keys()
    assert changing.store.names == {*made, *([WHERE] if made else [])}
    assert all(frozenset.intersection(*ways) for ways in changing.seen)
    assert [frozenset([before, after])] * len(endpoints) in changing.seen
    observed = changing.runtime.observe(NAME)
    assert observed.broker_endpoints == endpoints
    assert {node.open_ways[after] for node in observed.of_role(Role.BROKER)} == set(endpoints.values())
    assert changing.seen[-1] == [frozenset([after])] * len(endpoints)
    assert not environment.plan().plan.changes
    leases = changing.runtimes.home.ports.held(NAME)
    assert not [name for name in leases if name.endswith("/second")]


@every_shape
def test_clients_get_in_the_old_way_at_the_same_address_until_the_last_phase(changing: Changing, shape: str) -> None:
    changing.up(changing.like(shape, "plaintext"))
    before = {node.name: node.endpoint for node in changing.runtime.observe(NAME).of_role(Role.BROKER)}
    environment = changing.like(shape, "sasl-tls")
    for action in environment.plan().plan.actions:
        node = getattr(action.subject, "node", None)
        if node and node.role is Role.BROKER and action.phase in (OPEN_PHASE, MOVE_PHASE):
            ways = {one.security: one.endpoint for one in node.host_listeners}
            assert ways["plaintext"] == node.endpoint == before[node.name]
            assert ways["sasl-tls"] != node.endpoint


@pytest.mark.parametrize(
    ("shape", "before", "after"),
    [
        ("zookeeper", "plaintext", "sasl-tls"),
        ("ensemble", "plaintext", "mtls"),
        pytest.param("ensemble", "sasl-scram", "plaintext", marks=pytest.mark.soak),
        pytest.param("ensemble", "tls", "sasl-plain", marks=pytest.mark.soak),
        ("combined", "plaintext", "sasl-tls"),
        pytest.param("combined", "sasl-tls", "plaintext", marks=pytest.mark.soak),
        ("dedicated", "mtls", "sasl-scram"),
    ],
)
@pytest.mark.parametrize("every", [9, pytest.param(1, marks=pytest.mark.soak)])
def test_wherever_it_is_killed_the_next_up_goes_on_or_back(
    tmp_path: Path, shape: str, before: str, after: str, every: int
) -> None:
    for step, wanted in ((step, wanted) for step in itertools.count(step=every) for wanted in (before, after)):
        if every > 1 and (step // every % 2 == 0) is (wanted == before):  # on and back by turns
            continue
        with pytest.MonkeyPatch.context() as patched:
            changing = Changing(tmp_path / f"{step}-{wanted}")
            changing.kafka.speak(patched)
            changing.up(changing.like(shape, before))
            if not changing.is_killed(changing.like(shape, after), step):
                break
            environment = changing.like(shape, wanted)
            changing.up(environment)
            assert set(changing.seen[-1]) == {frozenset([wanted])}
            assert not environment.plan().plan.changes
            assert access_to(changing.runtime.observe(NAME)).protocol == PROFILES[wanted].protocol
    assert step > 20


def test_a_plan_names_its_phases(changing: Changing) -> None:
    changing.up(changing.like("zookeeper", "plaintext"))
    more = {"brokers": {"nodes": 3, "port": "auto", "properties": {"log.retention.ms": 7}}}
    lines = [*plan_lines(changing.like("zookeeper", "sasl-tls", **more).plan().plan)]
    assert [" ".join(line.split()) for line in lines] == [
        "↻ restart zookeeper-1 rolling open: sasl-tls opened beside plaintext",
        "↻ recreate broker-1 … 3 open: sasl-tls opened beside plaintext; log.retention.ms unset → 7",
        "↻ restart broker-1 … 3 rolling move: every node listens with sasl-tls then: sasl-tls between nodes",
        "↻ restart zookeeper-1 rolling close: no node uses plaintext then: plaintext closed",
        "↻ recreate broker-1 … 3 close: no node uses plaintext then: plaintext closed",
        f"{NAME}: 5 to restart, 6 to recreate",
    ]


def test_a_node_that_is_alone_restarts_once(changing: Changing) -> None:
    alone = {"brokers": {"nodes": 1, "port": "auto"}}
    changing.up(changing.like("combined", "plaintext", **alone))
    environment = changing.like("combined", "sasl-tls", **alone)
    assert [(action.name, action.verb, action.phase) for action in environment.plan().plan.actions] == [
        ("broker-1", Verb.RESTART, "")
    ]
    changing.up(environment)
    assert changing.seen[-1] == [frozenset(["sasl-tls"])]


@pytest.mark.parametrize(
    ("before", "after", "order"),
    [
        ("plaintext", "sasl-tls", ["open zookeeper-1", "open broker-1", "close zookeeper-1"]),
        ("sasl-tls", "plaintext", ["open zookeeper-1", "open broker-1", "move broker-1", "close zookeeper-1"]),
        ("sasl-tls", "mtls", [" broker-1"]),
    ],
)
def test_a_broker_that_is_alone_still_understands_zookeeper(
    changing: Changing, before: str, after: str, order: list[str]
) -> None:
    alone = {"brokers": {"nodes": 1, "port": "auto"}}
    changing.up(changing.like("zookeeper", before, **alone))
    environment = changing.like("zookeeper", after, **alone)
    assert [f"{action.phase} {action.name}" for action in rolled(environment.plan().plan)] == order
    changing.up(environment)
    assert changing.seen[-1] == [frozenset([after])]
    assert not environment.plan().plan.changes


@pytest.mark.parametrize("brokers", [2, 3])
@pytest.mark.parametrize("shape", ["zookeeper", "ensemble"])
def test_a_broker_that_starts_before_zookeeper_takes_tls_goes_without_it_at_first(
    changing: Changing, shape: str, brokers: int
) -> None:
    few = {"brokers": {"nodes": brokers, "port": "auto"}}
    changing.up(changing.like(shape, "plaintext", **few))
    following, changing.runtime.on_verb = changing.runtime.on_verb, lambda _verb, _subject: None
    changing.runtime.stop_node(NAME, "broker-2", 1.0)
    changing.runtime.on_verb = following
    environment = changing.like(shape, "sasl-tls", **few)
    uses = {
        action.phase: b"zookeeper.ssl.client.enable=true" in file.content
        for action in environment.plan().plan.actions
        if isinstance(action.subject, NodeTarget) and action.name == "broker-2" and action.verb is not Verb.START
        for file in action.subject.files
        if file.name == "server.properties"
    }
    assert list(uses.items())[:2] == [("open", False), ("move", True)]
    changing.up(environment)
    assert changing.seen[-1] == [frozenset(["sasl-tls"])] * brokers


def test_a_plan_that_is_refused_or_only_shown_changes_nothing(changing: Changing) -> None:
    changing.up(changing.like("combined", "plaintext"))
    observed, ports = changing.runtime.observe(NAME), changing.runtimes.home.ports.of(NAME)
    environment = changing.like("combined", "sasl-tls")
    environment.plan()

    def refuse(_plan: object) -> None:
        raise Refused("no")

    with pytest.raises(Refused, match="no"):
        environment.up(SOON, agree=refuse)
    assert changing.runtime.observe(NAME) == observed
    assert changing.runtimes.home.ports.of(NAME) == ports
    assert not changing.store.is_there


@pytest.mark.parametrize(
    ("values", "why", "what_to_do"),
    [
        pytest.param({"brokers": {"nodes": 2, "port": "auto"}}, "broker-3 would leave", "one change after", id="fewer"),
        pytest.param({"kafka": {"version": "3.9.2"}}, "kafka.version changes", "one change after", id="version"),
        pytest.param({"templates": "own"}, "broker-1 would not open", "have it open all", id="own template"),
        pytest.param({"storage": "memory"}, "its data would be left behind", "provision down", id="storage"),
    ],
)
def test_what_cannot_be_done_meanwhile_is_refused_with_the_reason(
    changing: Changing,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    values: dict[str, Any],
    why: str,
    what_to_do: str,
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "server.properties.j2").write_text("broker.id={{ node.id }}\nlisteners=HOST://:9092\n")
    monkeypatch.chdir(tmp_path)
    changing.up(changing.like("zookeeper", "plaintext"))
    before = changing.runtime.observe(NAME)
    with pytest.raises(Refused) as caught:
        changing.like("zookeeper", "sasl-tls", **values).up(SOON)
    assert why in caught.value.why
    assert what_to_do in caught.value.hint
    assert changing.runtime.observe(NAME) == before


def test_a_third_profile_waits_until_the_change_has_ended(changing: Changing) -> None:
    changing.up(changing.like("combined", "plaintext"))
    assert changing.is_killed(changing.like("combined", "sasl-tls"), 8)
    with pytest.raises(Refused) as caught:
        changing.like("combined", "mtls").up(SOON)
    assert "it is still going between plaintext and sasl-tls" in caught.value.why
    assert "with one of these first" in caught.value.hint


def test_brokers_can_come_at_the_same_time(changing: Changing) -> None:
    changing.up(changing.like("combined", "sasl-plain"))
    more = {"brokers": {"nodes": 4, "port": "auto"}}
    changing.up(changing.like("combined", "tls", **more))
    assert changing.seen[-1] == [frozenset(["tls"])] * 4


def test_users_who_are_no_longer_in_the_file_get_in_until_the_last_phase(changing: Changing) -> None:
    changing.up(changing.like("zookeeper", "sasl-tls"))
    password = changing.store.path("user-app.password").read_bytes()
    plan = changing.like("zookeeper", "plaintext").plan().plan
    for action in rolled(plan):
        assert isinstance(action.subject, NodeTarget)
        if action.subject.node.role is Role.ZOOKEEPER:
            continue
        files = {file.name: file.content for file in action.subject.files}
        meanwhile = action.phase != CLOSE_PHASE
        assert (b"user_app=" in files["server.properties"]) is meanwhile
        assert (password in files.get("secrets.properties", b"")) is meanwhile
    assert {action.phase for action in rolled(plan)} == set(PHASES)
    assert password.decode() not in f"{plan.as_dict()}"


def give_no_secrets_back(changing: Changing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the runtime tell of secret files only what identifies them, as a swarm does."""
    read = changing.runtime.read_files

    def identities(name: str, node: str) -> tuple[RenderedFile, ...]:
        return tuple(
            replace(file, content=b"", digest=file.identity) if file.secret else file for file in read(name, node)
        )

    monkeypatch.setattr(changing.runtime, "read_files", identities)


@pytest.mark.parametrize(
    ("before", "after"), [("sasl-tls", "mtls"), ("mtls", "sasl-tls"), ("plaintext", "sasl-scram"), ("tls", "plaintext")]
)
@pytest.mark.parametrize("cut_after", [0, 8, 16, 24])
def test_where_secrets_are_not_given_back_those_that_are_kept_stand_for_them(
    changing: Changing, monkeypatch: pytest.MonkeyPatch, before: str, after: str, cut_after: int
) -> None:
    changing.up(changing.like("dedicated", before))
    give_no_secrets_back(changing, monkeypatch)
    environment = changing.like("dedicated", after)
    if cut_after:
        assert changing.is_killed(environment, cut_after)
    changing.up(environment)
    assert set(changing.seen[-1]) == {frozenset([after])}
    assert not environment.plan().plan.changes


def test_secrets_that_are_neither_given_back_nor_kept_keep_the_security_as_it_is(
    changing: Changing, monkeypatch: pytest.MonkeyPatch
) -> None:
    changing.up(changing.like("dedicated", "sasl-tls"))
    give_no_secrets_back(changing, monkeypatch)
    (refusal,) = changing.like("dedicated", "plaintext").plan().plan.actions  # without the user whom the nodes know
    assert refusal.verb is Verb.REFUSE
    assert "a swarm does not give them back" in refusal.cause
    assert "broker-1" in refusal.cause
    assert "undo what else has changed" in refusal.detail


def on_a_swarm(changing: Changing, monkeypatch: pytest.MonkeyPatch, publish: str) -> dict[str, Any]:
    """Let brokers be on a swarm whose engines publish their ports or do not; returns what the file says of it."""
    changing.runtime.kind = "swarm"  # type: ignore[misc]
    changing.runtimes.answers = {**changing.runtimes.answers, "swarm": changing.runtime}
    observe = changing.runtime.observe

    def observed(*asked: Any) -> ObservedEnvironment:  # noqa: ANN401
        there = observe(*asked)
        return replace(there, nodes=tuple(replace(node, published=publish == "host") for node in there.nodes))

    monkeypatch.setattr(changing.runtime, "observe", observed)
    return {"runtime": "swarm", "swarm": {"publish": publish}}


@pytest.mark.parametrize(
    ("before", "after"), [("plaintext", "sasl-tls"), ("mtls", "sasl-tls"), ("sasl-tls", "plaintext"), ("tls", "mtls")]
)
@pytest.mark.parametrize("shape", ["combined", "dedicated"])
def test_in_a_network_without_published_ports_each_listener_is_reached_where_it_listens(
    changing: Changing, monkeypatch: pytest.MonkeyPatch, shape: str, before: str, after: str
) -> None:
    swarm = on_a_swarm(changing, monkeypatch, "none")
    changing.up(changing.like(shape, before, **swarm))
    following, ways = changing.runtime.on_verb, []

    def on_verb(verb: str, subject: str) -> None:
        following(verb, subject)
        for node in changing.runtime.observe(NAME).of_role(Role.BROKER):
            listens = _listeners(changing.main_file(node))
            ways.append(len(node.ways))
            for way in node.ways:
                assert way.endpoint == f"{NAME}-{node.name}:{listens[way.name]}"

    changing.runtime.on_verb = on_verb
    changing.up(changing.like(shape, after, **swarm))
    assert max(ways) == 2
    assert not changing.like(shape, after, **swarm).plan().plan.changes


@pytest.mark.parametrize(("before", "after"), [("none", "host"), ("host", "none")])
def test_whether_ports_are_published_changes_one_broker_at_a_time_but_not_together_with_the_security(
    changing: Changing, monkeypatch: pytest.MonkeyPatch, before: str, after: str
) -> None:
    """Else the old listeners, which are open until the end, would be published too."""
    changing.up(changing.like("dedicated", "mtls", **on_a_swarm(changing, monkeypatch, before)))
    swarm = {"runtime": "swarm", "swarm": {"publish": after}}
    (refusal,) = changing.like("dedicated", "sasl-tls", **swarm).plan().plan.actions
    assert refusal.verb is Verb.REFUSE
    assert "swarm.publish changes at the same time" in refusal.cause
    assert "one change after the other" in refusal.detail
    plan = changing.like("dedicated", "mtls", **swarm).plan().plan
    assert {(action.name, action.verb) for action in plan.actions} == {
        ("broker-1", Verb.RECREATE),
        ("broker-2", Verb.RECREATE),
    }


PERMITTED = {"users": [{"name": "app", "allow": ["read topic orders"]}, {"name": "root", "super": True}]}


@pytest.mark.parametrize(
    ("before", "after", "phases"),
    [
        pytest.param("plaintext", "sasl-tls", [CLOSE_PHASE], id="only once nobody is without a name"),
        pytest.param("mtls", "sasl-tls", [*PHASES], id="all the time"),
        pytest.param("mtls", "plaintext", [], id="no longer"),
    ],
)
def test_permissions_are_asked_for_only_while_all_nodes_say_who_they_are(
    changing: Changing, before: str, after: str, phases: list[str]
) -> None:
    changing.up(changing.like("combined", before, **(PERMITTED if PROFILES[before].knows_users else {})))
    plan = changing.like("combined", after, **(PERMITTED if PROFILES[after].knows_users else {})).plan().plan
    found: list[str] = []
    for action in rolled(plan):
        assert isinstance(action.subject, NodeTarget)
        (main,) = (file.text for file in action.subject.files if file.name == "server.properties")
        if "authorizer.class.name=" in main:
            assert "User:provision" in parse(main)["super.users"]
            found.append(action.phase)
    assert list(dict.fromkeys(found)) == phases


def test_what_runs_with_the_old_security_is_not_given_another_authority(changing: Changing) -> None:
    """A plan that was cut off before its first node is one that has begun: nothing trusts what was not kept."""
    changing.up(changing.like("combined", "plaintext"))
    assert changing.is_killed(changing.like("combined", "tls"), 1)
    changing.up(changing.like("combined", "tls"))
    changing.store.forget()
    with pytest.raises(Refused, match=f"the secrets of {NAME} are not in"):
        changing.like("combined", "tls").plan()


PLAIN, SECURE = {"security": "plaintext"}, {"security": "sasl-tls"}
BY_LISTENER: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "one more, which nodes use": (
        {"listeners": {"plain": PLAIN}},
        {"listeners": {"plain": PLAIN, "secure": SECURE}, "security": {"INTERNAL": "sasl-tls"}},
    ),
    "others": ({}, {"listeners": {"plain": PLAIN, "secure": SECURE}, "security": {"INTERNAL": "sasl-tls"}}),
    "no longer several": ({"listeners": {"plain": PLAIN, "secure": SECURE}, "security": {"INTERNAL": "tls"}}, {}),
    "that of clients": ({}, {"security": {"HOST": "sasl-tls", "INTERNAL": "plaintext"}}),
    "that of nodes": ({}, {"security": {"HOST": "plaintext", "INTERNAL": "mtls"}}),
    "first nodes, then clients": ({"security": {"HOST": "plaintext", "INTERNAL": "tls"}}, {"security": "tls"}),
    "one of several": (
        {"listeners": {"a": PLAIN, "b": PLAIN}, "security": {"INTERNAL": "tls"}},
        {"listeners": {"a": PLAIN, "b": SECURE}, "security": {"INTERNAL": "mtls"}},
    ),
    "names": ({"listeners": {"a": PLAIN, "b": PLAIN}}, {"listeners": {"c": PLAIN}}),
}
RUNTIMES = ("fake", "process")
OF_CONTROLLERS = "that of controllers"
BY_LISTENER_IN_KRAFT = BY_LISTENER | {
    OF_CONTROLLERS: (
        {"security": {"HOST": "tls", "INTERNAL": "mtls", "CONTROLLER": "plaintext"}},
        {"security": {"HOST": "tls", "INTERNAL": "mtls", "CONTROLLER": "sasl-plain"}},
    )
}
BY_TURNS = [
    pytest.param(name, shape, kind, marks=[] if (number + turn) % 5 == 0 else [pytest.mark.soak])
    for number, name in enumerate(BY_LISTENER_IN_KRAFT)
    for turn, (shape, kind) in enumerate(itertools.product(("zookeeper", "combined", "dedicated"), RUNTIMES))
    if shape != "zookeeper" or name in BY_LISTENER
]


@pytest.mark.parametrize(("change", "shape", "kind"), BY_TURNS)
def test_listeners_change_in_phases_and_those_that_stay_are_not_interrupted(
    changing: Changing, change: str, shape: str, kind: str
) -> None:
    changing.runtime.kind = kind  # type: ignore[misc]
    before, after = (changing.by_listener(shape, file) for file in BY_LISTENER_IN_KRAFT[change])
    changing.up(before)
    listeners = {node.name: set(node.ways) for node in changing.runtime.observe(NAME).of_role(Role.BROKER)}
    old = changing.store.names
    plan = after.plan().plan
    phases = list(dict.fromkeys(action.phase for action in rolled(plan)))
    assert phases in ([*PHASES], [OPEN_PHASE, CLOSE_PHASE])
    changing.kept.clear()
    changing.up(after)
    assert all(old <= names for names in changing.kept)
    assert not after.plan().plan.changes
    wanted = {name: profile.name for name, profile in security_of(after.source.load()).host}
    for node in changing.runtime.observe(NAME).of_role(Role.BROKER):
        assert {one.known_as: one.security for one in node.ways} == wanted
        assert not any(one.temporary for one in node.ways)
        staying = {one for one in listeners[node.name] if (one.known_as, one.security) in wanted.items()}
        assert staying <= set(node.ways)
        for action in rolled(plan):  # until the last phase, clients get in as before
            if action.name == node.name and action.phase != CLOSE_PHASE:
                assert isinstance(action.subject, NodeTarget)
                open_then = {replace(one, temporary=False) for one in action.subject.node.host_listeners}
                assert listeners[node.name] <= open_then
    assert not [name for name in changing.runtimes.home.ports.held(NAME) if name.endswith("/second")]


@pytest.mark.parametrize("change", ["one more, which nodes use", "others", "that of clients", "no longer several"])
@pytest.mark.parametrize("every", [11, pytest.param(1, marks=pytest.mark.soak)])
def test_wherever_a_change_of_listeners_is_killed_the_next_up_goes_on_or_back(
    tmp_path: Path, change: str, every: int
) -> None:
    kinds = itertools.cycle(itertools.product(("combined", "zookeeper"), RUNTIMES))
    for step, file in ((step, file) for step in itertools.count(2, every) for file in BY_LISTENER[change]):
        shape, kind = next(kinds)
        with pytest.MonkeyPatch.context() as patched:
            changing = Changing(tmp_path / f"{step}-{BY_LISTENER[change].index(file)}")
            changing.runtime.kind = kind  # type: ignore[misc]
            changing.kafka.speak(patched)
            changing.up(changing.by_listener(shape, BY_LISTENER[change][0]))
            if not changing.is_killed(changing.by_listener(shape, BY_LISTENER[change][1]), step):
                break
            environment = changing.by_listener(shape, file)
            changing.up(environment)
            assert not environment.plan().plan.changes
            assert not [name for name in changing.runtimes.home.ports.held(NAME) if name.endswith("/second")]
    assert step > 12


def test_other_listeners_can_come_while_a_change_goes_on(changing: Changing) -> None:
    changing.up(changing.like("combined", "plaintext"))
    assert changing.is_killed(changing.like("combined", "sasl-tls"), 8)
    more = changing.like(
        "combined", "sasl-tls", brokers={"nodes": 3}, listeners={"host": {"port": "auto"}, "other": {}}
    )
    changing.up(more)
    assert not more.plan().plan.changes


def test_clients_are_told_the_new_way_once_all_brokers_have_it(changing: Changing) -> None:
    changing.up(changing.like("zookeeper", "plaintext"))
    environment, told = changing.like("zookeeper", "sasl-tls"), []
    following = changing.runtime.on_verb

    def on_verb(verb: str, subject: str) -> None:
        following(verb, subject)
        if verb == "stop_node":
            ways = {way for node in environment.observe().of_role(Role.BROKER) for way in node.open_ways}
            users = ["app", ""] if environment.certificates() else [""]
            said = [text for user in users if (text := said_to(environment, user))]
            told.append((len(ways), "SASL_SSL" in said[0]))

    changing.runtime.on_verb = on_verb
    changing.up(environment)
    changing.runtime.on_verb = following
    assert (2, False) in told
    assert (2, True) in told
    assert [new for _, new in told] == sorted(new for _, new in told)


def said_to(environment: Environment, user: str) -> str:
    """What a client is told."""
    try:
        return environment.client_config("properties", user).text
    except UsageError:
        return ""
