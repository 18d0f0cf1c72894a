"""Secret files: nobody but their node reads them, on every way from rendering to the runtimes and in every output."""

import io
import json
import os
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

# The fake Kafka takes the place of what is loaded; an environment loads its operations only when they are used.
import provision.operations.topics  # noqa: F401
from provision import Environment
from provision.cli.plans import plan_lines
from provision.cli.run import run
from provision.cluster.fingerprint import config_hash
from provision.cluster.layout import container_layout
from provision.cluster.model import Cluster, RenderedFile, Role
from provision.cluster.render import render
from provision.cluster.resolve import resolve
from provision.common.values import replace
from provision.errors import ProvisionError
from provision.events import Event, Planned
from provision.home.place import Home
from provision.plan.actions import Action, BrokerSettings, Kind, NodeTarget, Plan, Verb
from provision.plan.differences import Difference, differences
from provision.plan.nodes import plan_nodes
from provision.plan.observed import NodeDetails, NodeState, ObservedEnvironment, ObservedNode
from provision.plan.phases import Phase
from provision.runtime.base import SECRET_MODE
from provision.runtime.docker import containers
from provision.runtime.process.layout import environment_directory
from provision.runtime.process.places import Places
from provision.runtime.process.runtime import ProcessRuntime
from provision.spec.model import EnvironmentSpec
from tests.fake_kafka import FakeKafka, SpokenRuntime
from tests.runtimes import FakeRuntimes

NAME = "vault"
WORD, OTHER_WORD = "xyzzy-0pen-s3same", "plugh-cl0se-s3same"
CREDENTIALS = "credentials.properties"
MAIN = "server.properties"
Files = tuple[RenderedFile, ...]
Hide = Callable[[Files, str], Files]


def beside(files: Files, word: str) -> Files:
    """Each broker with a secret file more."""
    brokers = dict.fromkeys(file.node for file in files if file.name == MAIN)
    return (*files, *(RenderedFile(node, CREDENTIALS, f"word={word}\n".encode(), secret=True) for node in brokers))


def within(files: Files, word: str) -> Files:
    """Each broker with a secret in its settings, which are secret with it."""
    line = f"listener.name.host.word={word}\n".encode()
    return tuple(replace(f, content=f.content + line, secret=True) if f.name == MAIN else f for f in files)


every_way = pytest.mark.parametrize(
    ("hide", "name"), [pytest.param(beside, CREDENTIALS, id="beside"), pytest.param(within, MAIN, id="within")]
)

# -- a file by itself -------------------------------------------------------------------------------------------------

NODE = "broker-1"
contents = st.binary(max_size=60)
names = st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,10})?", fullmatch=True)
files_of_a_node = st.lists(
    st.builds(RenderedFile, st.just(NODE), names, contents, secret=st.booleans()),
    max_size=6,
    unique_by=lambda file: file.name,
).map(tuple)


def cluster_of(**sections: object) -> Cluster:
    spec = EnvironmentSpec.model_validate({"name": NAME, "zookeeper": {"port": 2181}, **sections})
    return resolve(spec, container_layout(spec), {}, "/environments")


BROKER = cluster_of().brokers[0]


@given(name=names, one=contents, other=contents, secret=st.booleans())
def test_no_text_of_a_file_or_of_what_holds_it_depends_on_its_content(
    name: str, one: bytes, other: bytes, *, secret: bool
) -> None:
    def holders(content: bytes) -> list[object]:
        file = RenderedFile(NODE, name, content, secret=secret)
        target, settings = NodeTarget(BROKER, (file,)), BrokerSettings(1, {}, files=(file,))
        actions = [Action(Verb.CREATE, Kind.NODE, NODE, "not there", subject=some) for some in (target, settings)]
        plan = Plan(NAME, tuple(actions))
        return [
            file,
            (file,),
            target,
            settings,
            *actions,
            plan,
            plan.as_dict(),
            Phase((file,)),
            Planned(plan.as_dict(), at_s=0),
        ]

    for shown in (repr, str):
        assert [shown(holder) for holder in holders(one)] == [shown(holder) for holder in holders(other)]
    assert f"secret={secret}" in repr(RenderedFile(NODE, name, one, secret=secret))


def test_nothing_is_secret_unless_it_is_said() -> None:
    assert not any(file.secret for file in render(cluster_of()))


@given(name=names, before=contents, after=contents)
def test_a_secret_file_that_changes_is_one_difference_without_values(name: str, before: bytes, after: bytes) -> None:
    old, new = (RenderedFile(NODE, name, content, secret=True) for content in (before, after))
    assert differences([old], [new]) == (() if before == after else (Difference("", None, None, name),))
    assert differences([], [new]) == (Difference("", None, None, name),)
    assert (config_hash(NODE, (old,)) == config_hash(NODE, (new,))) is (before == after)


@pytest.mark.parametrize(("before", "after"), [(False, True), (True, False)], ids=["from now on", "no longer"])
def test_a_file_that_becomes_secret_or_is_no_longer_one_is_written_anew(*, before: bool, after: bool) -> None:
    """Else others could go on reading it: its permissions are part of what a node is."""
    old, new = (RenderedFile(NODE, MAIN, b"a=1\n", secret=secret) for secret in (before, after))
    assert differences([old], [new]) == (Difference("", None, None, MAIN),)
    assert config_hash(NODE, (old,)) != config_hash(NODE, (new,))


# -- planned, carried out, told ---------------------------------------------------------------------------------------


@dataclass
class Vault:
    """An environment with a fake engine and a Kafka in memory, which hides a word in its files."""

    directory: Path
    runtime: SpokenRuntime
    kafka: FakeKafka
    told: list[Event]
    word: str = WORD

    @property
    def environment(self) -> Environment:
        """As it is described."""
        return Environment(
            name=NAME,
            brokers={"nodes": 3},
            topics=[{"name": "t", "replication_factor": 3}],
            on_event=self.told.append,
            runtimes=FakeRuntimes(self.directory / "home", self.runtime),
        )

    def planned(self) -> tuple[Plan, str]:
        """The plan, and whatever shows it."""
        prepared = self.environment.plan()
        saved = self.directory / "plan.json"
        prepared.saved.write(saved)
        shown = (
            json.dumps(prepared.plan.as_dict()),
            *plan_lines(prepared.plan),
            *(f"{action} {action!r} {action.subject!r}" for action in prepared.plan.actions),
            saved.read_text(),
            repr(prepared),
            repr(prepared.saved),
            repr(prepared.phases),
        )
        return prepared.plan, "\n".join(shown)

    def node_files(self, node: str) -> dict[str, RenderedFile]:
        """What a node has, by name."""
        return {file.name: file for file in self.runtime.read_files(NAME, node)}


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hide: Hide) -> Vault:
    runtime = SpokenRuntime()
    made = Vault(tmp_path, runtime, FakeKafka(runtime, NAME), [])
    made.kafka.speak(monkeypatch)
    monkeypatch.setattr("provision.cluster.render.render", lambda cluster: hide(render(cluster), made.word))
    return made


def hidden(text: str) -> bool:
    return WORD not in text and OTHER_WORD not in text


@every_way
def test_it_reaches_its_nodes_and_no_plan_and_no_event(vault: Vault, name: str) -> None:
    plan, shown = vault.planned()
    assert plan.changes
    assert hidden(shown)
    vault.environment.up()
    for node in ("broker-1", "broker-2", "broker-3"):
        file = vault.node_files(node)[name]
        assert file.secret
        assert WORD in file.text
        assert [other.name for other in vault.node_files(node).values() if other.secret] == [name]
    assert not any(file.secret for file in vault.node_files("zookeeper-1").values())
    assert vault.told
    assert hidden("\n".join(f"{event} {event!r}" for event in vault.told))
    again, shown = vault.planned()
    assert not again.changes
    assert hidden(shown)
    assert hidden(f"{vault.environment.observe()!r} {vault.environment.status()!r} {vault.environment!r}")


@every_way
def test_a_change_of_it_is_carried_out_and_told_without_a_value(vault: Vault, name: str) -> None:
    vault.environment.up()
    vault.told.clear()
    vault.word = OTHER_WORD
    plan, shown = vault.planned()
    assert [(action.verb, action.resource, action.cause) for action in plan.actions] == [
        (Verb.RESTART, node, f"config changed: {name} changed") for node in ("broker-2", "broker-3", "broker-1")
    ]
    assert [one["changes"] for one in plan.as_dict()["actions"]] == [
        [{"key": name, "old": "unset", "new": "unset"}]
    ] * 3
    assert hidden(shown)
    vault.environment.up()
    assert hidden("\n".join(f"{event} {event!r}" for event in vault.told))
    for node in ("broker-1", "broker-2", "broker-3"):
        assert (vault.node_files(node)[name].secret, OTHER_WORD in vault.node_files(node)[name].text) == (True, True)
    assert not vault.planned()[0].changes


@every_way
@pytest.mark.parametrize("verb", ["create_node", "start_node", "create_storage"])
def test_no_failure_tells_it(vault: Vault, name: str, verb: str) -> None:
    def fail(done: str, subject: str) -> None:
        if (done, subject) == (verb, "broker-2"):
            raise ProvisionError("the engine caught fire", why="it was hot", hint="water")

    vault.runtime.on_verb = fail
    with pytest.raises(ProvisionError) as caught:
        vault.environment.up()
    error = caught.value
    assert hidden(f"{error!r} {error} {error.why} {error.hint} {vault.told!r}")


def test_what_was_set_by_hand_is_compared_with_a_secret_file_and_only_the_difference_is_told() -> None:
    """`plan` says which setting of the running broker goes, and not what the file has in its place."""
    cluster = cluster_of(brokers={"port": 9092})
    files = within(render(cluster), WORD)
    nodes = [
        ObservedNode(n.name, n.role, NodeState.RUNNING, config_hash(n.name, files), n.endpoint, version="3.9.1")
        for n in cluster.nodes
    ]
    observed = ObservedEnvironment(
        NAME, "docker", network=True, nodes=tuple(nodes), storages=frozenset(n.name for n in cluster.nodes)
    )
    details = NodeDetails(
        files={NODE: tuple(file for file in files if file.node == NODE)},
        settings={NODE: {"listener.name.host.word": "by hand"}},
    )
    actions = plan_nodes(cluster, [Phase(files)], observed, missing_software=(), details=details)
    assert [(action.verb, action.resource) for action in actions] == [(Verb.CONFIGURE, NODE)]
    assert "listener.name.host.word" in actions[0].cause
    plan = Plan(NAME, actions)
    assert hidden("\n".join((json.dumps(plan.as_dict()), *plan_lines(plan), *map(str, actions))))


# -- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hide: Hide) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROVISION_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("provision.cluster.render.render", lambda cluster: hide(render(cluster), WORD))
    (tmp_path / f"{NAME}.yaml").write_text("runtime: process\nbrokers: {nodes: 2, port: auto}\n")
    return tmp_path


def everything_below(directory: Path) -> str:
    return "\n".join(file.read_text() for file in sorted(directory.rglob("*")) if file.is_file())


@every_way
def test_render_leaves_it_out_and_says_so(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["render", f"{NAME}.yaml", "--out", "rendered"]) == 0
    shown = capsys.readouterr()
    left_out = [f"broker-{number}/{name}" for number in (1, 2)]
    assert f"left out, because they are secret: {', '.join(left_out)}" in shown.err
    rendered = folder / "rendered"
    assert not [one for one in left_out if (rendered / one).exists()]
    assert hidden(everything_below(folder) + shown.out + shown.err)
    files = [file for file in rendered.rglob("*") if file.is_file()]
    assert f"wrote {len(files)} files below rendered" in shown.err
    assert rendered / "broker-1" / "launch.json" in files


@every_way
@pytest.mark.parametrize("form", ["table", "json", "yaml"])
def test_plan_shows_nothing_of_it(folder: Path, name: str, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", f"{NAME}.yaml", "-o", form, "--out", "saved.json"]) == 0
    shown = capsys.readouterr()
    assert "broker-1" in shown.out
    assert hidden(everything_below(folder) + shown.out + shown.err)


# -- as processes -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OnDisk:
    """A node of the process runtime that only has files."""

    runtime: ProcessRuntime
    config: Path

    def put(self, *files: RenderedFile) -> None:
        """Give it these files."""
        self.runtime.update_files(NAME, NODE, files)

    def modes(self) -> dict[str, int]:
        """Permissions by name."""
        return {file.name: stat.S_IMODE(file.stat().st_mode) for file in self.config.iterdir()}


@pytest.fixture
def on_disk(tmp_path: Path) -> OnDisk:
    home = Home.at(tmp_path)
    config = environment_directory(home, NAME) / NODE / "config"
    config.mkdir(parents=True)
    return OnDisk(ProcessRuntime(home), config)


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
@given(files=files_of_a_node, later=files_of_a_node)
def test_a_secret_file_is_readable_by_this_user_alone_and_known_as_one(
    tmp_path_factory: pytest.TempPathFactory, files: Files, later: Files
) -> None:
    home = Home.at(tmp_path_factory.mktemp("home"))
    node = OnDisk(ProcessRuntime(home), Places(home).make(NAME, NODE, "config"))
    wanted: dict[str, RenderedFile] = {}
    for given_files in (files, files, later):  # made, once more, and with others in their place
        node.put(*given_files)
        wanted |= {file.name: file for file in given_files}
        read = node.runtime.read_files(NAME, NODE)
        assert list(read) == [wanted[name] for name in sorted(wanted)]
        assert {name for name, mode in node.modes().items() if mode == SECRET_MODE} == {
            file.name for file in wanted.values() if file.secret
        }
    shutil.rmtree(home.directory)


@pytest.mark.parametrize(("before", "after"), [(False, True), (True, False), (True, True)])
def test_another_file_in_its_place_has_its_own_permissions(on_disk: OnDisk, *, before: bool, after: bool) -> None:
    on_disk.put(RenderedFile(NODE, MAIN, b"a=1\n", secret=before))
    on_disk.put(RenderedFile(NODE, MAIN, b"a=2\n", secret=after))
    assert (on_disk.modes()[MAIN] == SECRET_MODE) is after
    assert on_disk.runtime.read_files(NAME, NODE) == (RenderedFile(NODE, MAIN, b"a=2\n", secret=after),)


def test_what_a_killed_command_left_of_it_is_nobodys_to_read_and_no_file_of_the_node(
    on_disk: OnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_self: Path, _target: Path) -> Path:
        raise KeyboardInterrupt

    seen: list[int] = []

    def written(file: Path, mode: int) -> None:
        seen.append(stat.S_IMODE(file.stat().st_mode))
        os.chmod(file, mode)  # noqa: PTH101 in place of Path's

    with monkeypatch.context() as patched:
        patched.setattr(Path, "chmod", written)
        patched.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            on_disk.put(RenderedFile(NODE, CREDENTIALS, WORD.encode(), secret=True))
    assert [mode & 0o077 for mode in seen] == [0]
    assert on_disk.runtime.read_files(NAME, NODE) == ()
    assert WORD not in everything_below(on_disk.config)


# -- as containers ----------------------------------------------------------------------------------------------------


@given(files=files_of_a_node, with_data=st.booleans(), role=st.sampled_from([Role.ZOOKEEPER, Role.BROKER]))
def test_in_an_archive_a_secret_file_is_its_accounts_alone_and_known_as_one(
    files: Files, *, with_data: bool, role: Role
) -> None:
    cluster = cluster_of()
    (node,) = cluster.of_role(role)
    account = containers.user_of(cluster, node)
    archives = [
        containers.archive(cluster, node, files, with_data=with_data),
        containers.archive_of_files(files, account),
    ]
    for archive in archives:
        read = {file.name: file for file in containers.files_in_archive(NODE, [archive])}
        assert {file.name: read[file.name] for file in files} == {file.name: file for file in files}
        assert read.keys() - {file.name for file in files} <= {"myid"}
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            members = {member.name: member for member in tar.getmembers()}
        assert {f"{member.uid}:{member.gid}" for member in members.values()} <= {account}
        for file in files:
            mode = members[f"config/{file.name}"].mode
            assert (mode == SECRET_MODE) is file.secret
            assert bool(mode & 0o077) is not file.secret


@given(content=contents, secret=st.booleans())
def test_an_engine_may_send_the_kind_of_a_file_with_its_permissions(content: bytes, *, secret: bool) -> None:
    """As `stat` has them both in one number; Docker 20.10 does."""
    file = RenderedFile(NODE, MAIN, content, secret=secret)
    archive = bytearray(containers.archive_of_files([file], "1000:1000"))
    archive[100:108] = b"%07o\0" % (stat.S_IFREG | int(archive[100:107], 8))
    archive[148:156] = b" " * 8
    archive[148:156] = b"%06o\0 " % sum(archive[:512])
    assert containers.files_in_archive(NODE, [bytes(archive)]) == (file,)
