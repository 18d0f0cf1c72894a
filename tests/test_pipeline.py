"""The pipeline on the fake runtime: whatever fails, at whatever moment, a first `up` leaves nothing."""

import _thread
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from provision import pipeline, preparing
from provision.cluster.model import Cluster
from provision.common.values import replace
from provision.errors import Interrupted, InvalidEnvironment, NodeFailed, ProvisionError, Refused, Unavailable
from provision.events import ActionDone, Event, Fetching, Listener, silent
from provision.home.place import Home
from provision.kafka.levels import Level
from provision.operations import remove
from provision.pipeline import DEFAULTS, UpOptions, UpResult
from provision.plan.observed import NodeState
from provision.runtime.fake import FakeRuntime
from provision.spec.source import Source
from tests.runtimes import FakeRuntimes

FILE = "name: faked\nbrokers: {nodes: 2, port: auto}\nzookeeper: {nodes: 3}\ntopics: [{name: t}]\n"

RUNNING = UpOptions(until=Level.PROCESS)


@dataclass(frozen=True)
class Held:
    """An environment file and the runtime for it."""

    file: Path
    runtime: FakeRuntime
    overrides: tuple[str, ...] = ()

    @property
    def home(self) -> Path:
        """The home's directory."""
        return self.file.parent / "home"

    @property
    def described(self) -> tuple[Source, FakeRuntimes]:
        """The file as it is now, and the runtimes."""
        return Source(self.file, self.overrides), FakeRuntimes(self.home, self.runtime)


OTHER = ("brokers.properties.num.io.threads=3",)


def up(held: Held, options: UpOptions = DEFAULTS, tell: Listener = silent) -> UpResult:
    return pipeline.up(*held.described, options, tell=tell)


def down(runtime: FakeRuntime, name: str, home: Path, *, keep_data: bool = False) -> int:
    return remove.down(runtime, name, Home.at(home), keep_data=keep_data)


@pytest.fixture
def fake() -> FakeRuntime:
    return FakeRuntime()


@pytest.fixture
def source(tmp_path: Path, fake: FakeRuntime) -> Held:
    file = tmp_path / "faked.yaml"
    file.write_text(FILE)
    return Held(file, fake)


def _verbs_of_a_first_up(source: Held, fake: FakeRuntime) -> list[tuple[str, str]]:
    seen: list[tuple[str, str]] = []
    fake.on_verb = lambda verb, subject: seen.append((verb, subject))
    up(source, RUNNING)
    fake.on_verb = lambda _verb, _subject: None
    down(fake, "faked", source.home)
    fake.software.clear()
    return seen


def test_a_first_up_does_each_thing_once_and_a_second_nothing(source: Held, fake: FakeRuntime) -> None:
    verbs = _verbs_of_a_first_up(source, fake)
    assert len(verbs) == len(set(verbs)) == 1 + 1 + 1 + 5 + 5 + 5  # about, software, network, storages, nodes, starts
    up(source, RUNNING)
    seen: list[str] = []
    fake.on_verb = lambda verb, _subject: seen.append(verb)
    assert not up(source, RUNNING).changed
    assert seen == []


@pytest.mark.parametrize("failure", [ProvisionError("the engine caught fire"), KeyboardInterrupt()])
def test_whichever_verb_fails_nothing_is_left(source: Held, fake: FakeRuntime, failure: BaseException) -> None:
    places = _verbs_of_a_first_up(source, fake)
    assert {verb for verb, _ in places} >= {"fetch_software", "create_network", "create_storage", "create_node"}
    for place in places:

        def fail(verb: str, subject: str, place: tuple[str, str] = place) -> None:
            if (verb, subject) == place:
                raise failure

        fake.on_verb = fail
        with pytest.raises((type(failure), Interrupted)):
            up(source, RUNNING)
        fake.on_verb = lambda _verb, _subject: None
        assert fake.observe("faked").is_absent, place
        fake.software.clear()
    assert "faked" not in (source.home / "ports.json").read_text()


def test_an_interrupt_ends_a_download(source: Held, fake: FakeRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 1_000_000
    told: list[int] = []

    def fetch_software(_cluster: Cluster, software: str, tell: Listener, _digest: str = "") -> None:
        _thread.interrupt_main()
        for step in range(steps):
            tell(Fetching(software, step, steps))
            told.append(step)
            threading.Event().wait(0.001)

    monkeypatch.setattr(fake, "fetch_software", fetch_software)
    with pytest.raises(Interrupted):
        up(source, RUNNING)
    assert len(told) < steps
    assert fake.observe("faked").is_absent


def test_retain_keeps_what_was_made(source: Held, fake: FakeRuntime) -> None:
    def fail(verb: str, subject: str) -> None:
        if (verb, subject) == ("start_node", "broker-2"):
            raise ProvisionError("no")

    fake.on_verb = fail
    with pytest.raises(ProvisionError, match="no"):
        up(source, UpOptions(until=Level.PROCESS, retain=True))
    assert len(fake.observe("faked").nodes) == 5


@pytest.mark.parametrize("stuck", ["remove_node", "remove_storage", "remove_network"])
@pytest.mark.parametrize("bug", [False, True])
@pytest.mark.parametrize(
    ("first", "told"),
    [
        (lambda: ProvisionError("the engine caught fire", why="it was hot", hint="pour water"), ProvisionError),
        (lambda: NodeFailed("broker-2 exited", node="broker-2", why="no room", log=["ERROR no room"]), NodeFailed),
        (KeyboardInterrupt, Interrupted),
    ],
)
def test_the_first_error_leads_and_what_could_not_be_removed_follows(
    source: Held,
    fake: FakeRuntime,
    stuck: str,
    bug: bool,
    first: Callable[[], BaseException],
    told: type[ProvisionError],
) -> None:
    def fail(verb: str, subject: str) -> None:
        if (verb, subject) == ("start_node", "broker-2"):
            raise first()
        if verb == stuck and subject in ("broker-1", "faked"):
            raise RuntimeError("a bug") if bug else ProvisionError(f"{subject} is in use", why="by somebody")

    fake.on_verb = fail
    with pytest.raises(told) as caught:
        up(source, RUNNING)
    error = caught.value
    started = first()
    assert error.what == (started.what if isinstance(started, ProvisionError) else "interrupted")
    if isinstance(started, ProvisionError):
        assert error.why.startswith(started.why)
        assert error.hint.startswith(started.hint)
    assert "faked could not be removed again: " in error.why
    assert ("a bug" if bug else "is in use\nby somebody") in error.why
    assert error.hint.endswith("`provision down faked` removes what is left")
    if not bug:
        left = fake.observe("faked")
        assert [node.name for node in left.nodes] == (["broker-1"] if stuck == "remove_node" else [])
        assert left.storages == ({"broker-1"} if stuck in ("remove_node", "remove_storage") else set())
        assert left.network is (stuck == "remove_network")
    fake.on_verb = lambda _verb, _subject: None
    down(fake, "faked", source.home)
    assert fake.observe("faked").is_absent


@pytest.mark.parametrize(
    ("hint", "left"),
    [
        ("its whole log: `provision logs faked broker-1`", ""),
        ("raise --timeout, or look at `provision logs`", "raise --timeout; "),
        ("`provision status` shows the brokers", ""),
        ("`provision status faked` shows what is missing; then again", "then again; "),
        ("`provision topics list` shows those there are", ""),
        ("`provision start faked broker-1`", ""),
    ],
)
def test_a_hint_does_not_send_anybody_to_what_is_removed(source: Held, fake: FakeRuntime, hint: str, left: str) -> None:
    def fail(verb: str, _subject: str) -> None:
        if verb == "start_node":
            raise Unavailable("no broker answers", hint=hint)

    fake.on_verb = fail
    with pytest.raises(Unavailable) as caught:
        up(source, RUNNING)
    assert caught.value.hint == f"{left}`provision up --retain` keeps what fails, with its logs"
    with pytest.raises(Unavailable) as caught:
        up(source, UpOptions(until=Level.PROCESS, retain=True))
    assert caught.value.hint == hint


def test_a_first_up_whose_node_exits_shows_what_matters_of_a_log_that_is_gone(source: Held, fake: FakeRuntime) -> None:
    log = ["[now] ERROR Something new (kafka.Kafka)", *(f"[now] INFO Stopping {n} (kafka.network)" for n in range(99))]

    def fail(verb: str, subject: str) -> None:
        if (verb, subject) == ("start_node", "broker-2"):
            fake.exit_node("faked", "broker-1", 1, log)

    fake.on_verb = fail
    with pytest.raises(NodeFailed, match="broker-1 exited with code 1") as caught:
        up(source, RUNNING)
    assert caught.value.log[0] == log[0]
    assert caught.value.hint == "`provision up --retain` keeps what fails, with its logs"


def test_a_failing_update_stops_where_it_is_and_the_next_goes_on(source: Held, fake: FakeRuntime) -> None:
    up(source, RUNNING)
    fake.exit_node("faked", "broker-1", 1)
    fake.exit_node("faked", "broker-2", 1)

    def fail(verb: str, subject: str) -> None:
        if (verb, subject) == ("start_node", "broker-2"):
            raise ProvisionError("not now")

    fake.on_verb = fail
    with pytest.raises(ProvisionError, match="not now"):
        up(source, RUNNING)
    assert len(fake.observe("faked").nodes) == 5
    fake.on_verb = lambda _verb, _subject: None
    assert up(source, RUNNING).changed
    assert {node.state for node in fake.observe("faked").nodes} == {NodeState.RUNNING}


def test_storages_that_were_kept_survive_a_failing_up(source: Held, fake: FakeRuntime) -> None:
    up(source, RUNNING)
    down(fake, "faked", source.home, keep_data=True)

    def fail(verb: str, _subject: str) -> None:
        if verb == "start_node":
            raise ProvisionError("no")

    fake.on_verb = fail
    with pytest.raises(ProvisionError):
        up(source, RUNNING)
    observed = fake.observe("faked")
    assert len(observed.storages) == 5
    assert observed.nodes == ()


def test_a_node_that_exits_ends_the_wait_with_its_reason(source: Held, fake: FakeRuntime) -> None:
    log = ["starting", "java.lang.OutOfMemoryError: Java heap space", "\tat a.b.C(C.java)"]

    def exit_soon(event: Event) -> None:
        if isinstance(event, ActionDone) and (event.resource, event.verb) == ("broker-1", "start"):
            fake.exit_node("faked", "broker-1", 3, log)

    with pytest.raises(NodeFailed) as caught:
        up(source, RUNNING, tell=exit_soon)
    assert caught.value.what == "broker-1 exited with code 3"
    assert caught.value.why == "the JVM ran out of memory"
    assert caught.value.log == ("starting", "java.lang.OutOfMemoryError: Java heap space")
    assert fake.observe("faked").is_absent


def test_a_refused_change_touches_nothing(source: Held, fake: FakeRuntime) -> None:
    up(source, RUNNING)
    before = fake.observe("faked")
    with pytest.raises(Refused) as caught:
        up(replace(source, overrides=("zookeeper.nodes=1", "brokers.nodes=3")), RUNNING)
    assert "zookeeper-2, 3: it is no longer in the file" in caught.value.why
    assert "`provision down` it first" in caught.value.hint
    assert fake.observe("faked") == before


@pytest.mark.parametrize("left", ["nothing", "data", "nodes"])
@pytest.mark.parametrize("error", [Refused("no"), Interrupted("SIGINT")], ids=["refused", "interrupted"])
def test_what_is_not_agreed_to_touches_nothing(
    source: Held, fake: FakeRuntime, left: str, error: ProvisionError
) -> None:
    if left != "nothing":
        up(source, RUNNING)
    if left == "data":
        down(fake, "faked", source.home, keep_data=True)
    verbs: list[str] = []
    fake.on_verb = lambda verb, _subject: verbs.append(verb)

    def disagree(_actions: object) -> None:
        raise error

    with pytest.raises(type(error)):
        pipeline.up(*replace(source, overrides=OTHER).described, RUNNING, agree=disagree)
    assert verbs == []


def test_a_foreign_thing_is_refused(source: Held, fake: FakeRuntime) -> None:
    fake.foreign = ("volume faked-broker-1",)
    with pytest.raises(Refused) as caught:
        up(source, RUNNING)
    assert "volume faked-broker-1" in caught.value.why


class Gone(FakeRuntime):
    """An engine that ends when it is asked for software."""

    def missing_software(self, cluster: Cluster) -> tuple[str, ...]:
        """Not any more."""
        raise ProvisionError(f"the engine of {cluster.name} is gone")


def test_a_failure_before_the_plan_keeps_no_lease(source: Held) -> None:
    with pytest.raises(ProvisionError, match="the engine of faked is gone"):
        up(replace(source, runtime=Gone()))
    assert "faked" not in (source.home / "ports.json").read_text()


def test_after_a_failure_nothing_new_begins(source: Held, fake: FakeRuntime) -> None:
    begun: list[str] = []

    def fail(verb: str, subject: str) -> None:
        begun.append(verb)
        if verb == "create_network":
            raise ProvisionError("no")

    fake.on_verb = fail
    with pytest.raises(ProvisionError, match="no"):
        up(source, RUNNING)
    assert "create_node" not in begun
    assert "start_node" not in begun


def test_prepare_touches_nothing_and_leases_nothing(source: Held, fake: FakeRuntime) -> None:
    prepared = preparing.prepare(*source.described)
    assert prepared.plan.changes
    assert fake.observe("faked").is_absent
    assert not source.home.exists()


def test_an_invalid_file_is_refused_before_any_runtime_is_asked(source: Held) -> None:
    silent_ones = FakeRuntimes(source.home, dict.fromkeys(("docker", "process"), Unavailable("nothing answers")))
    with pytest.raises(Unavailable, match="nothing answers"):
        pipeline.up(Source(source.file), silent_ones)
    source.file.write_text("brokers: {nodes: none}\n")
    with pytest.raises(InvalidEnvironment):
        pipeline.up(Source(source.file), silent_ones)
    assert not source.home.exists()
