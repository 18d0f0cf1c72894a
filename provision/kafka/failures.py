"""Explain why a node exited, by known patterns in its last log lines."""

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """A known reason. `transient` means that starting the node again a little later solves it."""

    reason: str
    hint: str = ""
    transient: bool = False


_KNOWN = (
    (
        r"NodeExists(Exception)?\b",
        Failure(
            "its former self is still registered in ZooKeeper, until that session ends",
            "start it again in 20 seconds",
            transient=True,
        ),
    ),
    (
        r"InconsistentClusterIdException|Invalid cluster\.id in|doesn't match stored clusterId",
        Failure(
            "its data belong to another cluster than the ZooKeeper it found (cluster id mismatch)",
            "`provision down` removes both; they are created and deleted together",
        ),
    ),
    (
        r"OutOfMemoryError",
        Failure("the JVM ran out of memory", "raise brokers.heap (and brokers.memory), or zookeeper.heap"),
    ),
    (
        r"There is insufficient memory for the Java Runtime|Could not reserve enough space",
        Failure("the JVM could not get the memory for its heap", "lower heap, or raise brokers.memory"),
    ),
    (
        r"Address already in use|BindException",
        Failure("a port it listens on is taken", "use other ports, or `port: auto`"),
    ),
    (r"No space left on device", Failure("its disk is full", "free some space, or use another `storage`")),
    (
        r"Could not find or load main class (?P<what>\S+)",
        Failure("{what} is not where it was looked for", "check kafka.image or kafka.distribution"),
    ),
    (
        r"UnsupportedClassVersionError",
        Failure("its Java is too old for this Kafka", "use an image with a newer Java, or set JAVA_HOME to one"),
    ),
    (
        r"(Unrecognized VM option|Invalid maximum heap size|Error: Could not create the Java Virtual Machine)",
        Failure("the JVM does not accept its options", "check heap"),
    ),
    (
        r"(?:ConfigException|IllegalArgumentException|requirement failed)[^:]*: (?P<what>.+)",
        Failure("it does not accept its configuration: {what}", "correct the property in the environment file"),
    ),
    (
        r"(AccessDeniedException|Permission denied)",
        Failure("it may not write to its data directory", "check who owns the storage directory"),
    ),
)
_PATTERNS = tuple((re.compile(pattern), failure) for pattern, failure in _KNOWN)


def explain(log: Sequence[str], *, out_of_memory: bool = False) -> Failure | None:
    """The reason why a node exited, from its log lines; None if they match nothing known.

    Args:
        log: its last lines, oldest first.
        out_of_memory: whether the runtime reports that it was killed for using too much memory.
    """
    if out_of_memory:
        return Failure("it used more memory than its limit and was killed", "raise brokers.memory")
    for line in reversed(log):  # the latest: an earlier run may have ended for another reason
        for pattern, failure in _PATTERNS:
            if match := pattern.search(line):
                what = match.groupdict().get("what", "").strip()
                return Failure(failure.reason.format(what=what), failure.hint, failure.transient)
    return None
