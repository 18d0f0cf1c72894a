"""`lock` and `up --frozen` on the fake runtime: what differs is refused by name, and nothing is made."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from provision import pipeline, preparing
from provision.cluster.identity import Identity
from provision.common.values import replace
from provision.errors import InvalidEnvironment, Refused, Unavailable, UsageError
from provision.events import Event, Listener, Notice, silent
from provision.kafka.levels import Level
from provision.pipeline import UpOptions, UpResult
from provision.preparing import Prepared
from provision.runtime.fake import FakeRuntime
from provision.software import pinning
from provision.software.pinning import Pinned
from provision.software.pins import Pins, lock_file_of
from provision.software.pins_file import read, write
from provision.spec.source import Source
from tests.runtimes import FakeRuntimes

FILE = "name: faked\nruntime: docker\nzookeeper: {port: auto}\nbrokers: {nodes: 2, port: auto}\n"
IMAGE = "apache/kafka:3.9.1"
A, B, C = (f"sha256:{digit * 64}" for digit in "abc")
LOCKED, OTHER = Identity(A, f"apache/kafka@{B}"), Identity(C, f"apache/kafka@{C}")
FROZEN = UpOptions(until=Level.PROCESS, frozen=True)
Fakes = dict[str, FakeRuntime | Unavailable]


@pytest.fixture
def fakes() -> Fakes:
    """What answers for each kind."""
    return {"docker": FakeRuntime(), "process": FakeRuntime()}


@pytest.fixture
def fake(fakes: Fakes) -> FakeRuntime:
    """The engine, with the image of the lock."""
    engine = fakes["docker"]
    assert isinstance(engine, FakeRuntime)
    engine.software.add(IMAGE)
    engine.identities[IMAGE] = LOCKED
    return engine


@pytest.fixture
def file(tmp_path: Path) -> Path:
    written = tmp_path / "faked.yaml"
    written.write_text(FILE)
    return written


@pytest.fixture
def source(file: Path, fakes: Fakes) -> "Held":
    return Held(file, fakes)


@dataclass(frozen=True)
class Held:
    """An environment file and what answers for it."""

    file: Path
    fakes: Fakes
    overrides: tuple[str, ...] = ()

    def with_set(self, *overrides: str) -> "Held":
        """With `--set` texts."""
        return replace(self, overrides=overrides)

    @property
    def described(self) -> tuple[Source, FakeRuntimes]:
        """The file as it is now, and the runtimes."""
        return Source(self.file, self.overrides), FakeRuntimes(self.file.parent / "home", self.fakes)


def lock(held: Held, tell: Listener) -> Pinned:
    return pinning.pin(*held.described, tell)


def check(held: Held, tell: Listener) -> Pinned:
    return pinning.check(*held.described, tell)


def up(held: Held, options: UpOptions) -> UpResult:
    return pipeline.up(*held.described, options)


def prepare(held: Held, *, frozen: bool) -> Prepared:
    return preparing.prepare(*held.described, preparing.PlanOptions(frozen=frozen))


def _refused(source: Held, fake: FakeRuntime, options: UpOptions = FROZEN) -> Refused:
    """The refusal of an `up` that makes nothing: no verb is said, and not even the home comes to be."""
    seen: list[tuple[str, str]] = []
    fake.on_verb = lambda verb, subject: seen.append((verb, subject))
    with pytest.raises(Refused) as caught:
        up(source, options)
    assert seen == []
    assert fake.observe("faked").is_absent
    assert not (source.file.parent / "home").exists()
    return caught.value


# -- lock -------------------------------------------------------------------------------------------------------------


def test_lock_records_what_there_is_and_a_second_changes_nothing(source: Held, fake: FakeRuntime) -> None:
    first = lock(source, silent)
    assert first.changed
    assert first.file == source.file.parent / "faked.lock.yaml"
    assert read(first.file) == Pins("3.9.1", "zookeeper", {IMAGE: LOCKED})
    written = first.file.read_bytes()
    assert not lock(source, silent).changed
    assert first.file.read_bytes() == written


def test_lock_fetches_what_is_missing_first(source: Held, fake: FakeRuntime) -> None:
    fake.software.clear()
    seen: list[str] = []
    fake.on_verb = lambda verb, _subject: seen.append(verb)
    assert lock(source, silent).pins.images == {IMAGE: LOCKED}
    assert seen == ["fetch_software"]


@pytest.mark.parametrize(("runtime", "images", "jars"), [("docker", 1, 0), ("process", 0, 1), ("auto", 1, 0)])
def test_what_the_file_says_of_its_runtime_is_recorded(
    source: Held, fake: FakeRuntime, runtime: str, images: int, jars: int
) -> None:
    locked = lock(source.with_set(f"runtime={runtime}"), silent).pins
    assert (len(locked.images), len(locked.jars)) == (images, jars)


def test_without_an_engine_auto_records_the_jars_and_says_so(source: Held, fake: FakeRuntime, fakes: Fakes) -> None:
    auto = source.with_set("runtime=auto")
    fakes["docker"] = Unavailable("no Docker engine answers", why="nothing listens")
    told: list[Event] = []
    assert lock(auto, told.append).pins.images == {}
    assert Notice(f"{IMAGE} is not recorded: no Docker engine answers (nothing listens)") in told


def test_without_an_engine_auto_keeps_what_was_locked_of_the_same_image(
    source: Held, fake: FakeRuntime, fakes: Fakes
) -> None:
    auto = source.with_set("runtime=auto")
    lock(auto, silent)
    fakes["docker"] = Unavailable("no Docker engine answers", why="nothing listens")
    told: list[Event] = []
    again = lock(auto, told.append)
    assert again.pins.images == {IMAGE: LOCKED}
    assert again.pins.jars
    assert not lock(auto, silent).changed
    assert Notice(f"{IMAGE} stays as it was locked: no Docker engine answers (nothing listens)") in told
    other = lock(source.with_set("runtime=auto", "kafka.image=mine/kafka:other"), silent)
    assert other.pins.images == {}


def test_with_an_engine_auto_fetches_nothing_for_processes_and_keeps_what_was_locked_of_them(
    source: Held, fake: FakeRuntime, fakes: Fakes
) -> None:
    auto = source.with_set("runtime=auto")
    engine = fakes["docker"]
    fakes["docker"] = Unavailable("no Docker engine answers")
    jars = lock(auto, silent).pins.jars
    assert jars
    processes = FakeRuntime()
    fakes["docker"], fakes["process"] = engine, processes
    processes.on_verb = lambda verb, subject: pytest.fail(f"{verb} {subject}: Docker never uses it")
    told: list[Event] = []
    again = lock(auto, told.append)
    assert again.pins == Pins("3.9.1", "zookeeper", {IMAGE: LOCKED}, jars)
    assert Notice("Kafka 3.9.1 for processes stays as it was locked: faked runs in Docker here") in told
    assert not check(auto, silent).changed
    told.clear()
    assert lock(auto.with_set("runtime=auto", "kafka.version=3.8.1"), told.append).pins.jars == {}
    assert Notice("Kafka 3.8.1 for processes is not recorded: faked runs in Docker here") in told


def test_docker_without_an_engine_cannot_be_locked(source: Held, fake: FakeRuntime, fakes: Fakes) -> None:
    fakes["docker"] = Unavailable("no Docker engine answers")
    with pytest.raises(Unavailable, match="no Docker engine answers"):
        lock(source, silent)
    assert not lock_file_of(source.file).exists()


def test_a_damaged_lock_is_replaced_and_told(source: Held, fake: FakeRuntime) -> None:
    lock_file_of(source.file).write_text("provision_lock: 1\nextra: 1\n")
    told: list[Event] = []
    assert lock(source, told.append).changed
    assert any(isinstance(event, Notice) and "the lock is damaged" in event.text for event in told)
    assert read(lock_file_of(source.file)) == Pins("3.9.1", "zookeeper", {IMAGE: LOCKED})


@pytest.mark.parametrize("do", [lock, check])
def test_what_others_run_has_nothing_to_lock(source: Held, fake: FakeRuntime, do: Callable[..., object]) -> None:
    source.file.write_text("bootstrap_servers: somewhere:9092\n")
    with pytest.raises(UsageError, match="faked has nothing to lock: it is an external cluster"):
        do(source, silent)


def test_check_compares_and_writes_nothing(source: Held, fake: FakeRuntime) -> None:
    with pytest.raises(Refused, match="faked has no lock"):
        check(source, silent)
    lock(source, silent)
    written = lock_file_of(source.file).read_bytes()
    assert not check(source, silent).changed
    fake.identities[IMAGE] = OTHER
    with pytest.raises(Refused) as caught:
        check(source, silent)
    assert caught.value.why == f"image {IMAGE}: locked {LOCKED}, found {OTHER}"
    with pytest.raises(Refused, match="is for another Kafka"):
        check(source.with_set("kafka.version=3.8.1"), silent)
    assert lock_file_of(source.file).read_bytes() == written


# -- up --frozen ------------------------------------------------------------------------------------------------------


def test_what_is_locked_comes_up_and_a_second_up_changes_nothing(source: Held, fake: FakeRuntime) -> None:
    lock(source, silent)
    assert up(source, FROZEN).changed
    assert len(fake.observe("faked").nodes) == 3
    assert not up(source, FROZEN).changed


def test_without_a_lock_nothing_is_made(source: Held, fake: FakeRuntime) -> None:
    error = _refused(source, fake)
    assert error.what == "faked has no lock"
    assert error.why == f"there is no file {lock_file_of(source.file)}"
    assert f"`provision lock {source.file}`" in error.hint


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("kafka.version=3.8.1", "kafka.version: locked 3.9.1, found 3.8.1"),
        ("kafka.mode=kraft", "kafka.mode: locked zookeeper, found kraft"),
        ("kafka.image=elsewhere/kafka:3.9.1", "image elsewhere/kafka:3.9.1: not in the lock"),
    ],
)
def test_a_lock_for_another_file_is_refused_by_name(source: Held, fake: FakeRuntime, override: str, told: str) -> None:
    lock(source, silent)
    zookeeper = () if "kraft" not in override else ("zookeeper=null",)
    if zookeeper:
        source.file.write_text(FILE.replace("zookeeper: {port: auto}\n", ""))
    error = _refused(source.with_set(override), fake)
    assert told in error.why
    assert "records what is here, if that is intended" in error.hint


def test_another_image_of_the_same_name_is_refused_with_both(source: Held, fake: FakeRuntime) -> None:
    lock(source, silent)
    fake.identities[IMAGE] = OTHER
    error = _refused(source, fake)
    assert error.what == f"the software here differs from {lock_file_of(source.file)}"
    assert error.why == f"image {IMAGE}: locked {LOCKED}, found {OTHER}"


def test_a_missing_image_comes_by_its_digest(source: Held, fake: FakeRuntime) -> None:
    lock(source, silent)
    fake.software.clear()
    seen: list[tuple[str, str]] = []
    fake.on_verb = lambda verb, subject: seen.append((verb, subject))
    up(source, FROZEN)
    assert seen[0] == ("fetch_software", f"apache/kafka@{B}")
    assert [verb for verb, _ in seen].count("fetch_software") == 1


def test_what_arrives_is_compared_too(source: Held, fake: FakeRuntime) -> None:
    lock(source, silent)
    fake.software.clear()
    fake.identities[IMAGE] = OTHER
    with pytest.raises(Refused, match="the software here differs from"):
        up(source, FROZEN)
    assert fake.observe("faked").is_absent


def test_a_missing_image_that_is_known_by_its_id_alone_is_refused(source: Held, fake: FakeRuntime) -> None:
    fake.identities[IMAGE] = Identity(A)
    lock(source, silent)
    fake.software.clear()
    error = _refused(source, fake)
    assert error.why == f"image {IMAGE}: locked {A}, not there"
    assert "`provision image load`" in error.hint


def test_nodes_that_run_from_another_image_are_refused_and_left(source: Held, fake: FakeRuntime) -> None:
    fake.identities[IMAGE] = OTHER
    up(source, UpOptions(until=Level.PROCESS))
    before = fake.observe("faked")
    fake.identities[IMAGE] = LOCKED  # the name is given to another image
    lock(source, silent)
    with pytest.raises(Refused, match="faked runs from other images") as caught:
        up(source, FROZEN)
    assert f"broker-1, image {IMAGE}: locked {A}, found {C}" in caught.value.why
    assert "`provision down --keep-data faked`" in caught.value.hint
    assert fake.observe("faked") == before


def test_nodes_that_are_replaced_may_have_been_of_another_image(source: Held, fake: FakeRuntime) -> None:
    fake.identities[IMAGE] = OTHER
    up(source, UpOptions(until=Level.PROCESS))
    for node in fake.observe("faked").nodes:
        fake.exit_node("faked", node.name, 143)
    fake.identities[IMAGE] = LOCKED
    lock(source, silent)
    changed = source.with_set("brokers.heap=300m")
    with pytest.raises(Refused) as caught:
        up(changed, FROZEN)
    assert caught.value.why == f"zookeeper-1, image {IMAGE}: locked {A}, found {C}"
    changed = source.with_set("brokers.heap=300m", "zookeeper.heap=100m")
    assert up(changed, FROZEN).changed
    assert {node.software_id for node in fake.observe("faked").nodes} == {A}


def test_each_image_is_locked_and_only_the_missing_one_comes(source: Held, fake: FakeRuntime) -> None:
    own = source.with_set("zookeeper.image=zookeeper:3.8.4")
    fake.software.add("zookeeper:3.8.4")
    fake.identities["zookeeper:3.8.4"] = Identity(C, f"zookeeper@{C}")
    assert list(lock(own, silent).pins.images) == [IMAGE, "zookeeper:3.8.4"]
    fake.software.remove("zookeeper:3.8.4")
    seen: list[tuple[str, str]] = []
    fake.on_verb = lambda verb, subject: seen.append((verb, subject))
    up(own, FROZEN)
    assert [subject for verb, subject in seen if verb == "fetch_software"] == [f"zookeeper@{C}"]
    assert not up(own, FROZEN).changed
    made_from = {node.name: node.software_id for node in fake.observe("faked").nodes}
    assert made_from == {"zookeeper-1": C, "broker-1": A, "broker-2": A}


def test_many_differences_are_counted(source: Held, fake: FakeRuntime) -> None:
    images = {f"some/image-{number}:1": LOCKED for number in range(20)}
    write(Pins("3.9.1", "zookeeper", images), lock_file_of(source.file))
    lines = _refused(source, fake).why.splitlines()
    assert len(lines) == 13
    assert lines[-1] == "and 9 more"


def test_a_damaged_lock_ends_it_before_anything_is_asked(source: Held, fake: FakeRuntime) -> None:
    lock_file_of(source.file).write_text("provision_lock: 7\n")
    with pytest.raises(InvalidEnvironment, match="the lock is not valid"):
        up(source, FROZEN)
    assert fake.observe("faked").is_absent


def test_a_frozen_plan_fetches_nothing_and_refuses_alike(source: Held, fake: FakeRuntime) -> None:
    with pytest.raises(Refused, match="faked has no lock"):
        prepare(source, frozen=True)
    lock(source, silent)
    fake.software.clear()
    seen: list[str] = []
    fake.on_verb = lambda verb, _subject: seen.append(verb)
    assert prepare(source, frozen=True).plan.changes
    assert seen == []
    fake.software.add(IMAGE)
    fake.identities[IMAGE] = OTHER
    with pytest.raises(Refused, match="the software here differs from"):
        prepare(source, frozen=True)
