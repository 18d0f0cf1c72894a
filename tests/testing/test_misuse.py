"""The plugin used in ways that are wrong: told once, by our message, and nothing else suffers from it."""

import re

import pytest

from tests.engine import NO_ENGINE
from tests.testing.test_plugin import Project, counts, project  # noqa: F401 the fixture

# -- without a cluster ------------------------------------------------------------------------------------------------

SIX = "".join(f"def test_{number}(kafka):\n    pass\n" for number in range(6))
VALUES = "import pytest\n@pytest.fixture(scope='session')\ndef kafka_environment_values():\n    return {}\n"
WRONG: dict[str, tuple[dict[str, str], str]] = {
    "a list": ({"conftest__py": VALUES.format(["kafka"])}, "kafka_environment_values returns the keys of"),
    "a text": ({"conftest__py": VALUES.format("'kafka.yaml'")}, "an environment file, not str"),
    "other keys": ({"conftest__py": VALUES.format({1: 2})}, "a mapping with other keys than text"),
    "a bad name": ({"conftest__py": VALUES.format({"name": "Bad Name"})}, "Bad Name"),
}


def _marks(what: str, workers: tuple[str, ...]) -> tuple[pytest.MarkDecorator, ...]:
    return () if what == "a list" else (pytest.mark.soak,) if workers else (pytest.mark.matrix,)


@pytest.mark.parametrize(
    ("what", "workers"),
    [pytest.param(what, workers, marks=_marks(what, workers)) for workers in [(), ("-n", "2")] for what in WRONG],
)
def test_what_is_said_wrongly_is_told_once_and_ends_the_run(
    project: Project,  # noqa: F811 the fixture
    what: str,
    workers: tuple[str, ...],
) -> None:
    files, told = WRONG[what]
    project.write(**{"test_it__py": SIX, **files})
    code, out = project.run("--strict-markers", *workers, **NO_ENGINE)
    assert code != 0
    assert told in out
    assert out.count("\nerror: ") == 1
    assert "Traceback" not in out
    assert counts(out)["error"] == 1
    assert project.is_clean


WRONG_MARKS = {
    "kafka(verison='4.1.0')": "the mark kafka does not take verison",
    "kafka(3)": "the mark kafka does not take 3",
    "kafka(check='no')": "takes True or False as check, not 'no'",
    "kafka(brokers=-1)": "the mark kafka(brokers=-1) of test_it.py::test_3 asks for that",
    "kafka(brokers='x')": "the mark kafka(brokers='x') of test_it.py::test_4 asks for that",
    "kafka(version='abc')": "the mark kafka(version='abc') of test_it.py::test_5 asks for that",
    "kafka(mode='paxos')": "the mark kafka(mode='paxos') of test_it.py::test_6 asks for that",
    "kafka(version='4.1.0', mode='zookeeper')": "asks for that",
}


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "workers"])
@pytest.mark.parametrize("fixture", ["kafka", "kafka_environment"])
def test_a_wrong_mark_fails_its_test_and_no_other(
    project: Project,  # noqa: F811
    fixture: str,
    workers: tuple[str, ...],
) -> None:
    wrong = "".join(
        f"@pytest.mark.{mark}\ndef test_{number}({fixture}):\n    pass\n\n" for number, mark in enumerate(WRONG_MARKS)
    )
    project.write(test_it__py=f"import pytest\n\n{wrong}def test_other():\n    pass\n")
    code, out = project.run("--strict-markers", *workers, **NO_ENGINE)
    assert (code, counts(out)) == (1, {"passed": 1, "error": len(WRONG_MARKS)}), out
    assert "Traceback" not in out
    assert out.count("\nerror: ") == len(WRONG_MARKS)
    for told in WRONG_MARKS.values() if fixture == "kafka" else list(WRONG_MARKS.values())[:3]:
        assert told in out
    assert project.is_clean


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("nope", "there is no environment file for 'nope'"),
        ("nope.yaml", "there is no file nope.yaml"),
        (".", "'.' is neither an environment's name nor a file"),
        ("./", ". is a directory, not an environment file"),
        ("environments", "there is no environment file for 'environments'"),
    ],
)
@pytest.mark.parametrize("where", ["option", "configuration"])
def test_a_file_that_is_not_there_is_told_with_those_that_are(
    project: Project,  # noqa: F811
    where: str,
    named: str,
    told: str,
) -> None:
    (project.directory / "environments").mkdir()
    (project.directory / "environments" / "shop.yaml").write_text("name: shop\n")
    project.write(test_it__py=SIX)
    if where == "configuration":
        project.write(pytest__ini=f"[pytest]\nkafka_environment = {named}\n")
    code, out = project.run(*([f"--kafka-environment={named}"] if where == "option" else []), **NO_ENGINE)
    assert code != 0
    assert f"error: {told}\n  there is environments/shop.yaml\n" in out
    assert counts(out)["error"] == 1


MARKED = "import pytest\n@pytest.mark.kafka(brokers=2)\ndef test_it(kafka):\n    pass\n"


@pytest.mark.parametrize(
    ("file", "option", "asks"),
    [
        ("runtime: docker\n", [], True),
        ("runtime: docker\nkafka: {mode: paxos}\n", [], False),
        ("runtime: docker\ntemplates: ./nowhere\n", [], False),
        ("runtime: docker\n", ["--kafka-environment=nope.yaml"], False),
        ("runtime: docker\n", ["--kafka-environment=nope"], False),
    ],
)
def test_a_mark_is_named_where_its_cluster_cannot_be_had(
    project: Project,  # noqa: F811
    file: str,
    option: list[str],
    asks: bool,
) -> None:
    project.write(test_it__py=MARKED, kafka__yaml=file)
    code, out = project.run(*option, **NO_ENGINE)
    assert code != 0
    assert out.count("\nerror: ") == 1
    assert ("the mark kafka(brokers=2) of test_it.py::test_it asks for this cluster" in out) == asks
    assert ("asks for" in out) == asks


ELSEWHERE = "import os\ndef pytest_runtest_setup():\n    os.chdir('/')\n"


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "workers"])
@pytest.mark.parametrize(
    ("option", "told"),
    [
        (["--kafka-environment=kafka.yaml"], "kafka.yaml:1:18: brokers.nodes: .*'in sub'"),
        (["--kafka-environment=./kafka.yaml"], "kafka.yaml:1:18: brokers.nodes: .*'in sub'"),
        (["--kafka-environment=../kafka.yaml"], "kafka.yaml:1:18: brokers.nodes: .*'in root'"),
        (["--kafka-environment=Kafka"], "Kafka:1:18: brokers.nodes: .*'no suffix'"),
        (["--kafka-environment=named"], "environments/named.yaml:1:18: brokers.nodes: .*'by name'"),
        ([], "kafka.yaml:1:18: brokers.nodes: .*'in root'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_path_of_the_command_line_is_from_where_it_was_given(
    project: Project,  # noqa: F811
    option: list[str],
    told: str,
    workers: tuple[str, ...],
) -> None:
    sub = project.directory / "sub"
    for directory in (sub, project.directory / "environments"):
        directory.mkdir()
    files = {"kafka.yaml": "in root", "sub/kafka.yaml": "in sub", "sub/Kafka": "no suffix"}
    for name, said in {**files, "environments/named.yaml": "by name"}.items():
        (project.directory / name).write_text(f"brokers: {{nodes: {said}}}\n")
    (sub / "conftest.py").write_text(ELSEWHERE)
    (sub / "test_it.py").write_text("def test_it(kafka_environment):\n    pass\n")
    code, out = Project(sub, project.home).run(*option, *workers, **NO_ENGINE)
    assert code != 0
    assert re.search(told, out), out


NEVER = """
import pytest

@pytest.mark.kafka(brokers=2)
def test_it(kafka, kafka_environment):
    pass

@pytest.mark.kafka(version="4.1.0")
def test_alone(kafka_environment):
    pass
"""


def test_a_mark_cannot_change_what_all_tests_share(project: Project) -> None:  # noqa: F811
    project.write(test_it__py=NEVER)
    code, out = project.run()
    assert (code, counts(out)) == (1, {"error": 2})
    for key in ("brokers", "version"):
        assert f"error: the mark kafka({key}=…) cannot change kafka_environment, which is the same in all tests" in out
    assert not project.home.exists()


# -- with a cluster ---------------------------------------------------------------------------------------------------

SHARED = """
import pytest

@pytest.fixture
def two(request):
    request.applymarker(pytest.mark.kafka(brokers=2))

@pytest.fixture
def lazy(request):
    return request.getfixturevalue("kafka_environment")

@pytest.fixture(scope="session")
def wide(request):
    return request.getfixturevalue("kafka_environment")

def test_apply(two, kafka_environment):
    pass

def test_apply_and_ask(two, request):
    request.getfixturevalue("kafka_environment")

class TestTwo:
    pytestmark = pytest.mark.kafka(brokers=2)

    def test_lazy(self, lazy):
        pass

    def test_wide(self, wide):
        pass

    @pytest.mark.parametrize("name", ["kafka_environment", "lazy", "wide"])
    def test_ask(self, request, name):
        request.getfixturevalue(name)

    @pytest.mark.kafka(brokers=1, mode="kraft")
    @pytest.mark.parametrize("name", ["kafka_environment", "lazy", "wide"])
    def test_the_same(self, kafka_environment, lazy, wide, request, name):
        assert request.getfixturevalue(name) is kafka_environment

@pytest.mark.parametrize("time", [1, 2])
def test_what_a_wide_one_makes_is_its_own(kafka, request, time):
    topics = request.getfixturevalue("wide")
    if time == 1:
        topics.create_topic("wide")
    assert [topic.name for topic in topics.topics()] == ["wide"]
"""


@pytest.mark.process
@pytest.mark.matrix
def test_what_all_tests_share_cannot_be_changed_however_it_is_asked_for(project: Project) -> None:  # noqa: F811
    project.write(test_it__py=SHARED)
    code, out = project.run("-p", "no:randomly", **NO_ENGINE)
    assert (code, counts(out)) == (1, {"passed": 5, "failed": 4, "error": 3}), out
    assert out.count("\nerror: the mark kafka(brokers=…) cannot change kafka_environment") == 7
    assert project.is_clean


TESTS = """
import time
from concurrent.futures import ThreadPoolExecutor
import pytest
from provision import ProvisionError, UsageError

def refused(told, call, *args, **kwargs):
    with pytest.raises((TypeError, ValueError, ProvisionError)) as raised:
        call(*args, **kwargs)
    assert told in "\\n".join([str(raised.value), *getattr(raised.value, "__notes__", ())])

@pytest.mark.parametrize("nodes", [["broker-1"], []])
def test_stopped_is_started_again(kafka, nodes):
    kept = kafka.topic("kept", records=["a"])
    kafka.stop(*nodes)
    kafka.start()
    assert kept.consume(1)[0].value == b"a"
    kafka.kill(*nodes)

def test_inputs(kafka, tmp_path):
    orders = kafka.topic("orders", partitions=2)
    refused("made with partitions=2", kafka.topic, "orders", partitions=3)
    refused("`records` is for a new one", kafka.topic, "orders", records=["a"])
    assert kafka.topic("orders", partitions=2) is kafka.topic("orders") is orders
    wrong = {0: "at least 1, not 0", -5: "at least 1, not -5", "3": "a whole number, not the text '3'"}
    for count, told in wrong.items():
        refused(f"partitions: must be {told}", kafka.topic, "other", partitions=count)
    refused("a topic's name is a text", kafka.topic, 5)
    refused("a topic's name is a text", kafka.topic, "__x")
    for several in ("abc", {"value": "a"}, b"abc", 5):
        refused("records are several", orders.produce, several)
        refused("records are several", kafka.topic, "other", records=several)
    refused("records[1]: partition is a whole number", orders.produce, ["fine", {"value": "a", "partition": -1}])
    refused("a whole number from 0, not -1", orders.consume, -1)
    assert orders.consume(0) == []
    assert not [topic for topic in kafka.environment.topics() if topic.name.startswith("other")]
    file = tmp_path / "orders.jsonl"
    file.write_text('{"key": "1", "value": "a"}\\n{"value": "b"}\\n')
    assert {record.value for record in kafka.topic("filed", records=file).consume(2)} == {b"a", b"b"}
    assert orders.produce(file) == 2

def test_threads_get_the_same_topic(kafka):
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda _: kafka.topic("same"), range(4)))) == 1

def test_leaves_a_topic(kafka):
    kafka.environment.create_topic("stray")

def test_finds_none(kafka):
    assert kafka.environment.topics(settings=False) == ()

@pytest.mark.kafka(version=None, brokers=1)
class TestMarks:
    @pytest.mark.kafka(check=False)
    def test_the_same_cluster(self, kafka, kafka_name):
        assert kafka.environment.name == kafka_name
        kafka.environment.create_topic("allowed")

@pytest.fixture(scope="session")
def kafka_name(request):
    return request.getfixturevalue("kafka_environment").name

@pytest.mark.parametrize("how", ["stop", "kill"])
def test_wrong_node(request, how):
    getattr(request.getfixturevalue("kafka"), how)("broker-9")

def test_reason(kafka_environment):
    kafka_environment.topics(["nothing"])

def test_ends_a_broker(kafka):
    kafka.topic("t")
    kafka.environment.runtime.kill_node(kafka.environment.name, "broker-1")
    for _ in range(100):
        if kafka.environment.observe().nodes[0].state != "running":
            break
        time.sleep(0.1)

def test_after_it(kafka):
    pass

def test_after_it_the_environment(kafka_environment):
    kafka_environment.create_topic("x")
"""


@pytest.mark.process
@pytest.mark.soak
def test_with_warnings_as_errors_each_mistake_is_told_by_its_reason(project: Project) -> None:  # noqa: F811
    project.write(pytest__ini="[pytest]\nfilterwarnings = error\n", test_it__py=TESTS)
    code, out = project.run("-W", "error", "--tb=short", "-p", "no:randomly", **NO_ENGINE)
    assert counts(out) == {"failed": 3, "passed": 10, "error": 2}, out
    assert code == 1
    assert "DeprecationWarning" not in out
    assert "During handling" not in out
    assert "direct cause" not in out
    assert not re.search(r"provision/\w+(/\w+)*\.py:\d+: in", out)
    assert out.count("there is no node broker-9\nE   hint: there are broker-1") == 2
    assert re.search(r"has no topic nothing\nE   hint: ", out)
    (told,) = re.findall(r"teardown of test_ends_a_broker _+\n((?:.*\n){7})", out)
    assert "broker-1, which is down: `kafka.stop` and `kafka.kill` have it started again" in told
    assert "broker-1 exited with code 137" in told
    assert project.is_clean


MARKS = """
import pytest

@pytest.mark.kafka(brokers=2)
class TestIt:
    @pytest.mark.kafka(check=False)
    def test_merged(self, kafka):
        assert len(kafka.environment.observe().nodes) == 2
        kafka.topic("t", replication_factor=2, records=["a"])
        kafka.stop("broker-2")
"""


DOWN = """
def test_stops_it_otherwise(kafka):
    kafka.environment.stop(["broker-1"])

def test_finds_it(kafka):
    assert kafka.topic("t", records=["a"]).consume(1)
"""


@pytest.mark.process
@pytest.mark.matrix
def test_a_broker_that_a_test_stops_otherwise_is_told_and_started_for_the_next(project: Project) -> None:  # noqa: F811
    project.write(test_it__py=DOWN)
    code, out = project.run("-p", "no:randomly", **NO_ENGINE)
    assert (code, counts(out)) == (1, {"passed": 2, "error": 1}), out
    assert "has left behind:\n  broker-1, which is down: `kafka.stop` and `kafka.kill` have it started again" in out
    assert project.is_clean


@pytest.mark.process
@pytest.mark.matrix
def test_marks_of_a_test_and_of_its_class_add_up(project: Project) -> None:  # noqa: F811
    (project.directory / "pytest.ini").unlink()
    project.write(test_it__py=MARKS)
    code, out = project.run(**NO_ENGINE)
    assert (code, counts(out)) == (0, {"passed": 1}), out
    assert project.is_clean


ENDS = """
import pytest

@pytest.fixture
def late(request):
    return lambda **said: request.applymarker(pytest.mark.kafka(**said))

@pytest.mark.parametrize("said", [{"verison": "4.1.0"}, {"check": 5}])
def test_a_mark_that_comes_late(kafka, late, said):
    late(**said)
    kafka.stop("broker-1")

def test_another_fixture_fails(kafka, request):
    kafka.stop("broker-1")
    request.addfinalizer(lambda: 1 / 0)

@pytest.mark.parametrize("error", [AssertionError("x"), OSError("x"), pytest.fail.Exception("timeout")])
def test_its_own_end_fails(monkeypatch, kafka, error):
    def start(*_):
        raise error

    kafka.stop("broker-1")
    monkeypatch.setattr(kafka.environment, "start", start)

def test_after_them(kafka):
    assert kafka.topic("t", records=["a"]).consume(1)
"""


@pytest.mark.process
@pytest.mark.matrix
def test_an_end_that_fails_disturbs_no_other_test(project: Project) -> None:  # noqa: F811
    project.write(test_it__py=ENDS)
    code, out = project.run("-p", "no:randomly", **NO_ENGINE)
    assert (code, counts(out)) == (1, {"passed": 7, "error": 6}), out
    assert "the mark kafka does not take verison" in out
    assert "takes True or False as check, not 5" in out
    assert project.is_clean
