"""`logs --bundle`: one archive with all that tells of an environment, without secrets, also of a broken one."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from provision.cli.run import run
from provision.errors import ProvisionError, Unavailable
from provision.home.secrets import known_secrets
from tests.cli.world import FILE, NAME, settle
from tests.fake_kafka import SpokenRuntime

WORD = "xyzzy-0pen-s3same"
ALWAYS = {"versions.json", "status.json", "plan.json", "history.json", "missing.txt"}
NODES = ["broker-1", "broker-2", "broker-3", "zookeeper-1"]
OUT = Path("bundle.tar.gz")


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> SpokenRuntime:
    """An environment that is up, and differs from its file."""
    runtime, _ = settle(tmp_path, monkeypatch)
    capsys.readouterr()
    return runtime


def contents(file: Path = OUT) -> dict[str, str]:
    """The files in an archive, by their paths below the environment's name."""
    assert file.stat().st_mode & 0o777 == 0o600
    with tarfile.open(file, "r:gz") as archive:
        members = archive.getmembers()
        assert all(member.isreg() and member.mode == 0o600 for member in members)
        read = {member.name: archive.extractfile(member) for member in members}
        texts = {name: stream.read().decode() for name, stream in read.items() if stream}
    assert all(name.startswith(f"{NAME}/") for name in texts)
    return {name.removeprefix(f"{NAME}/"): text for name, text in texts.items()}


def told(name: str, found: dict[str, str]) -> Any:  # noqa: ANN401 any JSON
    return json.loads(found[name])


def test_it_has_the_logs_the_files_and_what_commands_would_show(
    runtime: SpokenRuntime, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["logs", "--bundle", str(OUT)]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"wrote {OUT}; passwords and keys in it are hidden\n"
    found = contents()
    mains = {node: "zookeeper.properties" if node == "zookeeper-1" else "server.properties" for node in NODES}
    places = {f"{place}/{node}/{main}" for place in ("files", "rendered") for node, main in mains.items()}
    assert found.keys() >= {*ALWAYS, *(f"logs/{node}.log" for node in NODES), *places}
    assert "broker-2 → starts" in found["logs/broker-2.log"]
    assert told("status.json", found)["name"] == NAME
    assert [action["resource"] for action in told("plan.json", found)["actions"]] == ["topic fresh"]
    assert told("history.json", found)[0]["command"] == "up"
    assert told("history.json", found)[0]["actions"]
    assert told("versions.json", found)["kafka"] == {"version": "3.9.1", "mode": "zookeeper"}
    assert found["missing.txt"] == ""
    assert "broker.id=2" in found["files/broker-2/server.properties"]


def test_nothing_secret_is_in_it(runtime: SpokenRuntime) -> None:
    hidden = f"brokers: {{nodes: 3, properties: {{ssl.keystore.password: {WORD}}}}}"
    Path("environments", f"{NAME}.yaml").write_text(FILE.replace("brokers: {nodes: 3}", hidden))
    runtime._environments[NAME].logs["broker-1"] = [f"read {WORD} from a file"]  # noqa: SLF001
    assert run(["logs", "--bundle", str(OUT)]) == 0
    found = contents()
    assert "ssl.keystore.password=(hidden)" in found["rendered/broker-1/server.properties"]
    assert found["logs/broker-1.log"] == "read (hidden) from a file\n"
    assert [name for name, text in found.items() if WORD in text] == []
    assert "ssl.keystore.password" in found["plan.json"]


def test_no_password_or_key_that_is_kept_is_in_it_wherever_it_comes_from(runtime: SpokenRuntime) -> None:
    about = runtime.observe(NAME).about
    assert about
    store = known_secrets(NAME, about)
    assert store
    key = "-----BEGIN PRIVATE KEY-----\nMIIxyzzy0penS3same\n-----END PRIVATE KEY-----\n"
    store.keep({"user-app.password": WORD.encode(), "user-ops.pem": key.encode()})  # no node has them in a file
    said = [f"app says {WORD}.", "dumped MIIxyzzy0penS3same of a key", "nothing"]
    runtime._environments[NAME].logs["broker-1"] = said  # noqa: SLF001
    assert run(["logs", "--bundle", str(OUT)]) == 0
    found = contents()
    assert found["logs/broker-1.log"] == "app says (hidden).\ndumped (hidden) of a key\nnothing\n"
    store.path("user-ops.pem").unlink()
    store.path("user-ops.pem").mkdir()
    assert run(["logs", "--bundle", str(OUT)]) == 0
    assert contents()["missing.txt"].startswith("its secrets: ")


def test_the_last_lines_of_each_log(runtime: SpokenRuntime) -> None:
    runtime._environments[NAME].logs["broker-1"] = ["one", "two", "three"]  # noqa: SLF001
    assert run(["logs", "--bundle", str(OUT), "--tail", "2"]) == 0
    assert contents()["logs/broker-1.log"] == "two\nthree\n"


def test_a_stopped_environment_with_a_file_that_is_not_valid(
    runtime: SpokenRuntime, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["stop", NAME]) == 0
    Path("environments", f"{NAME}.yaml").write_text(f"name: {NAME}\nbrokers: {{nodes: many}}\n")
    capsys.readouterr()
    assert run(["logs", "--bundle", str(OUT)]) == 0
    found = contents()
    assert found.keys() >= ALWAYS
    assert "brokers.nodes" in told("plan.json", found)["why"]
    assert found["logs/broker-1.log"]
    assert {node["state"] for node in told("status.json", found)["nodes"]} == {"exited"}
    assert [line.partition(":")[0] for line in found["missing.txt"].splitlines()] == ["rendered", "plan.json"]
    assert "not in it: plan.json" in capsys.readouterr().err


ERRORS = [Unavailable("gone", why="it is"), ProvisionError("odd"), OSError(5, "broken")]


@pytest.mark.parametrize(
    ("method", "error"),
    [
        *((method, error) for method in ("observe", "log_lines", "read_files") for error in ERRORS),
        ("machine", ERRORS[0]),
    ],
)
def test_whatever_does_not_answer_the_rest_is_there(
    runtime: SpokenRuntime, monkeypatch: pytest.MonkeyPatch, method: str, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(runtime, method, fail)
    assert run(["logs", "--bundle", str(OUT)]) == 0
    found = contents()
    assert found.keys() >= ALWAYS
    assert told("history.json", found)
    if method != "machine":
        assert found["missing.txt"]
    if method in ("log_lines", "machine"):  # the fake Kafka reads the files
        assert told("status.json", found)["nodes"]


def test_what_was_removed_still_has_its_history(runtime: SpokenRuntime) -> None:
    assert run(["down", NAME]) == 0
    assert run(["logs", NAME, "--bundle", str(OUT)]) == 0
    found = contents()
    assert [one["command"] for one in told("history.json", found)] == ["up", "down"]
    assert [line for line in found["missing.txt"].splitlines() if line.startswith("files and logs: there are no nodes")]
    assert told("plan.json", found)["changes"]
    assert found["rendered/broker-1/server.properties"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (["--follow", "--bundle", "x"], "--follow"),
        ([NAME, "broker-1", "--bundle", "x"], "NODE"),
        (["nowhere", "--bundle", "x"], "there is no environment nowhere"),
    ],
)
def test_wrong_usage(runtime: SpokenRuntime, capsys: pytest.CaptureFixture[str], line: list[str], told: str) -> None:
    assert run(["logs", *line]) == 64
    assert told in capsys.readouterr().err
    assert not Path("x").exists()


def test_there_is_a_whole_archive_or_none(
    runtime: SpokenRuntime, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("file").touch()
    assert run(["logs", "--bundle", "file/below.tar.gz"]) == 64
    assert "error: cannot write file" in capsys.readouterr().err
    assert run(["logs", "--bundle", "new/directory/of.tar.gz"]) == 0
    OUT.write_text("before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tarfile.TarFile.addfile", full)
    assert run(["logs", "--bundle", str(OUT)]) == 64
    assert "No space left on device" in capsys.readouterr().err
    assert OUT.read_text() == "before"
    assert [file.name for file in Path().glob("*.new")] == []
