"""Limits that a running node has reached, or is about to reach: files, threads, disks."""

from collections.abc import Iterator

from provision.cluster.layout import NODE_HOME
from provision.cluster.model import StorageKind
from provision.kafka.failures import telling
from provision.operations.doctor.facts import Facts, NodeFacts, known
from provision.operations.doctor.findings import Finding, Severity
from provision.operations.doctor.registry import check
from provision.plan.observed import ObservedNode
from provision.runtime.health import Space, Usage
from provision.spec.units import size_text

_NEARLY = 0.95
_FREE_SHARE, _FREE_BYTES = 0.01, 1024**2
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 looked at, not written to
_LINES = 3
# What a log tells of a node that runs on.
_OF_RUNNING = (
    "too-few-open-files",
    "too-few-threads",
    "disk-full",
    "sigbus",
    "disk-failed",
    "read-only-data-directory",
    "log-directory-failed",
    "heap-too-small",
    "direct-memory-too-small",
)


@check("too-few-open-files", "too-few-threads")
def nearly_used(facts: Facts) -> Iterator[Finding]:
    """A node has used nearly all of its files or threads; the next one fails."""
    for node, known_of in facts.running:
        vitals = known(known_of.vitals)
        if vitals and vitals.open_files.is_above(_NEARLY):
            yield _of_limit(facts, node, "too-few-open-files", "open files", vitals.open_files, "n")
        if vitals and vitals.threads.is_above(_NEARLY):
            yield _of_limit(facts, node, "too-few-threads", "threads", vitals.threads, "u")


def _of_limit(facts: Facts, node: ObservedNode, name: str, what: str, usage: Usage, letter: str) -> Finding:
    in_docker = facts.is_in_docker
    where = "Docker's `default-ulimits`" if in_docker else f"`ulimit -{letter}` where processes start"
    return Finding(
        name,
        f"{node.name} has nearly reached its limit of {what}",
        evidence=(f"{usage.used} of {usage.limit} {what} are in use",),
        cause="each partition needs files, each connection a file, and each pool threads",
        fix=f"raise it ({where}), then provision restart {facts.name} {node.name}; or have fewer partitions",
        node=node.name,
    )


@check("disk-full", "shared-memory-full", "read-only-data-directory")
def spaces(facts: Facts) -> Iterator[Finding]:
    """A file system that a node writes to is full, or cannot be written to."""
    for node, known_of in facts.each:
        vitals = known(known_of.vitals)
        for space in vitals.spaces if vitals else ():
            is_data = space.place.startswith(NODE_HOME) or not facts.is_in_docker
            if not space.writable and is_data:
                yield Finding(
                    "read-only-data-directory",
                    f"{node.name} cannot write to {space.place}",
                    evidence=(f"{space.place} is not writable",),
                    cause="its file system was mounted read-only, or its owner or permissions were changed",
                    file=facts.line_for(node.name, "storage"),
                    fix=f"make it writable again, then provision up {facts.name}",
                    node=node.name,
                )
            elif _is_full(space):
                yield _of_full(facts, node, space)


def _is_full(space: Space) -> bool:
    return space.size_bytes > 0 and space.free_bytes < max(_FREE_BYTES, _FREE_SHARE * space.size_bytes)


def _of_full(facts: Facts, node: ObservedNode, space: Space) -> Finding:
    shared = space.place == _SHARED_MEMORY
    return Finding(
        "shared-memory-full" if shared else "disk-full",
        f"the disk of {node.name} is full" if not shared else f"{_SHARED_MEMORY} of {node.name} is full",
        evidence=(f"{size_text(space.free_bytes)} of {size_text(space.size_bytes)} are free in {space.place}",),
        cause="a broker ends when it cannot write its log, and a JVM crashes (SIGBUS) when a mapped file cannot grow",
        file=facts.line_for(node.name, "storage"),
        fix=_room(facts, space),
        node=node.name,
    )


def _room(facts: Facts, space: Space) -> str:
    observed = known(facts.observed)
    if observed and observed.storage == StorageKind.MEMORY:
        return f"`storage: volume`, or more memory (`brokers.memory`), then provision up {facts.name}"
    return (
        f"free some space (`df -h {space.place}`), or let Kafka delete more (`retention.bytes`); "
        f"then provision up {facts.name}"
    )


@check(*_OF_RUNNING)
def told_by_log(facts: Facts) -> Iterator[Finding]:
    """A node runs on and is not ready, and its log tells of a limit."""
    for node, known_of in facts.running:
        failure = facts.failure_of(node) if node.name in facts.missing else None
        if failure and failure.id in _OF_RUNNING:
            yield Finding(
                failure.id,
                f"{node.name} does not work: {failure.reason}",
                evidence=(f"{node.name}: {facts.missing[node.name]}", *_lines(known_of)),
                cause=failure.reason,
                file=facts.line_for(node.name, *failure.keys),
                fix=f"{failure.hint}; then provision restart {facts.name} {node.name}",
                severity=Severity.ERROR,
                node=node.name,
            )


def _lines(known_of: NodeFacts) -> Iterator[str]:
    return (f"log: {line}" for line in telling(known(known_of.log) or ())[:_LINES])
