"""One name is one environment: the other runtime's is refused, and its port leases are its own."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from provision import Environment, Level, UpOptions
from provision.cli.run import run
from provision.errors import ProvisionError, Refused, Unavailable
from provision.home.place import Home
from provision.home.ports import Situation
from provision.home.secrets import note_where
from provision.runtime import Runtimes
from provision.runtime.base import Runtime
from provision.runtime.fake import FakeRuntime

FILE = "name: twin\nzookeeper: {port: auto}\nbrokers: {port: auto}\n"
KINDS = ("docker", "process")
RUNNING = UpOptions(until=Level.PROCESS)


class Two(Runtimes):
    """Two fake runtimes, of which one may not answer."""

    def __init__(self, home: Path) -> None:
        super().__init__(Home.at(home, home / "cache"))
        self.fakes = {kind: FakeRuntime() for kind in KINDS}
        for kind, fake in self.fakes.items():
            fake.kind = kind  # type: ignore[misc]
        self.silent: set[str] = set()

    def of_kind(self, kind: str) -> Runtime:
        """One of them."""
        if kind in self.silent:
            raise Unavailable(f"no {kind} answers")
        return self.fakes[kind]

    @property
    def leases(self) -> dict[str, dict[str, int]]:
        """The leased ports of each environment."""
        file = self.home.directory / "ports.json"
        noted = json.loads(file.read_text()) if file.exists() else {}
        return {name: lease["ports"] for name, lease in noted.items()}


@pytest.fixture
def two(tmp_path: Path) -> Two:
    return Two(tmp_path / "home")


@pytest.fixture
def environment(two: Two, tmp_path: Path) -> Callable[[str], Environment]:
    file = tmp_path / "twin.yaml"
    file.write_text(FILE)
    return lambda runtime: Environment(file, overrides=[f"runtime={runtime}"], runtimes=two)


def other(kind: str) -> str:
    return next(one for one in KINDS if one != kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [False, True])
def test_an_environment_of_the_other_runtime_is_refused_by_name(
    two: Two, environment: Callable[[str], Environment], kind: str, kept: bool
) -> None:
    environment(kind).up(RUNNING)
    if kept:
        environment(kind).down(keep_data=True)
    before, leases = two.fakes[kind].observe("twin"), two.leases
    for act in ("up", "plan"):
        with pytest.raises(Refused, match=r"twin runs (in Docker|as plain processes), or has data there") as caught:
            getattr(environment(other(kind)), act)()
        assert "`provision down twin` first" in caught.value.hint
    assert two.fakes[other(kind)].observe("twin").is_absent
    assert two.fakes[kind].observe("twin") == before
    assert two.leases == leases
    environment(kind).up(RUNNING)
    environment("auto").up(RUNNING)


def test_without_an_engine_processes_are_not_refused(two: Two, environment: Callable[[str], Environment]) -> None:
    two.silent.add("docker")
    environment("process").up(RUNNING)
    environment("process").down()
    assert "twin" not in two.leases


def test_an_up_that_fails_releases_only_what_it_leased_itself(
    two: Two, environment: Callable[[str], Environment], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment("docker").up(RUNNING)
    leases = two.leases
    two.silent.add("docker")  # so that nobody knows of it

    def fail(verb: str, subject: str) -> None:
        if verb == "fetch_software":
            raise ProvisionError(f"no {verb} {subject}")

    two.fakes["process"].on_verb = fail
    with pytest.raises(ProvisionError, match="no fetch_software"):
        environment("process").up(RUNNING)
    assert two.leases == leases
    monkeypatch.setattr(two.fakes["process"], "missing_software", lambda _cluster: fail("fetch_software", "before"))
    with pytest.raises(ProvisionError, match="no fetch_software before"):
        environment("process").up(RUNNING)
    assert two.leases == leases


def test_down_keeps_the_leases_of_the_other_runtimes_environment(
    two: Two, environment: Callable[[str], Environment]
) -> None:
    environment("docker").up(RUNNING)
    two.silent.add("docker")
    environment("process").up(RUNNING)
    two.silent.clear()
    leases = two.leases
    environment("auto").down()
    assert two.fakes["process"].observe("twin").is_absent
    assert two.leases == leases
    environment("auto").down()
    assert two.fakes["docker"].observe("twin").is_absent
    assert "twin" not in two.leases


ACTS: dict[str, Callable[[Environment], object]] = {
    "up": lambda one: one.up(RUNNING),
    "plan": lambda one: one.plan(),
    "down": lambda one: one.down(),
    "status": lambda one: one.status(),
}


def in_lease(home: Home, place: str) -> None:
    home.ports.lease("twin", ["broker-1"], {}, Situation(place))


def with_secrets(home: Home, place: str) -> None:
    home.secrets("twin").keep({"identity": b"one"})
    note_where(home.secrets("twin"), place, "")


@pytest.mark.parametrize("note", [in_lease, with_secrets])
@pytest.mark.parametrize("act", ACTS)
def test_what_the_home_knows_to_be_in_docker_is_neither_missing_nor_made_again_while_no_engine_answers(
    two: Two, environment: Callable[[str], Environment], act: str, note: Callable[[Home, str], None]
) -> None:
    note(two.home, "docker ENGINE")
    leases = two.leases
    two.silent.add("docker")
    with pytest.raises(Unavailable, match="twin is in Docker, which does not answer") as caught:
        ACTS[act](environment("auto"))
    assert "no docker answers" in caught.value.why
    assert "twin is at docker ENGINE" in caught.value.why
    assert "start the engine" in caught.value.hint
    assert "--set runtime=process" in caught.value.hint
    assert two.fakes["process"].observe("twin").is_absent
    assert two.leases == leases
    environment("process").up(RUNNING)  # as the hint says
    environment("auto").down()


FIXED = "name: twin\nbrokers: {nodes: 2, port: 9092}\n"
"""It needs no ports of ours, and no secrets: the home keeps nothing else of it."""


class _Killed(BaseException):
    """What nothing catches."""


@pytest.fixture
def fixed(two: Two, tmp_path: Path) -> Callable[[str], Environment]:
    file = tmp_path / "twin.yaml"
    file.write_text(FIXED)
    return lambda runtime: Environment(file, overrides=[f"runtime={runtime}"], runtimes=two)


@pytest.mark.parametrize("steps", [*range(9), None])
def test_what_was_made_in_docker_or_only_begun_is_known_while_no_engine_answers(
    two: Two, fixed: Callable[[str], Environment], steps: int | None
) -> None:
    count = 0

    def kill(_verb: str, _subject: str) -> None:
        nonlocal count
        count += 1
        if steps is not None and count > steps:
            raise _Killed

    two.fakes["docker"].on_verb = kill
    if steps is None:
        fixed("auto").up(RUNNING)
    else:
        with pytest.raises(_Killed):
            fixed("auto").up(RUNNING)
    two.fakes["docker"].on_verb = lambda _verb, _subject: None
    two.silent.add("docker")
    named = Environment.named("twin", runtimes=two)
    for one, act in ((fixed("auto"), "up"), (fixed("auto"), "down"), (named, "down"), (named, "status")):
        with pytest.raises(Unavailable, match="twin is in Docker, which does not answer"):
            ACTS[act](one)
    two.silent.clear()
    Environment.named("twin", runtimes=two).down()
    assert two.fakes["docker"].observe("twin").is_absent
    assert not two.fakes["docker"].abouts()
    assert "twin" not in two.leases
    two.silent.add("docker")
    assert Environment.named("twin", runtimes=two).down() == 0


def test_what_was_never_made_is_not_looked_for(two: Two, fixed: Callable[[str], Environment]) -> None:
    def fail(verb: str, subject: str) -> None:
        if verb == "create_node":
            raise ProvisionError(f"no {subject}")

    two.fakes["docker"].on_verb = fail
    with pytest.raises(ProvisionError, match=r"no (zookeeper|broker)-"):
        fixed("auto").up(RUNNING)
    with pytest.raises(Refused):
        fixed("auto").up(RUNNING, agree=_refuse)
    assert "twin" not in two.leases


def _refuse(_plan: object) -> None:
    raise Refused("it is not agreed to")


@pytest.mark.parametrize("note", [in_lease, with_secrets])
@pytest.mark.parametrize("place", ["process HERE", ""])
def test_what_the_home_knows_to_be_elsewhere_or_nowhere_needs_no_engine(
    two: Two, environment: Callable[[str], Environment], place: str, note: Callable[[Home, str], None]
) -> None:
    note(two.home, place)
    two.home.ports.lease("another", ["broker-1"], {}, Situation("docker ENGINE"))
    two.silent.add("docker")
    assert environment("auto").down() == 0
    environment("auto").up(RUNNING)
    assert not two.fakes["process"].observe("twin").is_absent


def test_what_was_removed_from_docker_needs_no_engine_any_more(
    two: Two, environment: Callable[[str], Environment]
) -> None:
    environment("docker").up(RUNNING)
    environment("auto").down()
    two.silent.add("docker")
    environment("auto").up(RUNNING)
    assert not two.fakes["process"].observe("twin").is_absent


@pytest.mark.parametrize(("line", "code"), [("up {file}", 69), ("down twin", 69), ("status twin", 69)])
def test_commands_say_that_the_engine_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str, code: int
) -> None:
    file = tmp_path / "twin.yaml"
    file.write_text(FILE)
    monkeypatch.setenv("PROVISION_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/away.sock")
    monkeypatch.chdir(tmp_path)
    in_lease(Home.of_user(), "docker ENGINE")
    assert run(line.format(file=file).split()) == code
    told = capsys.readouterr().err
    assert "twin is in Docker, which does not answer" in told
    assert "away.sock" in told
    assert not (tmp_path / "home" / "environments").exists()
