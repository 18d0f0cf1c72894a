"""Explain why a node exited, by known patterns in its log.

The last lines of a log are seldom the reason: a broker that fails logs it once and then, line by line, its shutdown. So
a log is read as records of the node's last run. Errors come before warnings, later ones before earlier ones, and causes
before the consequences by which they are usually followed.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

LOG_LINES = 3000
"""How many of its last lines `explain` needs: the reason can be far above the end."""
_SHOWN_LINES = 12


@dataclass(frozen=True, slots=True)
class Failure:
    """A known reason. `transient` means that starting the node again a little later solves it.

    `port_taken` means that it could not listen where its configuration says.
    """

    reason: str
    hint: str = ""
    transient: bool = False
    port_taken: bool = False


_LIMIT_HINT = (
    "raise it (`ulimit -{}` where processes start; Docker's own with `default-ulimits`), or make the cluster smaller"
)
_FULL = "free some space (`df -h` shows where), or use another `storage`"
_OPTIONS = "look for it in JAVA_TOOL_OPTIONS and JDK_JAVA_OPTIONS"
_PORT_OF_OPTION = f"{_OPTIONS}: JVMs cannot share a port"
_BOTH_GO = "`provision down` removes both; they are created and deleted together"
_NO_CLASS = Failure(
    "it does not find the class {what}", "correct its name, or use an image or distribution that has its jar"
)

# In a record the first that fits is the reason, so special ones come before general ones.
_CAUSES = (
    (
        r"NodeExists(Exception)?\b",
        Failure(
            "its former self is still registered in ZooKeeper, until that session ends",
            "start it again in 20 seconds",
            transient=True,
        ),
    ),
    (
        r"Invalid cluster\.id in: (?P<what>\S+?)\.? ",
        Failure("{what} says that its data belong to another cluster than ZooKeeper's (cluster id mismatch)", _BOTH_GO),
    ),
    (
        r"InconsistentClusterIdException|doesn't match stored clusterId|Invalid cluster\.id in",
        Failure("its data belong to another cluster than the ZooKeeper it found (cluster id mismatch)", _BOTH_GO),
    ),
    (
        r"INCONSISTENT_CLUSTER_ID|InconsistentClusterId",
        Failure("its data belong to another cluster than the controllers' (cluster id mismatch)", _BOTH_GO),
    ),
    (
        r"InconsistentBrokerIdException|(?:Stored|Configured) (?:node|broker)\.? ?id .{1,40}doesn't match",
        Failure("its data are those of another node", "give each node its own directory back, or `provision down`"),
    ),
    (
        r"(?:No readable|No `?)meta\.properties`?|You must run `?kafka-storage",
        Failure("its storage was never formatted", "`provision up` formats what never ran; else `provision down` it"),
    ),
    (
        r"Failed to acquire lock on file \.lock in (?P<what>\S+?)\.? ",
        Failure("another process uses its data directory {what}", "end that process"),
    ),
    # -- limits ---------------------------------------------------------------------------------------------------
    (
        r"unable to create (?:new )?native thread|pthread_create failed|Cannot create worker GC thread",
        Failure("it may not start another thread: a limit of threads or processes is reached", _LIMIT_HINT.format("u")),
    ),
    (
        r"Too many open files",
        Failure("it may not open another file: its limit of open files is reached", _LIMIT_HINT.format("n")),
    ),
    (r"No space left on device|Disk quota exceeded|not enough space on the disk", Failure("its disk is full", _FULL)),
    (
        r"SIGBUS|fault occurred in (?:a recent|an) unsafe memory access",
        Failure(
            "it could not write a file that is mapped into memory: most likely its disk or /dev/shm is full", _FULL
        ),
    ),
    (
        r"(?P<what>Read-only file system|Input/output error|Structure needs cleaning|Stale file handle)",
        Failure("its disk fails: {what}", "repair it, or use another `storage`"),
    ),
    # -- memory ---------------------------------------------------------------------------------------------------
    (
        r"OutOfMemoryError: Compressed class space",
        Failure("the JVM has no more room for classes", f"raise -XX:CompressedClassSpaceSize; {_OPTIONS}"),
    ),
    (
        r"OutOfMemoryError: Metaspace",
        Failure("the JVM has no more room for classes", f"raise -XX:MaxMetaspaceSize; {_OPTIONS}"),
    ),
    (
        r"OutOfMemoryError: (?:Cannot reserve \d+ bytes of direct|Direct) buffer memory",
        Failure(
            "the JVM has no more room for network buffers",
            "raise its heap, by which that is bounded, or -XX:MaxDirectMemorySize",
        ),
    ),
    (
        r"OutOfMemoryError: Map failed|MapFailed",
        Failure("it may not map another file into memory", "raise the system's vm.max_map_count (`sysctl`)"),
    ),
    (
        r"OutOfMemoryError",
        Failure("the JVM ran out of memory", "raise brokers.heap (and brokers.memory), or zookeeper.heap"),
    ),
    (
        r"Could not (?:allocate|reserve).{0,20} compressed class space",
        Failure("the JVM could not get the memory for its classes", "raise the limit of memory (`ulimit -v`)"),
    ),
    (
        r"There is insufficient memory for the Java Runtime|Could not reserve enough space",
        Failure("the JVM could not get the memory for its heap", "lower heap, or raise brokers.memory"),
    ),
    # -- ports ----------------------------------------------------------------------------------------------------
    (
        r"transport error .*(?:Address already in use|bind failed)",
        Failure("the port of its debugger (jdwp) is taken", _PORT_OF_OPTION),
    ),
    (r"JDWP (?:exit error|Transport)", Failure("its debugger (jdwp) cannot start", _OPTIONS)),
    (
        r"Port already in use: (?P<what>\d+)",
        Failure("the port {what} of JMX is taken", _PORT_OF_OPTION),
    ),
    (
        r"JMX connector server communication error: \S+?:(?P<what>\d+)",
        Failure("the port {what} of JMX is taken", _PORT_OF_OPTION),
    ),
    (
        r"(?:JAR manifest missing ?: |Could not find agent library )(?P<what>\S+)",
        Failure("the agent {what} in its Java options is not there", _OPTIONS),
    ),
    (
        r"(?s)(?P<what>[^\n]{0,200}BindException[^\n]*).*processing of -javaagent failed",
        Failure("a port of its Java agent is taken: {what}", _PORT_OF_OPTION),
    ),
    (
        r"processing of -javaagent failed|Exception thrown by the agent",
        Failure("an agent in its Java options cannot start", _OPTIONS),
    ),
    (
        r"failed to bind to (?P<what>\S+:\d+)",
        Failure("{what}, where it listens, is taken", "use other ports, or `port: auto`", port_taken=True),
    ),
    (
        r"Address already in use|BindException",
        Failure("a port it listens on is taken", "use other ports, or `port: auto`", port_taken=True),
    ),
    # -- software -------------------------------------------------------------------------------------------------
    (
        r"Could not find or load main class (?P<what>\S+)",
        Failure("{what} is not where it was looked for", "check kafka.image or kafka.distribution"),
    ),
    (
        r"UnsupportedClassVersionError: (?!kafka|org/apache/kafka)(?P<what>\S+)",
        Failure("its Java is too old for {what}", "use a plugin made for it, or an image with a newer Java"),
    ),
    (
        r"UnsupportedClassVersionError",
        Failure("its Java is too old for this Kafka", "use an image with a newer Java, or set JAVA_HOME to one"),
    ),
    (r"\bClass (?P<what>[\w.$]+) (?:cannot|could not) be found", _NO_CLASS),
    (r"(?:ClassNotFoundException|NoClassDefFoundError): (?P<what>[\w.$/]+)", _NO_CLASS),
    (
        r"(Unrecognized VM option|Invalid maximum heap size|Error: Could not create the Java Virtual Machine)",
        Failure("the JVM does not accept its options", "check heap, JAVA_TOOL_OPTIONS and JDK_JAVA_OPTIONS"),
    ),
    (
        r"KafkaException: (?P<what>.+ is not an instance of .+)",
        Failure("it does not accept its configuration: {what}", "correct the property in the environment file"),
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
# What follows from something else, and is the reason only if nothing else is said.
_CONSEQUENCES = (
    (
        r"all log dirs in (?P<what>.+?) have failed|[Nn]one of the specified log dirs",
        Failure("its data directory failed", "check the disk; the log says which file"),
    ),
    (
        r"ZooKeeperClientTimeoutException|Timed out waiting for connection while in state",
        Failure("ZooKeeper did not answer it", "`provision logs` of its nodes says why"),
    ),
)
Patterns = Sequence[tuple[re.Pattern[str], Failure]]
_PATTERNS: Sequence[Patterns] = [
    [(re.compile(pattern, re.MULTILINE), failure) for pattern, failure in known] for known in (_CAUSES, _CONSEQUENCES)
]


class _Level(IntEnum):
    """How much a record says about a failure, the most first."""

    ERROR = 0
    WARNING = 1
    OTHER = 2


_LEVELS = {"FATAL": _Level.ERROR, "ERROR": _Level.ERROR, "WARN": _Level.WARNING}
_LEVEL = re.compile(r"^(?!FATAL ERROR).{0,60}?\b(TRACE|DEBUG|INFO|WARN|ERROR|FATAL)\b(?!:)")
_FRAME = ("\tat ", "\t... ")
# A record's further lines: values that it lists, or a stack trace, which one that is no problem does not have.
_CONTINUED = re.compile(r"\s|Caused by: |Suppressed: ")
_EXCEPTION = re.compile(r"[\w.$]+(?:Exception|Error|Fault)\b(?::|$)")
# The first line of a run of Kafka, and of ZooKeeper.
_BEGINS = re.compile(r"Log4jController\W+MBean|Reading configuration from: ")
_JVM_WARNS = re.compile(r"^.{0,60}\bwarning\b|^SLF4J", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Record:
    """A log record: its lines without the frames of stack traces, and whether a logger wrote it or the JVM."""

    lines: tuple[str, ...]
    level: _Level
    logged: bool


def explain(log: Sequence[str], *, out_of_memory: bool = False) -> Failure | None:
    """The reason why a node exited, from its log lines; None if they match nothing known.

    Args:
        log: its last lines, oldest first, at best `LOG_LINES`.
        out_of_memory: whether the runtime reports that it was killed for using too much memory.
    """
    if out_of_memory:
        return Failure("it used more memory than its limit and was killed", "raise brokers.memory")
    records = [record for record in reversed(_records(log)) if record.level is not _Level.OTHER]
    texts = ["\n".join(record.lines) for record in sorted(records, key=lambda record: record.level)]
    found = (known for patterns in _PATTERNS for text in texts for known in _known(text, patterns))
    return next(found, None)


def _known(text: str, patterns: Patterns) -> Iterator[Failure]:
    for pattern, failure in patterns:
        if match := pattern.search(text):
            what = (match.groupdict().get("what") or "").strip()
            yield replace(failure, reason=failure.reason.format(what=what))


def telling(log: Sequence[str]) -> list[str]:
    """The few lines that tell most about a failure: errors, then warnings, then the last others; no stack frames."""
    chosen: list[str] = []
    records = _records(log)
    for level in _Level:
        lines = [line for record in records if record.level is level for line in record.lines]
        chosen += lines[max(len(lines) - (_SHOWN_LINES - len(chosen)), 0) :]
    return chosen


def _records(log: Iterable[str]) -> list[_Record]:
    """The records of the last run, oldest first."""
    found: list[_Record] = []
    for line in log:
        if _BEGINS.search(line):
            found = []
        if line.startswith(_FRAME) or not line.strip():
            continue
        level, logged = _level_of(line)
        last = found[-1] if found else None
        if last and not logged and _continues(line, level, last):
            found[-1] = replace(last, lines=(*last.lines, line))
        else:
            found.append(_Record((line,), level, logged))
    return found


def _continues(line: str, level: _Level, last: _Record) -> bool:
    if _CONTINUED.match(line):
        return True
    if not last.logged:
        return last.level is level
    return last.level is not _Level.OTHER and bool(_EXCEPTION.match(line))


def _level_of(line: str) -> tuple[_Level, bool]:
    """The level of a record by its first line, and whether a logger wrote it: the JVM's last words have no level."""
    if not line[0].isspace() and (match := _LEVEL.match(line)):
        return _LEVELS.get(match[1], _Level.OTHER), True
    return (_Level.WARNING if _JVM_WARNS.match(line) else _Level.ERROR), False
