"""The CI files of the examples, and the action: valid by their published schemas, and with what they promise."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.reading import ROOT

GITHUB, GITLAB, ACTION = (
    ROOT / "examples" / "github-actions.yaml",
    ROOT / "examples" / "gitlab-ci.yml",
    ROOT / "action.yml",
)
SCHEMAS = {GITHUB: "vendor.github-workflows", GITLAB: "vendor.gitlab-ci", ACTION: "vendor.github-actions"}
WORKFLOW: dict[str, Any] = yaml.safe_load(GITHUB.read_text())
JOBS: dict[str, dict[str, Any]] = WORKFLOW["jobs"]


def check(file: Path, schema: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("file", SCHEMAS, ids=lambda file: file.name)
def test_it_is_valid_by_its_published_schema(file: Path, tmp_path: Path) -> None:
    checked = check(file, SCHEMAS[file])
    assert checked.returncode == 0, checked.stdout + checked.stderr
    wrong = tmp_path / file.name
    wrong.write_text(re.sub(r"^(\s*)(runs-on|script|using):", r"\1no-\2:", file.read_text(), flags=re.MULTILINE))
    assert check(wrong, SCHEMAS[file]).returncode == 1


def _scripts(job: dict[str, Any]) -> list[str]:
    return [step.get("run", "") for step in job["steps"]]


@pytest.mark.parametrize("name", JOBS)
def test_a_job_that_starts_a_cluster_removes_it_whatever_has_failed(name: str) -> None:
    steps = JOBS[name]["steps"]
    if any(re.search(r"^\s*provision up\b", step.get("run", ""), re.MULTILINE) for step in steps):
        (last,) = [step for step in steps if "provision down" in step.get("run", "")]
        assert last["if"] == "always()"
        assert "--all" in last["run"]
        assert JOBS[name]["env"]["PROVISION_OWNER"].endswith(f"/{name}")


def test_no_input_of_the_action_is_a_part_of_a_script() -> None:
    action = yaml.safe_load(ACTION.read_text())
    for step in action["runs"]["steps"]:
        assert "${{" not in step.get("run", "")


def _start(place: Path, index: str, *, up: str) -> "subprocess.CompletedProcess[str]":
    """Run the action's script as that job of a matrix, with a program that does only what `up` says."""
    (place / "bin").mkdir(exist_ok=True)
    program = place / "bin" / "provision"
    program.write_text(f'#!/bin/sh\ncase "$1" in up) {up};; env) echo KAFKA_BOOTSTRAP_SERVERS=h:1;; esac\n')
    program.chmod(0o755)
    step = yaml.safe_load(ACTION.read_text())["runs"]["steps"][-1]
    given = {name: index if "strategy.job-index" in str(value) else "" for name, value in step["env"].items()}
    of_github = {"REPOSITORY": "a/b", "RUN_ID": "1", "RUN_ATTEMPT": "1", "JOB": "tests"}
    variables = {**given, **{f"GITHUB_{name}": value for name, value in of_github.items()}}
    files = {name: str(place / name) for name in ("GITHUB_ENV", "GITHUB_OUTPUT")}
    path = f"{place / 'bin'}:{Path(sys.executable).parent}:/usr/bin:/bin"
    return subprocess.run(
        ["/bin/bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        env={"PATH": path, **variables, **files},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_jobs_of_a_matrix_have_owners_of_their_own(tmp_path: Path) -> None:
    for index in ("0", "1"):
        done = _start(tmp_path, index, up="""echo '{"name": "ci"}'""")
        assert done.returncode == 0, done.stderr
    lines = (tmp_path / "GITHUB_ENV").read_text().splitlines()
    owners = [line for line in lines if line.startswith("PROVISION_OWNER=")]
    assert owners == [f"PROVISION_OWNER=a/b/1/1/tests-{index}" for index in (0, 1)]
    assert "name=ci\nbootstrap-servers=h:1\n" in (tmp_path / "GITHUB_OUTPUT").read_text()


def test_an_action_whose_cluster_does_not_start_leaves_its_owner_and_says_only_why(tmp_path: Path) -> None:
    done = _start(tmp_path, "0", up="echo 'error: no memory' >&2; exit 3")
    assert (done.returncode, done.stderr) == (3, "error: no memory\n")
    assert (tmp_path / "GITHUB_ENV").read_text() == "PROVISION_OWNER=a/b/1/1/tests-0\n"


def test_every_input_of_the_action_is_used_and_told() -> None:
    action = yaml.safe_load(ACTION.read_text())
    text = ACTION.read_text()
    page = (ROOT / "docs" / "reference" / "ci.md").read_text()
    for name in action["inputs"]:
        assert f"inputs.{name}" in text
        assert f"| `{name}` |" in page


def test_the_environment_of_a_job_differs_from_those_of_others() -> None:
    owners = [job["env"]["PROVISION_OWNER"] for job in JOBS.values() if "PROVISION_OWNER" in job.get("env", {})]
    assert len(set(owners)) == len(owners) >= 3
    assert all("github.run_id" in owner for owner in owners)


def test_after_script_of_gitlab_removes_what_its_script_starts() -> None:
    jobs: dict[str, Any] = yaml.safe_load(GITLAB.read_text())
    starting = [job for job in jobs.values() if any("provision up" in line for line in job.get("script", ()))]
    assert starting
    assert all("provision down --all --yes" in job["after_script"] for job in starting)
