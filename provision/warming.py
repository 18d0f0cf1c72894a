"""Train the archives with which an environment's nodes start faster (`provision warm`).

A small throwaway environment of the same Kafka is started, writes and reads records, and is stopped cleanly. Its nodes
write lists of the classes that they load, and of these lists the archives are made.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from provision.catalogue.versions import ZOOKEEPER
from provision.cluster.model import Cluster, Node, Role
from provision.cluster.resolve import resolve_without_ports
from provision.common.interrupts import shielded
from provision.errors import Unavailable, UsageError
from provision.events import ActionStep, Event, Fetching, Listener, Notice, action, silent
from provision.home.place import Home
from provision.home.usable import made
from provision.kafka.levels import Level
from provision.operations.files import require_nodes
from provision.operations.life import stop_all
from provision.operations.remove import down
from provision.pipeline import UpOptions, up
from provision.runtime import Runtimes
from provision.runtime.archives import COMBINED, ENSEMBLE_BROKER, Archive, Archives, kind_of, training_options
from provision.runtime.base import Runtime
from provision.spec.source import Source

TRAIN = "train"
_TRAINED_TOGETHER = (
    frozenset({str(Role.ZOOKEEPER), ENSEMBLE_BROKER}),
    frozenset({COMBINED}),
    frozenset({str(Role.CONTROLLER), str(Role.BROKER)}),
)
"""The kinds of archives by the throwaway environments that train them."""
_LOCK_TIMEOUT_S = 900
_TTL = "1h"


@dataclass(frozen=True, slots=True)
class Warmed:
    """An archive, and whether it was made now."""

    archive: Archive
    made: bool


def warm(
    source: Source, runtimes: Runtimes, *, timeout_s: float = 120.0, tell: Listener = silent
) -> tuple[Warmed, ...]:
    """Make the archives for an environment's nodes that are missing, or that their JVMs do not take.

    The environment itself need not run, and is left alone.

    Raises:
        Unavailable: its Java is too old for archives, or another command is training and does not end.
        ProvisionError: the training failed; nothing is left of it.
    """
    spec = source.load(tell)
    require_nodes(spec)
    runtime = runtimes.choose(spec.runtime, spec.name, tell)
    if runtime.archives is None:
        raise UsageError(f"nodes of the runtime {runtime.kind} have no archives")
    layout = runtimes.layout(runtime.kind, spec, source.base_directory)
    cluster = resolve_without_ports(spec, layout, source.base_directory)
    for software in runtime.missing_software(cluster):
        with action(tell, "fetch", software):
            runtime.fetch_software(cluster, software, tell)
    nodes = {kind_of(cluster, node): node for node in cluster.nodes}
    with _alone(runtimes.home, tell):
        there = {kind: runtime.archives.fitting(cluster, node) for kind, node in nodes.items()}
        found = {kind: archive for kind, archive in there.items() if archive}
        made = dict[str, Archive]()
        for together in _TRAINED_TOGETHER:
            if missing := [kind for kind in nodes if kind in together and kind not in found]:
                training = _Training(cluster, runtimes, runtime, runtime.archives, timeout_s)
                made |= training.archives({kind: nodes[kind] for kind in missing}, together, tell)
    return tuple(Warmed(made.get(kind) or found[kind], kind in made) for kind in nodes)


@contextmanager
def _alone(home: Home, tell: Listener) -> Iterator[None]:
    """One training of a home at a time."""
    from filelock import FileLock, Timeout

    lock = FileLock(made(home.cache) / "training.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        tell(Notice("another command is training archives: waiting for it"))
        try:
            lock.acquire(timeout=_LOCK_TIMEOUT_S)
        except Timeout as error:
            raise Unavailable("another command is training archives and does not end") from error
    try:
        yield
    finally:
        lock.release()


def training_name(home: Home) -> str:
    """The name of the throwaway environment: each home has its own, because an engine may serve several."""
    return f"provision-warm-{hashlib.sha256(os.fsencode(home.directory)).hexdigest()[:6]}"


@dataclass(frozen=True, slots=True)
class _Training:
    """One throwaway environment for some of a cluster's nodes."""

    cluster: Cluster
    runtimes: Runtimes
    runtime: Runtime
    keeper: Archives
    timeout_s: float

    def archives(self, nodes: Mapping[str, Node], together: frozenset[str], tell: Listener) -> dict[str, Archive]:
        """Train, and make the archives of these kinds."""
        name, resources = training_name(self.runtimes.home), [f"archive {kind}" for kind in nodes]
        source = Source.of(None, (), self._values(name, together))
        with action(tell, TRAIN, *resources):
            step = _Steps(resources, tell)
            self._remove(name)  # what a killed command left
            try:
                step(f"starting a small Kafka {self.cluster.version}")
                up(source, self.runtimes, UpOptions(self.timeout_s, Level.ROUNDTRIP), tell=step.fetching)
                step("stopping it")
                observed = self.runtime.observe(name)
                stop_all(self.runtime, name, observed.nodes, silent)
                found = {}
                for kind, node in nodes.items():
                    step("making the archive", kind)
                    found[kind] = self.keeper.make(self.cluster, node, name)
                return found
            finally:
                with shielded(lambda: tell(Notice("still removing, please wait"))):
                    self._remove(name)

    def _remove(self, name: str) -> None:
        down(self.runtime, name, self.runtimes.home)

    def _values(self, name: str, together: frozenset[str]) -> dict[str, Any]:
        """The throwaway environment: one node of each role."""
        cluster = self.cluster
        java = {"options": training_options(self.keeper.class_list)}
        kafka: dict[str, Any] = {"version": str(cluster.version), "mode": cluster.mode}
        zookeeper: dict[str, Any] = {"java": java}
        if self.runtime.kind == "docker":
            kafka["image"] = cluster.software
            if cluster.zookeepers:
                zookeeper["image"] = cluster.zookeepers[0].software
        elif os.path.isabs(cluster.software):  # noqa: PTH117 it is a text that may be a version
            kafka["distribution"] = cluster.software
        values: dict[str, Any] = {
            "name": name,
            "kafka": kafka,
            "brokers": {"port": "auto", "java": java},
            "topics": [{"name": "training", "partitions": 3}],
            "ttl": _TTL,
        }
        if self.runtime.kind in ("docker", "process"):
            values["runtime"] = self.runtime.kind
        if cluster.mode == ZOOKEEPER:
            values["zookeeper"] = zookeeper
        elif str(Role.CONTROLLER) in together:
            values["controllers"] = {"nodes": 1, "java": java}
        return values


@dataclass(frozen=True, slots=True)
class _Steps:
    """Tells what a training does; of what its environment tells, only downloads matter."""

    resources: Sequence[str]
    tell: Listener

    def __call__(self, step: str, kind: str = "") -> None:
        for resource in [f"archive {kind}"] if kind else self.resources:
            self.tell(ActionStep(resource, TRAIN, step))

    def fetching(self, event: Event) -> None:
        if isinstance(event, Fetching):
            self.tell(event)
