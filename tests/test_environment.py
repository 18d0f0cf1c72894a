"""An environment that is held: the object programs import, with fakes in place of an engine and of Kafka."""

import io
import json
import signal
import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import yaml

# The fake Kafka takes the place of what is loaded; an environment loads its operations only when they are used.
import provision.operations.topics  # noqa: F401
from provision import Environment, Level, UpOptions, described_file
from provision.cluster.model import Topic
from provision.errors import (
    Interrupted,
    InvalidEnvironment,
    NodeFailed,
    NotReady,
    ProvisionError,
    Refused,
    Unavailable,
    UsageError,
)
from provision.events import (
    ActionDone,
    ActionStarted,
    Event,
    LevelReached,
    NodeReady,
    Notice,
    Planned,
    StageDone,
    Warned,
)
from provision.home.place import Home
from provision.plan.actions import Plan, Verb
from provision.plan.observed import NodeState
from provision.runtime import Runtimes
from provision.runtime.base import Streams
from provision.runtime.fake import FakeRuntime
from tests.engine import wait_until
from tests.fake_kafka import FakeKafka, Partition, SpokenRuntime
from tests.fake_kafka import Topic as FakeTopic
from tests.runtimes import FakeRuntimes

NAME = "shop"
Values = dict[str, Any]
VALUES: Values = {
    "name": NAME,
    "brokers": {"nodes": 3},
    "topics": [{"name": "orders", "partitions": 3, "replication_factor": 3}],
}
RISKY: Values = {"brokers": {"nodes": 3}, "topics": [{"name": "orders", "replication_factor": 1}]}
RISK = "topics[0].replication_factor"
RUNNING = UpOptions(until=Level.PROCESS)
"""As far as nodes come that answer nothing."""
NODES = ["zookeeper-1", "broker-1", "broker-2", "broker-3"]


def written(directory: Path, values: Mapping[str, Any], name: str = NAME) -> Path:
    """A file that says that."""
    file = directory / f"{name}.yaml"
    file.write_text(yaml.safe_dump(dict(values)))
    return file


def vars_of(kind: type) -> Iterator[tuple[str, object]]:
    """The public members of a class and of those that it is made on."""
    for one in kind.__mro__:
        yield from ((name, member) for name, member in vars(one).items() if not name.startswith("_"))


def all_handlers() -> dict[int, object]:
    """What each signal does in this process."""
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


class Shop:
    """Runtimes with one fake engine, and a Kafka in memory for the environment `shop`."""

    def __init__(self, directory: Path) -> None:
        self.home = directory / "home"
        self.runtime = SpokenRuntime()
        self.runtimes = FakeRuntimes(self.home, self.runtime)
        self.kafka = FakeKafka(self.runtime, NAME)
        self.told: list[Event] = []

    def of(self, overrides: Sequence[str] = (), **values: Any) -> Environment:  # noqa: ANN401 as the environment takes them
        """The environment, described by these values; by default as it is everywhere here."""
        return Environment(
            overrides=overrides, on_event=self.told.append, runtimes=self.runtimes, **{**VALUES, **values}
        )

    @property
    def named(self) -> Environment:
        """It by its name alone."""
        return Environment.named(NAME, on_event=self.told.append, runtimes=self.runtimes)

    @property
    def states(self) -> dict[str, NodeState]:
        """Of its nodes."""
        return {node.name: node.state for node in self.runtime.observe(NAME).nodes}

    @property
    def done(self) -> list[str]:
        """What was done, in the order in which it ended."""
        return [f"{event.verb} {event.resource}" for event in self.told if isinstance(event, ActionDone)]

    def looks_away(self) -> None:
        """Let it be stopped or removed as a whole, which nobody may do to a cluster that is to serve."""
        self.runtime.on_verb = lambda _verb, _subject: None


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    made = Shop(tmp_path)
    made.kafka.speak(monkeypatch)
    return made


@pytest.fixture
def living(shop: Shop) -> Shop:
    """The same, up."""
    shop.of().up()
    shop.told.clear()
    return shop


NAMED: dict[str, Callable[[Environment, Any], object]] = {
    "stop": lambda shop, names: shop.stop(names),
    "kill": lambda shop, names: shop.kill(names),
    "start": lambda shop, names: shop.start(names),
    "restart": lambda shop, names: shop.restart(names),
    "logs": lambda shop, names: list(shop.logs(names)),
    "topics": lambda shop, names: shop.topics(names),
    "delete_topics": lambda shop, names: shop.delete_topics(names),
    "plan_resources": lambda shop, names: shop.plan_resources(names),
    "apply_resources": lambda shop, names: shop.apply_resources(names),
    "groups": lambda shop, names: shop.groups(names),
    "lag": lambda shop, names: shop.lag("group", names),
    "has_read_all": lambda shop, names: shop.has_read_all("group", names),
    "delete_groups": lambda shop, names: shop.delete_groups(names),
    "plan": lambda shop, names: shop.plan(give_up=names),
    "tool": lambda shop, names: shop.tool("kafka-topics", names, Streams(None, io.BytesIO(), io.BytesIO())),
    "changing": lambda shop, names: shop.changing("mine", names).__enter__(),
}


def test_every_method_that_takes_several_texts_is_among_these() -> None:
    takes = {
        name
        for name, method in vars_of(Environment)
        if any("Texts" in str(kind) for kind in getattr(method, "__annotations__", {}).values())
    }
    assert takes - {"collector"} == set(NAMED)


@pytest.mark.parametrize("do", NAMED)
def test_several_texts_are_not_anything_else(living: Shop, do: str) -> None:
    with pytest.raises(UsageError, match="are a text, or a list of texts, not 5"):
        NAMED[do](living.of(), 5)


def test_one_text_is_one_name(living: Shop) -> None:
    living.looks_away()
    shop = living.of()
    for name in ("ab", "a", "b"):
        shop.create_topic(name)
    assert [topic.name for topic in shop.topics("ab")] == ["ab"]
    shop.delete_topics("ab")
    assert {"a", "b"} <= {topic.name for topic in shop.topics()}
    assert shop.kill("broker-1") == 1
    assert [name for name, state in living.states.items() if state != NodeState.RUNNING] == ["broker-1"]
    assert shop.start("broker-1").level >= Level.BROKERS
    with pytest.raises(UsageError, match="has no node broker-9"):
        shop.stop("broker-9")


@pytest.mark.parametrize("ask", ["lag", "has_read_all"])
def test_a_groups_name_is_a_text(living: Shop, ask: str) -> None:
    with pytest.raises(UsageError, match="a group's name is a text, not 5"):
        getattr(living.of(), ask)(5, "orders")


@pytest.mark.parametrize("limit", ["3", -1, 1.5, True])
def test_a_limit_is_a_whole_number(living: Shop, limit: Any) -> None:  # noqa: ANN401 what is wrong
    with pytest.raises(UsageError, match="a limit of records is a whole number from 0, not"):
        living.of().consume("orders", limit=limit)


Asked = Callable[[Environment, Any], object]
TEXTS: dict[str, Asked] = {
    "produce": lambda shop, given: shop.produce(given, [(None, b"one")]),
    "consume": lambda shop, given: shop.consume(given),
    "create_topic": lambda shop, given: shop.create_topic(given),
    "lag": lambda shop, given: shop.lag(given, "orders"),
    "tool": lambda shop, given: shop.tool(given, [], Streams(None, io.BytesIO(), io.BytesIO())),
    "streams": lambda shop, given: shop.tool("kafka-topics", "--list", given),
    "bundle": lambda shop, given: shop.bundle(given),
    "export_certificates": lambda shop, given: shop.export_certificates(given),
    "stores": lambda shop, given: shop.client_config("properties", stores=given),
    "is_described_by": lambda shop, given: shop.is_described_by(given),
    "described_file": lambda _, given: described_file(given),
    "root": lambda _, given: described_file("ci", given),
    "named": lambda _, given: Environment.named(given),
    "user": lambda shop, given: shop.cluster(given),
    "listener": lambda shop, given: shop.cluster("", given),
    "up": lambda shop, given: shop.up(given),
}
NUMBERS: dict[str, Asked] = {
    "tail": lambda shop, given: shop.logs("broker-1", tail=given),
    "tail of one": lambda shop, given: shop.log_lines("broker-1", tail=given),
    "limit": lambda shop, given: shop.consume("orders", limit=given),
    "idle_s": lambda shop, given: shop.consume("orders", idle_s=given),
    "idle_s to_end": lambda shop, given: shop.consume("orders", to_end=True, idle_s=given),
    "timeout_s": lambda shop, given: shop.wait(timeout_s=given),
}


@pytest.mark.parametrize("given", [5, b"orders", ["orders"], {"orders": 1}], ids=repr)
@pytest.mark.parametrize("what", TEXTS)
def test_what_is_no_text_is_refused_where_it_is_given(living: Shop, what: str, given: Any) -> None:  # noqa: ANN401
    with pytest.raises(ProvisionError, match=r"(?i)\b(text|path|name|UpOptions|Streams)\b"):
        TEXTS[what](living.of(), given)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_is_found_by_a_text_or_a_path(tmp_path: Path, kind: Callable[[str], Any]) -> None:
    file = tmp_path / "environments" / "ci.yaml"
    file.parent.mkdir()
    file.write_text("name: shop\n")
    for chosen in ("ci", "shop", "environments/ci.yaml", str(file)):
        assert described_file(kind(chosen), kind(str(tmp_path))) == file
    with pytest.raises(UsageError, match="there is no file nowhere"):
        described_file(kind("nowhere.yaml"), kind(str(tmp_path)))


@pytest.mark.parametrize("given", ["5", b"5", [5], True, float("nan")], ids=repr)
@pytest.mark.parametrize("what", NUMBERS)
def test_what_is_no_number_is_refused_where_it_is_given(living: Shop, what: str, given: Any) -> None:  # noqa: ANN401
    with pytest.raises(UsageError, match=r"(?i)number"):
        NUMBERS[what](living.of(), given)


@pytest.mark.parametrize(
    "ask",
    [
        lambda shop, node: shop.logs(node),
        lambda shop, node: shop.logs(["broker-1", node], follow=True),
        lambda shop, node: shop.log_lines(node),
        lambda shop, node: shop.inside_address(node),
        lambda shop, node: shop.start(node),
    ],
)
def test_a_node_that_does_not_exist_is_refused_where_it_is_named(living: Shop, ask: Asked) -> None:
    with pytest.raises(UsageError, match="shop has no node broker-9") as caught:
        ask(living.of(), "broker-9")
    assert caught.value.hint == "it has broker-1, broker-2, broker-3, zookeeper-1"


class Texts(io.StringIO):
    """Texts that go to a file of the system."""

    def fileno(self) -> int:
        """As sys.stdout has one."""
        return 1


def _closed() -> io.BytesIO:
    stream = io.BytesIO()
    stream.close()
    return stream


@pytest.mark.parametrize(
    ("streams", "told"),
    [
        ((None, None, None), "stdout of a tool is an open file of bytes, not None"),
        ((None, Texts(), io.BytesIO()), "stdout of a tool is an open file of bytes, not"),
        ((None, io.BytesIO(), Texts()), "stderr of a tool is an open file of bytes, not"),
        ((None, io.BytesIO(), "err"), "stderr of a tool is an open file of bytes, not 'err'"),
        ((None, _closed(), io.BytesIO()), "stdout of a tool is an open file of bytes, not"),
        ((io.BytesIO(b"records"), io.BytesIO(), io.BytesIO()), "stdin of a tool is an open file of the system, not"),
        ((5, io.BytesIO(), io.BytesIO()), "stdin of a tool is an open file of the system, not 5"),
    ],
)
def test_streams_that_a_tool_cannot_use_are_refused_before_it_runs(
    living: Shop, streams: tuple[Any, Any, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[object] = []
    monkeypatch.setattr(FakeRuntime, "run_tool", lambda *given: ran.append(given))
    with pytest.raises(UsageError, match=told) as caught:
        living.of().tool("kafka-topics", "--list", Streams(*streams))
    assert "sys.std" in caught.value.hint
    assert ".buffer" in caught.value.hint
    assert not ran


@pytest.mark.parametrize("tail", [-1, -100])
def test_a_log_has_no_negative_number_of_lines(living: Shop, tail: int) -> None:
    for ask in (living.of().logs, living.of().log_lines):
        with pytest.raises(UsageError, match="a number of lines is a whole number from 0"):
            ask("broker-1", tail=tail)


@pytest.mark.parametrize("until", ["topics", 3, None])
def test_a_level_is_no_text_and_no_number(living: Shop, until: Any) -> None:  # noqa: ANN401 what is wrong
    for wait in (lambda: living.of().wait(until), lambda: living.of().up(UpOptions(until=until))):
        with pytest.raises(UsageError, match="there are NONE, PROCESS, QUORUM") as caught:
            wait()
        assert "one of provision.Level, not" in str(caught.value)


# -- what it is made of -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_and_values_that_say_the_same_are_the_same_environment(tmp_path: Path, kind: Callable[..., Any]) -> None:
    file = written(tmp_path, VALUES)
    of_file = Environment(kind(file), home=tmp_path / "home")
    of_values = Environment(home=tmp_path / "home", **VALUES)
    assert (of_file.file, of_values.file) == (file, None)
    assert of_file.name == of_values.name == NAME
    assert [node.name for node in of_file.validate().nodes] == NODES
    assert of_file.validate() == of_values.validate()
    assert of_file.render() == of_values.render()
    assert {file.node for file in of_file.render()} == set(NODES)
    assert of_file.declared_topics() == of_values.declared_topics() == (Topic("orders", 3, 3, {}),)
    assert not (tmp_path / "home").exists()


def test_a_file_without_a_name_has_that_of_the_file_and_one_that_is_invalid_keeps_its_own(tmp_path: Path) -> None:
    assert Environment(written(tmp_path, {"brokers": {"nodes": 2}}, "nameless")).name == "nameless"
    assert Environment(written(tmp_path, {"name": NAME, "brokers": {"nodes": 2}}, "other")).name == NAME
    assert Environment(written(tmp_path, {"name": NAME, "brokers": {"nodes": "two"}}, "broken")).name == NAME
    assert Environment(written(tmp_path, {"brokers": {"nodes": "two"}}, "broken-too")).name == "broken-too"


def test_a_file_is_read_when_it_is_asked_for_and_once(tmp_path: Path) -> None:
    environment = Environment(tmp_path / "late.yaml")
    written(tmp_path, {"brokers": {"nodes": 2}}, "late")
    assert len(environment.validate().brokers) == 2
    written(tmp_path, {"brokers": {"nodes": 5}}, "late")
    assert len(environment.validate().brokers) == 2
    assert len(Environment(tmp_path / "late.yaml").validate().brokers) == 5


@pytest.mark.parametrize("missing", ["nothing.yaml", "."])
def test_a_file_that_cannot_be_read_is_wrong_usage(tmp_path: Path, missing: str) -> None:
    with pytest.raises(UsageError, match="cannot read") as caught:
        Environment(tmp_path / missing).validate()
    assert caught.value.why in ("No such file or directory", "Is a directory")


def test_overrides_are_applied_in_their_order_to_a_file_and_to_values_which_stay_as_they_are(tmp_path: Path) -> None:
    overrides = (
        "brokers.nodes=2",
        "topics.orders.partitions=9",
        "brokers.nodes=4",
        "topics.orders.config.retention.ms=5",
    )
    values: Values = {"name": NAME, "brokers": {"nodes": 3}, "topics": [{"name": "orders"}]}
    file = written(tmp_path, values)
    for environment in (Environment(file, overrides=overrides), Environment(overrides=list(overrides), **values)):
        cluster = environment.validate()
        assert len(cluster.brokers) == 4
        assert cluster.topics == (Topic("orders", 9, 3, {"retention.ms": "5"}),)
    assert values == {"name": NAME, "brokers": {"nodes": 3}, "topics": [{"name": "orders"}]}


def test_an_overridden_name_is_the_name(tmp_path: Path) -> None:
    """What `up` makes under it, `down` must find under it, also when the rest is not valid any more."""
    for environment in (
        Environment(written(tmp_path, VALUES), overrides=["name=arcade", "name=mall"]),
        Environment(overrides=["name=arcade", "name=mall"], **VALUES),
    ):
        assert environment.name == environment.validate().name == "mall"
    broken = ["name=mall", "brokers.nodes=two"]
    assert Environment(written(tmp_path, VALUES), overrides=broken).name == "mall"
    assert Environment(overrides=broken, **VALUES).name == "mall"


def test_paths_are_relative_to_the_file_or_to_where_the_program_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    values: Values = {"name": NAME, "storage": "./data"}
    assert Environment(written(tmp_path, values)).validate().storage.directory == str(tmp_path / "data")
    assert Environment(**values).validate().storage.directory == str(tmp_path / "elsewhere" / "data")


def test_the_home_is_the_users_own_or_the_one_that_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVISION_HOME", str(tmp_path / "users"))
    given = tmp_path / "given"
    assert Environment(**VALUES).home.directory == tmp_path / "users"
    for home in (given, str(given), Home.at(given)):
        assert Environment(home=home, **VALUES).home.directory == given
        assert Environment.named(NAME, home=home).home.directory == given


def test_what_it_is_shows_in_words(tmp_path: Path) -> None:
    assert repr(Environment(**VALUES)) == "Environment('shop')"
    assert repr(Environment.named("mall")) == "Environment('mall')"
    assert repr(Environment("environments/shop.yaml")) == "Environment('environments/shop.yaml')"


# -- what it cannot be made of ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param({"file": "shop.yaml", "brokers": {}}, "by a file or by values, not both", id="file and values"),
        pytest.param({"file": "shop.yaml", "name": NAME}, "by a file or by values, not both", id="file and name"),
        pytest.param({}, "without a file needs a name", id="nothing"),
        pytest.param({"brokers": {"nodes": 3}}, "without a file needs a name", id="values without a name"),
        pytest.param({"name": NAME, "home": "one", "runtimes": Runtimes(Home.at(Path("other")))}, "home", id="homes"),
        pytest.param({"name": NAME, "overrides": "brokers.nodes=3"}, "overrides", id="overrides in one text"),
        pytest.param({"name": NAME, "overrides": 3}, "overrides", id="a number of overrides"),
        pytest.param({"name": NAME, "overrides": [3]}, "overrides", id="overrides that are no texts"),
        pytest.param({"file": 3}, "a path, not the number 3", id="a number of a file"),
        pytest.param({"file": b"shop.yaml"}, "a path, not bytes", id="bytes of a path"),
        pytest.param({"file": ["shop.yaml"]}, "a path, not a list", id="several files"),
        pytest.param({"name": NAME, "home": 3}, "a home is a path, not 3", id="a number of a home"),
        pytest.param({"name": NAME, "home": ""}, "a home is a path, not ''", id="no home"),
        pytest.param({"name": NAME, "runtimes": "abc"}, "provision.runtime.Runtimes, not 'abc'", id="no runtimes"),
        pytest.param({"name": NAME, "runtimes": Path()}, "provision.runtime.Runtimes, not", id="a path of runtimes"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused_at_once(arguments: Values, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        Environment(**arguments)


@pytest.mark.parametrize("place", [str, Path, Home.at], ids=["text", "Path", "Home"])
def test_shared_connections_are_made_of_what_a_home_is_given_as(tmp_path: Path, place: Callable[[Path], Any]) -> None:
    runtimes = Runtimes(place(tmp_path / "home"))
    assert runtimes.home.directory == Environment(name=NAME, home=tmp_path / "home").home.directory
    assert Environment(name=NAME, runtimes=runtimes).home is runtimes.home


def test_shared_connections_are_those_of_the_user_without_a_home_and_of_nothing_else() -> None:
    assert Runtimes().home == Home.of_user()
    with pytest.raises(UsageError, match="a home is a path, not 3"):
        Runtimes(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "ask",
    [
        Environment.all,
        lambda **given: Environment.named(NAME, **given),
        Environment.examine_machine,
        lambda **given: Environment.collector(**given).__enter__(),
    ],
    ids=["all", "named", "examine_machine", "collector"],
)
def test_whatever_takes_connections_checks_them(ask: Callable[..., object], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"runtimes are provision\.runtime\.Runtimes, not 'abc'"):
        ask(runtimes="abc")
    with pytest.raises(UsageError, match="either runtimes or a home, not both"):
        ask(runtimes=Runtimes(tmp_path / "other"), home=tmp_path / "one")


def test_two_homes_are_refused_for_a_name_too(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="home"):
        Environment.named(NAME, home=tmp_path / "one", runtimes=Runtimes(Home.at(tmp_path / "other")))


@pytest.mark.parametrize("override", ["brokers.nodes", "=3", "brokers.nodes.more=3", "brokers.nodes=[1"])
def test_an_override_that_is_none_is_wrong_usage(override: str) -> None:
    with pytest.raises(UsageError, match=r"^--set "):
        Environment(overrides=[override], **VALUES).validate()


@pytest.mark.parametrize("name", ["..", "/tmp", "a/b", "../shop", "Shop", "s", "", "shop.yaml"])
def test_a_name_that_leads_elsewhere_is_refused_before_anything_is_looked_at(tmp_path: Path, name: str) -> None:
    home = tmp_path / "home"
    with pytest.raises(UsageError, match="neither an environment's name nor a file"):
        Environment.named(name, home=home)
    for environment in (
        Environment(written(tmp_path, {"name": name, "runtime": "process"}, "named-otherwise"), home=home),
        Environment(name=name, runtime="process", home=home),
    ):
        with pytest.raises(InvalidEnvironment) as caught:
            environment.validate()
        assert [problem.path for problem in caught.value.problems] == ["name"]
        with pytest.raises(ProvisionError) as refused:
            environment.down(delete_data=True)
        assert repr(name) in refused.value.what + refused.value.why
    assert not home.exists()


INVALID: Values = {"name": NAME, "brokers": {"nodes": "two"}, "topics": [{"name": "a", "partitions": 0}], "prun": True}


@pytest.mark.parametrize("do", ["validate", "render", "plan", "up", "declared_topics", "plan_resources"])
def test_invalid_values_are_told_all_at_once_each_with_its_key_and_nothing_is_made(shop: Shop, do: str) -> None:
    environment = Environment(runtimes=shop.runtimes, **INVALID)
    with pytest.raises(InvalidEnvironment) as caught:
        getattr(environment, do)()
    assert [(problem.path, problem.message) for problem in caught.value.problems] == [
        ("brokers.nodes", "must be a whole number, not the text 'two'"),
        ("prun", "unknown key"),
        ("topics[0].partitions", "must be at least 1, not 0"),
    ]
    assert {(problem.file, problem.line) for problem in caught.value.problems} == {("the given values", 0)}
    assert caught.value.why.splitlines()[1] == "the given values: prun: unknown key (did you mean prune?)"
    assert shop.runtime.environments() == ()
    assert not shop.home.exists()


def test_in_a_file_the_place_is_a_line_and_of_an_override_it_is_the_override(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text("brokers:\n  nodes: two\n")
    with pytest.raises(InvalidEnvironment) as caught:
        Environment(file, overrides=["zookeeper.nodes=2"]).validate()
    assert [(problem.file, problem.line, problem.path) for problem in caught.value.problems] == [
        ("--set zookeeper.nodes=2", 0, "zookeeper.nodes"),
        (str(file), 2, "brokers.nodes"),
    ]


@pytest.mark.parametrize("do", ["validate", "render", "plan", "up"])
def test_a_warning_hides_no_problem(tmp_path: Path, do: str) -> None:
    told: list[Event] = []
    file = written(tmp_path, {"name": "No/Name", **RISKY})
    with pytest.raises(InvalidEnvironment) as caught:
        getattr(Environment(file, on_event=told.append, home=tmp_path / "home"), do)()
    assert [problem.path for problem in caught.value.problems] == ["name"]
    assert [event.problem.path for event in told if isinstance(event, Warned)] == [RISK]


# -- what is told -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("do", ["validate", "render", "plan"])
def test_warnings_are_told_with_the_environment_and_the_time(shop: Shop, do: str) -> None:
    before_s = time.time()
    getattr(shop.of(**RISKY), do)()
    (warned,) = (event for event in shop.told if not isinstance(event, StageDone))
    assert isinstance(warned, Warned)
    assert warned.problem.path == RISK
    assert warned.environment == NAME
    assert before_s <= warned.at_s <= time.time()


def test_what_happens_is_told_as_it_happens_with_the_environment_and_the_time(shop: Shop) -> None:
    before_s = time.time()
    shop.of().up()
    assert {event.environment for event in shop.told} == {NAME}
    times = [before_s, *(event.at_s for event in shop.told), time.time()]
    assert min(times) == times[0]
    assert max(times) == times[-1]
    assert {type(event) for event in shop.told} >= {Planned, ActionStarted, ActionDone, NodeReady, LevelReached}
    (first, *_) = (event for event in shop.told if isinstance(event, Planned))
    assert {action["resource"] for action in first.plan["actions"]} >= {*NODES, "topic orders"}
    assert shop.done[-1] == "create topic orders"
    levels = [event.level for event in shop.told if isinstance(event, LevelReached)]
    assert levels == ["process", "quorum", "brokers", "topics"]


def test_a_listener_that_comes_later_is_told_from_then_on(shop: Shop) -> None:
    environment = shop.of()
    environment.plan()
    before = list(shop.told)
    later: list[Event] = []
    environment.on_event = later.append
    environment.up()
    assert shop.told == before
    assert {event.environment for event in later} == {NAME}


def test_what_a_listener_raises_ends_it_and_nothing_is_left(shop: Shop) -> None:
    def fail(event: Event) -> None:
        if isinstance(event, ActionDone) and event.resource == "broker-2":
            raise ValueError("the listener is broken")

    environment = shop.of()
    environment.on_event = fail
    with pytest.raises(ValueError, match="the listener is broken"):
        environment.up()
    assert shop.runtime.observe(NAME).is_absent


# -- its life ---------------------------------------------------------------------------------------------------------


def test_a_plan_says_what_up_does_and_changes_nothing(shop: Shop) -> None:
    environment = shop.of()
    plan = environment.plan().plan
    assert [action.name for action in plan.actions if action.verb is Verb.START] == NODES
    assert shop.runtime.environments() == ()
    assert not shop.home.exists()
    result = environment.up()
    assert result.changed
    assert result.assessment.level is Level.TOPICS
    assert set(shop.done) == {f"{action.verb} {action.resource}" for action in plan.actions}
    assert environment.plan().plan.actions == ()
    assert not environment.up().changed


def test_up_goes_as_far_as_it_is_told(shop: Shop) -> None:
    assert shop.of().up(RUNNING).assessment.level >= Level.PROCESS
    assert set(shop.states.values()) == {NodeState.RUNNING}
    assert shop.kafka.topics == {}


def test_up_asks_whoever_is_to_agree_and_leaves_all_as_it_is_without_that(living: Shop) -> None:
    before = living.states, dict(living.kafka.topics)
    shown: list[Plan] = []

    def disagree(plan: Plan) -> None:
        shown.append(plan)
        raise Refused("not today")

    with pytest.raises(Refused, match="not today"):
        living.of(["brokers.properties.num.network.threads=5"]).up(agree=disagree)
    assert [action.verb for action in shown[0].actions] == [Verb.RESTART] * 3
    assert (living.states, living.kafka.topics) == before


def test_a_failing_first_up_leaves_nothing_unless_it_is_to_be_retained(shop: Shop) -> None:
    speaking = shop.runtime.on_verb

    def fail(verb: str, subject: str) -> None:
        if (verb, subject) == ("start_node", "broker-2"):
            raise ProvisionError("no room")
        speaking(verb, subject)

    shop.runtime.on_verb = fail
    with pytest.raises(ProvisionError, match="no room"):
        shop.of().up()
    assert shop.runtime.observe(NAME).is_absent
    with pytest.raises(ProvisionError, match="no room"):
        shop.of().up(UpOptions(retain=True))
    assert shop.states.keys() == set(NODES)


@pytest.mark.parametrize("keep_data", [False, True])
def test_down_removes_all_that_up_made_or_all_but_the_data(shop: Shop, *, keep_data: bool) -> None:
    ports = shop.home / "ports.json"
    environment = shop.of(["brokers.port=auto"])
    environment.up()
    assert NAME in ports.read_text()
    shop.looks_away()
    nodes, storages, network = 4, 4, 1
    assert environment.down(keep_data=keep_data) == nodes + (0 if keep_data else storages) + network
    observed = shop.runtime.observe(NAME)
    assert (observed.nodes, observed.network) == ((), False)
    assert observed.storages == (set(NODES) if keep_data else set())
    assert (NAME in ports.read_text()) is keep_data
    assert {f"remove {name}" for name in NODES} <= set(shop.done)
    assert environment.down() == (storages if keep_data else 0)
    assert environment.down() == 0


@pytest.mark.parametrize(("place", "freed"), [("here", True), ("elsewhere", False), ("not known", False)], ids=str)
def test_down_frees_the_ports_of_what_an_earlier_one_has_removed_before_it_was_killed(
    shop: Shop, place: str, *, freed: bool
) -> None:
    places = {"here": shop.runtime.place, "elsewhere": "elsewhere", "not known": ""}
    environment = shop.of(["brokers.port=auto"])
    environment.up()
    ports = shop.home / "ports.json"
    leased = json.loads(ports.read_text())
    assert leased[NAME]["place"] == shop.runtime.place
    shop.looks_away()
    environment.down()
    ports.write_text(json.dumps({NAME: leased[NAME] | {"place": places[place]}}))
    shop.runtimes.answers = {"docker": shop.runtime, "process": Unavailable("it does not answer")}
    assert environment.down() == 0
    assert (NAME not in json.loads(ports.read_text())) is freed


def test_data_cannot_be_kept_and_deleted(living: Shop) -> None:
    before = living.states
    with pytest.raises(UsageError, match="keep_data"):
        living.of().down(keep_data=True, delete_data=True)
    assert living.states == before


def test_nodes_are_killed_all_or_by_name_and_the_history_tells_of_it(living: Shop) -> None:
    environment = living.of()
    assert environment.kill(["broker-2"]) == 1
    assert environment.kill(["broker-2"]) == 0
    assert living.states["broker-2"] is NodeState.EXITED
    living.looks_away()
    assert environment.kill() == len(living.states) - 1
    assert set(living.states.values()) == {NodeState.EXITED}
    told = [(run.holder.command, run.holder.options) for run in environment.history()[-2:]]
    assert told == [("kill", "broker-2"), ("kill", "")]  # what changes nothing is not kept
    with pytest.raises(UsageError, match="broker-9"):
        environment.kill(["broker-9"])


@pytest.mark.parametrize("take_down", ["kill", "stop"])
def test_a_topic_is_created_on_the_brokers_that_run(living: Shop, take_down: str) -> None:
    living.looks_away()
    environment = living.of()
    brokers = [name for name in living.states if name.startswith("broker")]
    getattr(environment, take_down)("broker-2")
    environment.create_topic("meanwhile", partitions=3)
    (topic,) = environment.topics("meanwhile")
    assert {broker for partition in topic.partitions for broker in partition.replicas} == {1, 3}
    with pytest.raises(Refused) as caught:
        environment.create_topic("on-all", replication_factor=len(brokers))
    assert caught.value.why.splitlines()[0] == "3 replicas need as many brokers; there are 2"
    assert "broker-2: " in caught.value.why


def test_nodes_are_stopped_and_started_all_or_by_name(living: Shop) -> None:
    environment = living.of()
    assert environment.stop(["broker-2"]) == 1
    assert environment.stop(["broker-2"]) == 0
    assert living.states["broker-2"] is NodeState.EXITED
    assert environment.start(["broker-2"]).level is Level.TOPICS
    speaking = living.runtime.on_verb
    living.looks_away()
    assert environment.stop() == 4
    assert set(living.states.values()) == {NodeState.EXITED}
    living.runtime.on_verb = speaking
    environment.start(["zookeeper-1"])
    assert [name for name, state in living.states.items() if state is NodeState.RUNNING] == ["zookeeper-1"]
    assert environment.start().level is Level.TOPICS
    assert set(living.states.values()) == {NodeState.RUNNING}
    with pytest.raises(UsageError, match="shop has no node broker-9"):
        environment.stop(["broker-9"])


def test_nodes_are_restarted_one_at_a_time_the_active_controller_last(living: Shop) -> None:
    assert living.of().restart() == ("zookeeper-1", "broker-2", "broker-3", "broker-1")
    assert living.of().restart(["broker-1", "broker-3"]) == ("broker-3", "broker-1")
    assert set(living.states.values()) == {NodeState.RUNNING}


# -- look -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "look",
    [
        pytest.param(lambda environment: environment.observe(), id="observe"),
        pytest.param(lambda environment: environment.status(), id="status"),
        pytest.param(lambda environment: environment.wait(), id="wait"),
        pytest.param(lambda environment: environment.stop(), id="stop"),
        pytest.param(lambda environment: environment.start(), id="start"),
        pytest.param(lambda environment: environment.restart(), id="restart"),
        pytest.param(lambda environment: environment.topics(), id="topics"),
        pytest.param(lambda environment: environment.create_topic("t"), id="create_topic"),
        pytest.param(lambda environment: environment.delete_topics(["t"]), id="delete_topics"),
        pytest.param(lambda environment: environment.bootstrap_servers, id="bootstrap_servers"),
        pytest.param(lambda environment: environment.plan_resources(), id="plan_resources"),
        pytest.param(lambda environment: environment.apply_resources(), id="apply_resources"),
        pytest.param(lambda environment: environment.produce("t", []), id="produce"),
        pytest.param(lambda environment: list(environment.consume("t")), id="consume"),
    ],
)
def test_where_nothing_is_it_is_said_and_nothing_comes_to_be(shop: Shop, look: Callable[[Environment], object]) -> None:
    with pytest.raises(UsageError, match="there is no environment shop"):
        look(shop.of())
    assert shop.runtime.environments() == ()


def test_what_runs_is_observed_with_its_addresses(living: Shop) -> None:
    environment = living.of()
    assert {node.name for node in environment.observe().nodes} == set(NODES)
    assert environment.bootstrap_servers == "127.0.0.1:9092,127.0.0.1:9093,127.0.0.1:9094"
    assert environment.inside_address("broker-2") == "shop-broker-2:9092"
    assert environment.external_servers is None


def test_the_status_says_what_is_lacking(living: Shop) -> None:
    environment = living.of()
    assert environment.status(environment.declared_topics()).missing == {}
    assert environment.status(environment.declared_topics()).level is Level.TOPICS
    for topics in ([Topic("payments", 1, 1, {})], "payments", ["payments"], ("orders", "payments")):
        lacking = environment.status(topics)
        assert lacking.level is Level.BROKERS
        assert {reason for reason in lacking.missing.values() if "payments" in reason}
    for wrong in (1, [None], [b"payments"]):
        with pytest.raises(UsageError, match="names of topics"):
            environment.status(wrong)  # type: ignore[arg-type]
    living.runtime.exit_node(NAME, "broker-3", 1)
    assert environment.status().missing.keys() == {"broker-3"}


def test_waiting_ends_when_it_is_ready_when_time_is_up_or_when_a_node_has_exited(living: Shop) -> None:
    environment = living.of()
    assert environment.wait(topics=environment.declared_topics()).level is Level.TOPICS
    assert environment.wait(Level.BROKERS).level >= Level.BROKERS
    with pytest.raises(NotReady, match="shop did not reach topics within 0 s") as late:
        environment.wait(topics="payments", timeout_s=0.0)
    assert "payments" in late.value.why
    living.runtime.exit_node(NAME, "broker-3", 1, ["it was too much"])
    with pytest.raises(NodeFailed, match="broker-3 exited with code 1") as failed:
        environment.wait(timeout_s=60.0)
    assert (failed.value.node, failed.value.log) == ("broker-3", ("it was too much",))


@pytest.mark.parametrize(
    ("code", "log", "what", "why"),
    [
        (143, [], "broker-3 is stopped", ""),
        (0, ["it says nothing of it"], "broker-3 exited with code 0", "it ended by itself and without an error"),
        (0, [], "broker-3 exited with code 0", "it ended by itself and without an error"),
        (1, ["it was too much"], "broker-3 exited with code 1", ""),
    ],
)
def test_a_node_is_told_as_stopped_only_if_it_was_asked_to_stop(
    living: Shop, code: int, log: list[str], what: str, why: str
) -> None:
    environment = living.of()
    living.runtime.exit_node(NAME, "broker-3", code, log)
    with pytest.raises(NodeFailed) as failed:
        environment.wait(timeout_s=60.0)
    assert failed.value.what == what
    assert failed.value.why.startswith(why)
    assert bool(failed.value.why) is bool(why)
    assert failed.value.log == tuple(log)


def test_logs_are_given_line_by_line_and_tools_write_to_the_streams_that_are_given(living: Shop) -> None:
    environment = living.of()
    living.runtime.exit_node(NAME, "broker-1", 1, ["one", "two", "three"])
    assert list(environment.log_lines("broker-1")) == ["one", "two", "three"]
    assert list(environment.log_lines("broker-1", tail=2)) == ["two", "three"]
    out, err = io.BytesIO(), io.BytesIO()
    assert environment.tool("kafka-topics", ["--list"], Streams(None, out, err)) == 0
    servers = ",".join(f"shop-broker-{number}:9092" for number in (1, 2, 3))
    assert out.getvalue().decode().split()[1:] == ["--bootstrap-server", servers, "--list"]
    with pytest.raises(UsageError, match="has no tool kafka-nothing"):
        environment.tool("kafka-nothing", [], Streams(None, out, err))


def test_a_bundle_makes_its_directory_and_names_itself_if_it_cannot_be_written(living: Shop, tmp_path: Path) -> None:
    environment = living.of()
    file = tmp_path / "not" / "there" / "yet.tar.gz"
    environment.bundle(file)
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]
    for wrong in (file / "in-a-file.tar.gz", file.parent):
        with pytest.raises(UsageError, match="cannot write ") as told:
            environment.bundle(wrong)
        assert told.value.what == f"cannot write {wrong}"
        assert told.value.why in ("Not a directory", "Is a directory")
    assert [entry.name for entry in file.parent.parent.rglob("*.new")] == []


# -- what lives inside Kafka ------------------------------------------------------------------------------------------


def test_topics_are_made_shown_and_deleted_by_hand(living: Shop) -> None:
    environment = living.of()
    environment.create_topic("clicks", partitions=2, replication_factor=2, config={"retention.ms": "5"})
    environment.create_topic("views")
    assert {topic.name for topic in environment.topics()} == {"orders", "clicks", "views"}
    clicks, views = environment.topics(["clicks", "views"])
    assert [len(partition.replicas) for partition in clicks.partitions] == [2, 2]
    assert clicks.config == {"retention.ms": "5"}
    assert [len(partition.replicas) for partition in views.partitions] == [3]  # three, where there are as many brokers
    with pytest.raises(Refused, match="topic views exists already"):
        environment.create_topic("views")
    environment.delete_topics(["clicks", "views"])
    assert [topic.name for topic in environment.topics()] == ["orders"]
    assert living.done == ["create topic clicks", "create topic views", "delete topic clicks", "delete topic views"]
    assert {event.environment for event in living.told} == {NAME}


def test_topics_that_are_not_there_or_kafkas_own_are_not_deleted(living: Shop) -> None:
    environment = living.of()
    living.kafka.use()
    with pytest.raises(UsageError, match="shop has no topic nothing"):
        environment.delete_topics(["orders", "nothing"])
    with pytest.raises(Refused, match="belongs to Kafka itself"):
        environment.delete_topics(["orders", "__consumer_offsets"])
    assert [topic.name for topic in environment.topics()] == ["orders"]
    assert [topic.name for topic in environment.topics(internal=True)] == ["__consumer_offsets", "orders"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("__consumer_offsets", "without __consumer_offsets, groups lose their offsets"),
        ("__transaction_state", "without __transaction_state, nobody knows which transactions are open"),
        ("__share_group_state", "without __share_group_state, share groups lose what they have acknowledged"),
        ("__remote_log_metadata", "without __remote_log_metadata, nobody knows which records are in remote storage"),
        ("__news", "without __news, Kafka cannot do its work"),
        ("__nope", ""),
        ("_schemas", ""),
    ],
)
def test_only_topics_that_are_kafkas_own_are_not_deleted_each_for_its_reason(living: Shop, name: str, why: str) -> None:
    living.kafka.topics[name] = FakeTopic([Partition((1, 2, 3))])
    with pytest.raises(Refused, match=f"{name} belongs to Kafka itself") if why else nullcontext() as caught:
        living.of().delete_topics(["orders", name])
    if caught:
        assert caught.value.why == why
    assert set(living.kafka.topics) == ({"orders", name} if why else set())


def test_several_that_are_kafkas_own_are_all_named(living: Shop) -> None:
    both = "__consumer_offsets", "__transaction_state"
    living.kafka.topics |= {name: FakeTopic([Partition((1, 2, 3))]) for name in both}
    with pytest.raises(Refused, match=f"{', '.join(both)} belong to Kafka itself") as caught:
        living.of().delete_topics(both)
    assert len(caught.value.why.splitlines()) == 2


MORE = [*VALUES["topics"], {"name": "clicks", "partitions": 2}, {"name": "views"}]


def test_what_the_values_say_of_kafka_is_planned_and_then_done_without_touching_a_node(living: Shop) -> None:
    environment = living.of(topics=MORE)
    before = living.states
    planned = environment.plan_resources()
    assert [action.key for action in planned.actions] == ["create topic clicks", "create topic views"]
    assert living.kafka.topics.keys() == {"orders"}
    shown: list[Plan] = []
    done = environment.apply_resources(agree=shown.append)
    assert done.actions == shown[0].actions == planned.actions
    assert living.done == ["create topic clicks", "create topic views"]
    assert len(living.kafka.topics["clicks"].partitions) == 2
    assert living.states == before
    assert environment.plan_resources().actions == environment.apply_resources().actions == ()


def test_only_the_topics_that_are_named_are_planned_and_made(living: Shop) -> None:
    environment = living.of(topics=MORE)
    assert [action.key for action in environment.plan_resources(["views"]).actions] == ["create topic views"]
    assert [action.key for action in environment.apply_resources(["views"]).actions] == ["create topic views"]
    assert living.kafka.topics.keys() == {"orders", "views"}
    with pytest.raises(UsageError, match="the file has no topic nothing"):
        environment.plan_resources(["nothing"])


def test_nothing_inside_kafka_is_deleted_against_the_will_of_whoever_is_to_agree(living: Shop) -> None:
    def disagree(plan: Plan) -> None:
        assert [action.key for action in plan.needs_consent] == ["delete topic orders"]
        raise Refused("not that one")

    with pytest.raises(Refused, match="not that one"):
        living.of(topics=[], prune=True).apply_resources(agree=disagree)
    assert living.kafka.topics.keys() == {"orders"}


def test_what_a_cluster_has_is_adopted_as_values_that_describe_it(living: Shop) -> None:
    environment = living.of()
    environment.create_topic("clicks", partitions=2, replication_factor=1, config={"retention.ms": "5"})
    orders, clicks = {"name": "orders", "partitions": 3}, {"name": "clicks", "partitions": 2}
    assert living.named.adopt() == {
        "topics": [
            {**clicks, "replication_factor": 1, "config": {"retention.ms": "5"}},
            {**orders, "replication_factor": 3},
        ]
    }
    placed = environment.adopt(replicas=True)
    assert placed["topics"][1] == {**orders, "replicas": [[1, 2, 3], [2, 3, 1], [3, 1, 2]]}
    for adopted in (environment.adopt(), placed):
        assert living.of(**adopted, prune=True).plan_resources().actions == ()
    assert [event for event in living.told if isinstance(event, Notice)] == []
    living.kafka.topics["orders"].partitions[1].replicas = (1, 2)
    assert environment.adopt()["topics"][1]["replication_factor"] == 3
    (told,) = (event for event in living.told if isinstance(event, Notice))
    assert told.text.startswith("orders: its partitions have different numbers of replicas")
    assert told.environment == NAME


def test_what_no_file_may_say_is_told_when_it_is_adopted(living: Shop) -> None:
    environment = living.of()
    environment.create_topic("clicks", replication_factor=1)
    living.kafka.topics["clicks"].config["min.insync.replicas"] = "2"
    living.kafka.topics["orders"].partitions[1].replicas = (1, 2)
    clicks, orders = environment.adopt(replicas=True)["topics"]
    assert clicks == {"name": "clicks", "partitions": 1, "replicas": [[1]], "config": {"min.insync.replicas": "2"}}
    assert orders == {"name": "orders", "partitions": 3, "replication_factor": 3}
    uneven, refused = (event.text for event in living.told if isinstance(event, Notice))
    assert uneven.startswith("orders: its partitions have different numbers of replicas")
    assert refused.startswith("topics[0].config.min.insync.replicas: 2 in-sync replicas are demanded of topic 'clicks'")
    assert refused.endswith("; `validate` refuses it")


def test_a_cluster_that_others_run_is_reached_by_its_address_and_its_nodes_are_theirs(tmp_path: Path) -> None:
    theirs = Environment(name="theirs", bootstrap_servers="127.0.0.1:1", topics=[{"name": "t"}], home=tmp_path / "home")
    assert theirs.external_servers == "127.0.0.1:1"
    for reach in (theirs.topics, theirs.plan_resources, lambda: theirs.create_topic("t")):
        with pytest.raises(Unavailable, match="no broker of theirs answers") as silent:
            reach()
        assert silent.value.why == "127.0.0.1:1: it does not listen yet"
    for refused in (theirs.up, theirs.plan, theirs.render):
        with pytest.raises(UsageError, match="theirs has bootstrap_servers: provision does not manage its nodes"):
            refused()
    assert not (tmp_path / "home").exists()


# -- software ---------------------------------------------------------------------------------------------------------


def test_a_lock_lies_beside_the_file_and_values_have_none(shop: Shop, tmp_path: Path) -> None:
    file = written(tmp_path, VALUES | {"runtime": "docker"})
    environment = Environment(file, runtimes=shop.runtimes, on_event=shop.told.append)
    with pytest.raises(Refused, match="shop has no lock"):
        environment.lock(check=True)
    with pytest.raises(Refused, match="shop has no lock"):
        environment.plan(frozen=True)
    assert environment.lock().file == tmp_path / "shop.lock.yaml"
    assert not environment.lock(check=True).changed
    assert {event.environment for event in shop.told} == {NAME}
    assert environment.up(UpOptions(until=Level.PROCESS, frozen=True)).changed
    with pytest.raises(UsageError, match="without a file has no lock"):
        shop.of().lock()


# -- by its name alone ------------------------------------------------------------------------------------------------


def test_by_its_name_alone_what_runs_is_looked_at_changed_and_removed(living: Shop) -> None:
    environment = living.named
    assert (environment.name, environment.file, environment.external_servers) == (NAME, None, None)
    assert environment.declared_topics() is None
    assert environment.status().level is Level.TOPICS
    assert environment.wait().level is Level.TOPICS
    environment.create_topic("clicks")
    assert [topic.name for topic in environment.topics(["clicks"])] == ["clicks"]
    assert environment.restart(["broker-2"]) == ("broker-2",)
    living.looks_away()
    assert environment.down() == 9
    assert living.runtime.observe(NAME).is_absent
    assert {event.environment for event in living.told} == {NAME}


@pytest.mark.parametrize("do", ["validate", "render", "plan", "up", "plan_resources", "apply_resources", "lock"])
def test_what_needs_a_file_cannot_be_asked_of_a_name(living: Shop, do: str) -> None:
    before = living.states
    with pytest.raises(UsageError, match="there is no environment file for 'shop'"):
        getattr(living.named, do)()
    assert living.states == before


def test_all_are_those_of_every_runtime_that_answers_each_on_its_own(tmp_path: Path) -> None:
    docker, process = FakeRuntime(), FakeRuntime()
    for runtime, names in ((docker, ("both", "mine")), (process, ("both", "other"))):
        for name in names:
            Environment(name=name, runtimes=FakeRuntimes(tmp_path, runtime)).up(RUNNING)
    both = FakeRuntimes(tmp_path, {"docker": docker, "process": process})
    told: list[Event] = []
    found = Environment.all(runtimes=both, on_event=told.append)
    assert [(environment.name, environment.runtime) for environment in found] == [
        ("both", docker),
        ("mine", docker),
        ("both", process),
        ("other", process),
    ]
    assert [len(environment.observe().nodes) for environment in found] == [2] * 4
    assert found[2].down() == 5
    assert (docker.environments(), process.environments()) == (("both", "mine"), ("other",))
    assert {event.environment for event in told} == {"both"}
    unreachable = FakeRuntimes(tmp_path, {"docker": Unavailable("no Docker engine answers"), "process": process})
    assert [environment.name for environment in Environment.all(runtimes=unreachable)] == ["other"]


# -- its manners ------------------------------------------------------------------------------------------------------


class Manners:
    """Notes at every event what signals do, and the thread that tells."""

    def __init__(self) -> None:
        self.handlers: list[dict[int, object]] = []

    def __call__(self, _event: Event) -> None:
        """Note it."""
        self.handlers.append(all_handlers())


def live(shop: Shop, manners: Manners) -> None:
    """Everything that is done to an environment from its beginning to its end, refusals included."""
    with closing(Environment(on_event=manners, runtimes=shop.runtimes, **VALUES)) as environment:
        environment.validate()
        environment.render()
        environment.plan()
        environment.up()
        environment.status()
        environment.wait()
        environment.restart()
        environment.create_topic("clicks")
        environment.delete_topics(["clicks"])
        environment.plan_resources()
        environment.apply_resources()
        environment.stop(["broker-2"])
        environment.start(["broker-2"])
        environment.up()
        with pytest.raises(Refused):
            Environment(overrides=["topics.orders.partitions=1"], runtimes=shop.runtimes, **VALUES).up()
        shop.looks_away()
        environment.down()


@pytest.mark.parametrize("thread", ["main", "another"])
def test_a_whole_life_prints_nothing_and_changes_no_signal_handler_in_whatever_thread(
    shop: Shop, capfd: pytest.CaptureFixture[str], thread: str
) -> None:
    before, manners = all_handlers(), Manners()
    if thread == "main":
        assert threading.current_thread() is threading.main_thread()
        live(shop, manners)
    else:
        with ThreadPoolExecutor(max_workers=1) as pool:
            pool.submit(live, shop, manners).result()
    assert all_handlers() == before
    assert len(manners.handlers) > 50
    assert all(during == before for during in manners.handlers)
    assert shop.runtime.observe(NAME).is_absent
    assert capfd.readouterr() == ("", "")


def test_two_environments_live_in_two_threads_at_the_same_time(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each waits for the other in the middle of its `up`, and they share a home with its ports."""
    meet = threading.Barrier(2, timeout=60)
    told: dict[str, list[Event]] = {"left": [], "right": []}
    ports: dict[str, list[str]] = {}

    def meet_at_the_network(verb: str, _subject: str) -> None:
        if verb == "create_network":
            meet.wait()

    def live_as(name: str) -> None:
        runtime = FakeRuntime(meet_at_the_network)
        with closing(
            Environment(
                name=name,
                brokers={"nodes": 3, "port": "auto"},
                runtimes=FakeRuntimes(tmp_path / "home", runtime),
                on_event=told[name].append,
            )
        ) as environment:
            environment.up(RUNNING)
            ports[name] = [str(node.endpoint) for node in environment.plan().cluster.brokers]
            meet.wait()
            assert runtime.environments() == (name,)
            assert environment.down() == 9
            assert runtime.environments() == ()

    with ThreadPoolExecutor(max_workers=2) as pool:
        for life in [pool.submit(live_as, name) for name in told]:
            life.result()
    assert len({*ports["left"], *ports["right"]}) == 6
    for name, events in told.items():
        assert {event.environment for event in events} == {name}
        assert {event.resource for event in events if isinstance(event, ActionDone)} >= set(NODES)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("when", [Planned, ActionDone])
def test_an_interrupt_of_the_program_is_its_own_and_a_first_up_still_leaves_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, when: type[Event]
) -> None:
    """As Python has it: SIGINT raises `KeyboardInterrupt`, and no handler of provision's is there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    environment = shop.of()
    came: list[Event] = []

    def interrupt(event: Event) -> None:
        if isinstance(event, when) and not came:
            came.append(event)
            signal.raise_signal(signal.SIGINT)

    environment.on_event = interrupt
    try:
        with pytest.raises((KeyboardInterrupt, Interrupted)):
            environment.up()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert came
    assert shop.runtime.observe(NAME).is_absent


# -- what it opens ----------------------------------------------------------------------------------------------------


class Engine(socketserver.ThreadingUnixStreamServer):
    """A Docker engine that has nothing but the networks of `environments`, and counts who is connected."""

    daemon_threads = True

    def __init__(self, directory: Path) -> None:
        self.connected = 0
        self.environments: tuple[str, ...] = ()
        self.served: list[str] = []
        self._lock = threading.Lock()
        super().__init__(str(directory / "docker.sock"), Session)

    def count(self, step: int) -> None:
        """One more or one fewer."""
        with self._lock:
            self.connected += step


class Session(BaseHTTPRequestHandler):
    """One connection, kept alive until the client closes it."""

    protocol_version = "HTTP/1.1"
    server: Engine

    def setup(self) -> None:
        """It begins."""
        super().setup()
        self.server.count(1)

    def finish(self) -> None:
        """It ends."""
        super().finish()
        self.server.count(-1)

    def do_GET(self) -> None:
        """All that is asked of an engine when it is looked at."""
        path = self.path.partition("?")[0]
        self.server.served.append(path.rpartition("/")[2])
        networks = [{"Name": name, "Labels": {"provision.environment": name}} for name in self.server.environments]
        answers: dict[str, object] = {
            "/version": {"ApiVersion": "1.43", "MinAPIVersion": "1.24"},
            "/volumes": {"Volumes": []},
            "/info": {},
            "/networks": networks,
        }
        body = json.dumps(next((answer for end, answer in answers.items() if path.endswith(end)), [])).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 the library's name

    def log_message(self, *_arguments: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def engine(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    with Engine(tmp_path_factory.mktemp("e")) as server:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{server.server_address}")
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        yield server
        server.shutdown()
        serving.join()


def test_it_opens_what_it_needs_when_it_needs_it_and_closes_that_at_the_end(engine: Engine, tmp_path: Path) -> None:
    with closing(Environment(home=tmp_path / "home", **VALUES)) as environment:
        environment.validate()
        environment.render()
        assert engine.served == []
        assert environment.runtime.kind == "docker"
        with pytest.raises(UsageError, match="there is no environment shop"):
            environment.status()
        assert "volumes" in engine.served
        assert engine.connected > 0
    assert wait_until(lambda: engine.connected == 0)


def test_what_it_opened_is_closed_after_an_error_too(engine: Engine, tmp_path: Path) -> None:
    environment = Environment.named("shop", home=tmp_path / "home")
    with pytest.raises(UsageError, match="there is no environment shop"), environment:
        environment.status()
    assert engine.served
    assert wait_until(lambda: engine.connected == 0)


def test_closing_twice_and_closing_what_was_never_opened_does_nothing(engine: Engine, tmp_path: Path) -> None:
    environment = Environment(home=tmp_path / "home", **VALUES)
    environment.close()
    environment.close()
    assert engine.served == []


def test_runtimes_that_are_shared_are_closed_by_whoever_made_them(engine: Engine, tmp_path: Path) -> None:
    shared = Runtimes(Home.at(tmp_path / "home"))
    named = Environment.named
    with named("shop", runtimes=shared) as one, named("mall", runtimes=shared) as other:
        assert one.runtime is other.runtime
        assert other.runtime.observe("mall").is_absent
    asked = len(engine.served)
    assert engine.connected > 0
    assert shared.of_kind("docker").observe("mall").is_absent  # over the same connection
    assert "version" not in engine.served[asked:]
    shared.close()
    assert wait_until(lambda: engine.connected == 0)


def test_all_environments_of_a_home_share_what_was_opened_until_the_last_of_them_is_closed(
    engine: Engine, tmp_path: Path
) -> None:
    engine.environments = ("mall", "shop")
    mall, shop = Environment.all(home=tmp_path / "home")
    assert (mall.name, shop.name) == ("mall", "shop")
    with mall:
        assert mall.observe().network
    with shop:
        assert shop.observe().network
    assert wait_until(lambda: engine.connected == 0)


def test_where_there_is_no_environment_nothing_stays_open(engine: Engine, tmp_path: Path) -> None:
    assert Environment.all(home=tmp_path / "home") == ()
    assert "networks" in engine.served
    assert wait_until(lambda: engine.connected == 0)
