"""What is run in a container, or asked of one, that never answers: it is given up within seconds, and told."""

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from provision.cli.run import run
from provision.common.patience import Patience
from provision.errors import NodeGone, ProvisionError, Unavailable
from provision.observe.leaders import SILENT, ensemble_modes
from provision.runtime.base import NOT_ENDED, JavaCommand
from provision.runtime.docker import ending, execution
from provision.runtime.docker.runtime import DockerRuntime
from tests.fake_engine import Answer, FakeEngine

NAME = "odd"
MEMBER = {
    "provision.environment": NAME,
    "provision.node": "zookeeper-1",
    "provision.role": "zookeeper",
    "provision.kafka-version": "3.9.1",
    "provision.kafka-mode": "zookeeper",
    "provision.software": "apache/kafka:3.9.1",
    "provision.inside-address": f"{NAME}-zookeeper-1:2181",
}
BROKER = MEMBER | {"provision.node": "broker-1", "provision.role": "broker", "provision.endpoint": "127.0.0.1:1"}


class Engine(FakeEngine):
    """An engine with a member and a broker; what is asked under `silent` is answered only when the test ends."""

    def __init__(self, *silent: str) -> None:
        listed = {
            "State": "running",
            "ImageID": "sha256:one",
            "Image": "apache/kafka:3.9.1",
            "Ports": [],
            "Created": 1.0,
        }
        listed |= {
            "Status": "Up 5 minutes",
            "NetworkSettings": {"Networks": {NAME: {"NetworkID": "n", "IPAddress": "172.20.0.3"}}},
        }
        containers = [
            {"Id": node["provision.node"], "Names": [f"/{NAME}-{node['provision.node']}"], "Labels": node, **listed}
            for node in (MEMBER, BROKER)
        ]
        details = {
            "Config": {"Image": "apache/kafka:3.9.1", "Labels": MEMBER, "Tty": False},
            "State": {"Status": "running", "Running": True, "Paused": False, "StartedAt": "", "FinishedAt": ""},
            "HostConfig": {},
        }
        network = {"Id": "n", "Name": NAME, "Labels": {"provision.environment": NAME}, "IPAM": {"Config": []}}
        super().__init__(
            {
                "GET /containers/json": (200, containers),
                "GET /networks": (200, [network]),
                "GET /containers/zookeeper-1/json": (200, details),
                "GET /containers/broker-1/json": (200, details),
                "GET /containers/zookeeper-1/top": (200, {"Titles": ["PID", "STAT"], "Processes": [["1", "Ss"]]}),
                "GET /containers/broker-1/top": (200, {"Titles": ["PID", "STAT"], "Processes": [["1", "Ss"]]}),
                "POST /containers/zookeeper-1/exec": (201, {"Id": "e"}),
                "POST /containers/broker-1/exec": (201, {"Id": "e"}),
                "POST /exec/e/start": (200, b""),
                "GET /exec/e/json": (200, {"ExitCode": 0}),
            }
        )
        self.silent = silent
        self.ended = threading.Event()

    def answer(self, method: str, url: str) -> Answer:
        """As the test says, and otherwise as usual."""
        if any(one in url for one in self.silent):
            self.asked.append(f"{method} {url}")
            self.ended.wait(60)
        return super().answer(method, url)


@pytest.fixture
def connected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Engine], DockerRuntime]]:
    monkeypatch.setattr(execution, "_NOTICED_S", 0.02)
    monkeypatch.setenv("PROVISION_HOME", str(tmp_path / "home"))
    open_engines: list[tuple[Engine, object, DockerRuntime]] = []

    def connect(engine: Engine) -> DockerRuntime:
        served = engine.on_socket(tmp_path / "engine.sock")
        monkeypatch.setenv("DOCKER_HOST", served.__enter__())
        runtime = DockerRuntime()
        open_engines.append((engine, served, runtime))
        return runtime

    yield connect
    for engine, served, runtime in open_engines:
        engine.ended.set()
        for thread in threading.enumerate():
            if thread.name == execution.ASKS:
                thread.join(30)
        runtime.close()
        served.__exit__(None, None, None)  # type: ignore[attr-defined]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not answer is given up soon; an answer may then come too late on a busy machine."""
    monkeypatch.setattr(execution, "LIMIT_S", 0.2)
    monkeypatch.setattr(execution, "_MARGIN_S", 0.1)
    monkeypatch.setattr(ending, "_ANSWER_S", 0.2)


SILENT_ABOUT = ["/exec/e/start", "/containers/zookeeper-1/exec", "/exec/e/json"]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("silent", SILENT_ABOUT)
def test_what_runs_in_a_node_and_does_not_end_is_given_up(
    connected: Callable[[Engine], DockerRuntime], silent: str
) -> None:
    runtime = connected(Engine(silent))
    code, output = runtime.run_in_node(NAME, "zookeeper-1", JavaCommand("Main", ()))
    assert (code, output) == (NOT_ENDED, "it has not ended within 0.2 s")
    assert ensemble_modes(runtime, runtime.observe(NAME)) == {"zookeeper-1": SILENT}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("silent", SILENT_ABOUT)
def test_what_looks_into_a_node_and_does_not_end_is_told(
    connected: Callable[[Engine], DockerRuntime], silent: str
) -> None:
    runtime = connected(Engine(silent))
    with pytest.raises(Unavailable, match="what looks into its container does not end") as error:
        runtime.vitals(NAME, "zookeeper-1")
    assert error.value.why == "it has not ended within 0.2 s"


@pytest.mark.usefixtures("impatient")
def test_a_list_of_processes_that_does_not_come_tells_of_none_that_is_halted(
    connected: Callable[[Engine], DockerRuntime],
) -> None:
    runtime = connected(Engine("/containers/zookeeper-1/top"))
    assert runtime.halted(NAME, ["zookeeper-1", "broker-1"]) == frozenset()


@pytest.mark.usefixtures("impatient")
def test_status_says_who_does_not_answer(
    connected: Callable[[Engine], DockerRuntime], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    connected(Engine("/exec/e/start", "/top"))
    monkeypatch.chdir(tmp_path)
    assert run(["status", NAME]) == 0
    assert "it runs, and what asks it from inside does not end" in capsys.readouterr().out


def test_a_command_that_ends_is_told_with_its_code_and_output(
    connected: Callable[[Engine], DockerRuntime],
) -> None:
    engine = Engine()
    engine.answers["GET /exec/e/json"] = (200, {"ExitCode": 137})  # killed for want of memory, and at once
    runtime = connected(engine)
    assert runtime.run_in_node(NAME, "zookeeper-1", JavaCommand("Main", ())) == (137, "")


ASKED: dict[str, Callable[[DockerRuntime], object]] = {
    "run_in_node": lambda runtime: runtime.run_in_node(NAME, "zookeeper-1", JavaCommand("Main", ())),
    "vitals": lambda runtime: runtime.vitals(NAME, "zookeeper-1"),
    "read_files": lambda runtime: runtime.read_files(NAME, "zookeeper-1"),
    "log_lines": lambda runtime: list(runtime.log_lines(NAME, "zookeeper-1")),
}
REFUSED = {"message": "Container zookeeper-1 is not running"}


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("status", ["", "removing", "dead"])
@pytest.mark.parametrize("code", [404, 409, 500])
def test_a_node_that_is_removed_while_it_is_asked_is_gone(
    connected: Callable[[Engine], DockerRuntime], asked: str, status: str, code: int
) -> None:
    engine = Engine()
    for what in ("POST /containers/zookeeper-1/exec", "GET /containers/zookeeper-1/logs", "GET /images/json"):
        engine.answers[what] = (code, REFUSED)
    engine.answers["GET /volumes"] = (code, REFUSED)
    details = engine.answers["GET /containers/zookeeper-1/json"][1]
    engine.answers["GET /containers/zookeeper-1/json"] = (
        (200, {**details, "State": {**details["State"], "Status": status}}) if status else (404, REFUSED)
    )
    runtime = connected(engine)
    with pytest.raises(NodeGone, match="odd has no node zookeeper-1") as caught:
        ASKED[asked](runtime)
    assert "try again" in caught.value.hint


@pytest.mark.parametrize("asked", ASKED)
def test_what_an_engine_refuses_of_a_node_that_is_there_is_told(
    connected: Callable[[Engine], DockerRuntime], asked: str
) -> None:
    engine = Engine()
    for what in (
        "POST /containers/zookeeper-1/exec",
        "GET /containers/zookeeper-1/logs",
        "GET /volumes",
    ):
        engine.answers[what] = (500, {"message": "the disk is full"})
    runtime = connected(engine)
    with pytest.raises(ProvisionError, match="the Docker engine refused") as caught:
        ASKED[asked](runtime)
    assert not isinstance(caught.value, NodeGone)
    assert "the disk is full" in caught.value.why


@pytest.mark.parametrize(
    "answers",
    [
        {"POST /containers/zookeeper-1/exec": (409, REFUSED)},
        {"POST /exec/e/start": (409, REFUSED)},
        {"POST /exec/e/start": (500, {"message": "cannot exec in a stopped container"})},
        {"GET /exec/e/json": (200, {"ExitCode": 126})},
    ],
    ids=["before it begins", "when it begins", "when it begins, as later engines say it", "as its output"],
)
@pytest.mark.parametrize("late", [False, True], ids=["noticed", "noticed later"])
def test_a_node_that_ends_while_it_is_asked_says_nothing(
    connected: Callable[[Engine], DockerRuntime],
    monkeypatch: pytest.MonkeyPatch,
    answers: Mapping[str, Answer],
    late: bool,
) -> None:
    engine = Engine()
    engine.answers |= answers
    details = engine.answers["GET /containers/zookeeper-1/json"][1]

    def end(*_: object) -> bool:
        ended = {**details, "State": {**details["State"], "Running": False, "Status": "exited"}}
        engine.answers["GET /containers/zookeeper-1/json"] = (200, ended)
        return True

    if late:
        monkeypatch.setattr(Patience, "pause", end)
    else:
        end()
    runtime = connected(engine)
    code, _ = runtime.run_in_node(NAME, "zookeeper-1", JavaCommand("Main", ()))
    assert code == 137
    assert ensemble_modes(runtime, runtime.observe(NAME)) == {"zookeeper-1": None}


def test_what_a_question_raises_is_raised_where_it_is_asked() -> None:
    def ask() -> int:
        raise ProvisionError("no")

    with pytest.raises(ProvisionError, match="no"):
        execution.within(5, ask, 0)

    def time_out() -> int:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        execution.within(5, time_out, 0)
