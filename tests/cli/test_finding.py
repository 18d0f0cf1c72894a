"""What `ENV` means: which files count, how a name finds its file, and what is refused instead of being guessed."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

import provision.environment
from provision.cli.run import run
from provision.common.texts import is_text
from provision.environment import Environment
from provision.errors import Unavailable, UsageError
from provision.home.place import Home
from provision.plan.observed import ObservedEnvironment
from provision.runtime.fake import FakeRuntime
from tests.cli.test_help import COMMANDS
from tests.cli.world import LEAVES, NAME, line_of
from tests.runtimes import FakeRuntimes

Err = Callable[[], str]


def no_engine(_: Home) -> NoReturn:
    """As on a machine without Docker."""
    raise Unavailable("no Docker engine answers", why="there is none")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PROVISION_ENV", raising=False)
    monkeypatch.setenv("PROVISION_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("provision.runtime.docker.connected", no_engine)
    (tmp_path / "environments").mkdir()
    return tmp_path / "environments"


@pytest.fixture
def err(capsys: pytest.CaptureFixture[str]) -> Err:
    def read() -> str:
        shown = capsys.readouterr()
        assert shown.out == ""
        assert "Traceback" not in shown.err
        return shown.err

    return read


# -- which files count ------------------------------------------------------------------------------------------------

LEFT_BEHIND = (
    *("._dev.yaml", ".#dev.yaml", "dev.yaml~", "#dev.yaml#", ".dev.yaml.swp", ".dev.yaml.swo"),
    ".dev.yaml",
    *("#dev.yaml", "dev~.yaml~", "dev.yaml.bak", "dev.yaml.orig", "dev.yaml.rej", "dev.lock.yaml", ".dev.yml"),
)  # fmt: skip


@pytest.mark.parametrize("name", LEFT_BEHIND)
def test_what_is_hidden_or_left_by_an_editor_is_no_environment(folder: Path, err: Err, name: str) -> None:
    (folder / "dev.yaml").write_text("name: dev\n")
    (folder / name).write_text("name: dev\nprovision: nonsense\n")
    for chosen in ([], ["dev"]):
        assert run(["validate", *chosen]) == 0
        assert err().startswith("environments/dev.yaml: dev is valid")


def test_a_pattern_that_matches_them_passes_them_over(folder: Path, err: Err) -> None:
    (folder / "dev.yaml").write_text("name: dev\n")
    for name in ("dev.yaml~", "#dev.yaml#", "dev.lock.yaml"):
        (folder / name).write_text("nonsense: 1\n")
    assert run(["validate", *sorted(str(file) for file in Path("environments").iterdir())]) == 0
    assert err().count("\n") == 1


def test_a_backup_is_refused_by_name(folder: Path, err: Err) -> None:
    (folder / "dev.yaml~").write_text("name: dev\n")
    assert run(["down", "environments/dev.yaml~"]) == 64
    assert "environments/dev.yaml~ is an editor's backup or lock, not an environment" in err()


def test_a_directory_named_like_a_file_is_told(folder: Path, err: Err) -> None:
    (folder / "x.yaml").mkdir()
    for chosen in ("environments/x.yaml", "environments/x.yaml/", "x"):
        assert run(["validate", chosen]) == 64
        assert "environments/x.yaml is a directory" in err()
    assert run(["up"]) == 64
    assert "environments/x.yaml is a directory" in err()
    (folder / "y.yaml").write_text("name: yes\n")
    assert run(["validate"]) == 0


def test_a_link_to_nothing_is_told(folder: Path, err: Err) -> None:
    (folder / "x.yaml").symlink_to("gone.yaml")
    assert run(["validate", "environments/x.yaml"]) == 64
    assert "environments/x.yaml is a link to something that is not there" in err()


@pytest.mark.parametrize("name", ["a\nb.yaml", "a\rb.yaml", "\x1b[2J.yaml", "a\u2028b.yaml", "a\udcffb.yaml"])
def test_a_file_name_that_breaks_messages_is_refused_in_one_line(folder: Path, err: Err, name: str) -> None:
    (folder / name).write_text("name: fine\n")
    path = [["validate", f"environments/{name}"]] if is_text(name) else []  # as an argument, it is refused before
    for arguments in (["validate"], *path, ["up", "fine"], ["down", "fine"]):
        assert run(arguments) == 64
        told = err()
        assert told.splitlines()[0] == (f"error: the file name {name!r} has a line break or another control character")
        assert "rename it" in told
    (folder / "two.yaml").write_text("name: two\n")
    assert run(["validate"]) == 64
    assert repr(f"environments/{name}") in err()
    with pytest.raises(UsageError, match="control character"):
        Environment(folder / name)


# -- what a name means ------------------------------------------------------------------------------------------------


def test_a_name_finds_the_file_that_sets_it(folder: Path, err: Err, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "foo.yaml").write_text("name: orders\n")
    (folder / "bar.yaml").write_text("name: payments\n")
    for chosen in ("foo", "orders"):
        assert run(["validate", chosen]) == 0
        assert "environments/foo.yaml: orders is valid" in err()
    monkeypatch.setenv("PROVISION_ENV", "payments")
    assert run(["validate"]) == 0
    assert "environments/bar.yaml: payments is valid" in err()
    assert run(["plan", "orders", "--set", "runtime=process", "--out", "plan.json", "-o", "json"]) in (0, 69)


@pytest.mark.parametrize("command", [["status"], ["logs"], ["stop"], ["start"], ["wait"], ["endpoints"], ["env"]])
def test_a_stem_stands_for_what_its_file_names(folder: Path, err: Err, command: list[str]) -> None:
    (folder / "foo.yaml").write_text("name: orders\n")
    assert run([*command, "foo"]) == 64
    assert "there is no environment orders" in err()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("name: orders\n", "name: orders\n"),
        ("{}\n", "name: orders\n"),
        ("name: other\n", "name: orders\n"),
        ("brokers: [\n", "{name: orders}\n"),
    ],
)
def test_two_files_for_one_name_are_told_and_none_is_chosen(folder: Path, err: Err, first: str, second: str) -> None:
    (folder / "orders.yaml").write_text(first)
    (folder / "copy.yaml").write_text(second)
    for command in ("up", "validate", "down", "status", "plan"):
        assert run([command, "orders"]) == 64
        told = err()
        assert "'orders' can mean 2 files" in told
        assert "environments/copy.yaml describes orders" in told
        assert "environments/orders.yaml describes" in told
        assert "give the path" in told
    assert run(["validate", "environments/copy.yaml"]) == 0


def test_both_suffixes_for_one_stem_are_two_files(folder: Path, err: Err) -> None:
    (folder / "one.yaml").write_text("name: first\n")
    (folder / "one.yml").write_text("name: second\n")
    assert run(["down", "one"]) == 64
    assert "'one' can mean 2 files" in err()
    assert run(["down", "second", "--keep-data"]) == 0
    assert "second: there is nothing to remove" in err()


@pytest.mark.parametrize(
    "broken",
    [b"brokers: [\n", b"\xff\xfe\x00", b"\x00\x00", b"- a list", b"services: {}", b"", b"{" * 99, b"name: [a]", b"%"],
)  # fmt: skip
def test_a_broken_file_does_not_keep_another_from_being_found(folder: Path, err: Err, broken: bytes) -> None:
    (folder / "a.yaml").write_bytes(broken)
    (folder / "b.yaml").write_text("name: orders\n")
    (folder / "c.yaml").mkdir()
    (folder / "d.yaml").symlink_to("nothing")
    assert run(["validate", "orders"]) == 0
    assert "environments/b.yaml: orders is valid" in err()


@pytest.mark.parametrize(
    "text",
    [
        "name: orders\nbrokers: [\n",
        "brokers: [\nname: 'orders' # mine\n",
        "name: orders\nbrokers: {nodes: no}\n",
        "name: orders\nname: twice\n",
        "kafka:\n\tversion: 3\nname: orders\n",
        "name: orders\x07\n",
        "name:  \nname: orders\n[",
    ],
)
def test_a_damaged_file_stands_for_the_environment_that_it_names_and_for_no_other(
    folder: Path, err: Err, text: str
) -> None:
    (folder / "dev.yaml").write_text(text)
    assert run(["down", "environments/dev.yaml"]) in (0, 65)
    told = err()
    assert "dev: " not in told
    assert "orders: there is nothing to remove" in told or "environments/dev.yaml:1:" in told


_OF_FILES = [line_of(path) for path in LEAVES if any(one.metavar == "ENV" for one in COMMANDS[path].params)]


@pytest.mark.parametrize("chosen", ["b", "environments/b.yaml"])
@pytest.mark.parametrize("line", _OF_FILES, ids=lambda line: " ".join(line[:2]))
def test_a_name_that_no_environment_can_have_is_told_once_with_its_place_by_every_command(
    folder: Path, err: Err, line: list[str], chosen: str
) -> None:
    (folder / "b.yaml").write_text("name: b\n")
    assert run([chosen if word == NAME else word for word in line]) == 65
    told = err()
    assert told.startswith("error: the environment file is not valid: 1 problem\n  environments/b.yaml:1:7: name: 'b'")
    assert told.count("\n") == 2


# -- a file that names another environment than the one that it has made ----------------------------------------------


@pytest.fixture
def renamed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    """An environment `sec` that is up, and a file `sec.yaml` that has named it, and names `sec2` now."""
    runtime = FakeRuntime()
    monkeypatch.setattr(provision.environment.described, "Runtimes", lambda home: FakeRuntimes(home, runtime))
    (folder / "sec.yaml").write_text("name: sec\nbrokers: {port: auto}\n")
    assert run(["up", "sec", "--until", "process"]) == 0
    (folder / "sec.yaml").write_text("name: sec2\nbrokers: {port: auto}\n")
    return runtime


_OF_RUNNING = [["stop"], ["logs"], ["endpoints"], ["env"], ["history"], ["down"]]


@pytest.mark.parametrize("command", _OF_RUNNING, ids=" ".join)
@pytest.mark.parametrize("name", ["sec2", "S"])
def test_what_is_there_under_the_name_that_was_typed_is_meant_and_told(
    folder: Path, renamed: FakeRuntime, capsys: pytest.CaptureFixture[str], command: list[str], name: str
) -> None:
    (folder / "sec.yaml").write_text(f"name: {name}\n")
    capsys.readouterr()
    assert run([*command, "sec"]) == 0
    told = capsys.readouterr().err
    said = "sec2" if name == "sec2" else "none that is valid"
    assert f"sec is there, and environments/sec.yaml names {said}: sec is meant" in told
    assert "nothing to remove" not in told
    assert (renamed.observe("sec").is_absent) is (command == ["down"])


@pytest.mark.parametrize("command", _OF_RUNNING, ids=" ".join)
@pytest.mark.parametrize("case", ["both are there", "it is of another file"])
def test_a_name_that_can_mean_two_environments_means_none(
    renamed: FakeRuntime,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    case: str,
) -> None:
    if case == "both are there":
        assert run(["up", "sec", "--until", "process"]) == 0
        assert not renamed.observe("sec2").is_absent
    else:
        about = renamed.about("sec")
        assert about is not None
        renamed.write_about("sec", about.model_copy(update={"file": "/elsewhere/sec.yaml"}))
    capsys.readouterr()
    asked, observe = list[str](), renamed.observe

    def looked(name: str) -> ObservedEnvironment:
        asked.append(name)
        return observe(name)

    monkeypatch.setattr(renamed, "observe", looked)
    assert run([*command, "sec"]) == 64
    assert asked == ["sec", "sec2"]  # each costs a request
    told = capsys.readouterr().err
    assert "'sec' can mean 2 environments" in told
    assert "environments/sec.yaml names sec2" in told
    assert not renamed.observe("sec").is_absent
    assert run(["history", "environments/sec.yaml"]) == 0


@pytest.mark.parametrize("command", _OF_RUNNING, ids=" ".join)
@pytest.mark.parametrize("about", ["of another file", "unknown"])
def test_who_takes_over_means_what_is_there_under_the_name_that_was_typed(
    folder: Path, renamed: FakeRuntime, capsys: pytest.CaptureFixture[str], command: list[str], about: str
) -> None:
    known = renamed.about("sec")
    assert known is not None
    if about == "unknown":
        renamed._abouts.pop("sec")  # noqa: SLF001
    else:
        renamed.write_about("sec", known.model_copy(update={"file": "/elsewhere/sec.yaml"}))
    takes = ["--take-over"] if command[0] in ("stop", "down") else []
    capsys.readouterr()
    assert run([*command, "sec", *takes]) == (0 if takes else 64)
    told = capsys.readouterr().err
    assert ("sec is there, and environments/sec.yaml names sec2: sec is meant" in told) is bool(takes)
    assert ("--take-over" in told) is not bool(takes)
    assert renamed.observe("sec").is_absent is (command == ["down"])
    assert run(["up", "environments/sec.yaml", "--until", "process"]) == 0
    assert run([*command, "sec", *takes]) == 64 or command == ["down"]


@pytest.mark.parametrize("others", [1, 2])
def test_a_path_whose_file_has_another_name_now_removes_nothing_else_and_tells_what_is_there(
    folder: Path, renamed: FakeRuntime, capsys: pytest.CaptureFixture[str], others: int
) -> None:
    if others == 2:
        assert run(["up", "environments/sec.yaml", "--set", "name=sec3", "--until", "process"]) == 0
    (folder / "other.yaml").write_text("name: other\nbrokers: {port: auto}\n")
    assert run(["up", "other", "--until", "process"]) == 0
    capsys.readouterr()
    assert run(["down", "environments/sec.yaml"]) == 0
    told = capsys.readouterr().err
    assert "sec2: there is nothing to remove" in told
    for name in ("sec", "sec3")[:others]:
        assert f"{name}, made from environments/sec.yaml, is there: `provision down {name}` removes it" in told
    assert "other, made" not in told
    assert not renamed.observe("sec").is_absent
    assert run(["down", "sec"]) == 0
    capsys.readouterr()
    assert run(["down", "environments/sec.yaml"]) == 0
    assert "sec, made" not in capsys.readouterr().err


def test_what_another_runtime_has_of_a_file_is_told_too(
    folder: Path, renamed: FakeRuntime, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As if the file had said another `runtime` then: this one has asked nothing of it."""
    now = FakeRuntime()
    there = {"docker": now, "process": renamed}
    monkeypatch.setattr(provision.environment.described, "Runtimes", lambda home: FakeRuntimes(home, there))
    monkeypatch.setattr(FakeRuntimes, "connected", lambda _runtimes: (now,))
    capsys.readouterr()
    assert Environment(folder / "sec.yaml").others_of_file() == ("sec",)
    assert run(["down", "environments/sec.yaml"]) == 0
    assert "sec, made from environments/sec.yaml, is there: `provision down sec` removes it" in capsys.readouterr().err


# -- what is no environment file --------------------------------------------------------------------------------------

COMPOSE = "name: shop\nservices:\n  kafka:\n    image: apache/kafka\nvolumes: {}\n"
OTHERS = {
    "docker-compose.yaml": (COMPOSE, "a Docker Compose file"),
    "compose.yml": ("services: {a: {image: b}}\nvolumes: {c: }\n", "a Docker Compose file"),
    "kafka.yaml": ("apiVersion: kafka.strimzi.io/v1\nkind: Kafka\nmetadata: {name: x}\n", "a Kubernetes manifest"),
    "several.yaml": ("apiVersion: v1\nkind: A\n---\napiVersion: v1\nkind: B\n", "a Kubernetes manifest"),
    "values.yaml": ("replicaCount: 3\nzookeeper: {enabled: true}\n", "a values file of a Helm chart"),
    "values.yml": ("image: {repository: bitnami/kafka, tag: 3.6}\n", "a values file of a Helm chart"),
    "chart.yaml": ("apiVersion: v2\nname: kafka\nversion: 1.0.0\n", "the Chart.yaml of a Helm chart"),
    "server.properties": ("# Kafka\nbroker.id=0\nlog.dirs = /tmp/kafka\n\n", "a file of key=value lines"),
    "server-properties.yaml": ("broker.id=0\nlisteners=PLAINTEXT://:9092\n", "a file of key=value lines"),
    "settings.yaml": ("broker.id: 0\nnum.partitions: 3\n", "a mapping of Kafka's settings"),
    "variables": ("export KAFKA_BOOTSTRAP_SERVERS=localhost:9092\nA=b\n", "a file of key=value lines"),
    "plan.json": ('{"provision_plan": 1, "environment": "shop"}', "a saved plan"),
    "lock.yaml": ("provision_lock: 1\n", "a lock"),
    "schema.json": ('{"$schema": "https://x", "properties": {}}', "a JSON Schema"),
    "package.json": ('{"name": "shop", "version": "1", "dependencies": {}}', "the manifest of a software package"),
    "ci.yaml": ("on: push\njobs: {a: {}}\n", "a workflow of GitHub Actions"),
    "script": ("#!/bin/sh\necho name: shop\n", "a script"),
    "log4j.xml": ("<Configuration/>\n", "XML or HTML"),
    "tox.ini": ("[tool]\nname = shop\n", "an INI or TOML file"),
    "key.pem": ("-----BEGIN PRIVATE KEY-----\n", "a certificate or a key"),
    "passwd": ("root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/bin/sh\n", ""),
    "hosts": ("127.0.0.1 localhost\n", ""),
    "README.md": ("# name: shop\n\nText.\n", ""),
    "playbook.yaml": ("- hosts: all\n  tasks: []\n", ""),
    "number.yaml": ("42\n", ""),
    "unknown.yaml": ("this: is\nsomething: else\n", ""),
    "empty": ("", ""),
    "broken": ("name: shop\nbrokers: [\n", ""),
    "binary.yaml": ("PK\x03\x04\0\0name: shop", ""),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("command", ["down", "logs"])
def test_a_path_to_what_is_no_environment_file_is_never_turned_into_a_name(
    folder: Path, err: Err, command: str, name: str
) -> None:
    text, what = OTHERS[name]
    Path(name).write_text(text)
    for chosen in (f"./{name}", str(Path(name).absolute())):
        assert run([command, chosen]) == 64
        told = err()
        assert "environment" in told.splitlines()[0]
        assert what in told
        assert "nothing to remove" not in told
        assert "there is no environment " not in told


@pytest.mark.parametrize("path", ["/etc/passwd", "/etc", "/dev/null", "/dev/zero", ".", "..", "/", "environments"])
def test_what_a_machine_has_is_no_environment(folder: Path, err: Err, path: str) -> None:
    assert run(["down", path if os.sep in path else f"{path}{os.sep}"]) == 64
    assert "environment" in err()


@pytest.mark.parametrize("name", [name for name, (_, what) in OTHERS.items() if what])
def test_validate_says_what_a_file_is_and_what_to_do(folder: Path, err: Err, name: str) -> None:
    text, what = OTHERS[name]
    Path(name).write_text(text)
    assert run(["validate", f"./{name}"]) == 65
    told = err()
    assert told.count("\n") == 2
    assert f"this is {what}" in told
    assert told.rstrip().endswith(")")


@pytest.mark.parametrize(
    ("key", "advice"),
    [
        ("services", "Docker Compose"),
        ("networks", "every environment gets a network of its own"),
        ("volumes", "`storage:`"),
        ("apiVersion", "Kubernetes"),
        ("replicaCount", "brokers: {nodes"),
        ("image", "kafka: {image"),
    ],
)
def test_a_key_of_another_format_among_ours_says_where_it_belongs(
    folder: Path, err: Err, key: str, advice: str
) -> None:
    (folder / "mixed.yaml").write_text(f"brokers: {{nodes: 3}}\n{key}: x\n")
    assert run(["validate", "mixed"]) == 65
    told = err()
    assert f"environments/mixed.yaml:2:1: {key}: unknown key" in told
    assert advice in told


@pytest.mark.parametrize("text", ["{}", "name: shop", '{"name": "shop", "brokers": {"nodes": 3}}', "vars: {a: 1}"])
def test_a_file_needs_no_suffix_to_be_one(folder: Path, err: Err, text: str) -> None:
    Path("shop").write_text(text)
    assert run(["down", "./shop"]) == 0
    assert "shop: there is nothing to remove" in err()


def test_a_path_that_is_too_long_is_wrong_usage(folder: Path, err: Err) -> None:
    assert run(["down", f"{'a' * 300}.yaml"]) == 64
    assert "File name too long" in err()


# -- names of the engine's own networks, and paths that the file names ------------------------------------------------


@pytest.mark.parametrize("name", ["default", "bridge", "host", "none", "ingress", "nat", "podman", "container"])
def test_an_environment_is_not_named_like_a_network_of_the_engine(folder: Path, err: Err, name: str) -> None:
    (folder / f"{name}.yaml").write_text("brokers: {nodes: 1}\n")
    (folder / "set.yaml").write_text(f"brokers: {{nodes: 1}}\nname: {name}\n")
    assert run(["validate", f"environments/{name}.yaml"]) == 65
    assert f"environments/{name}.yaml:1:1: name: {name!r} is the name of a network of the engine's own" in err()
    assert run(["up", "environments/set.yaml"]) == 65
    told = err()
    assert f"environments/set.yaml:2:7: name: {name!r}" in told
    assert "give it another name" in told
    assert run(["init", name]) == 64
    assert "network of the engine's own" in err()
    assert run(["down", f"environments/{name}.yaml"]) == 0
    err()
    (folder / f"{name}.yaml").write_text("bootstrap_servers: kafka.example:9092\n")
    assert run(["validate", f"environments/{name}.yaml"]) == 0


def there(base: Path) -> None:
    """A file, a directory, a link to nothing, and an unpacked Kafka."""
    (base / "file").write_text("")
    (base / "directory").mkdir()
    (base / "link").symlink_to("nowhere")
    (base / "kafka" / "libs").mkdir(parents=True)
    (base / "kafka" / "libs" / "kafka_2.13-3.9.1.jar").write_text("")


@pytest.mark.parametrize(
    ("text", "place", "told"),
    [
        ("a: 1\ntemplates: ./gone", "2:12: templates", "there is no directory"),
        ("a: 1\ntemplates: file", "2:12: templates", "is not a directory"),
        ("a: 1\ntemplates: link", "2:12: templates", "is a link to something that is not there"),
        ("runtime: process\nkafka:\n  distribution: gone", "3:17: kafka.distribution", "there is no directory"),
        ("runtime: process\nkafka:\n  distribution: file", "3:17: kafka.distribution", "is not a directory"),
        ("runtime: process\nkafka:\n  distribution: directory", "3:17: kafka.distribution", "it has no jars in libs"),
        ("a: 1\nstorage: ./file", "2:10: storage", "is not a directory"),
        ("a: 1\nstorage: file/below/it", "2:10: storage", "is not a directory"),
        ("a: 1\nstorage: link", "2:10: storage", "is a link to something that is not there"),
    ],
)
def test_validate_tells_directories_that_are_not_there_with_their_line(
    folder: Path, err: Err, text: str, place: str, told: str
) -> None:
    there(folder)
    (folder / "dev.yaml").write_text(text.replace("a: 1", "name: dev"))
    for command in ("validate", "plan"):
        assert run([command, "dev"]) == 65
        (line,) = [line for line in err().splitlines() if line.startswith("  ")]
        assert line.startswith(f"  environments/dev.yaml:{place}: ")
        assert told in line
        assert line.endswith(")")


@pytest.mark.parametrize(
    "text",
    [
        "templates: directory",
        "templates: ./kafka/../directory/",
        "storage: ./new/and/deep",
        "storage: directory",
        "{runtime: process, kafka: {distribution: ./kafka}}",
    ],
)
def test_directories_that_are_there_or_will_be_are_valid(folder: Path, err: Err, text: str) -> None:
    there(folder)
    (folder / "dev.yaml").write_text(text)
    assert run(["validate", "dev"]) == 0


def test_values_of_a_program_name_directories_below_the_current_one(folder: Path) -> None:
    there(Path())
    Environment(name="shop", templates="directory").validate()
    with pytest.raises(Exception, match="is not valid") as caught:
        Environment(name="shop", templates="environments/directory").validate()
    assert "the given values: templates: there is no directory" in str(getattr(caught.value, "why", ""))
