"""The sample project beside the same tests written with testcontainers, and how soon a second run begins."""

import ast
import io
import os
import shutil
import sys
import time
import tokenize
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT
from benchmarks.measuring import OURS, Contestants, Failed, run
from benchmarks.ours import Program, warm
from benchmarks.peers import PROGRAMS, Peers
from benchmarks.shapes import ONE_KRAFT

SAMPLE = ROOT / "examples" / "pytest-service"
THEIRS = PROGRAMS / "suite"
TESTS = 15
WAYS = {"plain": ["-p", "no:xdist"], "4 workers": ["-n", "4"]}
# This project's own tests have them; the suites need none, and the peer's environment has none.
UNRELATED = [word for plugin in ("hypothesispytest", "asyncio", "anyio") for word in ("-p", f"no:{plugin}")]


@contextmanager
def suite(image: Callable[[], str], cache: Path, peers: Peers, directory: Path) -> Iterator[Contestants]:
    """Both suites in Docker, with the same image: their times with one process and with four, and their lines."""
    used = image()

    def ours(empty: Path) -> Mapping[str, Any]:
        project = _sample(empty, f"runtime: docker\nkafka: {{mode: kraft, image: '{used}'}}\nbrokers: {{port: auto}}\n")
        return {**_times(sys.executable, project, Program(empty, cache).variables()), **written_lines(SAMPLE)}

    def theirs(empty: Path) -> Mapping[str, Any]:
        python = peers.having("testcontainers.kafka", "kafka", "xdist")
        project = _sample(empty, "")
        shutil.rmtree(project / "tests")
        shutil.copytree(THEIRS, project / "tests")
        shutil.copy(PROGRAMS / "adapted.py", project / "tests")
        variables = {**peers.variables(), "KAFKA_IMAGE": used, "PYTHONPATH": str(project)}
        return {**_times(python, project, variables), **written_lines(THEIRS)}

    with warm(directory, cache, ONE_KRAFT.of(runtime="docker", image=used)):
        yield {OURS: ours, "testcontainers": theirs}


def _sample(empty: Path, environment: str) -> Path:
    project = empty / "project"
    shutil.copytree(SAMPLE, project, ignore=shutil.ignore_patterns("__pycache__"))
    if environment:
        (project / "kafka.yaml").write_text(environment, encoding="utf-8")
    return project


def _times(python: str, project: Path, variables: Mapping[str, str]) -> dict[str, float]:
    path = os.pathsep.join(filter(None, (str(project), variables.get("PYTHONPATH", ""))))
    found = {}
    for way, arguments in WAYS.items():
        command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore", *UNRELATED, *arguments]
        found[way], out = run(command, cwd=project, env={**variables, "PYTHONPATH": path}, timeout_s=480)
        if f"{TESTS} passed" not in out:
            raise Failed(f"not {TESTS} tests passed:\n{out[-500:]}")
    return found


# -- lines ------------------------------------------------------------------------------------------------------------


def written_lines(project: Path) -> dict[str, int]:
    """How many lines the user of a suite writes: before the first test, and with all tests.

    Before the first test are those of `conftest.py` and, where there are such, of the environment file and of the keys
    of pytest's configuration. Blank lines, comments and docstrings do not count.
    """
    tests = project / "tests" if (project / "tests").is_dir() else project
    programs = {file.name: len(code_lines(file.read_text(encoding="utf-8"))) for file in tests.glob("*.py")}
    before = programs["conftest.py"] + len(_of_text(project / "kafka.yaml"))
    before += sum(1 for line in _of_text(project / "pyproject.toml") if line.startswith("kafka_"))
    return {"lines": before, "all lines": before + sum(programs.values()) - programs["conftest.py"]}


def _of_text(file: Path) -> list[str]:
    if not file.exists():
        return []
    lines = (line.strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def code_lines(text: str) -> list[str]:
    """The lines of a program that have code, without those of docstrings."""
    skipped: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            skipped.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    no_code = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    numbers: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in no_code:
            numbers.update(range(token.start[0], token.end[0] + 1))
    lines = text.splitlines()
    return [lines[number - 1].strip() for number in sorted(numbers - skipped)]


# -- a second run -----------------------------------------------------------------------------------------------------

_FIRST = """
import os, time
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    if not os.path.exists(os.environ["FIRST_TEST"]):
        with open(os.environ["FIRST_TEST"], "w") as file:
            file.write(str(time.time()))
"""
"""Notes when the first test begins, its fixtures being ready."""


@contextmanager
def kept(cache: Path, directory: Path) -> Iterator[Contestants]:
    """The sample project with `--kafka-keep`: the first run of all starts the cluster, the next ones find it."""
    project = _sample(directory, "runtime: process\nkafka: {mode: kraft}\nbrokers: {port: auto}\n")
    (project / "first_test.py").write_text(_FIRST, encoding="utf-8")
    program, note = Program(directory, cache), directory / "first"
    variables = {**program.variables(), "FIRST_TEST": str(note), "PYTHONPATH": f"{project}{os.pathsep}{ROOT}"}
    once = ["-k", "test_the_lag_shows_what_is_left_to_do"]  # needs the cluster, and nothing of the service
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "first_test", "-W", "ignore"]

    def until_first_test(arguments: list[str]) -> float:
        note.unlink(missing_ok=True)
        began = time.time()
        run([*command, *arguments], cwd=project, env=variables)
        return float(note.read_text(encoding="utf-8")) - began

    def ours(_empty: Path) -> Mapping[str, Any]:
        return {"second run": until_first_test([*once, "--kafka-keep"])}

    def pytest_alone(_empty: Path) -> Mapping[str, Any]:
        (project / "test_nothing.py").write_text("def test_nothing():\n    pass\n", encoding="utf-8")
        return {"second run": until_first_test(["-p", "no:provision", "-o", "addopts=", "test_nothing.py"])}

    with warm(directory, cache, ONE_KRAFT):
        try:
            until_first_test([*once, "--kafka-keep"])
            yield {OURS: ours, "pytest alone": pytest_alone}
        finally:
            for environment in sorted((program.home / "environments").glob("*")):
                program("down", environment.name)
