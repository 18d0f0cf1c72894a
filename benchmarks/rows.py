"""The rows: what is measured beside what, and what is to be reached."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException

from benchmarks import bare
from benchmarks.compose import composed
from benchmarks.measuring import OURS, Aim, CannotRun, Contestant, Contestants, Row, python, run
from benchmarks.ours import Program, life, running, unique, warm
from benchmarks.peers import Peers, our_test
from benchmarks.profiles import profiles
from benchmarks.records import records
from benchmarks.scale import many_partitions
from benchmarks.shapes import ONE, ONE_KRAFT, THREE, THREE_KRAFT, Shape, written
from benchmarks.simulated import simulated
from benchmarks.suite import kept, suite
from provision.catalogue.versions import DEFAULT_VERSION
from tests.image.build import ensure_image

WITHOUT = "provision, no archives"
LIMIT, NO_ARCHIVE, DEFAULT = "limit", "bare JVMs, no archives", "bare JVMs, default options"
COMPOSE, TYPER, REQUEST, NOTHING = "docker compose", "import typer", "one CreateTopics request", "python -c pass"
TESTCONTAINERS, PYTEST_KAFKA, PERF_TEST = "testcontainers", "pytest-kafka", "kafka-producer-perf-test"
_SCALED, _NEW = 1000, 20


@dataclass(frozen=True, slots=True)
class Means:
    """With what the rows are measured: a cache of ours, and a Python that may have the peers."""

    cache: Path
    peers: Peers

    def image(self) -> str:
        """The image that all contestants in Docker use.

        Raises:
            CannotRun: no engine answers.
        """
        try:
            docker.from_env(timeout=10).ping()
        except DockerException as error:
            raise CannotRun(f"no Docker engine answers: {error}") from error
        return ensure_image(str(DEFAULT_VERSION))


def rows(means: Means) -> list[Row]:
    """All of them, in the order in which they are measured."""
    in_sync = "until 10 topics × 6 partitions × RF 3 are in sync"
    one = "until 1 topic × 3 partitions is in sync"
    limit_1, default = Aim("ready", 1.25, LIMIT), partial(Aim, "ready", beside=DEFAULT)
    return [
        Row("docker", f"Docker, ZooKeeper + 3 brokers, {in_sync}", partial(_docker, means),
            (Aim("ready", 0.33, COMPOSE), Aim("down", 0.07, COMPOSE))),
        Row("process", f"Processes, ZooKeeper + 3 brokers, {in_sync}", partial(_processes, means, THREE),
            (Aim("ready", 1.15, LIMIT), default(at_most=0.40), Aim("broker_bytes", 0.75, DEFAULT))),
        Row("kraft", f"Processes, 3 KRaft brokers, {in_sync}", partial(_processes, means, THREE_KRAFT),
            (Aim("ready", 0.9, LIMIT), default(at_most=0.40), Aim("broker_bytes", 0.75, DEFAULT))),
        Row("one-kraft", f"Processes, 1 KRaft broker, {one}", partial(_processes, means, ONE_KRAFT),
            (limit_1, default(at_most=0.6))),
        Row("one", f"Processes, ZooKeeper + 1 broker, {one}", partial(_processes, means, ONE),
            (limit_1, default(at_most=0.5))),
        Row("second-process", "A second `up`, nothing to do: processes, ZooKeeper + 3 brokers",
            partial(_second, means, THREE), (Aim("time", 0.40),)),
        Row("second-docker", "A second `up`, nothing to do: Docker, ZooKeeper + 3 brokers",
            partial(_second_docker, means), (Aim("time", 0.50),)),
        Row("second-1000", f"A second `up`, nothing to do: processes, 3 KRaft brokers, {_SCALED} topics × RF 3",
            partial(_second, means, THREE_KRAFT.of(topics=_SCALED, partitions=1)), (Aim("time", 1.2),)),
        Row("status", "`status`: processes, ZooKeeper + 3 brokers", partial(_status, means), (Aim("time", 0.35),)),
        Row("new-topics", f"{_NEW} new topics on a running cluster: processes, ZooKeeper + 3 brokers",
            partial(_new_topics, means), (Aim("time", 2.5, REQUEST),)),
        many_partitions(means.cache),
        simulated(),
        Row("commands", "Commands that reach no cluster", _commands, (Aim("help", 0.15), Aim("validate", 0.30))),
        Row("records", "1,000,000 records of 512 bytes, written with acks=all to 6 partitions of 1 broker",
            partial(records, means.cache, PERF_TEST), (Aim("time", 1.5, PERF_TEST),), most=3),
        profiles(means.cache),
        Row("one-docker", f"Docker, 1 KRaft broker, {one}", partial(_one_docker, means),
            (Aim("ready", 0.5, TESTCONTAINERS),)),
        Row("one-test", "One test with one broker, as processes with ZooKeeper",
            partial(_one_test, means)),
        Row("suite", "The sample project's 15 tests in Docker", partial(suite, means.image, means.cache, means.peers),
            (Aim("plain", 0.5, TESTCONTAINERS), Aim("4 workers", 0.3, TESTCONTAINERS),
             Aim("lines", 0.3, TESTCONTAINERS)), most=3),
        Row("kept", "The sample project with `--kafka-keep`, from the start of pytest to its first test",
            partial(kept, means.cache), (Aim("second run", 1.0),)),
    ]  # fmt: skip


@contextmanager
def _docker(means: Means, directory: Path) -> Iterator[Contestants]:
    shape = THREE.of(runtime="docker", image=means.image())
    with warm(directory, means.cache, shape):
        yield {
            OURS: life(means.cache, shape),
            WITHOUT: life(means.cache, shape.of(archives=False)),
            COMPOSE: composed(means.cache, shape),
        }


@contextmanager
def _processes(means: Means, shape: Shape, directory: Path) -> Iterator[Contestants]:
    with warm(directory, means.cache, shape):
        yield {
            OURS: life(means.cache, shape),
            WITHOUT: life(means.cache, shape.of(archives=False)),
            LIMIT: bare.bare(means.cache, shape, bare.LIMIT),
            NO_ARCHIVE: bare.bare(means.cache, shape, bare.NO_ARCHIVE),
            DEFAULT: bare.bare(means.cache, shape, bare.DEFAULT),
        }


@contextmanager
def _one_docker(means: Means, directory: Path) -> Iterator[Contestants]:
    shape = ONE_KRAFT.of(runtime="docker", image=means.image())
    with warm(directory, means.cache, shape):
        yield {OURS: life(means.cache, shape), TESTCONTAINERS: means.peers.testcontainers(shape)}


@contextmanager
def _one_test(means: Means, directory: Path) -> Iterator[Contestants]:
    with warm(directory, means.cache, ONE):
        yield {OURS: our_test(means.cache), PYTEST_KAFKA: means.peers.pytest_kafka(means.cache)}


def _timed(program: Program, *arguments: str) -> Contestant:
    return lambda _empty: {"time": program(*arguments)[0]}


@contextmanager
def _second(means: Means, shape: Shape, directory: Path) -> Iterator[Contestants]:
    with running(directory, means.cache, shape) as (program, file):
        yield {OURS: _timed(program, "up", file), TYPER: python("import typer")}


@contextmanager
def _second_docker(means: Means, directory: Path) -> Iterator[Contestants]:
    with _second(means, THREE.of(runtime="docker", image=means.image()), directory) as contestants:
        yield contestants


@contextmanager
def _status(means: Means, directory: Path) -> Iterator[Contestants]:
    with running(directory, means.cache, THREE) as (program, file):
        yield {OURS: _timed(program, "status", file), TYPER: python("import typer")}


@contextmanager
def _new_topics(means: Means, directory: Path) -> Iterator[Contestants]:
    numbers = count()
    with running(directory, means.cache, THREE) as (program, file):
        servers = json.loads(program("env", file, "--format", "json")[1])["KAFKA_BOOTSTRAP_SERVERS"]

        def ours(_empty: Path) -> Mapping[str, Any]:
            more = THREE.text(more_topics=_NEW, prefix=f"ours{next(numbers)}-")
            return {"time": program("up", written(directory, Path(file).stem, more))[0]}

        def request(_empty: Path) -> Mapping[str, Any]:
            names = [f"request{next(numbers)}-{number}" for number in range(_NEW)]
            return {"time": run([sys.executable, "-c", _REQUEST, servers, *names])[0]}

        yield {OURS: ours, REQUEST: request}


_REQUEST = """
import sys
from kafka.admin import KafkaAdminClient
admin = KafkaAdminClient(bootstrap_servers=sys.argv[1])
admin.create_topics({name: {"num_partitions": 6, "replication_factor": 3} for name in sys.argv[2:]})
admin.close()
"""


def _commands(directory: Path) -> AbstractContextManager[Contestants]:
    program = Program(directory, directory / "cache")
    file = written(directory, unique(), THREE.text())

    def ours(_empty: Path) -> Mapping[str, Any]:
        rendered = str(directory / "rendered")
        return {
            "help": program("--help")[0],
            "validate": program("validate", file)[0],
            "render": program("render", file, "--out", rendered)[0],
        }

    return nullcontext({OURS: ours, NOTHING: python("pass"), TYPER: python("import typer")})
