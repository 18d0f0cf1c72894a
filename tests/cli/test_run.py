"""`provision run`: a cluster for one command, whatever becomes of the command."""

import json
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from provision.cli.child import run_child
from provision.cli.run import run
from provision.common.process_identity import ProcessIdentity
from provision.errors import ProvisionError
from provision.plan.about import About
from provision.plan.observed import NodeState
from tests.cli.program import ROOT
from tests.cli.world import NAME, settle
from tests.fake_kafka import SpokenRuntime

SHOW = "import json, os, sys; json.dump([dict(os.environ), sys.argv[1:]], open('told.json', 'w')); sys.exit({})"


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SpokenRuntime:
    """An environment that is up, in the present directory."""
    return settle(tmp_path, monkeypatch)[0]


@pytest.fixture
def runtime(running: SpokenRuntime, capsys: pytest.CaptureFixture[str]) -> SpokenRuntime:
    """A runtime with nothing in it, and a file in the present directory."""
    assert run(["down", NAME]) == 0
    capsys.readouterr()
    return running


def command(code: int = 0, *arguments: str) -> list[str]:
    return [sys.executable, "-c", SHOW.format(code), *arguments]


def told() -> tuple[dict[str, str], list[str]]:
    """The variables and the arguments that the command got."""
    variables, arguments = json.loads(Path("told.json").read_text())
    return variables, arguments


@pytest.mark.parametrize("code", [0, 1, 7, 64, 124])
def test_it_is_there_for_the_command_only_and_the_exit_code_is_the_commands(
    runtime: SpokenRuntime, capsys: pytest.CaptureFixture[str], code: int
) -> None:
    assert run(["run", NAME, "--", *command(code, "-n", "--keep", "--", "x")]) == code
    variables, arguments = told()
    servers = variables["KAFKA_BOOTSTRAP_SERVERS"]
    assert servers.count(",") == 2
    assert variables["SPRING_KAFKA_BOOTSTRAP_SERVERS"] == servers
    assert variables["PROVISION_ENV"] == NAME
    assert variables["PATH"] == os.environ["PATH"]
    assert arguments == ["-n", "--keep", "--", "x"]
    assert runtime.observe(NAME).is_absent
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{NAME} is removed" in err


@pytest.mark.parametrize(
    "line",
    [
        [NAME, "--timeout", "1m", "--set", "ttl=1h", "--"],
        ["--timeout=1m", NAME, "--"],
        ["--"],
        [f"environments/{NAME}.yaml", "--"],
    ],
)
def test_options_stand_before_the_dashes_and_env_may_be_left_out(runtime: SpokenRuntime, line: list[str]) -> None:
    assert run(["run", *line, *command()]) == 0
    assert told()[0]["PROVISION_ENV"] == NAME


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ([NAME], "missing -- COMMAND"),
        ([NAME, "--"], "missing -- COMMAND"),
        ([NAME, "true"], "missing -- before COMMAND"),
        ([NAME, "other", "--", "true"], "only ENV stands before --, not 'other' too"),
        ([NAME, "--", "no-such-command"], "there is no command 'no-such-command'"),
        (["nowhere", "--", "true"], "there is no environment file for 'nowhere'"),
        ([NAME, "--nonsense", "--", "true"], "No such option"),
        ([NAME, "--timeout", "soon", "--", "true"], "soon"),
    ],
)
def test_wrong_usage_starts_nothing(
    runtime: SpokenRuntime, capsys: pytest.CaptureFixture[str], line: list[str], told: str
) -> None:
    runtime.on_verb = lambda verb, _subject: pytest.fail(verb)
    assert run(["run", *line]) == 64
    assert told in capsys.readouterr().err


def test_a_file_that_is_not_valid_runs_nothing(runtime: SpokenRuntime, capsys: pytest.CaptureFixture[str]) -> None:
    Path("environments", f"{NAME}.yaml").write_text("brokers: {nodes: many}\n")
    assert run(["run", NAME, "--", *command()]) == 65
    assert not Path("told.json").exists()
    assert capsys.readouterr().err.count("brokers.nodes") == 1


def test_a_cluster_that_does_not_come_up_runs_nothing_and_leaves_nothing(
    runtime: SpokenRuntime, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(verb: str, _subject: str) -> None:
        if verb == "start_node":
            raise OSError(5, "broken")

    runtime.on_verb = fail
    assert run(["run", NAME, "--", *command()]) == 1
    assert not Path("told.json").exists()
    runtime.on_verb = lambda _verb, _subject: None
    assert runtime.observe(NAME).is_absent


def test_what_ran_before_is_left_running(running: SpokenRuntime, capsys: pytest.CaptureFixture[str]) -> None:
    before = running.observe(NAME)
    assert run(["run", NAME, "--", *command(3)]) == 3
    assert f"{NAME} was running already, and is left running" in capsys.readouterr().err
    after = running.observe(NAME)
    assert after.nodes == before.nodes
    assert after.about
    assert after.about.owner_process is None


def test_what_has_no_file_here_is_left_as_it_is(
    running: SpokenRuntime, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    running.on_verb = lambda verb, _subject: pytest.fail(verb)
    assert run(["run", NAME, "--", *command()]) == 0
    assert "left running" in capsys.readouterr().err
    assert told()[0]["KAFKA_BOOTSTRAP_SERVERS"]


@pytest.mark.parametrize("stopped", [["broker-2"], []], ids=["one", "all"])
def test_what_is_stopped_and_has_no_file_here_is_started_and_stopped_again(
    running: SpokenRuntime,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    stopped: list[str],
) -> None:
    assert run(["stop", NAME, *stopped]) == 0
    before = {node.name: node.state for node in running.observe(NAME).nodes}
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    verbs: list[tuple[str, str]] = []
    running.on_verb = lambda verb, subject: verbs.append((verb, subject))
    assert run(["run", NAME, "--", *command()]) == 0
    assert told()[0]["KAFKA_BOOTSTRAP_SERVERS"].count(",") == 2
    resting = {name for name, state in before.items() if state != NodeState.RUNNING}
    assert {subject for verb, subject in verbs if verb == "start_node"} == resting
    assert {node.name: node.state for node in running.observe(NAME).nodes} == before
    assert "stopped again, as before" in capsys.readouterr().err


def test_an_external_cluster_is_used_as_it_is(runtime: SpokenRuntime) -> None:
    Path("far.yaml").write_text("name: far\nbootstrap_servers: kafka.example:9092\n")
    assert run(["run", "far.yaml", "--", *command(2)]) == 2
    assert told()[0]["KAFKA_BOOTSTRAP_SERVERS"] == "kafka.example:9092"


DOORS = """\
name: shop
brokers: {nodes: 3}
listeners:
  plain: {port: auto, security: plaintext}
  encrypted: {port: auto, security: tls}
  mutual: {port: auto, security: mtls}
  secure: {port: auto, security: sasl-tls}
users: [{name: app}]
"""
STALE = {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_USERNAME": "root", "KAFKA_SASL_PASSWORD": "of another"}


@pytest.fixture
def doors(runtime: SpokenRuntime, monkeypatch: pytest.MonkeyPatch) -> SpokenRuntime:
    """A file with several listeners, and variables in which another cluster is told of."""
    Path("environments", f"{NAME}.yaml").write_text(DOORS)
    for name, value in STALE.items():
        monkeypatch.setenv(name, value)
    return runtime


def way_in(variables: dict[str, str]) -> dict[str, str]:
    """What the command got beside addresses, each path by the name of its file."""
    known = {name: value for name, value in variables.items() if name.startswith("KAFKA_S")}
    return {name: Path(value).name if "/" in value else value for name, value in known.items()}


CA, OWN = {"KAFKA_SSL_CA_LOCATION": "ca.pem"}, "user-app.pem"
WAYS: list[tuple[list[str], dict[str, str]]] = [
    (["--listener", "plain"], {"KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"}),
    (["--listener", "ENCRYPTED"], {"KAFKA_SECURITY_PROTOCOL": "SSL"} | CA),
    *(
        (
            options,
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CERTIFICATE_LOCATION": OWN, "KAFKA_SSL_KEY_LOCATION": OWN}
            | CA,
        )
        for options in (["--user", "app"], ["-u", "app", "--listener", "mutual"])
    ),
    (
        ["--user", "app", "--listener", "secure"],
        {
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "PLAIN",
            "KAFKA_SASL_USERNAME": "app",
            "KAFKA_SASL_PASSWORD_FILE": "user-app.password",
        }
        | CA,
    ),
]
READ = (
    "import json, os, sys; own = dict(os.environ); paths = [one for one in own.values() if '/secrets/' in one];"
    "json.dump([own, [open(one).read() for one in paths]], open('told.json', 'w'))"
)


@pytest.mark.parametrize(("options", "expected"), WAYS, ids=lambda one: "-".join(one) if isinstance(one, list) else "")
def test_a_command_is_told_how_to_get_in_and_no_password(
    doors: SpokenRuntime, options: list[str], expected: dict[str, str]
) -> None:
    assert run(["run", NAME, *options, "--", sys.executable, "-c", READ]) == 0
    variables, contents = told()
    assert way_in(variables) == expected
    assert variables["KAFKA_BOOTSTRAP_SERVERS"] == variables["SPRING_KAFKA_BOOTSTRAP_SERVERS"]
    assert variables["KAFKA_BOOTSTRAP_SERVERS"].count(",") == 2
    assert len(contents) == sum("/" in value for name, value in variables.items() if name in expected)
    assert all(contents)
    assert not set(contents) & set(variables.values())
    assert doors.observe(NAME).is_absent


def test_without_being_asked_it_tells_only_where_the_cluster_is(doors: SpokenRuntime) -> None:
    assert run(["run", NAME, "--", *command()]) == 0
    assert way_in(told()[0]) == STALE


REFUSED = [
    (["--listener", "other"], "shop has no listener other for clients on this machine"),
    (["--listener", "internal"], "shop has no listener internal for clients on this machine"),
    (["--listener", "secure"], "shop wants to know who its clients are"),
    (["--listener", "plain", "--user", "app"], "at its listener PLAIN nobody says who they are"),
    (["--user", "nobody"], "shop has no user nobody"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_who_will_not_get_in_is_told_before_anything_is_started_and_as_client_config_tells_it(
    doors: SpokenRuntime, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    on_verb, doors.on_verb = doors.on_verb, lambda verb, _subject: pytest.fail(verb)
    assert run(["run", NAME, *options, "--", *command()]) == 64
    error = capsys.readouterr().err
    assert message in error
    assert not Path("told.json").exists()
    doors.on_verb = on_verb
    assert run(["up", NAME]) == 0
    capsys.readouterr()
    assert run(["client-config", NAME, *options]) == 64
    assert capsys.readouterr().err == error


@pytest.mark.parametrize("options", [["--user", "app"], ["--listener", "plain"]])
def test_an_external_cluster_has_no_users_and_listeners(
    runtime: SpokenRuntime, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    Path("far.yaml").write_text("name: far\nbootstrap_servers: kafka.example:9092\n")
    assert run(["run", "far.yaml", *options, "--", *command()]) == 64
    assert "leave the user and the listener out" in capsys.readouterr().err
    assert not Path("told.json").exists()


def test_what_was_stopped_is_stopped_again(running: SpokenRuntime) -> None:
    assert run(["stop", NAME]) == 0
    assert run(["run", NAME, "--", *command()]) == 0
    nodes = running.observe(NAME).nodes
    assert len(nodes) == 4
    assert not any(node.is_alive for node in nodes)


def test_kept_data_stay_kept(running: SpokenRuntime) -> None:
    assert run(["down", NAME, "--keep-data"]) == 0
    before = running.observe(NAME).storages
    assert before
    assert run(["run", NAME, "--", *command()]) == 0
    after = running.observe(NAME)
    assert (after.nodes, after.storages) == ((), before)


def test_it_is_kept_if_that_is_wanted(runtime: SpokenRuntime, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", NAME, "--keep", "--", *command(5)]) == 5
    assert f"`provision down {NAME}` removes it" in capsys.readouterr().err
    about = runtime.about(NAME)
    assert about
    assert about.owner_process is None
    assert all(node.is_alive for node in runtime.observe(NAME).nodes)


@pytest.mark.parametrize(
    ("is_up", "options", "said"),
    [
        (True, [], f"{NAME} was running already; the command has removed it"),
        (True, ["--keep"], f"{NAME} is not kept; the command has removed it"),
        (False, ["--keep"], f"{NAME} is not kept; the command has removed it"),
    ],
)
def test_what_the_command_has_removed_is_told_as_that(
    running: SpokenRuntime,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    is_up: bool,
    options: list[str],
    said: str,
) -> None:
    running.on_verb = lambda _verb, _subject: None
    if not is_up:
        assert run(["down", NAME]) == 0
    monkeypatch.setattr("provision.cli.child.run_child", lambda *_: run(["down", NAME]))
    assert run(["run", NAME, *options, "--", *command()]) == 0
    assert said in capsys.readouterr().err
    assert running.observe(NAME).is_absent


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ("#!/nowhere/shell\n", "what its first line names to run it is not"),
        ("echo one\n", "begin it with a line such as `#!/bin/sh`"),
    ],
)
def test_a_script_that_cannot_be_run_is_told_with_a_way_on(tmp_path: Path, content: str, hint: str) -> None:
    script = tmp_path / "script"
    script.write_text(content)
    script.chmod(0o755)
    with pytest.raises(ProvisionError, match="script does not start") as caught:
        run_child([str(script)], os.environ)
    assert hint in caught.value.hint


def test_it_goes_with_this_process_while_the_command_runs(
    runtime: SpokenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners: list[About | None] = []

    def note(*_: object, **__: object) -> int:
        owners.append(runtime.about(NAME))
        return 0

    monkeypatch.setattr("provision.cli.child.run_child", note)
    assert run(["run", NAME, "--", "true"]) == 0
    (about,) = owners
    assert about
    assert about.owner_process == ProcessIdentity.of()


def test_what_goes_with_another_process_is_not_used(runtime: SpokenRuntime, capsys: pytest.CaptureFixture[str]) -> None:
    with subprocess.Popen(["/bin/sleep", "600"]) as other:
        assert run(["up", NAME, "--owner-pid", str(other.pid)]) == 0
        try:
            assert run(["run", NAME, "--", *command()]) == 75
            assert f"{NAME} goes with process {other.pid} on" in capsys.readouterr().err
            assert run(["run", NAME, "--lock-timeout", "1s", "--", *command()]) == 75
        finally:
            other.kill()
    assert not Path("told.json").exists()
    assert run(["run", NAME, "--", *command()]) == 0  # that process has ended


def test_a_command_may_use_its_own_environment_again(runtime: SpokenRuntime) -> None:
    assert run(["up", NAME, "--owner-pid", str(os.getppid())]) == 0
    assert run(["run", NAME, "--", *command()]) == 0
    assert len(runtime.observe(NAME).nodes) == 4


def test_what_cannot_be_removed_is_told_and_the_commands_code_counts(
    runtime: SpokenRuntime, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(verb: str, _subject: str) -> None:
        if verb == "remove_node":
            raise ProvisionError("it is broken")

    runtime.on_verb = fail
    assert run(["run", NAME, "--", *command(7)]) == 7
    assert "it is broken" in capsys.readouterr().err
    assert run(["run", NAME, "--", *command(0)]) == 0  # it is there already
    runtime.on_verb = lambda _verb, _subject: None
    assert run(["down", NAME]) == 0


def fail(verb: str, subject: str) -> None:
    if (verb, subject) == ("start_node", "broker-2"):
        raise ProvisionError("it is broken")


BUNDLE = Path("reports", "kafka.tar.gz")
STARTS = [["up", NAME, "--bundle", str(BUNDLE)], ["run", NAME, "--bundle", str(BUNDLE), "--", *command()]]
each_start = pytest.mark.parametrize("line", STARTS, ids=lambda line: line[0])


@each_start
def test_a_start_that_fails_leaves_an_archive_of_its_nodes(
    runtime: SpokenRuntime, capsys: pytest.CaptureFixture[str], line: list[str]
) -> None:
    runtime.on_verb = fail
    file = BUNDLE
    assert run(line) == 1
    err = capsys.readouterr().err
    assert err.count(f"wrote {file}, as the start has failed") == 1
    assert "it is broken" in err
    with tarfile.open(file) as archive:
        names = archive.getnames()
    assert [name for name in names if name.endswith("files/broker-1/server.properties")]
    runtime.on_verb = lambda _verb, _subject: None
    assert runtime.observe(NAME).is_absent
    assert not Path("told.json").exists()


@each_start
@pytest.mark.parametrize("stopped", [["broker-2"], []], ids=["one of its nodes", "all of them"])
def test_so_does_one_that_undoes_nothing(
    running: SpokenRuntime, capsys: pytest.CaptureFixture[str], line: list[str], stopped: list[str]
) -> None:
    assert run(["stop", NAME, *stopped]) == 0
    running.on_verb = fail
    assert run(line) == 1
    assert capsys.readouterr().err.count(f"wrote {BUNDLE}, as the start has failed") == 1
    assert BUNDLE.is_file()
    assert running.observe(NAME).nodes


def test_and_one_whose_nodes_are_retained(runtime: SpokenRuntime) -> None:
    runtime.on_verb = fail
    assert run([*STARTS[0], "--retain"]) == 1
    assert BUNDLE.is_file()
    assert runtime.observe(NAME).nodes


@each_start
def test_where_there_is_nothing_there_is_no_archive(runtime: SpokenRuntime, line: list[str]) -> None:
    assert run([line[0], "--set", "brokers.nodes=many", *line[1:]]) == 65
    assert runtime.observe(NAME).is_absent
    assert not BUNDLE.exists()


def test_a_start_that_succeeds_leaves_no_archive(runtime: SpokenRuntime) -> None:
    assert run(STARTS[0]) == 0
    assert runtime.observe(NAME).nodes
    assert not BUNDLE.exists()


@each_start
def test_a_start_that_is_interrupted_leaves_no_archive(runtime: SpokenRuntime, line: list[str]) -> None:
    def interrupt(verb: str, subject: str) -> None:
        if (verb, subject) == ("start_node", "broker-2"):
            raise KeyboardInterrupt

    runtime.on_verb = interrupt
    assert run(line) == 130
    assert not BUNDLE.exists()
    runtime.on_verb = lambda _verb, _subject: None
    assert runtime.observe(NAME).is_absent


@pytest.mark.parametrize("code", [0, 3])
def test_a_command_that_fails_leaves_an_archive_of_its_cluster(runtime: SpokenRuntime, code: int) -> None:
    file = Path("reports", "kafka.tar.gz")
    assert run(["run", NAME, "--bundle", str(file), "--", *command(code)]) == code
    assert file.exists() == bool(code)
    if code:
        with tarfile.open(file) as archive:
            status = archive.extractfile(f"{NAME}/status.json")
            assert status
            assert json.load(status)["ready"]
    assert runtime.observe(NAME).is_absent


@each_start
def test_a_file_that_is_no_archive_is_not_overwritten(
    runtime: SpokenRuntime, capsys: pytest.CaptureFixture[str], line: list[str]
) -> None:
    BUNDLE.parent.mkdir(exist_ok=True)
    BUNDLE.write_text("notes")
    assert run(line) == 4
    assert "is no archive, and is left as it is" in capsys.readouterr().err
    assert BUNDLE.read_text() == "notes"
    assert runtime.observe(NAME).is_absent


def test_an_external_cluster_is_never_said_to_be_removed(
    runtime: SpokenRuntime, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("far.yaml").write_text("name: far\nbootstrap_servers: kafka.example:9092\n")
    for options in ([], ["--keep"]):
        assert run(["run", "far.yaml", *options, "--", *command()]) == 0
        assert "far was running already, and is left running" in capsys.readouterr().err


def test_an_archive_that_cannot_be_written_changes_nothing(
    runtime: SpokenRuntime, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").touch()
    assert run(["run", NAME, "--bundle", "file/kafka.tar.gz", "--", *command(3)]) == 3
    assert "file/kafka.tar.gz is not written" in capsys.readouterr().err
    assert runtime.observe(NAME).is_absent


# -- signals ----------------------------------------------------------------------------------------------------------

PROGRAM = """
import os, sys
from pathlib import Path
import pytest
from provision.cli.child import run_child
from provision.cli.run import run
from tests.cli.world import NAME, settle
sys.stdout = open(os.devnull, "w")
runtime, _ = settle(Path.cwd(), pytest.MonkeyPatch())
run(["down", NAME])
code = run(["run", NAME, "--", *sys.argv[1:]])
os.write(1, b"gone" if runtime.observe(NAME).is_absent else b"left")
os._exit(code)
"""
HEEDS = """
import signal, sys
def end(number, frame):
    print("signal", number, flush=True)
    sys.exit(40 + number)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, end)
print("runs", flush=True)
while True:
    signal.pause()
"""


def start(directory: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize(
    ("number", "whom"),
    [(signal.SIGINT, "the program"), (signal.SIGTERM, "all of its group"), (signal.SIGHUP, "the program")],
)
def test_a_signal_reaches_the_command_once_and_then_everything_is_removed(
    tmp_path: Path, number: int, whom: str
) -> None:
    with start(tmp_path, sys.executable, "-c", HEEDS) as process:
        assert process.stdout
        assert process.stdout.readline() == "runs\n"
        (os.kill if whom == "the program" else os.killpg)(process.pid, number)
        out, err = process.communicate(timeout=60)
    assert out == f"signal {number}\ngone"
    assert process.returncode == 40 + number
    assert f"{NAME} is removed" in err


def test_a_command_that_a_signal_ends_has_the_code_that_shells_give(tmp_path: Path) -> None:
    with start(tmp_path, "/bin/sh", "-c", "echo runs; sleep 600; echo not reached") as process:
        assert process.stdout
        assert process.stdout.readline() == "runs\n"
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert (out, process.returncode) == ("gone", 128 + signal.SIGTERM)


def test_a_command_that_heeds_no_signal_is_waited_for(tmp_path: Path) -> None:
    program = HEEDS.replace("sys.exit", "number == signal.SIGINT or sys.exit")
    with start(tmp_path, sys.executable, "-c", program) as process:
        assert process.stdout
        assert process.stdout.readline() == "runs\n"
        for _ in range(3):
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == "signal 2\n"
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 40 + signal.SIGTERM


def test_ctrl_c_in_a_terminal_reaches_the_command_once(tmp_path: Path) -> None:
    controller, terminal = os.openpty()
    program = "import fcntl, os, sys, termios\nos.setsid()\nfcntl.ioctl(0, termios.TIOCSCTTY, 0)\n" + PROGRAM
    with subprocess.Popen(
        [sys.executable, "-c", program, sys.executable, "-c", HEEDS],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(terminal)
        assert process.stdout
        assert process.stdout.readline() == "runs\n"
        os.write(controller, b"\x03")
        out, _ = process.communicate(timeout=60)
    os.close(controller)
    assert out == "signal 2\ngone"
    assert process.returncode == 42
