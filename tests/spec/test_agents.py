"""Java agents and JMX ports in an environment file: what is refused, beside the files of `tests/specs/invalid`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from provision.errors import InvalidEnvironment, Problem
from provision.spec.agents import LARGEST
from provision.spec.loader import load
from provision.spec.model import EnvironmentSpec

AGENT = "brokers: {java: {agents: [{jar: agent.jar, files: [rules.yaml]}]}}"


def loaded(directory: Path, text: str) -> EnvironmentSpec:
    (directory / "dev.yaml").write_text(text, encoding="utf-8")
    return load(directory / "dev.yaml")


def problems(directory: Path, text: str) -> tuple[Problem, ...]:
    with pytest.raises(InvalidEnvironment) as caught:
        loaded(directory, text)
    return caught.value.problems


def test_files_are_found_beside_the_environment_file_whatever_the_working_directory(tmp_path: Path) -> None:
    for name in ("agent.jar", "rules.yaml"):
        (tmp_path / name).write_text("", encoding="utf-8")
    (agent,) = loaded(tmp_path, AGENT).brokers.java.agents
    assert (agent.jar, agent.files) == (str(tmp_path / "agent.jar"), [str(tmp_path / "rules.yaml")])


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda _: None, "is not there"),
        (Path.mkdir, "is not a file"),
        (lambda file: file.symlink_to("nowhere"), "is not there"),
        (lambda file: file.symlink_to(file), "is not there"),
    ],
    ids=["missing", "directory", "dangling", "circular"],
)
@pytest.mark.parametrize(("name", "key"), [("agent.jar", "jar"), ("rules.yaml", "files.0")])
def test_a_file_that_cannot_be_given_to_nodes_is_told_at_its_key(
    tmp_path: Path, name: str, key: str, made: Callable[[Path], object], reason: str
) -> None:
    for other in {"agent.jar", "rules.yaml"} - {name}:
        (tmp_path / other).write_text("", encoding="utf-8")
    made(tmp_path / name)
    (problem,) = problems(tmp_path, AGENT)
    assert (problem.line, problem.path) == (1, f"brokers.java.agents.0.{key}")
    assert f"{tmp_path / name} {reason}" in problem.message


def test_a_file_that_is_too_large_is_told(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("", encoding="utf-8")
    with (tmp_path / "agent.jar").open("wb") as file:
        file.truncate(LARGEST + 1)
    (problem,) = problems(tmp_path, AGENT)
    assert problem.message == f"{tmp_path / 'agent.jar'} is larger than 32 MiB"


@pytest.mark.parametrize("name", ["address", "port"])
def test_no_file_is_called_like_what_stands_for_something_else(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("", encoding="utf-8")
    (problem,) = problems(tmp_path, f"brokers: {{java: {{agents: [{{jar: {name}}}]}}}}")
    assert problem.message == f"{{{name}}} already stands for something else"


@pytest.mark.parametrize("section", ["brokers", "controllers"])
@pytest.mark.parametrize("security", ["tls", "mtls", "sasl-plain", "sasl-scram", "sasl-tls"])
def test_jmx_is_not_opened_past_security(tmp_path: Path, section: str, security: str) -> None:
    nodes = "nodes: 1, " if section == "controllers" else ""
    text = f"kafka: {{mode: kraft}}\nsecurity: {security}\n{section}: {{{nodes}java: {{jmx_port: 9999}}}}\n"
    (problem,) = problems(tmp_path, text)
    assert (problem.line, problem.path) == (3, f"{section}.java.jmx_port")


def test_a_section_without_nodes_is_not_looked_at(tmp_path: Path) -> None:
    """That it has no place in this mode is told elsewhere, or it has no nodes yet."""
    text = "kafka: {mode: kraft}\ncontrollers: {nodes: 0, java: {jmx_port: 9092}}\nbrokers: {port: 9092}\n"
    assert loaded(tmp_path, text).controllers.java.jmx_port == 9092


@pytest.mark.parametrize("key", ["jmx_port: 9999", "agents: [{jar: agent.jar}]"])
def test_nodes_of_a_swarm_get_neither(tmp_path: Path, key: str) -> None:
    (tmp_path / "agent.jar").write_text("", encoding="utf-8")
    text = f"runtime: swarm\nkafka: {{mode: kraft}}\nsecurity: sasl-tls\nbrokers: {{java: {{{key}}}}}\n"
    assert any("open on their engines" in problem.message for problem in problems(tmp_path, text))
