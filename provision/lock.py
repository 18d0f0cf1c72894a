"""`provision lock`: what an environment's file means now, by content, kept beside it for `up --frozen`."""

from dataclasses import dataclass
from pathlib import Path

from provision.cluster.lock import Identities, Lock, deviations, head_deviations, images_of, lock_of, settled
from provision.cluster.lock_file import read, text_of, write
from provision.cluster.model import Cluster
from provision.errors import InvalidEnvironment, Unavailable, UsageError
from provision.events import Listener, Notice
from provision.frozen import bring_software, how_to_record, require_lock, require_none
from provision.pipeline import Source
from provision.runtime import runtime_of_kind
from provision.runtime.base import Runtime
from provision.spec.checks import mode_of
from provision.spec.model import EnvironmentSpec


@dataclass(frozen=True, slots=True)
class Locked:
    """What is recorded in which file, and whether that was another file before."""

    file: Path
    lock: Lock
    changed: bool


def lock(source: Source, tell: Listener) -> Locked:
    """Record the software of an environment, after bringing what is missing of it.

    Raises:
        UsageError: others run its nodes.
        Unavailable: an engine is asked for and none answers, or something cannot be brought.
    """
    file, spec = lock_of(source.file), _lockable(source, tell)
    now = _look(source, spec, _earlier(file, tell), tell)
    changed = not file.exists() or file.read_bytes() != text_of(now).encode()
    if changed:
        write(now, file)
    return Locked(file, now, changed)


def check(source: Source, tell: Listener) -> Locked:
    """Compare the lock with what there is, after bringing what is missing; writes nothing.

    Raises:
        Refused: there is no lock, or something differs: each with both sides.
        InvalidEnvironment: the lock is damaged.
    """
    file, spec = lock_of(source.file), _lockable(source, tell)
    there, hint = require_lock(source.file, spec.name), how_to_record(source.file)
    require_none(head_deviations(there, spec.kafka.version, mode_of(spec)), f"{file} is of another Kafka", hint)
    now = _look(source, spec, there, tell)
    differing = (*deviations(there.images, now.images, "image"), *deviations(there.jars, now.jars, "jar"))
    require_none(differing, f"{file} is not as things are", hint)
    return Locked(file, there, changed=False)


def _lockable(source: Source, tell: Listener) -> EnvironmentSpec:
    spec = source.load(tell)
    if spec.bootstrap_servers:
        raise UsageError(
            f"{spec.name} has nothing to lock: it has bootstrap_servers, and others run its nodes",
            hint="lock an environment that `provision up` makes",
        )
    return spec


def _earlier(file: Path, tell: Listener) -> Lock | None:
    """The lock there was; a damaged one is written anew."""
    try:
        return read(file)
    except InvalidEnvironment as error:
        tell(Notice(f"the lock is written anew, for it was damaged: {error.problems[0]}"))
        return None


def _look(source: Source, spec: EnvironmentSpec, earlier: Lock | None, tell: Listener) -> Lock:
    """What there is now, in the words of the earlier lock where it is the same."""
    before = earlier or Lock("", "")
    images: Identities = {}
    jars: Identities = {}
    if spec.runtime != "process":
        images = settled(before.images, _images(source.resolve_without_ports(spec, "docker"), spec, before, tell))
    if spec.runtime != "docker":
        cluster = source.resolve_without_ports(spec, "process")
        jars = settled(before.jars, _identities(runtime_of_kind("process"), cluster, tell))
    return Lock(spec.kafka.version, mode_of(spec), images, jars)


def _images(cluster: Cluster, spec: EnvironmentSpec, before: Lock, tell: Listener) -> Identities:
    """What the engine has; with `auto` and without one, what was recorded of the same images."""
    try:
        engine = runtime_of_kind("docker")
    except Unavailable as reason:
        if spec.runtime != "auto":
            raise
        known = set(before.images) == set(images_of(cluster))
        done = "stays as it was locked" if known else "is not recorded"
        tell(Notice(f"{', '.join(images_of(cluster))} {done}: {reason.what} ({reason.why})"))
        return before.images if known else {}
    return _identities(engine, cluster, tell)


def _identities(runtime: Runtime, cluster: Cluster, tell: Listener) -> Identities:
    bring_software(runtime.missing_software(cluster), cluster, runtime, tell)
    return runtime.identify_software(cluster)
