"""The Python API: its page against the code, and every example of it, run as it stands."""

import dataclasses
import doctest
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import pytest

import provision
import provision.environment
import provision.errors
from provision import Environment, ProvisionError, UpOptions, UpResult, events
from tests.docs.reading import REFERENCE, ROOT, blocks, codes, rows, section
from tests.engine import DEFAULT_VERSION, NO_ENGINE, Provision, java

PAGE = REFERENCE / "python.md"
EXIT_CODES = REFERENCE / "exit-codes-and-json.md"
BLOCKS = blocks(PAGE.read_text(encoding="utf-8"), "python")
SESSIONS = [block for block in BLOCKS if block.startswith(">>>")]
SCRIPT, FIXTURE, ASYNC_SCRIPT, EVENTS_SCRIPT = (block for block in BLOCKS if not block.startswith(">>>"))
NAME = "shop"
"""The environment of both examples with brokers."""
_LONGEST_SCRIPT = 10
_TIMEOUT_S = 180


# -- the examples -----------------------------------------------------------------------------------------------------


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Provision]:
    """A home of its own, in which nothing may be left; what a script that failed leaves is removed."""
    java(DEFAULT_VERSION)
    command = Provision(tmp_path / "home", runtime="process")
    yield command
    left = command.traces(NAME)
    command("down", NAME)
    assert not left
    assert (command.home / "ports.json").read_text().strip() == "{}"


def run(command: Provision, directory: Path, *arguments: str) -> str:
    """Run Python somewhere else than in the project, where no engine answers; returns what it wrote."""
    ran = subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env={**os.environ, "PROVISION_HOME": str(command.home), **NO_ENGINE},
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert not ran.stderr
    return ran.stdout


@pytest.mark.process
@pytest.mark.row("apart")
def test_the_script_starts_a_cluster_lists_its_topics_and_leaves_nothing(processes: Provision, tmp_path: Path) -> None:
    assert len(SCRIPT.splitlines()) <= _LONGEST_SCRIPT
    assert f'name="{NAME}"' in SCRIPT
    (tmp_path / "script.py").write_text(SCRIPT)
    address, *topics = run(processes, tmp_path, "script.py").splitlines()
    assert re.fullmatch(r"127\.0\.0\.1:\d+", address)
    assert topics == ["orders 6", "payments 1"]


@pytest.mark.process
@pytest.mark.matrix  # tests/test_entered.py shows the same in memory
@pytest.mark.row("apart")
def test_the_async_script_restarts_its_broker_and_leaves_nothing(processes: Provision, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(ASYNC_SCRIPT)
    address, *restarted = run(processes, tmp_path, "script.py").splitlines()
    assert re.fullmatch(r"127\.0\.0\.1:\d+", address)
    assert restarted == ["zookeeper-1 broker-1"]


@pytest.mark.process
@pytest.mark.matrix  # tests/test_entered.py shows the same in memory
@pytest.mark.row("apart")
def test_the_script_with_events_prints_them_and_leaves_nothing(processes: Provision, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(EVENTS_SCRIPT)
    told = run(processes, tmp_path, "script.py").splitlines()
    assert {"Planned", "ActionDone", "LevelReached"} <= set(told)


@pytest.mark.process
@pytest.mark.matrix  # the script of the page shows the same, quicker
@pytest.mark.row("apart")
def test_the_fixture_gives_tests_a_cluster(processes: Provision, tmp_path: Path) -> None:
    (tmp_path / "environments").mkdir()
    shipped = (ROOT / "environments" / "ci.yaml").read_text(encoding="utf-8")
    (tmp_path / "environments" / "ci.yaml").write_text(f"name: {NAME}\n{shipped}")
    (tmp_path / "conftest.py").write_text(FIXTURE)
    test = "def test_it(bootstrap_servers):\n    assert bootstrap_servers.startswith('127.0.0.1:')\n"
    (tmp_path / "test_it.py").write_text(test)
    assert "1 passed" in run(processes, tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider")


def test_the_fixture_is_python() -> None:
    compile(FIXTURE, "conftest.py", "exec")


def test_the_sessions_of_the_page_go_as_they_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVISION_HOME", str(tmp_path))
    session = doctest.DocTestParser().get_doctest("\n".join(SESSIONS), {}, PAGE.name, str(PAGE), 0)
    assert session.examples
    assert doctest.DocTestRunner().run(session).failed == 0


@pytest.mark.parametrize("module", [provision, provision.environment], ids=lambda module: module.__name__)
def test_the_examples_of_docstrings_go_as_they_are_shown(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVISION_HOME", str(tmp_path))
    failed, attempted = doctest.testmod(module)
    assert attempted
    assert not failed


# -- the tables -------------------------------------------------------------------------------------------------------


def called(name: str, parameters: Sequence[inspect.Parameter]) -> str:
    """A method as the page writes it: `down(keep_data=)`."""
    shown = [f"{one.name}=" if one.kind is one.KEYWORD_ONLY else one.name for one in parameters]
    stars = {"args": "*args", "kwargs": "**kwargs"}
    return f"{name}({', '.join(stars.get(one, one) for one in shown)})"


METHODS = {
    called(name, list(inspect.signature(method).parameters.values())[1:])
    for name, method in inspect.getmembers(Environment, inspect.isfunction)
    if not name.startswith("_")
}


def test_every_method_has_a_row_with_its_arguments_and_every_row_a_method() -> None:
    assert set(rows(section(PAGE, "## Methods"))) == METHODS


def test_every_property_is_named() -> None:
    named = codes(section(PAGE, "## Methods"))
    methods = {method.partition("(")[0] for method in METHODS} | {"all", "named", "from_file"}
    assert {name for name in dir(Environment) if not name.startswith("_")} - methods <= set(named)


@pytest.mark.parametrize("described", [UpOptions, UpResult])
def test_every_field_of_what_up_takes_and_gives_is_named(described: type) -> None:
    named = codes(section(PAGE, "## Methods"))
    assert {field.name for field in dataclasses.fields(described)} <= set(named)


def test_every_argument_of_a_description_has_a_row() -> None:
    arguments = [one.name for one in inspect.signature(Environment).parameters.values() if one.kind is one.KEYWORD_ONLY]
    table = rows(section(PAGE, "## Describing an environment"))
    assert [name for name in table if name in arguments] == arguments


def test_every_event_has_a_row_and_every_row_an_event() -> None:
    kinds = [name for name, kind in vars(events).items() if isinstance(kind, type) and issubclass(kind, events.Event)]
    assert [*rows(section(PAGE, "## Events"))] == [name for name in kinds if name != "Event"]


def test_every_field_that_is_named_with_an_event_is_one_of_it() -> None:
    for name, row in rows(section(PAGE, "## Events")).items():
        (fields,) = re.findall(r"\(([^()]*`[^()]*)\)", row) or [""]
        known = {field.name for field in dataclasses.fields(getattr(events, name))}
        assert {code for code in codes(fields) if code.isidentifier()} <= known


def test_every_error_is_public_and_in_the_table_of_exit_codes() -> None:
    table = [line for line in section(EXIT_CODES, "## Exit codes").splitlines() if line.startswith("|")]
    told = codes(" ".join(line.split(" | ")[-1] for line in table))
    errors = [one for one in vars(provision.errors).values() if isinstance(one, type)]
    public = {one.__name__ for one in errors if issubclass(one, ProvisionError)}
    assert public <= set(provision.__all__)
    assert set(told) == public


def test_public_names_can_be_completed() -> None:
    assert set(provision.__all__) <= set(dir(provision))


def test_a_misspelt_public_name_is_found_by_a_type_checker(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("from provision import Environment, Enviroment\nreveal_type(Environment)\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(program)]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    assert 'has no attribute "Enviroment"' in said.stdout, said.stdout + said.stderr
    assert said.stdout.count(": error:") == 1
    assert "Environment" in said.stdout.partition("Revealed type")[2]


def test_every_public_name_is_there_and_told() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in provision.__all__:
        assert getattr(provision, name)
        assert name == "__version__" or f"`{name}`" in text
