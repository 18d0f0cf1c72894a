"""CI files, run as their systems run them, as far as the examples need it: steps, conditions, expressions and scripts.

Only what fetches from elsewhere is left out: actions of others, and `python -m pip`.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.engine import NO_ENGINE, ROOT
from tests.testing.test_plugin import PLUGIN

ACTION = ROOT / "action.yml"
_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
_TIMEOUT_S = 300
_PROGRAMS = {
    "provision": f'exec {sys.executable} -m provision "$@"',
    "pytest": f'exec {sys.executable} -m pytest {" ".join(PLUGIN)} -p no:cacheprovider -W ignore "$@"',
    "python": f'[ "$1 $2" = "-m pip" ] && exit 0\nexec {sys.executable} "$@"',
}


@dataclass
class Runner:
    """A machine that runs jobs: with a checkout, a home of its own, and what `pip` would install.

    `steps` are the names of the steps that were run, `failed` those that failed, `said` what they wrote,
    `kept` the directories that `actions/cache` keeps, by their keys.
    """

    place: Path
    variables: dict[str, str] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    kept: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.place / "bin").mkdir()
        for name, script in _PROGRAMS.items():
            program = self.place / "bin" / name
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)

    @property
    def checkout(self) -> Path:
        """The project's directory."""
        return self.place / "project"

    @property
    def home(self) -> Path:
        """The home of `provision`."""
        return self.place / "home"

    @property
    def everything(self) -> dict[str, str]:
        """The variables of every script."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PROVISION"))},
            **NO_ENGINE,
            "PATH": f"{self.place / 'bin'}:{os.environ['PATH']}",
            "PROVISION_HOME": str(self.home),
            "PYTHONPATH": f"{ROOT}:{self.checkout}",
            "CI": "true",
            **self.variables,
        }

    def script(
        self, name: str, shell: list[str], script: str, variables: Mapping[str, str], *, may_fail: bool = False
    ) -> bool:
        """Run a script in a file; whether it succeeded. One that `may_fail` is not noted as failed."""
        file = self.place / "script"
        file.write_text(script)
        ended = subprocess.run(
            [*shell, file],
            cwd=self.checkout,
            env={**self.everything, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
        self.steps.append(name)
        self.said.append(f"-- {name} ({ended.returncode})\n{ended.stdout}")
        if ended.returncode and not may_fail:
            self.failed.append(name)
        return ended.returncode == 0

    @property
    def output(self) -> str:
        """All that was written, for the message of an assertion."""
        return "\n".join(self.said)


# -- GitHub -----------------------------------------------------------------------------------------------------------

_SHELLS = {"bash": ["bash", "--noprofile", "--norc", "-eo", "pipefail"], "python": ["python"]}
GITHUB = {
    "github.repository": "someone/service",
    "github.run_id": "17",
    "github.run_attempt": "1",
    "strategy.job-index": "0",
    "runner.os": "Linux",
    "runner.arch": "X64",
}


@dataclass
class _Scope:
    """What expressions know, and what steps set for those that follow."""

    runner: Runner
    names: dict[str, str]
    variables: dict[str, str]

    def filled(self, value: Any) -> str:  # noqa: ANN401 any scalar of YAML
        """The text with its expressions replaced by their values."""
        return _EXPRESSION.sub(lambda match: self._value(match[1]), str(value))

    def _value(self, expression: str) -> str:
        if expression.startswith("hashFiles("):
            return "0a1b2c"
        if name := expression.removeprefix("env.") if expression.startswith("env.") else "":
            return self.variables[name]
        return self.names.get(expression, "") if expression.startswith("steps.") else self.names[expression]

    def holds(self, condition: str | None, *, failed: bool) -> bool:
        """Whether a step is run."""
        if condition is None:
            return not failed
        if condition in ("always()", "failure()"):
            return condition == "always()" or failed
        if condition.startswith("failure() && "):
            return failed and bool(self.names.get(condition.removeprefix("failure() && ")))
        name, _, value = condition.partition(" == ")
        return not failed and self.names[name] == value.strip("'")


def run_github_job(runner: Runner, job: Mapping[str, Any], matrix: Mapping[str, str] | None = None) -> None:
    """Run the steps of a job of a workflow."""
    of_matrix = {f"matrix.{name}": value for name, value in (matrix or {}).items()}
    names = {**GITHUB, "github.workspace": str(runner.checkout), **of_matrix}
    scope = _Scope(runner, names, {})
    scope.variables |= {name: scope.filled(value) for name, value in job.get("env", {}).items()} | runner.variables
    for step in job["steps"]:
        _run_step(scope, step)


def _run_step(scope: _Scope, step: Mapping[str, Any]) -> None:
    runner = scope.runner
    if not scope.holds(step.get("if"), failed=bool(runner.failed)):
        return
    used = step.get("uses", "")
    if used.startswith("actions/"):
        _of_github(scope, step)
        return
    if used:
        assert used.partition("@")[0].endswith("/provision")
        _run_action(
            scope, step.get("id", ""), {name: scope.filled(value) for name, value in step.get("with", {}).items()}
        )
        return
    with _files(scope, step.get("id", "")) as places:
        own = {name: scope.filled(value) for name, value in step.get("env", {}).items()}
        variables = {**scope.variables, **_defaults(scope.names), **places, **own}
        script, shell = scope.filled(step["run"]), _SHELLS[step.get("shell", "bash")]
        name, may_fail = step.get("name", step["run"]), step.get("continue-on-error", False)
        runner.script(name, shell, script, variables, may_fail=may_fail)


def _of_github(scope: _Scope, step: Mapping[str, Any]) -> None:
    """What the actions of others leave for later steps, and what is to be kept."""
    given = {name: scope.filled(value) for name, value in step.get("with", {}).items()}
    match step["uses"].partition("@")[0]:
        case "actions/cache":
            scope.runner.kept[given["key"]] = scope.runner.checkout / given["path"]
        case "actions/setup-java":
            scope.names[f"steps.{step['id']}.outputs.version"] = f"{given['java-version']}.0.8+9"


def _defaults(names: Mapping[str, str]) -> dict[str, str]:
    """The variables that every step has."""
    known = {name.replace("github.", "github_").upper(): value for name, value in names.items() if "github." in name}
    return {**known, "GITHUB_JOB": "job", "GITHUB_ACTION_PATH": str(ROOT), "GITHUB_ACTIONS": "true"}


@contextmanager
def _files(scope: _Scope, step: str) -> Iterator[dict[str, str]]:
    """The files in which a step sets variables and outputs."""
    places = {name: scope.runner.place / name for name in ("GITHUB_ENV", "GITHUB_OUTPUT")}
    for file in places.values():
        file.write_text("")
    yield {name: str(file) for name, file in places.items()}
    scope.variables |= _pairs(places["GITHUB_ENV"])
    scope.names |= {f"steps.{step}.outputs.{name}": value for name, value in _pairs(places["GITHUB_OUTPUT"]).items()}


def _pairs(file: Path) -> dict[str, str]:
    lines = file.read_text().splitlines()
    assert all("=" in line for line in lines), lines
    return dict(line.split("=", 1) for line in lines)


def _run_action(scope: _Scope, called: str, given: Mapping[str, str]) -> None:
    action = yaml.safe_load(ACTION.read_text())
    assert given.keys() <= action["inputs"].keys()
    inputs = {name: given.get(name, one.get("default", "")) for name, one in action["inputs"].items()}
    inner = _Scope(
        scope.runner, {**scope.names, **{f"inputs.{name}": str(v) for name, v in inputs.items()}}, scope.variables
    )
    for step in action["runs"]["steps"]:
        _run_step(inner, step)
    if not inputs["run"]:
        for name, one in action["outputs"].items():
            scope.names[f"steps.{called}.outputs.{name}"] = inner.filled(one["value"])


# -- GitLab -----------------------------------------------------------------------------------------------------------


def run_gitlab_job(runner: Runner, file: Mapping[str, Any], name: str, variables: Mapping[str, str]) -> None:
    """Run a job: `before_script` and `script` in one shell, `after_script` in another, whatever happens."""
    job = file[name]
    predefined = {"CI_PROJECT_DIR": str(runner.checkout), "CI_PROJECT_PATH": "someone/service", "CI_JOB_ID": "29"}
    known = {**predefined, **variables}
    for key, value in file.get("variables", {}).items():
        known[key] = re.sub(r"\$(\w+)", lambda match: known[match[1]], value)
    lines = [*file["default"]["before_script"], *job["script"]]
    succeeded = runner.script(name, ["bash", "-eo", "pipefail"], "\n".join(lines), known)
    if after := job.get("after_script"):
        status = {"CI_JOB_STATUS": "success" if succeeded else "failed"}
        runner.script(f"{name}, after", ["bash"], "\n".join(after), {**known, **status})


def checkout_of(sample: Path, directory: Path, environment: str, makefile: str) -> None:
    """A project as the examples have it: the sample project, with an environment file and a Makefile more."""
    shutil.copytree(sample, directory)
    (directory / "environments").mkdir()
    (directory / "environments" / "ci.yaml").write_text(environment)
    (directory / "Makefile").write_text(makefile)
