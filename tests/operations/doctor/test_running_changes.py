"""An environment that a command is changing now: that is told, and not what the command has still to do."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from provision.common.values import replace
from provision.environment import Environment
from provision.errors import Busy, UsageError
from provision.events import Notice
from provision.home.locks import HomeLock
from provision.kafka.levels import Level
from provision.operations.doctor import examine as examination
from provision.operations.doctor.examine import OF_CHANGES
from provision.operations.doctor.facts import Facts
from provision.operations.doctor.findings import Repair
from provision.operations.doctor.gather import gather
from provision.operations.doctor.registry import CHECKS, LAST
from provision.pipeline import UpOptions
from provision.plan.observed import NodeState
from provision.runtime import Runtimes
from provision.runtime.base import Runtime
from provision.runtime.fake import FakeRuntime
from provision.spec.source import Source
from tests.fake_kafka import FakeKafka, SpokenRuntime
from tests.holders import dead, living
from tests.runtimes import FakeRuntimes

NAME = "shop"
FILE = f"name: {NAME}\nbrokers: {{nodes: 2, port: auto}}\n"
RUNNING = UpOptions(until=Level.PROCESS)
LONG_S = 20
Make = Callable[[str], Environment]


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> SpokenRuntime:
    import provision.operations.doctor.gather as gathering

    made = SpokenRuntime()
    FakeKafka(made, NAME).speak(monkeypatch)
    monkeypatch.setattr(gathering, "asked_from_here", lambda probes: {probe.address: "" for probe in probes})
    return made


@pytest.fixture
def make(tmp_path: Path, runtime: SpokenRuntime) -> Make:
    """Another command's object for the environment, in a home of that name."""
    file = tmp_path / f"{NAME}.yaml"
    file.write_text(FILE)
    return lambda home: Environment(file, runtimes=FakeRuntimes(tmp_path / home, runtime, tmp_path / "cache"))


@contextmanager
def held_up(environment: Environment, runtime: FakeRuntime, at: tuple[str, str]) -> Iterator[None]:
    """An `up` that has come to a verb and its subject, and does not go on."""
    reached, go, before = threading.Event(), threading.Event(), runtime.on_verb

    def stop(verb: str, subject: str) -> None:
        before(verb, subject)
        if (verb, subject) == at:
            reached.set()
            assert go.wait(LONG_S)

    runtime.on_verb = stop
    with ThreadPoolExecutor(1) as pool:
        up = pool.submit(environment.up, RUNNING)
        try:
            assert reached.wait(LONG_S)
            yield
        finally:
            go.set()
        up.result(LONG_S)


def ids(environment: Environment) -> list[str]:
    return [finding.id for finding in environment.examine().findings]


FIRST = [
    ("create_network", NAME),
    ("create_storage", "broker-1"),
    ("create_node", "broker-2"),
    ("start_node", "broker-2"),
]


@pytest.mark.parametrize("home", ["home", "another"])
@pytest.mark.parametrize("at", FIRST, ids=" ".join)
def test_an_up_that_is_running_is_told_and_nothing_of_what_it_has_still_to_do(
    make: Make, runtime: SpokenRuntime, home: str, at: tuple[str, str]
) -> None:
    with held_up(make("home"), runtime, at):
        (finding,) = make(home).examine().findings
        assert finding.id == "change-running"
        assert finding.title == "shop is being changed by `provision up`"
        assert "pid" in finding.evidence[0]
        by_name = Environment.named(NAME, runtimes=FakeRuntimes(make(home).home.directory, runtime))
        assert ids(by_name) == ["change-running"]
    assert ids(make(home)) == []


def test_what_the_change_does_not_bring_about_is_told_beside_it(make: Make, runtime: SpokenRuntime) -> None:
    make("home").up(RUNNING)
    runtime.pause_node(NAME, "broker-2")
    with held_up(make("home"), runtime, ("start_node", "broker-2")):
        assert ids(make("home")) == ["paused-node", "change-running"]


@pytest.mark.parametrize("where", ["home", "runtime"])
def test_one_that_was_killed_is_not_running(make: Make, runtime: SpokenRuntime, where: str) -> None:
    environment = make("home")
    environment.up(RUNNING)
    nodes = runtime._nodes(NAME)  # noqa: SLF001 as a kill leaves them
    nodes["broker-2"] = replace(nodes["broker-2"], state=NodeState.CREATED)
    if where == "home":
        lock = HomeLock(environment.home.directory, NAME)
        lock.take(dead())
        assert "change-interrupted" in ids(environment)
        lock.release()
    else:
        runtime.hold(NAME, dead())
        assert "change-interrupted" in ids(environment)


def test_no_repair_is_made_while_a_command_changes_it(make: Make, runtime: SpokenRuntime) -> None:
    make("home").up(RUNNING)
    runtime.pause_node(NAME, "broker-2")
    hold = runtime.hold(NAME, living("up"))
    with pytest.raises(Busy, match="shop is being changed by `provision up`"):
        make("home").mend(lambda _: True)
    assert runtime.observe(NAME).nodes[1].state is NodeState.PAUSED
    hold.release()
    assert make("home").mend(lambda _: True).findings == ()
    (_, run) = make("home").history()
    assert (run.holder.command, run.state, [str(act.resource) for act in run.actions]) == (
        "doctor --fix",
        "done",
        ["broker-2"],
    )


def test_what_somebody_else_has_mended_or_removed_while_the_user_was_asked_is_left_alone(
    make: Make, runtime: SpokenRuntime
) -> None:
    environment, told = make("home"), list[str]()
    environment.up(RUNNING)
    environment.on_event = lambda event: told.append(event.text) if isinstance(event, Notice) else None

    def agree(repair: Repair) -> bool:
        runtime.remove_node(NAME, repair.subject)
        return True

    runtime.pause_node(NAME, "broker-2")
    found = environment.mend(agree).findings
    assert {(one.id, one.node) for one in found} == {("node-gone", "broker-2")}
    assert told == ["not done, because it is no longer needed: start broker-2"]
    assert [run.holder.command for run in environment.history()] == ["up"]


@pytest.mark.parametrize(("between", "times"), [("nothing", 2), ("another is stopped", 4), ("nobody can see it", 3)])
def test_a_repair_takes_a_look_before_and_one_after_unless_something_changed_meanwhile(
    make: Make, runtime: SpokenRuntime, monkeypatch: pytest.MonkeyPatch, between: str, times: int
) -> None:
    make("home").up(RUNNING)
    runtime.pause_node(NAME, "broker-2")
    gathered: list[Source] = []
    known = examination._repairs  # noqa: SLF001 what it is replaced by

    def counted(source: Source, runtimes: Runtimes) -> tuple[Facts, Runtime | None]:
        gathered.append(source)
        return gather(source, runtimes)

    monkeypatch.setattr(examination, "gather", counted)
    if between == "nobody can see it":  # what only the brokers know may be another thing by now
        monkeypatch.setattr(
            examination, "_repairs", lambda found: [replace(one, in_kafka=True) for one in known(found)]
        )

    def agree(repair: Repair) -> bool:
        if between == "another is stopped":
            runtime.stop_node(NAME, "broker-1", 0)
        return repair.subject == "broker-2"

    found = make("home").mend(agree).findings
    assert {one.id for one in found} == ({"node-stopped", "not-ready"} if between == "another is stopped" else set())
    assert len(gathered) == times  # a node that is down may be back in a moment: that is looked at twice


def test_what_is_left_out_while_a_change_goes_on_are_findings_that_exist() -> None:
    assert {identity for entry in (*CHECKS, *LAST) for identity in entry.ids} >= OF_CHANGES


def test_who_is_not_there_and_not_being_made_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no environment shop"):
        Environment.named(NAME, runtimes=FakeRuntimes(tmp_path / "home", FakeRuntime())).examine()
