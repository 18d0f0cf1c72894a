"""Fixtures of the tests of loss, and the environment that they change while records are written to it."""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from provision.common.values import replace
from tests.e2e.conftest import nothing_is_left, provision
from tests.engine import DEFAULT_VERSION, Provision, write_environment
from tests.soak.command import Command

__all__ = ["nothing_is_left", "provision"]

NAME, TOPIC, PARTITIONS = "soak", "records", 6
_UP = ("--yes",)
"""Options of every `up`: changes are agreed to."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Shape:
    """What changes of an environment: the rest is the same for all."""

    brokers: int = 3
    replication_factor: int = 3
    min_insync_replicas: int = 2
    version: str = DEFAULT_VERSION
    mode: str = "zookeeper"
    rebalance: bool = False
    throttle: str = "null"
    properties: Mapping[str, str | int] = field(default_factory=dict)

    def text(self) -> str:
        """The environment file. A short session lets a killed broker be noticed sooner than after 18 s, or 9 s."""
        session = {"zookeeper": "zookeeper.session.timeout.ms", "kraft": "broker.session.timeout.ms"}[self.mode]
        properties = {session: 6000, **self.properties}
        lines = "".join(f"    {key}: {value}\n" for key, value in properties.items())
        return (
            f"kafka: {{mode: {self.mode}}}\n"
            f"brokers:\n  nodes: {self.brokers}\n  port: auto\n  properties:\n{lines}"
            f"rebalance: {str(self.rebalance).lower()}\nthrottle: {self.throttle}\n"
            f"topics:\n  - name: {TOPIC}\n    partitions: {PARTITIONS}\n"
            f"    replication_factor: {self.replication_factor}\n"
            f"    config: {{min.insync.replicas: {self.min_insync_replicas}}}\n"
        )


class Bench:
    """The environment `soak` and the shape that is wanted of it."""

    def __init__(self, provision: Provision, directory: Path, shape: Shape) -> None:
        self._provision, self._directory = provision, directory
        self.want(shape)

    def want(self, shape: Shape) -> None:
        """Rewrite the environment file."""
        self.shape = shape
        self.provision = replace(self._provision, version=shape.version)
        self.file = write_environment(self._directory, NAME, shape.text())

    def begin(self, *arguments: str) -> Command:
        """Start a command and do not wait for it."""
        return Command(self.provision.start(*arguments))

    def begin_up(self, shape: Shape | None = None) -> Command:
        """Start `up`, with another shape where one is given."""
        if shape is not None:
            self.want(shape)
        return self.begin("up", self.file, *_UP)

    def up(self, *, tries: int = 1) -> str:
        """Run `up` until it succeeds, so many times at most; returns what it showed of the environment."""
        for attempt in range(1, tries + 1):
            result = self.provision("up", self.file, *_UP, "-o", "json")
            if result.code == 0:
                return result.out
            assert attempt < tries, f"up failed {tries} times, at last with {result.code}:\n{result.err}"
        raise AssertionError("it was never tried")

    @property
    def bootstrap_servers(self) -> str:
        """Where clients begin."""
        return str(json.loads(self.provision.ok("status", NAME, "-o", "json"))["bootstrap_servers"])

    def down(self) -> None:
        """Remove it."""
        self.provision.ok("down", NAME)
        assert self.provision.traces(NAME) == []


@contextmanager
def running(provision: Provision, directory: Path, shape: Shape) -> Iterator[Bench]:
    """Bring the environment up, and remove it afterwards; where a test failed, its nodes' logs stay in `directory`."""
    bench = Bench(provision, directory, shape)
    try:
        bench.up()
        yield bench
    except BaseException:
        logs = directory / "nodes.log"
        logs.write_text(bench.provision("logs", NAME).out)
        _log.error("the nodes' logs are kept in %s", logs)
        raise
    finally:
        bench.down()
