"""Training in the background after `up`: only where it slows nobody, one at a time, and gone with its environment."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest

import provision.environment
from provision.cli.run import run
from provision.common.process_identity import ProcessIdentity
from provision.common.spare import Spare
from provision.environment import Environment
from provision.errors import InvalidEnvironment, ProvisionError, Unavailable
from provision.events import Event, Notice
from provision.home.trainers import Trainer, throwaway, training
from provision.kafka.levels import Level
from provision.operations.caches import remove_caches
from provision.pipeline import UpOptions
from provision.runtime.archives import KINDS
from provision.runtime.base import TOOL_CONTAINER, Remnant
from provision.runtime.fake import FakeRuntime
from provision.runtime.health import Machine
from provision.spec.source import Source
from tests.runtimes import FakeRuntimes

NAME = "dev"
MUCH = Spare(4, 2 * 1024**3)
WARM = UpOptions(until=Level.PROCESS, warm=True)


class World:
    """A machine with much to spare, an environment's file, and what was started apart."""

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch) -> None:
        self.runtime = FakeRuntime()
        self.runtimes = FakeRuntimes(directory / "home", self.runtime)
        self.home = self.runtimes.home
        self.file = directory / f"{NAME}.yaml"
        self.file.write_text("brokers: {port: auto}\n")
        self.started: list[tuple[str, ...]] = []
        self.pid = os.getpid()
        self.machine = Machine("memory", processors=4)
        self.told: list[str] = []
        patch.setattr("provision.operations.apart.start", self._start)
        patch.setattr("provision.common.spare.spare", lambda: MUCH)
        patch.setattr(self.runtime, "machine", lambda: self.machine)
        self.variables: dict[str, str] = {}
        self._patch = patch

    def _start(self, home: Path, *arguments: str, **variables: str) -> int:
        assert home == self.home.directory
        assert variables == {"PROVISION_CACHE": str(self.home.cache)}
        self.started.append(arguments)
        return self.pid

    def up(self, options: UpOptions = WARM, *overrides: str, text: str = "") -> None:
        """Bring it up."""
        for name in ("CI", "PYTEST_CURRENT_TEST", "PROVISION_OWNER"):
            self._patch.delenv(name, raising=False)
        for name, value in self.variables.items():
            self._patch.setenv(name, value)
        if text:
            self.file.write_text(text)
        with closing(Environment(self.file, overrides=overrides, runtimes=self.runtimes, on_event=self._tell)) as env:
            env.up(options)

    def _tell(self, event: Event) -> None:
        if isinstance(event, Notice):
            self.told.append(event.text)

    def note(self, process: ProcessIdentity, environment: str = NAME) -> Trainer:
        """Let a process train."""
        kind = self.runtime.kind
        trainer = Trainer(environment=environment, runtime=kind, process=process, since_s=time.time())
        self.home.trainers.note(trainer)
        return trainer

    def down(self) -> None:
        """Remove it."""
        with closing(Environment.named(NAME, runtimes=self.runtimes)) as environment:
            environment.down()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


@contextmanager
def another_process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has started another one."""
    script = (
        "import subprocess, sys; subprocess.Popen(['sleep', '60'], start_new_session=True); print('.', flush=True); "
    )
    with subprocess.Popen(
        [sys.executable, "-c", f"{script}import time; time.sleep(60)"], stdout=subprocess.PIPE
    ) as one:
        assert one.stdout
        assert one.stdout.readline() == b".\n"
        try:
            yield one
        finally:
            one.kill()


# -- it begins --------------------------------------------------------------------------------------------------------


def test_a_first_up_starts_it_with_what_it_was_given_and_notes_it(world: World) -> None:
    world.up(WARM, "brokers.nodes=2", "ttl=1h")
    settings = ("--set", "brokers.nodes=2", "--set", "ttl=1h")
    assert world.started == [("warm", str(world.file), *settings, "--when-idle")]
    (trainer,) = world.home.trainers
    assert (trainer.environment, trainer.runtime) == (NAME, world.runtime.kind)
    assert trainer.process == ProcessIdentity.of()
    assert world.told[-1] == "archives for faster starts are trained in the background; `--no-warm` leaves that out"


def test_an_up_that_starts_nothing_starts_no_training(world: World) -> None:
    world.up(UpOptions(until=Level.PROCESS))
    world.up()
    assert world.started == []


def test_nothing_is_trained_if_nothing_is_missing(world: World) -> None:
    for kind in KINDS:
        world.runtime.archives.keep(kind)
    world.up()
    assert world.started == []


def test_what_a_jvm_does_not_take_is_trained_anew(world: World) -> None:
    for kind in KINDS:
        world.runtime.archives.keep(kind)
    world.runtime.archives.refused = {"broker-1": "Checksum verification failed."}
    world.up()
    assert len(world.started) == 1


@pytest.mark.parametrize("name", ["CI", "PYTEST_CURRENT_TEST", "PROVISION_OWNER"])
def test_it_does_not_begin_where_a_variable_says_what_runs(world: World, name: str) -> None:
    world.variables[name] = "true"
    world.up()
    assert world.started == []


@pytest.mark.parametrize(
    "there", [Spare(3.9, 2**40), Spare(2, 2**40), Spare(64, 2 * 1024**3 - 1)], ids=["3.9", "2", "memory"]
)
def test_it_does_not_begin_where_there_is_little_to_spare(
    world: World, monkeypatch: pytest.MonkeyPatch, there: Spare
) -> None:
    monkeypatch.setattr("provision.common.spare.spare", lambda: there)
    world.up()
    assert world.started == []


@pytest.mark.parametrize(
    "machine",
    [Machine("far away", processors=64, is_here=False), Machine("small", processors=2), Machine("untold")],
    ids=lambda one: one.name,
)
def test_it_does_not_begin_where_the_nodes_run_on_another_or_a_small_machine(world: World, machine: Machine) -> None:
    world.machine = machine
    world.up()
    assert world.started == []


@pytest.mark.parametrize(
    "options",
    [
        UpOptions(until=Level.PROCESS),
        UpOptions(until=Level.PROCESS, warm=True, owner="job-1"),
        UpOptions(until=Level.PROCESS, warm=True, owner_pid=os.getpid()),
    ],
    ids=["--no-warm, and programs", "--owner-job", "--owner-pid"],
)
def test_it_does_not_begin_for(world: World, monkeypatch: pytest.MonkeyPatch, options: UpOptions) -> None:
    monkeypatch.setattr("provision.operations.gc.reaper.start", lambda _home: None)
    world.up(options)
    assert world.started == []


def test_the_key_switches_it_off(world: World) -> None:
    world.up(text="warm: false\nbrokers: {port: auto}\n")
    assert world.started == []


def test_the_key_says_nothing_of_a_cluster_that_others_run(world: World) -> None:
    world.file.write_text("bootstrap_servers: kafka.example:9092\nwarm: false\n")
    with pytest.raises(InvalidEnvironment) as error:
        Source(world.file).load()
    (problem,) = error.value.problems
    assert "warm: the cluster behind bootstrap_servers is run by others" in str(problem)


def test_an_up_that_fails_starts_none(world: World) -> None:
    def fail(verb: str, _subject: str) -> None:
        if verb == "start_node":
            raise ProvisionError("the disk is full")

    world.runtime.on_verb = fail
    with pytest.raises(ProvisionError, match="the disk is full"):
        world.up()
    assert world.started == []


def test_while_one_trains_another_environment_starts_none(world: World) -> None:
    with another_process() as other:
        world.note(ProcessIdentity.of(other.pid), "other")
        world.up()
        assert world.started == []


def test_one_that_has_ended_is_in_nobodys_way(world: World) -> None:
    with another_process() as other:
        world.note(ProcessIdentity.of(other.pid), "other")
    other.wait()
    world.up()
    assert len(world.started) == 1


@pytest.mark.parametrize("error", [ProvisionError("cannot start python"), OSError("no space")], ids=str)
def test_what_keeps_it_from_starting_is_told_and_up_has_succeeded(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_arguments: object, **_variables: object) -> int:
        raise error

    monkeypatch.setattr("provision.operations.apart.start", fail)
    world.up()
    assert world.told[-1] == f"no archives are trained in the background: {error}"
    assert world.runtime.observe(NAME).nodes


def test_one_that_has_ended_at_once_is_not_noted(world: World) -> None:
    with subprocess.Popen(["true"]) as ended:  # noqa: S607
        ended.wait()
    world.pid = ended.pid
    world.up()
    assert list(world.home.trainers) == []


# -- it ends ----------------------------------------------------------------------------------------------------------


def _throwaway(world: World) -> None:
    with closing(Environment(name=throwaway(world.home.directory), runtimes=world.runtimes)) as environment:
        environment.up(UpOptions(until=Level.PROCESS))


ENDS = {
    "down": World.down,
    "down of what it trains with": lambda world: _down(world, throwaway(world.home.directory)),
    "the caches are removed": lambda world: remove_caches(world.runtimes),
}


def _down(world: World, name: str) -> None:
    with closing(Environment.named(name, runtimes=world.runtimes)) as environment:
        environment.down()


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_it_ends_with_all_that_it_has_started_and_made(world: World, end: object) -> None:
    world.up(UpOptions(until=Level.PROCESS))
    _throwaway(world)
    world.runtime.left = {
        what: Remnant(what, what, "its command has ended", lambda what=what: world.runtime.left.pop(what) is not None)  # type: ignore[misc]
        for what in (TOOL_CONTAINER, "engine lock")
    }
    with another_process() as process:
        children = psutil.Process(process.pid).children()
        assert len(children) == 1
        draft = world.home.cache / "archives" / f"abc.{process.pid}-0.new"
        draft.parent.mkdir(parents=True)
        draft.touch()
        world.note(ProcessIdentity.of(process.pid))
        assert callable(end)
        end(world)
        assert process.wait(60) < 0
        assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
    assert list(world.home.trainers) == []
    assert throwaway(world.home.directory) not in world.runtime.environments()
    assert list(world.runtime.left) == ["engine lock"]


def test_another_environments_down_leaves_it_alone(world: World) -> None:
    with another_process() as process:
        trainer = world.note(ProcessIdentity.of(process.pid), "other")
        world.down()
        assert process.poll() is None
        assert list(world.home.trainers) == [trainer]


def test_what_another_command_trains_with_is_left(world: World) -> None:
    _throwaway(world)
    with another_process() as process, training(world.home.cache) as alone:
        assert alone
        world.note(ProcessIdentity.of(process.pid))
        world.down()
        assert process.wait(60) < 0
    assert world.runtime.environments() == (throwaway(world.home.directory),)


def test_down_forgets_one_that_runs_elsewhere_which_then_ends_itself(world: World) -> None:
    far = ProcessIdentity.of().model_copy(update={"host": "far-away", "boot": "its-own"})
    world.note(far)
    world.down()
    assert list(world.home.trainers) == []


def test_it_ends_too_if_its_runtime_does_not_answer(world: World) -> None:
    runtimes = FakeRuntimes(world.home.directory, {"docker": Unavailable("no engine"), "process": world.runtime})
    with another_process() as process:
        world.note(ProcessIdentity.of(process.pid))
        remove_caches(runtimes)
        assert process.wait(60) < 0
    assert list(world.home.trainers) == []


# -- it is told -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["status", "doctor"])
def test_it_is_told_where_a_user_looks(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setenv("PROVISION_HOME", str(world.home.directory))
    monkeypatch.setattr(provision.environment.described, "runtimes_of", lambda *_: world.runtimes)
    world.up(UpOptions(until=Level.PROCESS))
    run([command, NAME])
    assert "in the background" not in capsys.readouterr().err
    world.note(ProcessIdentity.of())
    run([command, NAME])
    assert f"{NAME}: pid {os.getpid()} on " in (told := capsys.readouterr().err)
    assert "trains archives in the background since" in told


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"environment": "other"}'])
def test_a_damaged_note_is_none(world: World, content: bytes) -> None:
    world.note(ProcessIdentity.of())
    (world.home.directory / "trainers" / f"{NAME}.json").write_bytes(content)
    assert list(world.home.trainers) == []
    assert world.home.trainers.running(NAME) is None
    world.down()
