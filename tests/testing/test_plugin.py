"""The pytest plugin, run by pytest as its users run it."""

import io
import json
import os
import re
import socket
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import psutil
import pytest

from provision import Environment
from tests.engine import NO_ENGINE, wait_until

ROOT = Path(__file__).parents[2]
INSTALLED = any(point.value == "provision.pytest_plugin" for point in entry_points(group="pytest11"))
PLUGIN = [] if INSTALLED else ["-p", "provision.pytest_plugin"]
"""pytest loads it by itself where the distribution was installed with it, and would not load it twice."""
ONE = "kafka: {mode: kraft}\nbrokers: {nodes: 1, port: auto}\nruntime: process\n"


@dataclass(frozen=True)
class Project:
    """A project with tests, and a home of its own."""

    directory: Path
    home: Path

    def write(self, **files: str) -> None:
        """Write files; two underscores in a name stand for its dot."""
        for name, content in files.items():
            (self.directory / f"{name.replace('__', '.')}").write_text(content)

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        """Start pytest with these arguments and variables."""
        variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
            "PROVISION_HOME": str(self.home),
            "PYTHONPATH": f"{ROOT}{os.pathsep}{self.directory}",
            "NO_COLOR": "1",
            **environment,
        }
        command = [sys.executable, "-m", "pytest", *PLUGIN, "-p", "no:cacheprovider", "-W", "ignore", *arguments]
        return subprocess.Popen(
            command, cwd=self.directory, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Run pytest; returns its exit code and output."""
        with self.start(*arguments, **environment) as running:
            out, _ = running.communicate(timeout=480)
            return running.returncode, out

    @property
    def nodes(self) -> list[psutil.Process]:
        """The nodes of this home that run."""
        mark = f"-Dprovision.node={self.home}"
        return [one for one in psutil.process_iter(["cmdline"]) if any(mark in a for a in one.info["cmdline"] or ())]

    @property
    def is_clean(self) -> bool:
        """Whether no node runs, and the home has nothing of the run."""
        left = [file for file in (self.home / "tests").rglob("*") if file.is_file()]
        environments = self.home / "environments"
        return not self.nodes and not left and not (environments.is_dir() and any(environments.iterdir()))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "pytest.ini").write_text("[pytest]\nkafka_environment = kafka.yaml\n")
    (directory / "kafka.yaml").write_text(ONE)
    return Project(directory, tmp_path / "home")


def counts(out: str) -> dict[str, int]:
    """How many tests passed, failed and so on, by the last line of a run."""
    return {kind.rstrip("s"): int(count) for count, kind in re.findall(r"(\d+) (\w+)", out.splitlines()[-1])}


# -- without a cluster ------------------------------------------------------------------------------------------------


def test_it_costs_nothing_until_it_is_used() -> None:
    heavy = "docker kafka pydantic typer rich psutil jinja2 yaml provision.environment provision.testing"
    program = (
        "import pytest, sys\nbefore = set(sys.modules)\nimport provision.pytest_plugin\n"
        f"print(sorted((set(sys.modules) - before) & set('{heavy}'.split())))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert told.stdout == "[]\n"


LOADED = """
import sys

def pytest_unconfigure(config):
    print("loaded:", sorted(name for name in sys.modules if name.startswith("provision.")))
"""


@pytest.mark.parametrize("workers", [(), ("-n", "2"), ("-n", "2", "--maxfail=1")], ids=" ".join)
def test_a_run_that_asks_for_no_cluster_loads_nothing(project: Project, workers: tuple[str, ...]) -> None:
    project.write(conftest__py=LOADED, test_it__py="def test_one():\n    pass\ndef test_two():\n    pass\n")
    code, out = project.run("-s", *workers)
    assert code == 0
    assert "loaded: ['provision.pytest_plugin', 'provision.pytest_run']" in out
    assert not project.home.exists()


def test_a_home_whose_path_is_no_text_is_no_matter_to_who_asks_for_no_cluster(project: Project, tmp_path: Path) -> None:
    own = tmp_path / os.fsdecode(b"h\xe9")
    own.mkdir()
    project.write(test_it__py="def test_one():\n    pass\n")
    code, out = project.run("-n", "2", HOME=str(own), XDG_STATE_HOME=str(own))
    assert (code, counts(out)) == (0, {"passed": 1}), out


OTHERWISE = {
    "test_0.py": "import pytest\n@pytest.mark.skip\ndef test_first(kafka_environment):\n    pass\n",
    "test_1.py": """
import pytest

def test_alike(kafka_environment):
    pass

class TestOther:
    @pytest.fixture(scope="session")
    def kafka_environment_values(self):
        return {"name": "other"}

    def test_class(self, kafka_environment):
        pass
""",
    "z/conftest.py": """
import pytest

@pytest.fixture(scope="session")
def kafka_environment_values():
    return {"name": "other"}
""",
    "z/test_2.py": "def test_directory(kafka_environment):\n    pass\n",
}


@pytest.mark.parametrize(
    ("files", "test", "told"),
    [
        (
            ["test_0.py", "test_1.py"],
            "test_class",
            "TestOther describes another cluster than the first of these has, test_0",
        ),
        (["test_0.py", "z/test_2.py"], "test_directory", "z describes another cluster than the first of these has"),
    ],
)
def test_kafka_environment_is_described_once(project: Project, files: list[str], test: str, told: str) -> None:
    (project.directory / "z").mkdir()
    for name, content in OTHERWISE.items():
        (project.directory / name).write_text(content)
    code, out = project.run(*files, "-k", f"test_first or {test}", **NO_ENGINE)
    assert code == 1
    assert "1 error" in out.splitlines()[-1], out
    assert told in out
    assert "take the fixture kafka instead" in out


WIDER = """
import pytest
from provision.pytest_plugin import _outliving

@pytest.fixture(scope="session")
def kafka_environment():
    return object()

@pytest.fixture(scope="module")
def of_module(kafka_environment):
    return object()

@pytest.fixture(scope="session")
def other():
    return object()

@pytest.fixture
def narrow(kafka_environment):
    return object()

@pytest.fixture
def outliving(request):
    return lambda: sorted(known.argname for known in request.config.stash[_outliving])

@pytest.mark.parametrize("fixture", ["other", "narrow", "kafka_environment", "request"])
def test_others(request, fixture, outliving):
    request.getfixturevalue(fixture)
    assert outliving() == []

class TestIt:
    @pytest.fixture(scope="class")
    def of_class(self, kafka_environment):
        return object()

    def test_named(self, narrow, of_class, outliving):
        assert outliving() == ["of_class"]

    def test_in_its_scope(self, outliving):
        assert outliving() == ["of_class"]

def test_outside(outliving):
    assert outliving() == []

class TestLazy:
    @pytest.fixture(scope="class")
    def at_once(self, request):
        return request.getfixturevalue("kafka_environment")

    @pytest.fixture(scope="class")
    def later(self, request):
        return lambda: request.getfixturevalue("kafka_environment")

    @pytest.fixture(scope="class")
    def above(self, request):
        return request.getfixturevalue("later")

    def test_not_yet(self, later, outliving):
        assert outliving() == []

    def test_at_once(self, at_once, outliving):
        assert outliving() == ["at_once"]

    def test_later(self, later, outliving):
        assert later() and outliving() == ["at_once", "later"]

    def test_above(self, above, outliving):
        assert above() and outliving() == ["above", "at_once", "later"]

def test_after_them(outliving):
    assert outliving() == []

class TestAbove:
    @pytest.fixture(scope="class")
    def above(self, of_module):
        return object()

    def test_asked_for(self, request, outliving):
        request.getfixturevalue("above")
        assert outliving() == ["above", "of_module"]

def test_later(outliving):
    assert outliving() == ["of_module"]
"""
LATER = (
    WIDER.partition("@pytest.mark.parametrize")[0]
    + """
def test_of_another_module(outliving):
    assert outliving() == []
"""
)


def test_fixtures_that_outlive_the_test_and_use_the_cluster_are_known(project: Project) -> None:
    project.write(test_a__py=WIDER, test_b__py=LATER)
    code, out = project.run()
    assert (code, counts(out)) == (0, {"passed": 15}), out


OWN = """
import pytest

@pytest.fixture(scope="session")
def kafka_environment_values():
    return {"name": "other"}

@pytest.fixture(scope="session")
def kafka_environment():
    return "own"

@pytest.fixture
def kafka():
    return "own"

def test_it(kafka_environment):
    assert kafka_environment == "own"

@pytest.mark.kafka("theirs", topics=["x"])
@pytest.mark.parametrize("fixture", ["kafka", "kafka_environment"])
def test_with_a_mark_of_its_own(request, fixture):
    assert request.getfixturevalue(fixture) == "own"

@pytest.mark.kafka("theirs", topics=["x"])
def test_with_both(kafka, kafka_environment):
    assert kafka == kafka_environment
"""


def test_who_overrides_the_fixtures_is_not_refused(project: Project) -> None:
    project.write(test_0__py=OTHERWISE["test_0.py"], test_1__py=OWN)
    code, out = project.run(**NO_ENGINE)
    assert (code, counts(out)) == (0, {"skipped": 1, "passed": 4}), out


INTERRUPTED = """
import unittest
import pytest
from provision import Interrupted

def interrupted():
    raise Interrupted("interrupted", why="said by the program")

@pytest.fixture
def setup():
    interrupted()

@pytest.fixture
def teardown():
    yield
    interrupted()

def test_setup(setup):
    pass

def test_call():
    interrupted()

def test_teardown(teardown):
    pass

class TestOfUnittest(unittest.TestCase):
    def test_case(self):
        interrupted()

def test_later():
    pass
"""


@pytest.mark.parametrize("test", ["test_setup", "test_call", "test_teardown", "test_case"])
def test_an_interrupt_ends_the_run_as_ctrl_c_does(project: Project, test: str) -> None:
    project.write(test_it__py=INTERRUPTED)
    code, out = project.run("-k", f"{test} or test_later", "-W", "default")
    assert code == pytest.ExitCode.INTERRUPTED
    assert "! KeyboardInterrupt !" in out
    assert "warning" not in out
    assert "failed" not in out


AT_THE_END = """
import pytest
from provision import Interrupted

@pytest.fixture(scope="session")
def first():
    yield
    {how}

@pytest.fixture(scope="session")
def second():
    yield
    {how}

def test_fails():
    assert False

def test_is_interrupted(first, second):
    raise KeyboardInterrupt
"""


@pytest.mark.parametrize("how", ["raise KeyboardInterrupt", "raise Interrupted('interrupted')"])
@pytest.mark.parametrize("shown", [True, False])
def test_an_interrupt_at_the_end_ends_the_run_with_its_summary(project: Project, how: str, shown: bool) -> None:
    project.write(test_it__py=AT_THE_END.format(how=how))
    code, out = project.run(*([] if shown else ["-p", "no:terminal"]))
    assert code == pytest.ExitCode.INTERRUPTED
    assert "interrupted: fixtures were not torn down" in out
    assert "Traceback" not in out
    if shown:
        assert counts(out)["failed"] == 1


OWN_HOME = """
import os, psutil, pytest

@pytest.fixture(autouse=True, scope="SCOPE")
def isolated(tmp_path_factory):
    before = dict(os.environ)
    for name in ("HOME", "PROVISION_HOME", "PROVISION_CACHE", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        os.environ[name] = str(tmp_path_factory.mktemp("own"))
    directory = os.getcwd()
    os.chdir(tmp_path_factory.mktemp("elsewhere"))
    yield
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(before)
"""
OF_OTHERS = """
import time, pytest

@pytest.mark.parametrize("number", range(6))
def test_a_broker_of_others_is_not_killed(kafka, number, request):
    with open(request.config.rootpath / "homes", "a") as file:
        file.write(f"{kafka.environment.home.directory}\\n")
    orders = kafka.topic("orders")
    for _ in range(10):
        orders.produce(["a"])
        time.sleep(0.05)
    if number % 3 == 2:
        kafka.kill("broker-1")
        kafka.start()
"""


@pytest.mark.process
@pytest.mark.matrix
@pytest.mark.parametrize("scope", ["function", "session"])
@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one", "workers"])
def test_tests_that_have_a_home_of_their_own_share_that_of_the_run(
    project: Project, scope: str, workers: tuple[str, ...]
) -> None:
    (project.directory / "kafka.yaml").write_text(f"{ONE}storage: ./data\n")
    project.write(conftest__py=OWN_HOME.replace("SCOPE", scope), test_it__py=OF_OTHERS)
    for _ in range(2):  # the second finds no data of the first
        code, out = project.run(*workers, PROVISION_HOME=os.path.relpath(project.home, project.directory))
        assert (code, counts(out)) == (0, {"passed": 6}), out
        assert set((project.directory / "homes").read_text().split()) == {str(project.home)}
        assert project.is_clean
        assert not any((project.directory / "data").glob("*"))


@pytest.mark.process
@pytest.mark.matrix
def test_what_tests_with_a_home_of_their_own_keep_is_found(project: Project) -> None:
    project.write(conftest__py=OWN_HOME.replace("SCOPE", "function"), test_it__py="def test_it(kafka): pass\n")
    names = []
    for _ in range(2):
        code, out = project.run("--kafka-keep")
        assert code == 0, out
        names += re.findall(r"provision down (\S+)` removes it", out)
    assert len(set(names)) == 1
    assert len(project.nodes) == 1
    with Environment.named(names[0], home=project.home) as environment:
        assert environment.down(delete_data=True)
    assert not project.nodes


ASKED_FOR = """
import pytest

def test_first_asks(request):
    request.getfixturevalue("kafka_environment").stop("nope")

def test_asks(request):
    request.getfixturevalue("kafka_environment").stop("nope")

@pytest.fixture
def lazy(request):
    return request.getfixturevalue("kafka_environment")

def test_has_it_by_a_fixture(lazy):
    lazy.stop("nope")

@pytest.fixture(scope="module")
def wide(kafka_environment):
    return kafka_environment

def test_has_it_by_a_wide_one(request):
    request.getfixturevalue("wide").stop("nope")

@pytest.fixture(scope="module")
def late(request):
    return request.getfixturevalue("kafka_environment")

def test_has_it_by_a_late_one(late):
    late.stop("nope")

def test_has_it_by_a_late_one_again(late):
    late.stop("nope")

def test_leaves_a_topic(kafka_environment, kafka):
    kafka_environment.create_topic(kafka.unique("left"), partitions=1)

def test_has_none():
    assert False
"""


@pytest.mark.process
@pytest.mark.matrix
def test_who_asks_for_the_environment_while_it_runs_is_told_the_same(project: Project) -> None:
    project.write(test_it__py=ASKED_FOR)
    code, out = project.run("--kafka-logs", "logs", "--tb=short")
    assert (code, counts(out)) == (1, {"failed": 7, "passed": 1, "error": 1}), out
    assert not re.search(r"provision/\w+(/\w+)*\.py:\d+:", out)
    told = {place.name.partition("-")[2] for place in (project.directory / "logs").iterdir() if place.is_dir()}
    by = ("a_fixture", "a_wide_one", "a_late_one", "a_late_one_again")
    assert told == {"test_first_asks", "test_asks", *(f"test_has_it_by_{one}" for one in by)}
    assert project.is_clean


def test_a_run_that_asks_for_no_cluster_starts_none(project: Project) -> None:
    project.write(test_it__py="def test_nothing():\n    pass\n")
    code, out = project.run()
    assert (code, counts(out)["passed"]) == (0, 1)
    assert not project.home.exists()


NO_JAVA = {"PATH": "/nowhere", "JAVA_HOME": ""}
TAKEN = "kafka: {mode: kraft}\nbrokers: {nodes: 1, port: PORT}\nruntime: process\n"
WRONG: dict[str, tuple[str | None, dict[str, str], str]] = {
    "no engine": ("runtime: docker\n", {}, "no Docker engine answers"),
    "not valid": ("brokers: {nodes: many}\n", {}, "kafka.yaml:1"),
    "no file": (None, {}, "kafka.yaml"),
    "no Java": ("runtime: process\nkafka: {version: 2.8.2}\n", NO_JAVA, "Kafka 2.8.2 needs Java"),
    "no such version": ("kafka: {version: 1.0.0}\n", {}, "kafka.yaml:1:18"),
    "no template": ("templates: ./nowhere\n", {}, "nowhere"),
    "not ours": ("bootstrap_servers: kafka.example:9092\n", {}, "bootstrap_servers"),
    "no home": (ONE, {"PROVISION_HOME": "/dev/null/home"}, "/dev/null/home"),
    "no engine, and no Java": ("kafka: {version: 2.8.2}\n", NO_JAVA, "Kafka 2.8.2 needs Java"),
    "no engine for us": ("runtime: docker\n", {"DOCKER_HOST": "ssh://nobody@127.0.0.1:1"}, "ssh://nobody@127.0.0.1:1"),
}
USUAL = ("no engine", "not valid", "no file")


def _group(what: str, workers: tuple[str, ...]) -> tuple[pytest.MarkDecorator, ...]:
    return () if what in USUAL else (pytest.mark.soak,) if workers else (pytest.mark.matrix,)


def told_once(project: Project, told: str, *workers: str, **variables: str) -> None:
    """Assert that a run of several tests tells once what is wrong, with our message alone."""
    tests = "".join(f"def test_{number}(kafka):\n    pass\n" for number in range(6))
    project.write(test_it__py=tests)
    code, out = project.run(*workers, **{"DOCKER_HOST": "unix:///nowhere.sock", **variables})
    assert code != 0
    assert told in out
    assert "Traceback" not in out
    assert "fixture" not in re.sub("^asyncio: .*", "", out, flags=re.MULTILINE)
    assert out.count("\nerror: ") == 1
    assert counts(out)["error"] == 1
    assert project.is_clean


@pytest.mark.parametrize(
    ("what", "workers"),
    [
        pytest.param(what, workers, marks=_group(what, workers), id=f"{what}{' '.join(workers)}")
        for workers in [(), ("-n", "2")]
        for what in WRONG
    ],
)
def test_what_is_wrong_is_told_once(project: Project, what: str, workers: tuple[str, ...]) -> None:
    file, variables, told = WRONG[what]
    if file is None:
        (project.directory / "kafka.yaml").unlink()
    else:
        project.write(kafka__yaml=file)
    told_once(project, told, *workers, **variables)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "workers"])
def test_a_home_that_cannot_be_used_is_told_once(project: Project, tmp_path: Path, workers: tuple[str, ...]) -> None:
    (tmp_path / "all").mkdir()
    (tmp_path / "all").chmod(0o1777)
    (tmp_path / "all" / "trap").mkdir()
    os.chown(tmp_path / "all" / "trap", 65534, 65534)
    told_once(project, "trap belongs to another user", *workers, PROVISION_HOME=str(tmp_path / "all" / "trap" / "home"))


@pytest.mark.process
@pytest.mark.matrix
@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "workers"])
def test_a_port_that_is_taken_is_told_once(project: Project, workers: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        project.write(kafka__yaml=TAKEN.replace("PORT", port))
        told_once(project, f"port {port} on 127.0.0.1 is taken", *workers)


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (["--kafka-environment", ""], "--kafka-environment is empty"),
        (["--kafka-logs="], "--kafka-logs is empty"),
        (["--kafka-logs", "kafka.yaml/logs"], "--kafka-logs kafka.yaml/logs: it cannot be written to: Not a directory"),
        (["--kafka-logs", "/proc/logs"], "--kafka-logs /proc/logs: it cannot be written to: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_cannot_be_used_are_refused_before_any_test(
    project: Project, option: list[str], told: str
) -> None:
    project.write(test_it__py="def test_it():\n    open('ran', 'w').close()\n")
    code, out = project.run(*option)
    assert code == pytest.ExitCode.USAGE_ERROR
    assert f"ERROR: {told}" in out
    assert not (project.directory / "ran").exists()


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("kafka_check", '"maybe"', "kafka_check: invalid truth value 'maybe'"),
        ("kafka_check", '["true"]', "kafka_check: "),
        ("kafka_environment", '["a", "b"]', "kafka_environment is the name or the path of one file, not ['a', 'b']"),
    ],
)
def test_keys_that_cannot_be_used_are_refused_before_any_test(
    project: Project, key: str, value: str, told: str
) -> None:
    (project.directory / "pytest.ini").unlink()
    project.write(pyproject__toml=f"[tool.pytest.ini_options]\n{key} = {value}\n")
    project.write(test_it__py="def test_it():\n    open('ran', 'w').close()\n")
    code, out = project.run()
    assert code == pytest.ExitCode.USAGE_ERROR
    assert f"ERROR: {told}" in out
    assert not (project.directory / "ran").exists()


PLAIN = """
import pytest
from provision import UsageError

@pytest.fixture(scope="session")
def kafka_environment():
    return object()

def test_fails(kafka_environment):
    raise UsageError("no")

def test_goes_on():
    open("ran", "w").close()
"""


TRIMMED = """
import unittest
import pytest
from provision import Environment

@pytest.fixture(scope="session")
def kafka_environment():
    return object()

def fails():
    Environment(name="Bad Name").validate()

def test_function(kafka_environment):
    fails()

class TestOfUnittest(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def take(self, kafka_environment):
        pass

    def test_method(self):
        fails()
"""


@pytest.mark.parametrize("test", ["test_function", "test_method"])
@pytest.mark.parametrize("full", [True, False])
def test_errors_are_shown_without_frames_of_the_program(project: Project, test: str, full: bool) -> None:
    project.write(test_it__py=TRIMMED)
    code, out = project.run("-k", test, "--tb=short", *(["--full-trace"] if full else []))
    assert (code, counts(out)["failed"]) == (1, 1), out
    assert "fails()" in out
    assert "Bad Name" in out
    assert bool(re.search(r"provision/\w+(/\w+)*\.py:\d+:", out)) == full


def test_pytest_without_its_terminal_plugin(project: Project) -> None:
    project.write(test_it__py=PLAIN)
    code, out = project.run("-p", "no:terminal")
    assert (code, out) == (1, "")
    assert (project.directory / "ran").exists()


# -- with a cluster ---------------------------------------------------------------------------------------------------

BEHAVIOUR = """
import pytest
from confluent_kafka import Producer
from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition

left = []

@pytest.mark.parametrize("number", range(3))
def test_same_names(kafka, number):
    orders = kafka.topic("orders", partitions=2, records=[str(number)])
    assert orders.name != "orders" and kafka.topic("orders") is orders
    assert [record.value for record in orders.consume(1)] == [str(number).encode()]

def test_leaves_a_topic(kafka):
    kafka.environment.create_topic("stray")

def test_leaves_a_client(kafka):
    producer = KafkaProducer(**kafka.client_config())
    producer.send(kafka.topic("t").name, b"x").get(timeout=30)
    left.append(producer)

def test_leaves_a_consumer(kafka):
    topic = kafka.topic("t", records=["x"])
    consumer = KafkaConsumer(topic.name, **kafka.client_config(group_id=kafka.group(), auto_offset_reset="earliest"))
    next(consumer)
    left.append(consumer)

@pytest.mark.kafka(check=False)
def test_may_leave_a_client(kafka):
    producer = KafkaProducer(**kafka.client_config())
    producer.send(kafka.topic("t").name, b"x").get(timeout=30)  # it is connected then
    left.append(producer)

def test_fails(kafka):
    kafka.topic("t", records=["only"]).consume(2, timeout=10)

@pytest.fixture
def service(kafka):
    kafka.topic("t")
    raise RuntimeError("the service does not start")

def test_needs_the_service(service):
    pass

def test_groups(kafka):
    topic = kafka.topic("t", records=["x", "y"])
    group = kafka.group()
    with KafkaConsumer(topic.name, **kafka.client_config(group_id=group, auto_offset_reset="earliest")) as consumer:
        next(consumer), next(consumer)
        consumer.commit()
    topic.wait_until_read(group)
    topic.produce(["z"])
    assert kafka.lag(group) == topic.lag(group) == 1

def test_transactions(kafka):
    topic, group = kafka.topic("t"), kafka.group()
    producer = Producer(kafka.client_config("confluent-kafka", **{"transactional.id": kafka.unique("tx")}))
    producer.init_transactions(120)
    for value, end in (("aborted", producer.abort_transaction), ("committed", producer.commit_transaction)):
        producer.begin_transaction()
        producer.produce(topic.name, value)
        producer.flush(120)  # what is not sent yet is not sent any more once it is aborted
        end(120)
    del producer
    assert [record.value for record in topic.wait_for_records(1)] == [b"committed"]
    everything = topic.consume(2, isolation_level="read_uncommitted")
    assert [record.value for record in everything] == [b"aborted", b"committed"]
    with KafkaConsumer(topic.name, **kafka.client_config(group_id=group, auto_offset_reset="earliest")) as consumer:
        last = [next(consumer) for _ in range(2)][-1]
        place = TopicPartition(topic.name, last.partition)
        consumer.commit({place: OffsetAndMetadata(last.offset + 1, "", -1)})  # as many applications do
    topic.wait_until_read(group)
    assert topic.lag(group) == 1

def test_sees_nothing_of_the_others(kafka):
    names = [topic.name for topic in kafka.environment.topics(settings=False)]
    assert [name for name in names if name != "stray"] == []
"""


OF_A_MODULE = """
import pytest
from kafka import KafkaConsumer, KafkaProducer

@pytest.fixture(scope="module")
def producer(kafka_environment):
    made = KafkaProducer(bootstrap_servers=kafka_environment.bootstrap_servers)
    yield made
    made.close()

@pytest.fixture(scope="module")
def consumer(kafka_environment):
    kafka_environment.create_topic("of-module")
    made = KafkaConsumer("of-module", bootstrap_servers=kafka_environment.bootstrap_servers, group_id="of-module")
    yield made
    made.close()

def test_writes(kafka, producer):
    producer.send(kafka.topic("t").name, b"x").get(10)

def test_stops(kafka, producer):
    topic = kafka.topic("t")
    kafka.stop("broker-1")
    kafka.start()
    producer.send(topic.name, b"x").get(20)

@pytest.mark.parametrize("time", [1, 2])
def test_reads(kafka, request, time):
    request.getfixturevalue("consumer").poll(500)
    assert "of-module" in [topic.name for topic in kafka.environment.topics()]

def test_fails_with_its_broker_down(kafka):
    kafka.stop("broker-1")
    assert False
"""


@pytest.mark.process
@pytest.mark.matrix
def test_clients_of_a_module_are_its_own_and_a_broker_that_is_down_is_told_with_its_log(project: Project) -> None:
    project.write(test_it__py=OF_A_MODULE)
    code, out = project.run("--kafka-logs", "logs")
    assert (code, counts(out)) == (1, {"failed": 1, "passed": 4}), out
    place = project.directory / "logs" / "test_it.py-test_fails_with_its_broker_down"
    assert "broker-1: exited" in (place / "status.txt").read_text()
    assert "broker-1  [" in (place / "logs.txt").read_text()
    assert project.is_clean


@pytest.mark.process
@pytest.mark.matrix
def test_what_a_test_leaves_behind_fails_it_and_what_fails_is_explained(project: Project) -> None:
    project.write(test_it__py=BEHAVIOUR)
    code, out = project.run("--kafka-logs", "logs", "-rA")
    assert code == 1
    assert counts(out) == {"failed": 1, "passed": 10, "error": 4}
    assert re.search(r"ERROR test_it.py::test_leaves_a_topic", out)
    assert "topic stray, which was not made by `kafka.topic`" in out
    assert re.search(r"1 open connection to 127\.0\.0\.1:\d+: close the client", out)
    assert re.search(r"consumer kafka-python-\S+ in group group-t[0-9a-f]+: close it", out)
    assert "has 1 record (b'only'), not 2 after 10 s" in out
    assert "broker-1: running" in out
    written = {
        str(file.relative_to(project.directory / "logs")) for file in (project.directory / "logs").rglob("*.txt")
    }
    failed = ("test_it.py-test_fails", "test_it.py-test_needs_the_service")
    assert written == {f"{test}/{name}.txt" for test in failed for name in ("status", "logs")}
    (bundle,) = (project.directory / "logs").glob("*.tar.gz")
    with tarfile.open(bundle) as archive:
        (log,) = [name for name in archive.getnames() if name.endswith("/logs/broker-1.log")]
        (status,) = [name for name in archive.getnames() if name.endswith("/status.json")]
        assert b"Kafka" in (archive.extractfile(log) or io.BytesIO()).read()
        assert json.load(archive.extractfile(status) or io.BytesIO())["ready"]
    assert project.is_clean


SECURED = """
runtime: process
kafka: {mode: kraft}
brokers: {nodes: 1}
security: sasl-tls
listeners: {first: {port: auto}, second: {port: auto}}
users: [{name: app, allow: [write topic orders-*, read topic orders-*, read group group-*]}]
"""
USERS = """
import pytest
from confluent_kafka import Consumer
from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import TopicAuthorizationFailedError
from provision import UsageError

left = []

@pytest.mark.parametrize("listener", ["", "first", "second"])
def test_a_user_does_what_it_may(kafka, listener):
    orders, others, group = kafka.topic("orders", records=["a"]), kafka.topic("others"), kafka.group()
    asked = {"user": "app", "listener": listener}
    with KafkaProducer(**kafka.client_config(**asked)) as producer:
        producer.send(orders.name, b"b").get(timeout=30)
        with pytest.raises(TopicAuthorizationFailedError):
            producer.send(others.name, b"b").get(timeout=30)
    options = {"group.id": group, "auto.offset.reset": "earliest"}
    consumer = Consumer(kafka.client_config("confluent-kafka", **asked, **options))
    consumer.subscribe([orders.name])
    assert sorted(consumer.poll(60).value() for _ in range(2)) == [b"a", b"b"]
    consumer.close()
    with KafkaProducer(**kafka.client_config(listener=listener)) as producer:
        producer.send(others.name, b"c").get(timeout=30)
    assert [record.value for record in others.consume(1)] == [b"c"]

@pytest.mark.parametrize("asked", [{"user": "nobody"}, {"listener": "third"}])
def test_what_is_not_there_is_told(kafka, asked):
    with pytest.raises(UsageError, match="nobody|third"):
        kafka.client_config(**asked)

@pytest.mark.parametrize("listener", ["first", "second"])
def test_leaves_a_client(kafka, listener):
    producer = KafkaProducer(**kafka.client_config(listener=listener))
    producer.send(kafka.topic("t").name, b"x").get(timeout=30)
    left.append(producer)
"""


FORKS = """
import os
import pytest

def test_forks(kafka):
    orders = kafka.topic("orders")
    orders.produce(["a"])
    child = os.fork()
    if child == 0:
        pytest.exit("the child leaves")
    os.waitpid(child, 0)
    assert [record.value for record in orders.consume(1)] == [b"a"]

def test_goes_on(kafka):
    kafka.topic("again").produce(["b"])
"""


@pytest.mark.process
@pytest.mark.matrix
def test_a_process_that_a_test_forks_takes_nothing_with_it(project: Project) -> None:
    project.write(test_it__py=FORKS)
    code, out = project.run()
    assert (code, counts(out)) == (0, {"passed": 2}), out
    assert "the child leaves" in out
    assert project.is_clean


FORKED = """
import os
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    child = os.fork()
    if child == 0:
        runtestprotocol(item, log=False, nextitem=nextitem)
        os._exit(0)
    os.waitpid(child, 0)
    item.session.testsfailed += 1
    return True
"""


@pytest.mark.process
@pytest.mark.matrix
def test_what_is_started_in_processes_that_are_forked_for_tests_is_kept_or_removed(project: Project) -> None:
    project.write(conftest__py=FORKED, test_it__py="def test_it(kafka):\n    kafka.topic('t')\n")
    project.run("--kafka-logs=logs", **NO_ENGINE)
    assert len(list((project.directory / "logs").glob("*.tar.gz"))) == 1
    assert project.is_clean
    _, out = project.run("--kafka-keep", **NO_ENGINE)
    (name,) = re.findall(r"(\S+) is kept", out)
    Environment.named(name, home=project.home).down()
    assert not project.nodes


@pytest.mark.process
@pytest.mark.matrix
def test_a_secured_cluster_has_its_users_and_listeners(project: Project) -> None:
    project.write(kafka__yaml=SECURED, test_it__py=USERS)
    code, out = project.run("-rA")
    assert (code, counts(out)) == (1, {"passed": 7, "error": 2}), out
    assert len(re.findall(r"ERROR test_it.py::test_leaves_a_client\[(?:first|second)\]", out)) == 2
    assert project.is_clean


REMOVAL = """
import os, signal
from provision.testing import Pool

def interrupted(call):
    def interrupt(*args):
        os.kill(os.getpid(), signal.SIGINT)
        return call(*args)

    return interrupt

Pool.{call} = interrupted(Pool.{call})
"""


@pytest.mark.process
@pytest.mark.matrix
@pytest.mark.parametrize(("call", "kept"), [("remove", False), ("bundle", False), ("remove", True)])
def test_a_removal_that_is_interrupted_says_what_is_left(project: Project, call: str, kept: bool) -> None:
    project.write(conftest__py=REMOVAL.format(call=call), test_it__py="def test_it(kafka):\n    assert False\n")
    code, out = project.run("--kafka-logs=logs", *(["--kafka-keep"] if kept else []), **NO_ENGINE)
    assert (code, counts(out)["failed"]) == (pytest.ExitCode.INTERRUPTED, 1), out
    assert "Traceback" not in out
    if kept:
        assert "interrupted: the clusters are kept" in out
        (name,) = re.findall(r"(\S+) is kept", out)
        Environment.named(name, home=project.home).down()
    else:
        assert re.search("interrupted: what is left of kafka-\\S+ is removed within seconds, or by `provision gc`", out)
    assert wait_until(lambda: not project.nodes, 60)


ASYNC = """
import asyncio
import anyio
import pytest

async def ticking(ticks):
    while True:
        await anyio.sleep(0.01)
        ticks.append(None)

async def check(kafka):
    orders = await kafka.atopic("orders", partitions=2, records=["a"])
    ticks = []
    async with anyio.create_task_group() as group:
        group.start_soon(ticking, ticks)
        with pytest.raises(AssertionError, match="not 2 after 10 s"):
            await orders.aconsume(2, timeout=10)
        group.cancel_scope.cancel()
    assert len(ticks) > 5  # it would be none if the wait blocked the loop
    got = []
    async with anyio.create_task_group() as group:
        async def read():
            got.extend(await orders.aconsume(3))
        group.start_soon(read)
        assert await orders.aproduce([{"key": "1", "value": "b"}, b"c"]) == 2
    assert {record.value for record in got} == {b"a", b"b", b"c"}
    assert len(await kafka.await_for_records(orders, 3)) == 3
    assert await kafka.alag(kafka.group(), orders) == 3
    with anyio.move_on_after(0.5):
        await orders.aconsume(9, timeout=60)  # ends with the scope, not after a minute
    return orders.name

@pytest.fixture
async def prepared(kafka):
    return await kafka.atopic("prepared", records=["x"])

@pytest.mark.asyncio
async def test_asyncio(kafka, prepared):
    assert (await prepared.aconsume(1))[0].value == b"x"
    await check(kafka)

@pytest.mark.asyncio
async def test_a_client_of_asyncio(kafka):
    events = kafka.topic("events", records=["x"])
    assert [record.value for record in events.consume(1)] == [b"x"]  # the same fixture, as in other tests
"""
ANYIO = ASYNC.replace("@pytest.mark.asyncio", "@pytest.mark.anyio")


@pytest.mark.process
@pytest.mark.matrix
@pytest.mark.parametrize("plugin", ["asyncio", "anyio"])
def test_async_tests_use_the_same_fixtures_and_waits_do_not_block_the_loop(project: Project, plugin: str) -> None:
    project.write(test_it__py=ASYNC if plugin == "asyncio" else ANYIO)
    options = ["-p", "anyio"] if plugin == "anyio" else ["-o", "asyncio_mode=auto"]
    code, out = project.run(*options)
    assert (code, counts(out)["passed"]) == (0, 2 if plugin == "asyncio" else 4), out
    assert project.is_clean


KEPT = """
import sys

def test_it(kafka):
    print("what starts clusters is loaded:", "provision.pipeline" in sys.modules)
    kafka.topic("t", records=["x"]).consume(1)
"""


def test_what_starts_clusters_is_not_loaded_until_one_is_started() -> None:
    program = "import provision.testing, sys\nprint(sorted({'provision.pipeline', 'jinja2'} & sys.modules.keys()))"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert told.stdout == "[]\n"


@pytest.mark.process
@pytest.mark.matrix
def test_a_kept_cluster_is_used_again(project: Project) -> None:
    project.write(test_it__py=KEPT)
    try:
        for loaded in ("what starts clusters is loaded: True", "what starts clusters is loaded: False"):
            code, out = project.run("--kafka-keep", "-s")
            assert code == 0, out
            assert loaded in out
            (name,) = re.findall(r"(\S+) is kept", out)
            assert (first := [node.pid for node in project.nodes])
        assert [node.pid for node in project.nodes] == first
    finally:
        Environment.named(name, home=project.home).down()
    assert not project.nodes


@pytest.mark.process
@pytest.mark.matrix
def test_a_kept_cluster_with_a_fixed_port_and_a_directory_is_replaced(project: Project) -> None:
    test = "def test_it(kafka):\n    print([topic.name for topic in kafka.environment.topics()])\n"
    file = "kafka: {{mode: kraft}}\nruntime: process\nbrokers: {{port: {}}}\nstorage: ./data\ntopics: [{{name: {}}}]\n"
    name = ""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    try:
        for topic in ("one", "two"):
            project.write(kafka__yaml=file.format(port, topic), test_it__py=test)
            code, out = project.run("--kafka-keep", "-s")
            assert (code, f"['{topic}']" in out) == (0, True), out
            before, (name,) = name, re.findall(r"(\S+) is kept", out)
        assert name != before
        code, out = project.run()
        assert code != 0
        assert f"`provision down {name} --delete-data` removes it" in out
    finally:
        if name:
            Environment.named(name, home=project.home).down(delete_data=True)
    assert not project.nodes
    code, out = project.run()
    assert (code, (project.directory / "data").exists()) == (0, False), out
