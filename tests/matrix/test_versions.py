"""Each release line that the catalogue knows, on real brokers: it comes up, keeps records and leaves nothing."""

import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

from provision.catalogue.versions import RELEASES, KafkaVersion, release_of
from provision.events import silent
from provision.home.place import Home
from provision.runtime import jars
from tests.engine import Provision, anonymous_volumes, image, java, wait_until, write_environment

pytestmark = pytest.mark.row(None)  # each environment has a name of its own


@dataclass(frozen=True, slots=True)
class Row:
    """A version, how it keeps its metadata, and where it runs."""

    version: str
    mode: str
    """`zookeeper`, or where the controllers of KRaft are: `combined` with brokers, or `dedicated` to it."""
    runtime: str

    def __str__(self) -> str:
        return f"{self.version}-{self.mode}-{self.runtime}"


@dataclass(frozen=True, slots=True)
class Metadata:
    """The version of the metadata that `kafka-storage format` of a release takes by itself (`MetadataVersion`)."""

    name: str
    level: int


RUNTIMES = ("docker", "process")
ON_BOTH = ("2.8.2", "3.3.2", "3.6.2", "3.9.1")
# What `make test-soak` has, for CI has half an hour: the release lines in between, and the other two of each version's
# four ways with KRaft.
ON_PROCESSES = ("3.2.3", "3.5.2", "3.7.2", "3.8.1")
KRAFT = {
    "3.3.2": Metadata("3.3-IV3", 7),
    "3.9.1": Metadata("3.9-IV0", 21),
    "4.3.0": Metadata("4.3-IV0", 30),
}
SELDOM = {("dedicated", "docker"), ("combined", "process")}
IN_BETWEEN = {
    *(Row(version, "zookeeper", runtime) for version in ("3.3.2", "3.6.2") for runtime in RUNTIMES),
    Row("3.9.1", "zookeeper", "docker"),  # the default, which most other tests have
    Row("3.9.1", "combined", "docker"),
    Row("3.9.1", "dedicated", "process"),
    Row("3.3.2", "dedicated", "process"),
}
ROWS = (
    *(Row(version, "zookeeper", runtime) for version in ON_BOTH for runtime in RUNTIMES),
    *(Row(version, "zookeeper", "process") for version in ON_PROCESSES),
    *(Row(version, mode, runtime) for version in KRAFT for mode in ("combined", "dedicated") for runtime in RUNTIMES),
)
STARTED = {row.version for row in ROWS} - {*ON_PROCESSES}
QUICK = Row("4.3.0", "combined", "docker")
"""The row of `make test`: the newest Kafka. The oldest one, in ZooKeeper mode, is the how-to's."""
# How long a broker waits for an answer of a ZooKeeper that is not quite up (18 s), and, as the last one to be stopped,
# to try again to give its leaderships away (5 s, twice).
PATIENCE = {"zookeeper.session.timeout.ms": 6000, "controlled.shutdown.retry.backoff.ms": 500}
SERVED = (*ON_BOTH, *ON_PROCESSES, "4.1.1", "4.2.0", "4.3.0")


def _parameter(row: Row) -> object:
    marks = [pytest.mark.engine if row.runtime == "docker" else pytest.mark.process]
    if row.version in ON_PROCESSES or (row.mode, row.runtime) in SELDOM or row in IN_BETWEEN:
        marks.append(pytest.mark.soak)
    elif row != QUICK:
        marks.append(pytest.mark.matrix)
    return pytest.param(row, marks=marks, id=str(row))


@pytest.mark.parametrize("row", map(_parameter, ROWS))
def test_it_comes_up_keeps_records_stays_as_it_is_and_goes_without_a_trace(row: Row, tmp_path: Path) -> None:
    if row.runtime == "docker":
        image(row.version)
    else:
        java(row.version)
    volumes = anonymous_volumes() if row.runtime == "docker" else frozenset()
    provision = Provision(tmp_path / "home", row.runtime, version=row.version)
    name = f"matrix-{row.version.replace('.', '-')}-{row.mode}"
    env = write_environment(tmp_path, name, _file(row))
    try:
        shown = json.loads(provision.ok("up", env, "-o", "json", "--until", "roundtrip"))
        assert (shown["ready"], shown["level"]) == (True, "roundtrip")
        assert shown["kafka"] == {"version": row.version, "mode": "zookeeper" if row.mode == "zookeeper" else "kraft"}
        assert [node["name"] for node in shown["nodes"]] == _nodes(row)
        assert provision.ok("tool", env, "kafka-topics", "--", "--list").split() == ["t"]
        provision.ok("produce", env, "t", stdin="kept\n")
        provision.ok("stop", env)
        provision.ok("start", env)
        assert provision.ok("consume", env, "t", "--from-beginning", "-n", "1") == "kept\n"
        assert provision("plan", env, "--detailed-exitcode").code == 0
        if row.mode != "zookeeper":
            _check_metadata(provision, env, row)
    finally:
        provision.ok("down", env)
    assert provision.traces(name) == []
    assert json.loads((provision.home / "ports.json").read_text()) == {}
    if row.runtime == "docker":
        assert wait_until(lambda: anonymous_volumes() <= volumes)  # those of other tests come and go


def _file(row: Row) -> str:
    brokers = len(_brokers(row))
    properties = PATIENCE if row.mode == "zookeeper" else {}
    nodes = f"brokers: {{nodes: {brokers}, port: auto, properties: {json.dumps(properties)}}}\n"
    nodes += f"topics: [{{name: t, partitions: 3, replication_factor: {brokers}}}]\n"
    match row.mode:
        case "zookeeper":
            return f"zookeeper: {{port: auto}}\n{nodes}"
        case "combined":
            return f"kafka: {{mode: kraft}}\n{nodes}"
        case _:
            return f"kafka: {{mode: kraft}}\ncontrollers: {{nodes: 3}}\n{nodes}"


def _nodes(row: Row) -> list[str]:
    before = {"zookeeper": ["zookeeper-1"], "dedicated": [f"controller-{number}" for number in (1, 2, 3)]}
    return [*before.get(row.mode, ()), *_brokers(row)]


def _brokers(row: Row) -> list[str]:
    """As many as make a quorum where they are one; else two replicate, and start sooner."""
    return [f"broker-{number}" for number in range(1, 4 if row.mode == "combined" else 3)]


def _check_metadata(provision: Provision, env: str, row: Row) -> None:
    """The metadata have the version that this release gives, as the client and Kafka's own tool tell it."""
    expected = KRAFT[row.version]
    status = json.loads(provision.ok("status", env, "-o", "json"))
    admin = KafkaAdminClient(bootstrap_servers=status["bootstrap_servers"].split(","))
    try:
        feature = admin.describe_features()["metadata.version"]
    finally:
        admin.close()
    assert feature["finalized"] == (expected.level, expected.level)
    assert feature["supported"][1] == expected.level
    assert _finalized(provision, env) == expected.name
    assert _voters(provision, env) == ([1001, 1002, 1003] if row.mode == "dedicated" else [1, 2, 3])


def _finalized(provision: Provision, env: str) -> str:
    """The finalized version of the metadata, as Kafka's own tool tells it."""
    described = provision.ok("tool", env, "kafka-features", "--", "describe")
    (line,) = [line for line in described.splitlines() if "metadata.version" in line]
    found = re.search(r"FinalizedVersionLevel: (\S+)", line)
    assert found, line
    return found.group(1)


def _voters(provision: Provision, env: str) -> list[int]:
    """Who makes up the quorum, as Kafka's own tool tells it."""
    described = provision.ok("tool", env, "kafka-metadata-quorum", "--", "describe", "--status")
    (line,) = [line for line in described.splitlines() if line.startswith("CurrentVoters:")]
    return [int(number) for number in re.findall(r"(?:\"id\": |[\[,])\s*(\d+)", line)]


def _with_its_jars(version: str) -> object:
    """Where no other test has the jars of a version, only the soak run fetches them."""
    return pytest.param(version, marks=pytest.mark.matrix if version in STARTED else pytest.mark.soak)


def _jars(version: str) -> Path:
    wanted = KafkaVersion.parse(version)
    return jars.fetch(wanted, Home.of_user().jars(wanted), silent)


@pytest.mark.parametrize("version", map(_with_its_jars, SERVED))
def test_every_tool_is_a_class_of_its_jars(version: str) -> None:
    directory = _jars(version)
    classes = {name for jar in directory.glob("*.jar") for name in zipfile.ZipFile(jar).namelist()}
    tools = release_of(KafkaVersion.parse(version)).tools
    missing = {
        tool: main for tool, main in tools.items() if f"{main.split()[0].replace('.', '/')}.class" not in classes
    }
    assert not missing


@pytest.mark.parametrize("version", map(_with_its_jars, SERVED))
def test_the_zookeeper_that_a_release_was_made_for_is_that_of_its_jars(version: str) -> None:
    directory = _jars(version)
    found = {jar.name.removeprefix("zookeeper-").rpartition(".")[0] for jar in directory.glob("zookeeper-[0-9]*.jar")}
    line = release_of(KafkaVersion.parse(version)).zookeeper
    assert {one.rpartition(".")[0] for one in found} == ({line} if line else set())


def test_every_release_line_of_the_catalogue_is_in_the_matrix() -> None:
    served = {release_of(KafkaVersion.parse(version)).first for version in SERVED}
    assert served == {release.first for release in RELEASES}
