"""What every command of the program meets in tests: an environment that is up, with fakes for the engine and Kafka."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

# The fakes take the place of what is loaded.
import provision.environment
import provision.kafka.reading
import provision.kafka.writing
import provision.operations.doctor.gather
import provision.operations.doctor.machine
import provision.operations.topics
import provision.runtime.jars
import provision.software.images
from provision.catalogue.versions import KafkaVersion
from provision.cli.run import run
from provision.common.records import Record
from provision.events import Listener
from provision.home.place import Home
from provision.kafka.access import Access
from provision.operations.doctor.machine import MachineFacts
from provision.runtime.archives import KINDS
from provision.runtime.health import Machine, Probe, Reached, Space
from provision.runtime.process.java import Java
from provision.software.images import Built, Loaded
from tests.cli.test_help import COMMANDS
from tests.fake_kafka import FakeKafka, SpokenRuntime
from tests.runtimes import FakeRuntimes

NAME = "shop"
FILE = """\
name: shop
brokers: {nodes: 3}
topics:
  - {name: orders, partitions: 3, replication_factor: 3}
"""
CHANGED = FILE + "  - {name: fresh, partitions: 1, replication_factor: 3}\n"
WORDS = {
    "ENV": NAME,
    "TOPIC": "orders",
    "NODE": "",
    "VERSION": "3.9.1",
    "FILE": "-",
    "-- ARGS...": "",
    "-- COMMAND...": "",
    "PAGE": "commands",
}
SPECIAL = {
    ("init",): ["other"],
    ("render",): ["--out", "rendered"],
    ("up",): ["--yes"],
    ("wait",): ["--until", "brokers"],
    ("run",): ["--", "true"],
    ("topics", "create"): [NAME, "more"],
    ("consume",): ["-n", "3"],
    ("doctor",): [NAME],
    ("tool",): [NAME, "kafka-topics", "--", "--list"],
    ("image", "build"): ["--base", "java:17"],
}
# No test depends on what the machine is like that it runs on. This one lacks something of each kind.
MACHINE = MachineFacts(
    here=Machine("this machine", "Linux 6.8.0", "amd64", 2, 2 * 1024**3, spaces=(Space("/home", 1024**4, 1024**2),)),
    engine=Machine("the Docker engine at unix:///run/docker.sock", "28.0.1", "amd64", clock_ahead_s=90.0),
    java=(Java("/usr/lib/jvm/java-21-openjdk-amd64/bin/java", 21, "PATH"),),
    ports={2181: "another program", 9092: "java (process 4711)"},
    ours=frozenset(),
    directories={
        Path("/home/me/.local/state/provision"): "",
        Path("/home/me/.cache/provision"): "it cannot be written to",
    },
    available_memory_bytes=256 * 1024**2,
    open_files=1024,
    threads=512,
)
# The environment has no certificates: `tests/security/test_rotation.py` has one that does.
_OF_TLS = {("certs", "export"), ("certs", "rotate")}
LEAVES = sorted(path for path, command in COMMANDS.items() if not hasattr(command, "commands") and path not in _OF_TLS)


def line_of(path: tuple[str, ...]) -> list[str]:
    """A command line that works, for every command: a new one has one by itself, unless it needs new words."""
    special = SPECIAL.get(path, [])
    arguments = [one for one in COMMANDS[path].params if one.param_type_name == "argument"]
    words = [] if special and not special[0].startswith("-") else [WORDS[one.metavar] for one in arguments]
    return [*path, *filter(None, words), *special]


def settle(directory: Path, patch: pytest.MonkeyPatch) -> tuple[SpokenRuntime, FakeKafka]:
    """Bring the environment up in a directory, and change its file, so that there is something to do."""
    patch.chdir(directory)
    patch.setenv("PROVISION_HOME", str(directory / "home"))
    patch.delenv("PROVISION_ENV", raising=False)
    runtime = SpokenRuntime()
    for kind in KINDS:
        runtime.archives.keep(kind)
    kafka = FakeKafka(runtime, NAME)
    patch.setattr(provision.environment.described, "Runtimes", lambda home: FakeRuntimes(home, runtime))
    kafka.speak(patch)
    patch.setattr(provision.operations.doctor.machine, "gather_machine", lambda _: MACHINE)
    for module, name, instead in _INSTEAD:
        patch.setattr(module, name, instead)
    file = directory / "environments" / f"{NAME}.yaml"
    file.parent.mkdir()
    file.write_text(FILE)
    assert run(["up"]) == 0
    for node in runtime.observe(NAME).nodes:
        runtime._environments[NAME].logs[node.name] = [f"[2026-01-0{node.number} 10:00:00,000] {node.name} → starts"]  # noqa: SLF001
    file.write_text(CHANGED)
    runtime.on_verb = lambda _verb, _subject: None  # it may be stopped as a whole
    return runtime, kafka


def _consume(_access: Access, topic: str, *_: object, **_options: object) -> Iterator[Record]:
    for offset in range(3):
        yield Record(topic, 0, offset, b"key", f"värde → {offset}".encode())


def _produce(_access: Access, _topic: str, records: Any, **_options: Any) -> int:  # noqa: ANN401 as asked
    return len(list(records))


def _build(version: KafkaVersion, base: str, _tag: str | None, _home: Home, _tell: Listener) -> Built:
    return Built(f"provision/kafka:{version}", version, base, changed=True)


def _load(_archive: object, _called: str, _tell: Listener) -> list[Loaded]:
    return [Loaded("provision/kafka:3.9.1", "3.9.1", "")]


def _answered(probes: Iterable[Probe]) -> Reached:
    return {probe.address: "" for probe in probes}


_INSTEAD: tuple[tuple[Any, str, Any], ...] = (
    (provision.operations.doctor.gather, "asked_from_here", _answered),
    (provision.kafka.reading, "consume", _consume),
    (provision.kafka.writing, "produce", _produce),
    (provision.software.images, "build", _build),
    (provision.software.images, "load", _load),
    (provision.software.images, "usable_images", list),
    (provision.runtime.jars, "fetch", lambda _version, directory, _tell: directory),
)
