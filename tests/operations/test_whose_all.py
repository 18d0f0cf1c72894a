"""Everything that can change an environment asks whose it is: each command, and each method of `Environment`."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from provision import Environment
from provision.cli.run import run
from provision.errors import Refused
from provision.operations.doctor.findings import Repair
from provision.plan.observed import NodeState
from provision.runtime.base import Streams
from provision.security.material import Rotation
from tests.cli.world import FILE, LEAVES, NAME, line_of, settle
from tests.fake_kafka import SpokenRuntime

# Commands that need no environment, or only look at one. A new command has to refuse, or to be added here.
LOOKING = {
    *(("init",), ("validate",), ("render",), ("docs",), ("schema",), ("fetch",), ("lock",), ("warm",), ("gc",)),
    *(("image", "build"), ("image", "list"), ("image", "load")),
    *(("status",), ("list",), ("wait",), ("logs",), ("endpoints",), ("env",), ("client-config",), ("history",)),
    *(("doctor",), ("consume",), ("certs", "show"), ("topics", "list"), ("topics", "describe"), ("topics", "adopt")),
}
CHANGING = {
    **{" ".join(path): line_of(path) for path in LEAVES if path not in LOOKING},
    "restart --rolling": ["restart", "--rolling"],
    "produce": ["produce", NAME, "orders", "--from", "/dev/null", "--format", "text"],
    "topics create": ["topics", "create", NAME, "more"],
    "topics delete": ["topics", "delete", NAME, "orders"],
    "topics apply": ["topics", "apply", "--yes"],
    "certs rotate": ["certs", "rotate", "--yes"],
}
REFUSED_FOR_MORE = {"certs rotate"}
"""What this environment would be refused for anyway: it has no certificates."""


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[SpokenRuntime, Path]:
    """The runtime with an environment, and a file of the same name in another checkout, which is the present one."""
    runtime, _ = settle(tmp_path, monkeypatch)
    file = tmp_path / "other" / "environments" / f"{NAME}.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(FILE.replace("name: shop\n", ""))
    monkeypatch.chdir(tmp_path / "other")
    return runtime, file


def test_what_only_looks_is_known_to_be_a_command() -> None:
    assert set(LEAVES) | {("certs", "export")} >= LOOKING


@pytest.mark.parametrize("command", CHANGING.values(), ids=CHANGING)
def test_each_command_refuses_the_file_of_another_checkout(
    tmp_path: Path,
    other: tuple[SpokenRuntime, Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
) -> None:
    runtime, file = other
    monkeypatch.setattr("sys.stdin", sys.__stdin__)  # a file of the system, which pytest's own is not
    before, verbs = runtime.observe(NAME), list[str]()
    runtime.on_verb = lambda verb, _subject: verbs.append(verb)
    assert run(command) == Refused.exit_code
    told = capsys.readouterr().err
    for path in (tmp_path / "environments" / file.name, file):
        assert str(path) in told
    assert "--take-over" in told
    assert (runtime.observe(NAME), verbs) == (before, [])
    if " ".join(command[:2]) not in REFUSED_FOR_MORE:
        last = command.index("--") if "--" in command else len(command)
        assert run([*command[:last], "--take-over", *command[last:]]) == 0


def _streams() -> Streams:
    return Streams(None, io.BytesIO(), io.BytesIO())


def _enter(environment: Environment) -> None:
    with environment:
        pass


def _change(environment: Environment) -> None:
    with environment.changing("my own"):
        pass


def _rotate(environment: Environment) -> None:
    from provision.pipeline import UpOptions

    environment.up(UpOptions(rotation=Rotation.BEGIN))


METHODS: dict[str, Callable[[Environment], Any]] = {
    "up": Environment.up,
    "up, with a rotation": _rotate,
    "with": _enter,
    "changing": _change,
    "plan": Environment.plan,
    "down": Environment.down,
    "stop": Environment.stop,
    "kill": Environment.kill,
    "start": Environment.start,
    "restart": Environment.restart,
    "tool": lambda environment: environment.tool("kafka-topics", ["--list"], _streams()),
    "as_client": Environment.as_client,
    "create_topic": lambda environment: environment.create_topic("more"),
    "delete_topics": lambda environment: environment.delete_topics(["orders"]),
    "apply_resources": Environment.apply_resources,
    "produce": lambda environment: environment.produce("orders", [(b"key", b"value")]),
    "delete_groups": lambda environment: environment.delete_groups(["group"]),
}
# Methods that change nothing of the environment. A new one has to refuse, or to be added here.
ONLY_LOOK = {
    *(
        "all",
        "collector",
        "examine_machine",
        "from_file",
        "named",
        "close",
        "events_of",
        "in_thread",
        "home",
        "runtime",
    ),
    *(
        "file",
        "name",
        "has_valid_name",
        "source",
        "external_servers",
        "is_described_by",
        "declared_topics",
        "digest_of_named",
        "render",
        "validate",
        "lock",
    ),
    *("addresses", "bootstrap_servers", "client_config", "client_variables", "inside_address", "require_way_in"),
    *("observe", "status", "wait", "history", "trainer", "examine", "log_lines", "logs", "bundle", "warm"),
    *("certificates", "export_certificates", "cluster", "topics", "adopt", "plan_resources"),
    *("consume", "groups", "lag", "has_read_all", "others_of_file"),
}


def test_each_method_is_known_to_change_something_or_not() -> None:
    public = {name for name in dir(Environment) if not name.startswith("_")}
    assert public == ONLY_LOOK | {"mend"} | {name for name in METHODS if name.isidentifier() and name != "with"}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_each_method_refuses_the_file_of_another_checkout(
    other: tuple[SpokenRuntime, Path], method: Callable[[Environment], Any]
) -> None:
    runtime, file = other
    before, verbs = runtime.observe(NAME), list[str]()
    runtime.on_verb = lambda verb, _subject: verbs.append(verb)
    with pytest.raises(Refused, match="was made from another file"):
        method(Environment(file))
    assert (runtime.observe(NAME), verbs) == (before, [])


def test_what_is_wrong_with_it_is_told_but_not_mended(
    other: tuple[SpokenRuntime, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    runtime, file = other
    assert run(["doctor", NAME, "--fix"]) == 0  # there is nothing to mend
    runtime.stop_node(NAME, "broker-3", 1.0)

    def never(repair: Repair) -> bool:
        pytest.fail(f"asked whether to {repair}")

    with pytest.raises(Refused, match="was made from another file"):
        Environment(file).mend(never)
    assert run(["doctor", NAME, "--fix", "--yes"]) == Refused.exit_code
    assert run(["doctor", NAME]) == 1
    assert "node-stopped" in capsys.readouterr().out
    assert run(["doctor", NAME, "--fix", "--yes", "--take-over"]) == 0
    assert capsys.readouterr().err.count("takes it over") == 1
    assert all(node.state is NodeState.RUNNING for node in runtime.observe(NAME).nodes)


def test_what_is_agreed_to_or_has_no_file_is_done(
    other: tuple[SpokenRuntime, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, file = other
    deleted = list[list[str]]()
    monkeypatch.setattr("provision.operations.groups.delete_groups", lambda _cluster, names: deleted.append([*names]))
    for environment in (Environment(file, take_over=True), Environment.named(NAME)):
        environment.delete_groups(["group"])
        assert environment.tool("kafka-topics", ["--list"], _streams()) == 0
    assert deleted == [["group"], ["group"]]
