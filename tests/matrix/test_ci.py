"""The CI examples and the action, their scripts run with real clusters."""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import psutil
import pytest
import yaml

from tests.ci import Runner, checkout_of, run_github_job, run_gitlab_job
from tests.engine import DEFAULT_VERSION, ROOT, Provision, engine, image, java

pytestmark = pytest.mark.row("apart")

SAMPLE = ROOT / "examples" / "pytest-service"
JOBS = yaml.safe_load((ROOT / "examples" / "github-actions.yaml").read_text())["jobs"]
GITLAB = yaml.safe_load((ROOT / "examples" / "gitlab-ci.yml").read_text())
FILE = """\
name: ci-example
kafka: {mode: kraft}
brokers: {port: auto}
storage: memory
ttl: 2h
topics: [{name: events}]
"""
MAKEFILE = """\
test:
\techo $(WORD) | provision produce events
\tprovision consume events --from-beginning -n 1 --timeout 20s | grep $(WORD)
\ttest -z "$(FAILS)"

test-again:
\tprovision consume events --from-beginning -n 1 --timeout 20s | grep $(WORD)
"""
WORD = "s3same"


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    """A runner on which nothing is left: no node, and nothing in the home that an environment needs."""
    java(DEFAULT_VERSION)
    checkout_of(SAMPLE, tmp_path / "project", FILE, MAKEFILE)
    given = Runner(tmp_path, {"WORD": WORD})
    yield given
    left = nodes(given)
    for process in left:
        process.kill()
    assert not left, given.output
    environments = given.home / "environments"
    assert not environments.is_dir() or not [*environments.iterdir()]


def nodes(runner: Runner) -> list[psutil.Process]:
    """The nodes of that home that run."""
    mark = f"-Dprovision.node={runner.home}"
    return [one for one in psutil.process_iter(["cmdline"]) if any(mark in a for a in one.info["cmdline"] or ())]


def outcomes(file: Path) -> list[str]:
    """What became of each case in a report of JUnit XML."""
    return [case[0].tag if len(case) else "passed" for case in ET.parse(file).iter("testcase")]  # noqa: S314 our own


def _fails(in_matrix: str) -> pytest.MarkDecorator:
    """Whether the job's own command fails: one way in `make test-matrix`, the other in `make test-soak`."""
    ways = {"green": "", "red": "yes"}
    marks = {way: pytest.mark.matrix if way == in_matrix else pytest.mark.soak for way in ways}
    return pytest.mark.parametrize("fails", [pytest.param(ways[way], id=way, marks=marks[way]) for way in ways])


mostly_green, mostly_red = _fails("green"), _fails("red")


@pytest.mark.matrix
@pytest.mark.process
def test_github_pytest(runner: Runner) -> None:
    cache = jars(runner, DEFAULT_VERSION)
    run_github_job(runner, JOBS["pytest"])
    assert not runner.failed, runner.output
    assert [*runner.kept.values()] == [cache]
    assert outcomes(runner.checkout / "reports" / "tests.xml") == ["passed"] * 15


@pytest.mark.process
@mostly_red
def test_github_command(runner: Runner, fails: str) -> None:
    cache = jars(runner, "4.1.0")
    runner.variables["FAILS"] = fails
    run_github_job(runner, JOBS["command"], {"kafka": "4.1.0"})
    assert runner.kept == {"provision-warm-Linux-X64-21.0.8+9-4.1.0-0a1b2c": cache}
    assert [*(cache / "archives").glob("*.jsa")], runner.output
    assert runner.failed == (["Test"] if fails else []), runner.output
    assert WORD in runner.output
    reports = runner.checkout / "reports"
    assert set(outcomes(reports / "readiness.xml")) == {"passed"}
    assert (reports / "kafka.tar.gz").exists() == bool(fails)


@pytest.mark.process
@mostly_green
def test_github_steps_beside_another_job(runner: Runner, fails: str, tmp_path: Path) -> None:
    other = Provision(runner.home, "process", environment={"PROVISION_OWNER": "another job"})
    (tmp_path / "other.yaml").write_text(FILE.replace("ci-example", "ci-other"))
    other.ok("up", str(tmp_path / "other.yaml"))
    try:
        runner.variables["FAILS"] = fails
        run_github_job(runner, JOBS["steps"])
        assert runner.failed == (["Test"] if fails else []), runner.output
        assert ("Test more" in runner.steps) != bool(fails)
        assert [one["name"] for one in json.loads(other.ok("list", "-o", "json"))] == ["ci-other"]
    finally:
        other.ok("down", "ci-other")
    reports = runner.checkout / "reports"
    assert set(outcomes(reports / "readiness.xml")) == {"passed"}
    assert (reports / "kafka.tar.gz").exists() == bool(fails)
    if fails:
        with tarfile.open(reports / "kafka.tar.gz") as archive:
            assert "ci-example/logs/broker-1.log" in archive.getnames()


@pytest.mark.soak
@pytest.mark.process
def test_github_a_cluster_that_does_not_come_up(runner: Runner) -> None:
    file = runner.checkout / "environments" / "ci.yaml"
    file.write_text(
        FILE.replace("brokers: {port: auto}", "brokers: {port: auto, properties: {log.dir: 5, process.roles: x}}")
    )
    run_github_job(runner, JOBS["steps"])
    assert runner.failed[0] == "Start Kafka", runner.output
    assert "Test" not in runner.steps
    assert "Remove Kafka" in runner.steps
    assert "Remove Kafka" not in runner.failed
    assert outcomes(runner.checkout / "reports" / "readiness.xml") == ["error"]


INVALID = FILE.replace("storage: memory", "storage: memory\nno_such_key: 1")


@pytest.mark.matrix
@pytest.mark.process
@pytest.mark.parametrize("job", ["command", "steps", "action", "gitlab command", "gitlab steps"])
def test_a_file_that_is_not_valid_is_told_in_the_report(runner: Runner, job: str) -> None:
    (runner.checkout / "environments" / "ci.yaml").write_text(INVALID)
    match job.split():
        case ["gitlab", name]:
            run_gitlab_job(runner, GITLAB, name, {"KAFKA": "4.1.0"})
        case ["action"]:
            given = {"version": "4.1.0", "warm": "true", "run": "make test"}
            run_github_job(runner, {"steps": [{"uses": "OWNER/provision@main", "with": given}]})
            assert "::warning::" in runner.output
        case _:
            run_github_job(runner, JOBS[job], {"kafka": "4.1.0"})
    assert runner.failed, runner.output
    report = runner.checkout / "reports" / "readiness.xml"
    assert outcomes(report) == ["error"]
    assert "ci.yaml:5:1: no_such_key" in report.read_text()


@pytest.mark.process
@mostly_green
def test_the_action_with_a_command(runner: Runner, fails: str) -> None:
    cache = jars(runner, "4.1.0")
    runner.variables |= {"FAILS": fails, "PROVISION_CACHE": str(cache)}
    run_github_job(runner, JOBS["action"])
    assert runner.failed == (["Start the cluster"] if fails else []), runner.output
    assert WORD in runner.output
    assert (runner.checkout / "reports" / "kafka.tar.gz").exists() == bool(fails)
    assert [*runner.kept.values()] == [cache]


def steps_of_page(given: dict[str, str]) -> dict[str, Any]:
    """The job for several steps as the reference has it, with further inputs of the action."""
    page = (ROOT / "docs" / "reference" / "ci.md").read_text()
    steps: list[dict[str, Any]] = yaml.safe_load(page.partition("### A cluster for several steps")[2].split("```")[1])
    steps[0]["with"] |= given
    return {"steps": steps}


@pytest.mark.matrix
@pytest.mark.process
def test_the_action_keeps_what_a_start_that_fails_leaves(runner: Runner) -> None:
    run_github_job(runner, steps_of_page({"runtime": "process", "set": "brokers.heap=8m"}))
    assert runner.failed == ["Start the cluster"], runner.output
    assert runner.steps[-2:] == ["Start the cluster", "Remove Kafka"]
    assert logs_of(runner, "broker-1").count("OutOfMemoryError")
    assert "failure" in outcomes(runner.checkout / "reports" / "readiness.xml")


@pytest.mark.matrix
@pytest.mark.process
def test_a_step_after_the_action_that_fails_has_its_archive(runner: Runner) -> None:
    runner.variables["FAILS"] = "yes"
    run_github_job(runner, steps_of_page({"runtime": "process", "set": "name=ci-renamed"}))
    assert runner.failed == ["make test"], runner.output
    assert runner.steps[-2:] == ["Keep the cluster's logs and state", "Remove Kafka"]
    assert "started" in logs_of(runner, "broker-1", "ci-renamed")


def logs_of(runner: Runner, node: str, name: str = "ci-example") -> str:
    """The log of a node in the archive of the job."""
    with tarfile.open(runner.checkout / "reports" / "kafka.tar.gz") as archive:
        return (archive.extractfile(f"{name}/logs/{node}.log") or io.BytesIO()).read().decode()


@pytest.mark.soak
@pytest.mark.process
def test_the_action_for_the_rest_of_the_job(runner: Runner) -> None:
    given = {"set": "name=ci-renamed\nbrokers.properties.num.io.threads=3\n", "runtime": "process", "version": "3.9.1"}
    job: dict[str, Any] = {
        "steps": [
            {"uses": "OWNER/provision@main", "with": given},
            {"run": "make test"},
            {"run": "provision list -o json"},
            {"if": "always()", "run": "provision down --all --yes"},
        ]
    }
    run_github_job(runner, job)
    assert not runner.failed, runner.output
    assert '"owner": "someone/service/17/1/job-0"' in runner.output
    assert '"name": "ci-renamed"' in runner.output


@pytest.mark.soak
@pytest.mark.process
def test_gitlab_pytest(runner: Runner) -> None:
    cache = jars(runner, "3.9.1")
    assert cache == runner.checkout / ".cache" / "provision"
    run_gitlab_job(runner, GITLAB, "pytest", {})
    assert not runner.failed, runner.output
    assert outcomes(runner.checkout / "reports" / "tests.xml") == ["passed"] * 15


@pytest.mark.soak
@pytest.mark.process
def test_gitlab_command(runner: Runner) -> None:
    jars(runner, "4.1.0")
    run_gitlab_job(runner, GITLAB, "command", {"KAFKA": "4.1.0"})
    assert not runner.failed, runner.output
    assert WORD in runner.output
    assert set(outcomes(runner.checkout / "reports" / "readiness.xml")) == {"passed"}


@pytest.mark.process
@mostly_red
def test_gitlab_steps(runner: Runner, fails: str) -> None:
    jars(runner, "3.9.1")
    runner.variables["FAILS"] = fails
    run_gitlab_job(runner, GITLAB, "steps", {})
    assert runner.failed == (["steps"] if fails else []), runner.output
    assert (runner.checkout / "reports" / "kafka.tar.gz").exists() == bool(fails)


@pytest.mark.matrix
@pytest.mark.engine
def test_github_docker_keeps_its_image(runner: Runner) -> None:
    engine()
    runner.variables |= {"DOCKER_HOST": "unix:///var/run/docker.sock", "IMAGE": image()}
    for _ in range(2):  # pulled, or there already; then from the cache
        run_github_job(runner, JOBS["docker"])
        assert not runner.failed, runner.output
        assert (runner.checkout / ".cache" / "image.tar").is_file()
    assert runner.output.count(f"| grep {WORD}") == 2
    assert Provision(runner.home).traces("ci-example") == []


def jars(runner: Runner, version: str) -> Path:
    """A cache inside the checkout, as CI systems restore it: with that version's jars, and nothing else."""
    cache = runner.checkout / ".cache" / "provision"
    cache.mkdir(parents=True, exist_ok=True)
    Provision(runner.home, "process", environment={"PROVISION_CACHE": str(cache)}).ok("fetch", version)
    return cache
