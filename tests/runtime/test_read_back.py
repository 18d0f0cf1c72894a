"""Files that are read back, whatever has become of them: one error of ours at most, and nothing touched elsewhere."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provision import Environment
from provision.errors import ProvisionError, Refused
from provision.plan.actions import Verb
from provision.plan.observed import NodeState
from provision.runtime import directories
from provision.runtime.process import processes
from provision.runtime.process import runtime as process_runtime
from provision.runtime.process.java import Java
from tests.examples import examples
from tests.mutations import REPLACED, mangled, mutated, places

NAME = "read-back"
ID, ANOTHER_ID = "fwAAAAAAAAAAAAAAAAAAAA", "fwAAAAAAAAAAAAAAAAAAAQ"
MODES = ("zookeeper", "kraft")
EXAMPLES = settings(
    max_examples=examples(of=2),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@dataclass(frozen=True)
class Made:
    """An environment that was created, formatted and stopped: all its files and no process."""

    root: Path
    mode: str
    values: dict[str, Any]

    @property
    def environment(self) -> Environment:
        """As a command would open it."""
        return Environment(home=self.root / "home", **self.values)

    @property
    def directory(self) -> Path:
        """Where its files are."""
        return self.root / "home" / "environments" / NAME

    def put(self, file: str, content: bytes) -> None:
        """Change a file."""
        (self.root / "home" / file).write_bytes(content)

    def again(self) -> None:
        """Make it as it was."""
        home = self.root / "home"
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(self.root / "pristine", home)

    def elsewhere(self) -> dict[str, bytes]:
        """All files that are not of this environment."""
        home = self.root / "home"
        others = (file for file in self.root.rglob("*") if not file.is_relative_to(home) and file.is_file())
        return {str(file): file.read_bytes() for file in others}


FILES = {
    "zookeeper": ("environment.json", "broker-1/node.json", "broker-1/process.json", "broker-1/config/launch.json"),
    "kraft": ("environment.json", "broker-1/node.json", "broker-1/process.json", "broker-1/config/launch.json"),
}
PROPERTIES = {
    "zookeeper": ("broker-1/config/server.properties", "zookeeper-1/config/zookeeper.properties"),
    "kraft": ("broker-1/config/server.properties", "broker-1/data/meta.properties"),
}


@pytest.fixture(scope="module", params=MODES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    root = tmp_path_factory.mktemp("read-back")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process_runtime, "find_java", lambda _version: Java("/nowhere/java", 17, "a test"))
        patch.setattr(processes, "_candidates", lambda *_: iter(()))  # nothing of it ever runs
        patch.setenv("PROVISION_CACHE", str(root / "cache"))
        values = {"name": NAME, "runtime": "process", "kafka": {"mode": request.param}, "brokers": {"port": "auto"}}
        made = Made(root, request.param, values)
        _create(made)
        shutil.copytree(root / "home", root / "pristine")
        canary = directories.create(root / "outside", "broker-1", NAME)
        (canary / "kept").write_text("kept")
        yield made


def _create(made: Made) -> None:
    made.environment.home.ports.lease(NAME, ["zookeeper-1", "broker-1", "broker-1/CONTROLLER"], {})
    prepared = made.environment.plan()
    runtime, cluster = prepared.runtime, prepared.cluster
    runtime.create_network(cluster)
    for node in cluster.nodes:
        runtime.create_storage(cluster, node)
        runtime.create_node(cluster, node, [file for file in prepared.files if file.node == node.name])
        (made.directory / node.name / "process.json").write_text(json.dumps({"pid": 2**22 + 1, "created": 1.5}))
        if made.mode == "kraft":
            meta = f"node.id={node.id}\nversion=1\ncluster.id={cluster.cluster_id}\n"
            (Path(node.data_dir) / "meta.properties").write_text(meta)


def _use(made: Made) -> None:
    """What commands do with it: each works, or tells what is wrong by an error of ours. At last it is removed."""
    before = made.elsewhere()
    environment = made.environment
    environment.observe()
    assert environment.runtime.environments() == (NAME,)
    environment.status()
    for attempt in (
        environment.plan,
        lambda: environment.inside_address("broker-1"),
        lambda: list(environment.log_lines("broker-1")),
        lambda: environment.runtime.start_node(NAME, "broker-1"),
        environment.stop,
    ):
        with suppress(ProvisionError):
            attempt()
    with suppress(ProvisionError):
        environment.down()
    made.environment.down() if made.directory.exists() else None
    assert not made.directory.exists()
    assert made.elsewhere() == before


@EXAMPLES
@given(data=st.data())
def test_whatever_a_note_says_it_misleads_no_command(made: Made, data: st.DataObject) -> None:
    made.again()
    file = data.draw(st.sampled_from(FILES[made.mode]))
    content = data.draw(mutated((made.directory / file).read_bytes()))
    (made.directory / file).write_bytes(content)
    _use(made)


@pytest.mark.parametrize("text", ["a\x00b", "\ud800"])
@pytest.mark.parametrize("index", range(len(FILES["kraft"])))
def test_a_character_that_no_path_and_no_argument_may_have_misleads_no_command(
    made: Made, index: int, text: str
) -> None:
    file = made.directory / FILES[made.mode][index]
    made.again()
    note = json.loads(file.read_bytes())
    for holder, key in [place for place in places(note) if isinstance(place[0][place[1]], str)]:
        made.again()
        before, holder[key] = holder[key], text
        file.write_text(json.dumps(note))
        _use(made)
        holder[key] = before


@EXAMPLES
@given(data=st.data())
def test_whatever_a_configuration_has_become_no_command_fails_because_of_it(made: Made, data: st.DataObject) -> None:
    made.again()
    file = made.directory / data.draw(st.sampled_from(PROPERTIES[made.mode]))
    file.write_bytes(data.draw(mangled(file.read_bytes())))
    _use(made)


@pytest.mark.parametrize("what", REPLACED)
@pytest.mark.parametrize("index", range(len(FILES["kraft"]) + len(PROPERTIES["kraft"])))
def test_whatever_stands_in_a_files_place_the_environment_is_seen_and_removed(
    made: Made, index: int, what: str
) -> None:
    made.again()
    file = (*FILES[made.mode], *PROPERTIES[made.mode])[index]
    REPLACED[what](made.directory / file)
    _use(made)


# -- the environment's note -------------------------------------------------------------------------------------------


def _edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_what_a_newer_version_adds_to_a_note_changes_nothing(made: Made) -> None:
    made.again()
    before = made.environment.observe()
    plan = made.environment.plan().plan
    for file in FILES[made.mode][:3]:
        _edit(made.directory / file, added_by_a_newer_version={"x": 1})
    assert made.environment.observe() == before
    assert made.environment.plan().plan == plan


LOST = ("missing", "empty", "cut", "of another kind")


def _lose(file: Path, how: str) -> None:
    match how:
        case "missing":
            file.unlink()
        case "empty":
            file.write_text("")
        case "cut":
            file.write_text(file.read_text()[:40])
        case _:
            _edit(file, cluster_id=7)


@pytest.mark.parametrize("how", LOST)
def test_without_its_note_an_environment_is_described_by_its_nodes(made: Made, how: str) -> None:
    made.again()
    before = made.environment.observe()
    _lose(made.directory / "environment.json", how)
    after = made.environment.observe()
    for known in ("nodes", "storages", "software", "version", "mode", "storage", "cluster_id"):
        assert getattr(after, known) == getattr(before, known), known
    prepared = made.environment.plan()
    assert prepared.cluster.cluster_id == before.cluster_id
    prepared.runtime.create_network(prepared.cluster)  # as `up` does
    assert made.environment.observe().cluster_id == before.cluster_id


def test_data_that_are_kept_without_the_note_are_of_the_same_cluster(made: Made) -> None:
    made.again()
    before = made.environment.observe()
    (made.directory / "environment.json").unlink()
    made.environment.down(keep_data=True)
    after = made.environment.observe()
    assert not after.nodes
    assert (after.cluster_id, after.version, after.mode) == (before.cluster_id, before.version, before.mode)


READABLE_BY_NOBODY = {how: put for how, put in REPLACED.items() if how != "unreadable"}  # root reads it
UNIDENTIFIED: dict[str, Callable[[Path], Any]] = {
    "gone": lambda file: file.unlink(),
    "no id": lambda file: file.write_text("version=1\n"),
    "no id of Kafka's": lambda file: file.write_text("cluster.id=../../x\n"),
    "twice": lambda file: file.write_text(f"cluster.id={ID}\ncluster.id={ANOTHER_ID}\n"),
    "broken escape": lambda file: file.write_text("cluster.id=\\u00\n"),
    "no text": lambda file: file.write_bytes(b"\xff\xfe\x00"),
    **READABLE_BY_NOBODY,
}


@pytest.mark.parametrize("made", ["kraft"], indirect=True)
@pytest.mark.parametrize("how", UNIDENTIFIED)
def test_a_cluster_that_nothing_identifies_is_refused_and_no_new_id_is_made_up(made: Made, how: str) -> None:
    made.again()
    (made.directory / "environment.json").unlink()
    (made.directory / "broker-1" / "data" / "00000000.log").write_text("records")
    UNIDENTIFIED[how](made.directory / "broker-1" / "data" / "meta.properties")
    with pytest.raises(Refused, match="whose id cannot be read") as caught:
        made.environment.plan()
    assert "meta.properties" in caught.value.why
    assert "down" in caught.value.hint


# -- a node's note ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../../../outside/broker-1", "/etc", "broker-2", "", 7, None])
def test_a_node_is_called_like_its_directory(made: Made, name: object) -> None:
    made.again()
    before = made.elsewhere()
    _edit(made.directory / "broker-1" / "node.json", name=name, role="controller")
    assert made.environment.observe().node("broker-1")
    made.environment.down()
    assert not made.directory.exists()
    assert made.elsewhere() == before


@pytest.mark.parametrize(
    "changes",
    [
        {"endpoint": "127.0.0.1:65536"},
        {"endpoint": "127.0.0.1:0"},
        {"endpoint": "127.0.0.1"},
        {"endpoint": 9092},
        {"ports": [0]},
        {"ports": [65536]},
        {"ports": ["9092"]},
        {"ports": [True]},
        {"ports": 9092},
        {"version": "3.9"},
        {"version": "1.0.0"},
        {"arguments": "kafka.Kafka"},
        {"config_hash": None},
    ],
)
def test_a_node_with_a_damaged_note_is_made_again_and_not_started(made: Made, changes: dict[str, object]) -> None:
    made.again()
    file = made.directory / "broker-1" / "node.json"
    _edit(file, **changes)
    with pytest.raises(ProvisionError, match=r"node\.json is damaged"):
        made.environment.runtime.start_node(NAME, "broker-1")
    prepared = made.environment.plan()
    (action,) = (one for one in prepared.plan.actions if one.name == "broker-1" and one.verb is Verb.RECREATE)
    assert "files cannot be read" in action.cause
    own = [one for one in prepared.files if one.node == "broker-1"]
    prepared.runtime.replace_node(prepared.cluster, prepared.cluster.brokers[0], own)
    assert not any(one.verb is Verb.RECREATE for one in made.environment.plan().plan.actions)


def test_a_node_whose_process_could_not_be_noted_has_run(made: Made) -> None:
    made.again()
    (made.directory / "broker-1" / "process.json").unlink()
    assert made.environment.observe().node("broker-1").state is NodeState.CREATED  # type: ignore[union-attr]
    (made.directory / "broker-1" / "log" / "console.log").touch()  # it is opened before the process starts
    assert made.environment.observe().node("broker-1").state is NodeState.EXITED  # type: ignore[union-attr]


# -- its configuration ------------------------------------------------------------------------------------------------

EDITED = {
    "Latin-1": "# mine\nnum.io.threads=9\nbroker.rack=caf\xe9\n".encode("latin-1"),
    "binary": bytes(range(256)) * 10,
    "broken escape": b"a=\\u12\n",
    "the same key twice": b"a=1\na=2\n",
    "a terminal's sequences": b"a=\x1b[2J\x1b[31mred\x07\n",
    "empty": b"",
}


@pytest.mark.parametrize("how", [*EDITED, *READABLE_BY_NOBODY])
@pytest.mark.parametrize("name", ["server.properties", "launch.json"])
def test_a_file_that_was_edited_or_replaced_is_a_change_to_be_made(made: Made, name: str, how: str) -> None:
    made.again()
    file = made.directory / "broker-1" / "config" / name
    if how in EDITED:
        file.write_bytes(EDITED[how])
    else:
        READABLE_BY_NOBODY[how](file)
    plan = made.environment.plan().plan
    (action,) = (one for one in plan.actions if one.name == "broker-1" and one.verb is not Verb.START)
    assert not plan.refusals
    assert "config changed" in action.cause
    shown = json.dumps(plan.as_dict(), ensure_ascii=False)
    shown.encode()
    assert action.cause.isprintable()
