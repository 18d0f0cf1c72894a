"""The rules for Java agents and JMX ports in an environment file, which a section gives to each of its nodes."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile

from provision.catalogue.versions import KRAFT, OLDEST, KafkaVersion
from provision.common.whole_files import MAX_BYTES, unreadable
from provision.spec.defaults import mode_of
from provision.spec.java import AgentSpec, JavaSpec
from provision.spec.listeners import security_of
from provision.spec.places import where
from provision.spec.rules import Finding
from provision.spec.swarm import SWARM

if TYPE_CHECKING:
    from provision.spec.model import EnvironmentSpec
    from provision.spec.yaml_text import Path as KeyPath

LARGEST = MAX_BYTES
"""The largest file of an agent, in bytes: every node gets a copy, which is read back to see whether it is the same."""
_MANIFEST = "META-INF/MANIFEST.MF"
ADDRESS, PORT = "address", "port"
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def java_of(spec: "EnvironmentSpec") -> Mapping[str, tuple[JavaSpec, int]]:
    """The key `java` of each section that has nodes, and their number."""
    has_quorum = KafkaVersion.parse(spec.kafka.version) >= OLDEST and mode_of(spec) == KRAFT
    other = ("controllers", spec.controllers) if has_quorum else ("zookeeper", spec.zookeeper)
    sections = (other, ("brokers", spec.brokers))
    return {name: (section.java, section.nodes) for name, section in sections if section.nodes}


def files_of(agent: AgentSpec) -> Mapping[str, str]:
    """The paths of an agent's files as written, its jar first, by their names."""
    return {path.rpartition("/")[2]: path for path in (agent.jar, *agent.files)}


def with_whole_paths(java: JavaSpec, base_directory: Path) -> JavaSpec:
    """The same with absolute paths of the agents' files; relative ones are below `base_directory`."""
    agents = [
        agent.model_copy(
            update={
                "jar": str(base_directory / agent.jar),
                "files": [str(base_directory / file) for file in agent.files],
            }
        )
        for agent in java.agents
    ]
    return java.model_copy(update={"agents": agents})


def java_ports(spec: "EnvironmentSpec") -> Iterator[tuple["KeyPath", int, int]]:
    """Each port that JVMs open besides Kafka's own: its key, that of node 1, and how many nodes have one."""
    for section, (java, nodes) in java_of(spec).items():
        for index, agent in enumerate(java.agents):
            if agent.port is not None:
                yield (section, "java", "agents", index, "port"), agent.port, nodes
        if java.jmx_port is not None:
            yield (section, "java", "jmx_port"), java.jmx_port, nodes


def agents(spec: "EnvironmentSpec") -> Iterator[Finding]:
    """Files have different names, options name what there is, and no port lets in whom `security` keeps out."""
    for section, (java, _) in java_of(spec).items():
        place: KeyPath = (section, "java")
        yield from _names(java, place)
        for index, agent in enumerate(java.agents):
            yield from _placeholders(agent, (*place, "agents", index, "options"))
        if java.jmx_port is not None and security_of(spec).is_secured:
            message = "JMX asks for no password here, and whoever reaches it can run programs in the node"
            hint = "remove it, remove `security`, or open JMX with a password yourself: `java.options`"
            yield Finding((*place, "jmx_port"), message, hint)
        if spec.runtime == SWARM:
            for key in sorted({"agents", "jmx_port"} & java.model_fields_set):
                message = "nodes on a swarm get no agents and no JMX ports, which would be open on their engines"
                yield Finding((*place, key), message, "use an image with the agent, and `java.options`", at_key=True)


def _names(java: JavaSpec, place: "KeyPath") -> Iterator[Finding]:
    seen: set[str] = set()
    for path, file in _named(java, place):
        name = file.rpartition("/")[2]
        if name in seen:
            yield Finding(path, f"{name} is the name of another file of these agents", "give it another name")
        if name in (ADDRESS, PORT):
            yield Finding(path, f"{{{name}}} already stands for something else", "give the file another name")
        seen.add(name)


def _named(java: JavaSpec, place: "KeyPath") -> Iterator[tuple["KeyPath", str]]:
    """Every file of the agents as written, with its key."""
    for index, agent in enumerate(java.agents):
        yield (*place, "agents", index, "jar"), agent.jar
        for number, file in enumerate(agent.files):
            yield (*place, "agents", index, "files", number), file


def _placeholders(agent: AgentSpec, path: "KeyPath") -> Iterator[Finding]:
    known = [*files_of(agent), *((ADDRESS, PORT) if agent.port is not None else ())]
    for name in dict.fromkeys(PLACEHOLDER.findall(agent.options or "")):
        if name in (ADDRESS, PORT) and agent.port is None:
            yield Finding(path, f"{{{name}}} stands for nothing: the agent has no port", "give it the key `port`")
        elif name not in known:
            hint = f"known: {', '.join(f'{{{one}}}' for one in known)}"
            yield Finding(path, f"{{{name}}} stands for nothing", hint)


def agent_files(spec: "EnvironmentSpec", base_directory: Path) -> Iterator[Finding]:
    """The files of agents are there, can be read, and are not too large; relative paths are below `base_directory`."""
    for section, (java, _) in java_of(spec).items():
        for path, file in _named(java, (section, "java")):
            whole = base_directory / file
            if why := _fault(whole) or (path[-1] == "jar" and _no_agent(whole)):
                yield Finding(path, f"{whole} {why}", "name another file" if whole.exists() else where(file))


def _fault(file: Path) -> str:
    """Why the file cannot be given to nodes; empty if it can."""
    if why := unreadable(file):
        return why
    return f"is larger than {LARGEST // 1024**2} MiB" if file.stat().st_size > LARGEST else ""


def _no_agent(jar: Path) -> str:
    """Why Java would not take a jar as an agent, and end; empty if it would."""
    try:
        with ZipFile(jar) as archive:
            manifest = archive.read(_MANIFEST)
    except (BadZipFile, OSError, NotImplementedError):
        return "is not a jar"
    except KeyError:
        manifest = b""
    return "" if b"Premain-Class:" in manifest else "is not a Java agent: its manifest has no Premain-Class"
