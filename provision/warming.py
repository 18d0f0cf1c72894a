"""Train the archives with which an environment's nodes start faster (`provision warm`).

A small throwaway environment of the same Kafka is started, writes and reads records, and is stopped cleanly. Its nodes
write lists of the classes that they load, and of these lists the archives are made.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from msgspec import Struct

from provision.catalogue.versions import ZOOKEEPER
from provision.cluster.model import Cluster, Node, Role
from provision.cluster.resolve import resolve_without_ports
from provision.common import spare, told_passwords
from provision.common.clocks import now_s
from provision.common.interrupts import shielded
from provision.common.patience import Patience
from provision.common.process_identity import ProcessIdentity
from provision.errors import Unavailable, UsageError
from provision.events import ActionStep, Event, Fetching, Listener, Notice, action, silent
from provision.home.holders import Holder
from provision.home.locks import HomeLock
from provision.home.place import Home
from provision.home.trainers import Trainer, throwaway, training
from provision.home.usable import unusable
from provision.kafka.levels import Level
from provision.operations import status
from provision.operations.files import require_nodes
from provision.operations.life import stop_all
from provision.operations.remove import down, end_all_training
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
_SHARE = 0.25
"""The share of the processors that a training in the background may use."""
_LITTLE, _LOOK_S, _LOOKS = 0.5, 2.0, 3
"""It has little to do if no more than this share of it is busy, in each of so many looks of so many seconds."""
_GIVE_UP_S = 600.0
_TTL = "1h"


class Warmed(Struct, frozen=True):
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
    for user in spec.users:  # what is trained knows no users
        if user.password and user.password.env:
            told_passwords.note(os.environ.get(user.password.env, ""))
    end_all_training(runtimes)  # who asks for it does not wait for what waits
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
    """One training with a cache at a time."""
    with training(home.cache) as alone:
        if alone:
            yield
            return
    tell(Notice("another command is training archives: waiting for it"))
    with training(home.cache, _LOCK_TIMEOUT_S) as alone:
        if not alone:
            raise Unavailable("another command is training archives and does not end")
        yield


def warm_when_idle(
    source: Source, runtimes: Runtimes, runtime: Runtime, *, timeout_s: float = 120.0, tell: Listener = silent
) -> tuple[Warmed, ...]:
    """What `warm` does, once the machine has little else to do, with only what others leave; so a whole process.

    It ends when the environment is removed, or the note of this process.

    Returns:
        Nothing, if another one trains in this home, or the machine has had too much to do for too long.

    Raises:
        UsageError: the environment is not up.
        ProvisionError: as `warm`.
    """
    name, home = source.name, runtimes.home
    status.require(runtime, name)
    with home.trainers.alone() as alone:
        if not alone:
            tell(Notice("another process trains archives in the background: this one ends"))
            return ()
        processors = max(1, int(spare.spare().processors * _SHARE))
        spare.stand_back(processors)
        runtime.stand_back(processors)
        me = Trainer(environment=name, runtime=runtime.kind, process=ProcessIdentity.of(), since_s=now_s())
        with _noted(home, me):
            if not _becomes_idle(lambda: _is_wanted(home, me) and not runtime.observe(name).is_absent):
                tell(Notice("no archives are trained: the machine is busy, or the environment is gone"))
                return ()
            with _ending_when(lambda: not _is_wanted(home, me)):
                return warm(source, runtimes, timeout_s=timeout_s, tell=tell)


@contextmanager
def _noted(home: Home, me: Trainer) -> Iterator[None]:
    """Note this process, unless what has started it has, until the block ends."""
    noted = home.trainers.of(me.environment)
    if noted is None or noted.process != me.process:
        home.trainers.note(me)
    try:
        yield
    finally:
        if _is_wanted(home, me):
            home.trainers.forget(me.environment)


def _is_wanted(home: Home, me: Trainer) -> bool:
    noted = home.trainers.of(me.environment)
    return noted is not None and noted.process == me.process


def _becomes_idle(is_wanted: Callable[[], bool]) -> bool:
    """Wait until the machine has had little to do for a while; False if that does not come, or is not wanted."""
    patience, calm = Patience(_GIVE_UP_S), 0
    while not patience.is_over and is_wanted():
        calm = calm + 1 if spare.busy_share(_LOOK_S) <= _LITTLE else 0
        if calm == _LOOKS:
            return is_wanted()
    return False


@contextmanager
def _ending_when(is_over: Callable[[], bool]) -> Iterator[None]:
    """End this process like SIGTERM does, once that is so while the block runs."""
    done, main = threading.Event(), threading.get_ident()

    def watch() -> None:
        while not done.wait(_LOOK_S):
            if is_over():
                signal.pthread_kill(main, signal.SIGTERM)
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


@contextmanager
def _held(home: Home, name: str) -> Iterator[None]:
    """Hold the lock of a throwaway environment, by which others see that its ports are in use.

    Raises:
        Busy: another command holds it.
    """
    lock = HomeLock(home.directory, name)
    try:
        lock.take(Holder.of("warm"))
    except OSError as error:
        raise unusable(home.directory, error.strerror or str(error)) from error
    try:
        yield
    finally:
        lock.release()


class _Training(Struct, frozen=True):
    """One throwaway environment for some of a cluster's nodes."""

    cluster: Cluster
    runtimes: Runtimes
    runtime: Runtime
    keeper: Archives
    timeout_s: float

    def archives(self, nodes: Mapping[str, Node], together: frozenset[str], tell: Listener) -> dict[str, Archive]:
        """Train, and make the archives of these kinds."""
        name, resources = throwaway(self.runtimes.home.directory), [f"archive {kind}" for kind in nodes]
        source = Source.of(None, (), self._values(name, together))
        with action(tell, TRAIN, *resources), _held(self.runtimes.home, name):
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


class _Steps(Struct, frozen=True):
    """Tells what a training does; of what its environment tells, only downloads matter."""

    resources: Sequence[str]
    tell: Listener

    def __call__(self, step: str, kind: str = "") -> None:
        for resource in [f"archive {kind}"] if kind else self.resources:
            self.tell(ActionStep(resource, TRAIN, step))

    def fetching(self, event: Event) -> None:
        if isinstance(event, Fetching):
            self.tell(event)
