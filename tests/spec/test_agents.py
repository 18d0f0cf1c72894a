"""Java agents and JMX ports in an environment file: what is refused, beside the files of `tests/specs/invalid`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from provision.errors import InvalidEnvironment, Problem
from provision.spec.agents import LARGEST
from provision.spec.loader import load
from provision.spec.model import EnvironmentSpec
from tests.agents import write_agent

AGENT = "brokers: {java: {agents: [{jar: agent.jar, files: [rules.yaml]}]}}"


def loaded(directory: Path, text: str) -> EnvironmentSpec:
    (directory / "dev.yaml").write_text(text, encoding="utf-8")
    return load(directory / "dev.yaml")


def problems(directory: Path, text: str) -> tuple[Problem, ...]:
    with pytest.raises(InvalidEnvironment) as caught:
        loaded(directory, text)
    return caught.value.problems


def test_files_are_found_beside_the_environment_file_whatever_the_working_directory(tmp_path: Path) -> None:
    write_agent(tmp_path / "agent.jar")
    (tmp_path / "rules.yaml").write_text("", encoding="utf-8")
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
@pytest.mark.parametrize(("name", "key"), [("agent.jar", "jar"), ("rules.yaml", "files[0]")])
def test_a_file_that_cannot_be_given_to_nodes_is_told_at_its_key(
    tmp_path: Path, name: str, key: str, made: Callable[[Path], object], reason: str
) -> None:
    if name != "agent.jar":
        write_agent(tmp_path / "agent.jar")
    else:
        (tmp_path / "rules.yaml").write_text("", encoding="utf-8")
    made(tmp_path / name)
    (problem,) = problems(tmp_path, AGENT)
    assert (problem.line, problem.path) == (1, f"brokers.java.agents[0].{key}")
    assert f"{tmp_path / name} {reason}" in problem.message


def test_a_file_that_is_too_large_is_told(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("", encoding="utf-8")
    with (tmp_path / "agent.jar").open("wb") as file:
        file.truncate(LARGEST + 1)
    (problem,) = problems(tmp_path, AGENT)
    assert problem.message == f"{tmp_path / 'agent.jar'} is larger than 32 MiB"


@pytest.mark.parametrize("name", ["address", "port"])
def test_no_file_is_called_like_what_stands_for_something_else(tmp_path: Path, name: str) -> None:
    write_agent(tmp_path / name)
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
    write_agent(tmp_path / "agent.jar")
    text = f"runtime: swarm\nkafka: {{mode: kraft}}\nsecurity: sasl-tls\nbrokers: {{java: {{{key}}}}}\n"
    assert any("open on their engines" in problem.message for problem in problems(tmp_path, text))


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda jar: jar.write_text("", encoding="utf-8"), "is not a jar"),
        (lambda jar: jar.write_bytes(b"PK\x03\x04 cut off"), "is not a jar"),
        (lambda jar: write_agent(jar, None), "is not a Java agent: its manifest has no Premain-Class"),
        (lambda jar: write_agent(jar, "Main-Class: A\n"), "is not a Java agent: its manifest has no Premain-Class"),
    ],
    ids=["empty", "cut off", "no manifest", "program"],
)
def test_what_java_would_not_take_as_an_agent_is_told(
    tmp_path: Path, made: Callable[[Path], object], reason: str
) -> None:
    (tmp_path / "rules.yaml").write_text("", encoding="utf-8")
    made(tmp_path / "agent.jar")
    (problem,) = problems(tmp_path, AGENT)
    assert (problem.path, problem.message) == ("brokers.java.agents[0].jar", f"{tmp_path / 'agent.jar'} {reason}")


ALIKE = """
kafka: {mode: kraft}
brokers:
  nodes: 3
  java:
    jmx_port: 65534
    agents:
      - jar: agent.jar
        options: "{address},{rules.yaml},{nobody}"
        port: 9090
        files: [rules.yaml]
      - jar: other/agent.jar
        options: "{port}"
"""


def test_names_ports_and_what_stands_for_something_have_to_fit_together(tmp_path: Path) -> None:
    write_agent(tmp_path / "agent.jar")
    write_agent(tmp_path / "other" / "agent.jar")
    (tmp_path / "rules.yaml").write_text("", encoding="utf-8")
    assert [(problem.line, problem.path, problem.message, problem.hint) for problem in problems(tmp_path, ALIKE)] == [
        (6, "brokers.java.jmx_port", "3 nodes from port 65534 on go beyond 65535", "start lower"),
        (
            9,
            "brokers.java.agents[0].options",
            "{nobody} stands for nothing",
            "known: {agent.jar}, {rules.yaml}, {address}, {port}",
        ),
        (
            10,
            "brokers.java.agents[0].port",
            "port 9092 is also a port of brokers (9092 to 9094); brokers.java.agents[0] takes 9090 to 9092",
            "move one of the two apart",
        ),
        (
            12,
            "brokers.java.agents[1].jar",
            "agent.jar is the name of another file of these agents",
            "give it another name",
        ),
        (
            13,
            "brokers.java.agents[1].options",
            "{port} stands for nothing: the agent has no port",
            "give it the key `port`",
        ),
    ]
