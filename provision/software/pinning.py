"""`provision lock`: record the software of an environment file by content, next to it, for `up --frozen`."""

from pathlib import Path

from msgspec import Struct

from provision.cluster.identity import Identities
from provision.cluster.model import Cluster
from provision.cluster.resolve import resolve_without_ports
from provision.errors import InvalidEnvironment, Unavailable, UsageError
from provision.events import Listener, Notice
from provision.runtime import Runtimes
from provision.runtime.base import Runtime
from provision.software.frozen import bring_software, how_to_record, require_none, require_pins
from provision.software.pins import Pins, deviations, head_deviations, images_of, lock_file_of, settled
from provision.software.pins_file import read, text_of, write
from provision.spec.defaults import mode_of
from provision.spec.model import EnvironmentSpec
from provision.spec.source import Source
from provision.spec.swarm import SWARM


class Pinned(Struct, frozen=True):
    """The recorded pins, their file, and whether it has changed."""

    file: Path
    pins: Pins
    changed: bool


def pin(source: Source, runtimes: Runtimes, tell: Listener) -> Pinned:
    """Record the software of an environment, after fetching what is missing.

    Raises:
        UsageError: it describes an external cluster.
        Unavailable: an engine is required and none answers, or something cannot be fetched.
    """
    file, spec = lock_file_of(source.required_file), _pinnable(source, tell)
    now = _look(source, spec, _earlier(file, tell), runtimes, tell)
    changed = not file.exists() or file.read_bytes() != text_of(now).encode()
    if changed:
        write(now, file)
    return Pinned(file, now, changed)


def check(source: Source, runtimes: Runtimes, tell: Listener) -> Pinned:
    """Compare the lock with what is present, after fetching what is missing; writes nothing.

    Raises:
        Refused: there is no lock, or something differs: gives both sides of each.
        InvalidEnvironment: the lock is damaged.
    """
    environment, spec = source.required_file, _pinnable(source, tell)
    file, there, hint = lock_file_of(environment), require_pins(environment, spec.name), how_to_record(environment)
    require_none(head_deviations(there, spec.kafka.version, mode_of(spec)), f"{file} is for another Kafka", hint)
    now = _look(source, spec, there, runtimes, tell)
    differing = (*deviations(there.images, now.images, "image"), *deviations(there.jars, now.jars, "jar"))
    require_none(differing, f"{file} is out of date", hint)
    return Pinned(file, there, changed=False)


def _pinnable(source: Source, tell: Listener) -> EnvironmentSpec:
    spec = source.load(tell)
    if spec.bootstrap_servers:
        raise UsageError(
            f"{spec.name} has nothing to lock: it is an external cluster (bootstrap_servers)",
            hint="lock an environment that `provision up` creates",
        )
    return spec


def _earlier(file: Path, tell: Listener) -> Pins | None:
    """The earlier record; None if the file is damaged."""
    try:
        return read(file)
    except InvalidEnvironment as error:
        tell(Notice(f"the lock is damaged, and a new one is written: {error.problems[0]}"))
        return None


def _look(source: Source, spec: EnvironmentSpec, earlier: Pins | None, runtimes: Runtimes, tell: Listener) -> Pins:
    """What is present now of what `up` would use here; entries with the same content keep their earlier record.

    With `auto`, the other runtime's software is not fetched: what was recorded of it stays, if the file still names it.
    """
    before, version, auto = earlier or Pins("", ""), spec.kafka.version, spec.runtime == "auto"
    kind, no_engine = _kind(spec, runtimes)
    cluster = _resolved(source, spec, runtimes, kind)
    found = _identities(runtimes.of_kind(kind), cluster, tell)
    if kind != "process":
        jars = before.jars if auto and before.version == version else {}
        if auto:
            tell(Notice(f"Kafka {version} for processes {_kept(jars)}: {spec.name} runs in Docker here"))
        return Pins(version, mode_of(spec), settled(before.images, found), jars)
    images: Identities = {}
    if no_engine:
        names = images_of(_resolved(source, spec, runtimes, "docker"))
        images = before.images if set(before.images) == set(names) else {}
        tell(Notice(f"{', '.join(names)} {_kept(images)}: {no_engine.what} ({no_engine.why})"))
    return Pins(version, mode_of(spec), images, settled(before.jars, found))


def _kept(record: Identities) -> str:
    return "stays as it was locked" if record else "is not recorded"


def _kind(spec: EnvironmentSpec, runtimes: Runtimes) -> tuple[str, Unavailable | None]:
    """The kind of the runtime that `up` would use here, and with `auto` why that is not Docker."""
    if spec.runtime in ("process", SWARM):
        return spec.runtime, None
    try:
        runtimes.of_kind("docker")
    except Unavailable as reason:
        if spec.runtime != "auto":
            raise
        return "process", reason
    return "docker", None


def _resolved(source: Source, spec: EnvironmentSpec, runtimes: Runtimes, kind: str) -> Cluster:
    layout = runtimes.layout(kind, spec, source.base_directory)
    return resolve_without_ports(spec, layout, source.base_directory)


def _identities(runtime: Runtime, cluster: Cluster, tell: Listener) -> Identities:
    bring_software(runtime.missing_software(cluster), cluster, runtime, tell)
    return runtime.identify_software(cluster)
