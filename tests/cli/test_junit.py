"""`--junit FILE`: a test case for each node and topic, whatever becomes of the command."""

import errno
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from provision.cli.run import run
from provision.errors import NodeFailed, NotReady, ProvisionError, Unavailable
from provision.home.holders import Holder
from provision.home.locks import HomeLock
from tests.cli.world import NAME, settle
from tests.fake_kafka import FakeKafka, SpokenRuntime
from tests.runtimes import FakeRuntimes

FILE = Path("out", "readiness.xml")
LINES = [[command, "--junit", str(FILE), *rest] for command, *rest in (["up"], ["wait"], ["run", "--", "true"])]
NODES = ["zookeeper-1", "broker-1", "broker-2", "broker-3"]


@dataclass(frozen=True)
class Suite:
    """A file as a CI system reads it: the attributes of its only suite, and what became of each case."""

    counts: dict[str, str]
    cases: dict[str, str]
    texts: dict[str, str]


def read(file: Path = FILE, called: str = NAME) -> Suite:
    root = ET.parse(file).getroot()  # noqa: S314 we wrote it
    assert root.tag == "testsuites"
    (suite,) = root
    assert suite.attrib["name"] == called
    cases, texts = {}, {}
    for case in suite:
        assert case.tag == "testcase"
        assert float(case.attrib["time"]) >= 0
        group = case.attrib["classname"].removeprefix(f"{called}.")
        name = f"{group} {case.attrib['name']}"
        cases[name] = case[0].tag if len(case) else "passed"
        texts[name] = "\n".join((element.attrib["message"] + "\n" + (element.text or "")) for element in case)
    counts = {name: suite.attrib[name] for name in ("tests", "failures", "errors", "skipped")}
    told = {"tests": len(cases), "failures": _of("failure", cases), "errors": _of("error", cases)}
    assert counts == {name: str(count) for name, count in {**told, "skipped": _of("skipped", cases)}.items()}
    return Suite(counts, cases, texts)


def _of(kind: str, cases: dict[str, str]) -> int:
    return list(cases.values()).count(kind)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[SpokenRuntime, FakeKafka]:
    """An environment that is up, with one topic more in its file than there is."""
    return settle(tmp_path, monkeypatch)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[0])
@pytest.mark.parametrize("first", [False, True])
def test_each_node_and_each_topic_is_a_case(
    world: tuple[SpokenRuntime, FakeKafka], line: list[str], first: bool
) -> None:
    assert run(["up", "--yes"]) == 0
    if first and line[0] != "wait":
        assert run(["down", NAME]) == 0
    assert run(line) == 0
    topics = ["topics orders", "topics fresh"]
    assert read().cases == dict.fromkeys([*(f"nodes {node}" for node in NODES), *topics], "passed")


def test_topics_that_were_not_asked_for_are_skipped(world: tuple[SpokenRuntime, FakeKafka]) -> None:
    assert run(["up", "--until", "brokers", "--junit", str(FILE)]) == 0
    found = read()
    assert found.cases["topics orders"] == "skipped"
    assert found.cases["nodes broker-2"] == "passed"


def test_without_a_file_the_cases_are_what_is_there(
    world: tuple[SpokenRuntime, FakeKafka], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run(["wait", NAME, "--junit", str(FILE)]) == 0
    assert [*read().cases] == [*(f"nodes {node}" for node in NODES), "topics orders"]


def test_an_external_cluster_has_no_nodes_of_ours(world: tuple[SpokenRuntime, FakeKafka]) -> None:
    Path("far.yaml").write_text(f"name: {NAME}\nbootstrap_servers: kafka.example:9092\ntopics: [{{name: t}}]\n")
    assert run(["run", "far.yaml", "--junit", str(FILE), "--", "true"]) == 0
    assert read().cases == {"topics t": "skipped"}


LOG = ["[2026-01-01 10:00:00,000] ERROR \x1b[31mOutOfMemory <&> \x00", "the end"]


@pytest.mark.parametrize(
    ("error", "failed", "text"),
    [
        (NodeFailed("broker-2 exited", node="broker-2", why="no memory", log=LOG), ["nodes broker-2"], "no memory"),
        (NotReady("late", missing={"broker-1": "it is starting"}, log=LOG), ["nodes broker-1"], "it is starting"),
        (
            NotReady("late", missing={"broker-1": "it is starting", "broker-3": "it is frozen"}),
            ["nodes broker-1", "nodes broker-3"],
            "it is frozen",
        ),
        (
            NotReady("late", missing={"broker-1": "it does not know topic fresh yet"}),
            ["topics fresh"],
            "broker-1: it does not know topic fresh yet",
        ),
        (Unavailable("no engine", why="because", hint="start it"), ["environment environment"], "hint: start it"),
        (ProvisionError("odd"), ["environment environment"], "odd"),
        (KeyboardInterrupt(), ["environment environment"], "interrupted"),
    ],
    ids=lambda value: str(value)[:30],
)
@pytest.mark.parametrize("line", LINES, ids=lambda line: line[0])
def test_a_failure_is_told_where_it_belongs(
    world: tuple[SpokenRuntime, FakeKafka],
    monkeypatch: pytest.MonkeyPatch,
    line: list[str],
    error: BaseException,
    failed: Sequence[str],
    text: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    for method in ("up", "wait"):
        monkeypatch.setattr(f"provision.environment.Environment.{method}", fail)
    assert run(line) != 0
    found = read()
    assert [name for name, state in found.cases.items() if state in ("failure", "error")] == failed
    assert text in found.texts[failed[-1]]
    others = {state for name, state in found.cases.items() if name not in failed}
    assert others == {"skipped"}
    if getattr(error, "log", ()):
        assert "OutOfMemory <&>" in found.texts[failed[0]]


def test_a_first_up_that_fails_writes_it_too(
    world: tuple[SpokenRuntime, FakeKafka], capsys: pytest.CaptureFixture[str]
) -> None:
    runtime, _ = world
    assert run(["down", NAME]) == 0

    def fail(verb: str, subject: str) -> None:
        if verb == "start_node" and "broker-2" in subject:
            raise ProvisionError("the engine is full")

    runtime.on_verb = fail
    assert run(["up", "--junit", str(FILE)]) != 0
    assert "the engine is full" in capsys.readouterr().err
    found = read()
    assert found.cases["nodes broker-2"] == "failure"
    assert "the engine is full" in found.texts["nodes broker-2"]
    assert found.cases["topics orders"] == "skipped"


def test_an_invalid_file_is_an_error_of_the_environment(world: tuple[SpokenRuntime, FakeKafka]) -> None:
    Path("environments", f"{NAME}.yaml").write_text(f"name: {NAME}\nbrokers: {{nodes: many}}\n")
    assert run(["up", "--junit", str(FILE)]) == 65
    found = read()
    assert found.cases == {"environment environment": "error"}
    assert f"{NAME}.yaml:2:18: brokers.nodes" in found.texts["environment environment"]


@dataclass(frozen=True)
class Early:
    """What ends commands before there is a cluster to tell of: their words, the exit code, and what they say."""

    words: str
    code: int
    said: str
    commands: str = "up wait run"
    called: str = NAME
    after: str = "true"


EARLY = [
    Early("nowhere", 64, "nowhere", called="nowhere"),
    Early("some/where.yaml", 64, "there is no file some/where.yaml", called="where"),
    Early("x/y", 64, "there is no file x/y", called="y"),
    Early("twice", 64, "'twice' can mean 2 files", called="twice"),
    Early("", 64, "which environment?", called="provision"),
    Early("broken.yaml", 65, "broken.yaml:1:18: brokers.nodes", "up run", called="broken"),
    Early("torn.yaml", 65, "torn.yaml:2:1: this is not YAML", "up run", called="torn"),
    Early("shop --set brokers.nodes=many", 65, "--set brokers.nodes=many: brokers.nodes", "up run"),
    Early("shop --set nonsense", 64, "nonsense", "up run"),
    Early("shop --timeout soon", 64, "--timeout: ", "up wait run"),
    Early("shop --lock-timeout soon", 64, "--lock-timeout: ", "up run"),
    Early("shop --until never", 64, "'never' is not a readiness level", "up wait"),
    Early("shop --plan no-plan", 64, "cannot read no-plan", "up"),
    Early("shop --frozen", 4, "lock", "up run"),
    Early("shop --user nobody", 64, "nobody", "run"),
    Early("shop --listener NONE", 64, "NONE", "run"),
    Early("shop", 64, "there is no command 'no-such-program'", "run", after="no-such-program"),
    Early("shop", 64, "missing -- COMMAND", "run", after=""),
    # The command line itself is wrong: nobody knows of an environment.
    Early("shop --retian", 64, "--retian", called="provision"),
    Early("shop --timeout=", 64, "--timeout is empty", called="provision"),
    Early("shop --owner-pid 0", 64, "--owner-pid", "up", called="provision"),
    Early("shop more words", 64, "more", called="provision"),
]
CASES = [(early, command) for early in EARLY for command in early.commands.split()]


@pytest.mark.parametrize(("early", "command"), CASES, ids=lambda one: getattr(one, "words", one))
def test_what_ends_a_command_early_is_an_error_of_the_environment(
    world: tuple[SpokenRuntime, FakeKafka],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    early: Early,
    command: str,
) -> None:
    Path("environments", "other.yaml").write_text("name: twice\n")
    Path("environments", "twice.yaml").write_text("name: other\n")
    Path("broken.yaml").write_text("brokers: {nodes: many}\n")
    Path("torn.yaml").write_text("brokers: {\n")
    monkeypatch.delenv("PROVISION_ENV", raising=False)
    capsys.readouterr()
    rest = ["--", *early.after.split()] if command == "run" else []
    assert run([command, *early.words.split(), "--junit", str(FILE), *rest]) == early.code
    found = read(called=early.called)
    assert [state for state in found.cases.values() if state != "skipped"] == ["error"]
    told = found.texts["environment environment"]
    assert early.said in told
    what = capsys.readouterr().err.partition("error: ")[2].partition("\n")[0]
    assert what
    assert what in told


@pytest.mark.parametrize("option", [["--junit", str(FILE)], [f"--junit={FILE}"]], ids=" ".join)
def test_a_line_without_dashes_is_reported(world: tuple[SpokenRuntime, FakeKafka], option: list[str]) -> None:
    assert run(["run", NAME, "true", *option]) == 64
    assert "missing -- before COMMAND" in read(called="provision").texts["environment environment"]


def test_junit_of_the_command_itself_is_not_ours(world: tuple[SpokenRuntime, FakeKafka]) -> None:
    assert run(["run", NAME, "--no-such-option", "--", "true", "--junit", str(FILE)]) == 64
    assert not FILE.exists()


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[0])
def test_that_no_engine_answers_is_reported(world: tuple[SpokenRuntime, FakeKafka], line: list[str]) -> None:
    def fail(*_: object) -> None:
        raise Unavailable("no engine answers", hint="start it")

    world[0].on_verb = fail
    with pytest.MonkeyPatch.context() as patch:
        for way in ("holding", "choose", "of_kind"):
            patch.setattr(FakeRuntimes, way, fail)
        assert run(line) == 69
    found = read()
    assert found.cases["environment environment"] == "error"
    assert "no engine answers" in found.texts["environment environment"]


@pytest.mark.parametrize("line", [LINES[0], LINES[2]], ids=lambda line: line[0])
def test_that_another_command_holds_the_environment_is_reported(
    world: tuple[SpokenRuntime, FakeKafka], line: list[str]
) -> None:
    lock = HomeLock(Path("home").absolute(), NAME)
    lock.take(Holder.of("stop"))
    assert run(line) == 75
    lock.release()
    assert "is being changed by `provision stop`" in read().texts["environment environment"]


@pytest.mark.parametrize("words", ["shop", "shop --timeout soon", "shop --retian", "nowhere"])
@pytest.mark.parametrize("command", ["up", "wait", "run"])
@pytest.mark.parametrize("file", ["environments/shop.yaml", "notes.txt"])
def test_only_an_earlier_report_is_written_over(
    world: tuple[SpokenRuntime, FakeKafka],
    capsys: pytest.CaptureFixture[str],
    command: str,
    words: str,
    file: str,
) -> None:
    Path("notes.txt").write_text("of mine\n")
    before = Path(file).read_text()
    rest = ["--", "true"] if command == "run" else []
    assert run([command, *words.split(), "--junit", file, *rest]) in (4, 64)
    assert f"{file} is not a report, and is left as it is" in capsys.readouterr().err
    assert Path(file).read_text() == before


def test_an_earlier_report_is_written_over(world: tuple[SpokenRuntime, FakeKafka]) -> None:
    for words, code in (("--timeout soon", 64), ("--until never", 64), ("--yes", 0)):
        assert run(["up", "--junit", str(FILE), *words.split()]) == code
    assert read().counts["errors"] == "0"


COMMANDS = [["up"], ["wait"], ["run", "--", "touch", "ran"]]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda line: line[0])
@pytest.mark.parametrize("place", ["out", "file/readiness.xml", "file/further/readiness.xml", "/proc/readiness.xml"])
def test_a_file_that_cannot_be_written_is_told_before_anything_is_done(
    world: tuple[SpokenRuntime, FakeKafka], capsys: pytest.CaptureFixture[str], place: str, command: list[str]
) -> None:
    Path("out").mkdir()
    Path("file").touch()
    world[0].on_verb = lambda verb, _subject: pytest.fail(verb)
    assert run([command[0], "--junit", place, *command[1:]]) == 64
    assert capsys.readouterr().err.startswith(f"error: cannot write {place}\n")
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    "line", [["up", "-o", "json"], ["wait"], ["run", "--", "touch", "ran"]], ids=lambda line: line[0]
)
def test_that_it_can_no_longer_be_written_changes_nothing_of_the_work(
    world: tuple[SpokenRuntime, FakeKafka],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    line: list[str],
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(FILE))

    assert run(["up", "--yes"]) == 0
    capsys.readouterr()
    monkeypatch.setattr("provision.cli.junit.write_output", full)
    assert run([line[0], "--junit", str(FILE), *line[1:]]) == 0
    out, err = capsys.readouterr()
    assert f"{FILE} cannot be written: No space left on device" in err
    if line[0] == "up":
        assert json.loads(out)["ready"]
    assert Path("ran").exists() == (line[0] == "run")
