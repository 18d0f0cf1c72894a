"""The known reasons why a node exits, by patterns in its log.

To add one, write an entry into `CAUSES`: a regular expression, whose group `what` may be used in the reason, and a
`Failure`. In a record of the log the first entry that fits is the reason, so special ones come before general ones.
"""

from msgspec import Struct


class Failure(Struct, frozen=True):
    """A known reason, with a stable id. `transient` means that starting the node again a little later solves it.

    `keys` are the keys of the environment file that can cause it, as `brokers.heap`.
    """

    id: str
    reason: str
    hint: str = ""
    transient: bool = False
    keys: tuple[str, ...] = ()

    @property
    def port_taken(self) -> bool:
        """Whether the node could not listen where its configuration says."""
        return self.id == "port-taken"


_LIMIT_HINT = (
    "raise it (`ulimit -{}` where processes start; Docker's own with `default-ulimits`), or make the cluster smaller"
)
_FULL = "free some space (`df -h` shows where), or use another `storage`"
_OPTIONS = "look for it in JAVA_TOOL_OPTIONS and JDK_JAVA_OPTIONS"
_PORT_OF_OPTION = f"{_OPTIONS}: JVMs cannot share a port"
_BOTH_GO = "`provision down` removes both; they are created and deleted together"
_DAMAGED = (
    "put it back from a copy; a partition that other brokers have in sync may be deleted here, and is copied again"
)
_NO_CLASS = Failure(
    "class-missing",
    "it does not find the class {what}",
    "correct its name, or use an image or distribution that has its jar",
)

CAUSES = (
    (
        # The second is a broker whose former self's session ended while it looked whose session that was: Kafka reads
        # what it got before it sees that there was nothing to get. Java 11 only tells where.
        r"NodeExists(Exception)?\b|GetDataResponse\.stat\(\)\" is null",
        Failure(
            "node-exists",
            "its former self is still registered in ZooKeeper, until that session ends",
            "start it again in 20 seconds",
            transient=True,
        ),
    ),
    (
        r"Invalid cluster\.id in: (?P<what>\S+?)\.? ",
        Failure(
            "cluster-id-mismatch",
            "{what} says that its data belong to another cluster than ZooKeeper's (cluster id mismatch)",
            _BOTH_GO,
        ),
    ),
    (
        r"InconsistentClusterIdException|doesn't match stored clusterId|Invalid cluster\.id in",
        Failure(
            "cluster-id-mismatch",
            "its data belong to another cluster than the ZooKeeper it found (cluster id mismatch)",
            _BOTH_GO,
        ),
    ),
    (
        r"INCONSISTENT_CLUSTER_ID|InconsistentClusterId",
        Failure(
            "cluster-id-mismatch",
            "its data belong to another cluster than the controllers' (cluster id mismatch)",
            _BOTH_GO,
        ),
    ),
    (
        r"InconsistentBrokerIdException|(?:Stored|Configured) (?:node|broker)\.? ?id .{1,40}doesn't match",
        Failure(
            "node-id-mismatch",
            "its data are those of another node",
            "give each node its own directory back, or `provision down`",
            keys=("storage",),
        ),
    ),
    (
        r"(?:No readable|No `?)meta\.properties`?|You must run `?kafka-storage",
        Failure(
            "not-formatted",
            "its storage was never formatted",
            "`provision up` formats what never ran; else `provision down` it",
        ),
    ),
    (
        r"Failed to acquire lock on file \.lock in (?P<what>\S+?)\.? ",
        Failure(
            "data-directory-in-use",
            "another process uses its data directory {what}",
            "end that process",
            keys=("storage",),
        ),
    ),
    (
        r"Malformed line in checkpoint file [(\[](?P<what>.+?)[)\]]:",
        Failure("log-damaged", "its file {what} is damaged", _DAMAGED),
    ),
    (
        r"(?P<what>Unable to load database on disk|No snapshot found, but there are log entries|CRC check failed)",
        Failure("log-damaged", "its data are damaged: {what}", _DAMAGED),
    ),
    (
        r"Found directory (?P<what>.+?), '.*' is not in the form of topic-partition",
        Failure(
            "log-directory-has-strangers",
            "{what} is in its data directory, and is not Kafka's",
            "move it away",
            keys=("storage",),
        ),
    ),
    # -- limits ---------------------------------------------------------------------------------------------------
    (
        r"unable to create (?:new )?native thread|pthread_create failed|Cannot create worker GC thread",
        Failure(
            "too-few-threads",
            "it may not start another thread: a limit of threads or processes is reached",
            _LIMIT_HINT.format("u"),
        ),
    ),
    (
        r"Too many open files",
        Failure(
            "too-few-open-files",
            "it may not open another file: its limit of open files is reached",
            _LIMIT_HINT.format("n"),
        ),
    ),
    (
        r"No space left on device|Disk quota exceeded|not enough space on the disk",
        Failure("disk-full", "its disk is full", _FULL, keys=("storage",)),
    ),
    (
        r"SIGBUS|fault occurred in (?:a recent|an) unsafe memory access",
        Failure(
            "sigbus",
            "it could not write a file that is mapped into memory: most likely its disk or /dev/shm is full",
            _FULL,
            keys=("storage",),
        ),
    ),
    (
        r"(?P<what>Read-only file system)",
        Failure(
            "read-only-data-directory",
            "its disk fails: {what}",
            "make it writable again (`mount -o remount,rw`), or use another `storage`",
            keys=("storage",),
        ),
    ),
    (
        r"(?:exec format error|[Ee]xec user process caused: exec format error)",
        Failure(
            "wrong-architecture",
            "its Java is made for another processor",
            "use an image for this one (`docker pull --platform`)",
            keys=("image", "distribution"),
        ),
    ),
    (
        r"(?P<what>Input/output error|Structure needs cleaning|Stale file handle)",
        Failure("disk-failed", "its disk fails: {what}", "repair it, or use another `storage`", keys=("storage",)),
    ),
    # -- memory ---------------------------------------------------------------------------------------------------
    (
        r"OutOfMemoryError: Compressed class space",
        Failure(
            "class-space-too-small",
            "the JVM has no more room for classes",
            f"raise -XX:CompressedClassSpaceSize; {_OPTIONS}",
        ),
    ),
    (
        r"OutOfMemoryError: Metaspace",
        Failure(
            "metaspace-too-small", "the JVM has no more room for classes", f"raise -XX:MaxMetaspaceSize; {_OPTIONS}"
        ),
    ),
    (
        r"OutOfMemoryError: (?:Cannot reserve \d+ bytes of direct|Direct) buffer memory",
        Failure(
            "direct-memory-too-small",
            "the JVM has no more room for network buffers",
            "raise its heap, by which that is bounded, or -XX:MaxDirectMemorySize",
            keys=("heap",),
        ),
    ),
    (
        r"OutOfMemoryError: Map failed|MapFailed",
        Failure(
            "too-few-memory-maps",
            "it may not map another file into memory",
            "raise the system's vm.max_map_count (`sysctl`)",
        ),
    ),
    (
        r"OutOfMemoryError",
        Failure(
            "heap-too-small",
            "the JVM ran out of memory",
            "raise brokers.heap (and brokers.memory), or zookeeper.heap",
            keys=("heap", "memory"),
        ),
    ),
    (
        r"Could not (?:allocate|reserve).{0,20} compressed class space",
        Failure(
            "memory-not-available",
            "the JVM could not get the memory for its classes",
            "raise the limit of memory (`ulimit -v`)",
            keys=("heap", "memory"),
        ),
    ),
    (
        r"There is insufficient memory for the Java Runtime|Could not reserve enough space",
        Failure(
            "memory-not-available",
            "the JVM could not get the memory for its heap",
            "lower heap, or raise brokers.memory",
            keys=("heap", "memory"),
        ),
    ),
    # -- ports ----------------------------------------------------------------------------------------------------
    (
        r"transport error .*(?:Address already in use|bind failed)",
        Failure("debugger-port-taken", "the port of its debugger (jdwp) is taken", _PORT_OF_OPTION),
    ),
    (
        r"JDWP (?:exit error|Transport)",
        Failure("debugger-failed", "its debugger (jdwp) cannot start", _OPTIONS),
    ),
    (
        r"Port already in use: (?P<what>\d+)",
        Failure("jmx-port-taken", "the port {what} of JMX is taken", _PORT_OF_OPTION),
    ),
    (
        r"JMX connector server communication error: \S+?:(?P<what>\d+)",
        Failure("jmx-port-taken", "the port {what} of JMX is taken", _PORT_OF_OPTION),
    ),
    (
        r"(?:JAR manifest missing ?: |Could not find agent library )(?P<what>\S+)",
        Failure("java-agent-missing", "the agent {what} in its Java options is not there", _OPTIONS),
    ),
    (
        r"(?s)(?P<what>[^\n]{0,200}BindException[^\n]*).*processing of -javaagent failed",
        Failure("java-agent-port-taken", "a port of its Java agent is taken: {what}", _PORT_OF_OPTION),
    ),
    (
        r"processing of -javaagent failed|Exception thrown by the agent",
        Failure("java-agent-failed", "an agent in its Java options cannot start", _OPTIONS),
    ),
    (
        r"failed to bind to (?P<what>\S+:\d+)",
        Failure("port-taken", "{what}, where it listens, is taken", "use other ports, or `port: auto`", keys=("port",)),
    ),
    (
        r"Address already in use|BindException",
        Failure("port-taken", "a port it listens on is taken", "use other ports, or `port: auto`", keys=("port",)),
    ),
    # -- software -------------------------------------------------------------------------------------------------
    (
        r"Could not find or load main class (?P<what>\S+)",
        Failure(
            "main-class-missing",
            "{what} is not where it was looked for",
            "check kafka.image or kafka.distribution",
            keys=("image", "distribution"),
        ),
    ),
    (
        r"UnsupportedClassVersionError: (?!kafka|org/apache/kafka)(?P<what>\S+)",
        Failure(
            "plugin-needs-newer-java",
            "its Java is too old for {what}",
            "use a plugin made for it, or an image with a newer Java",
        ),
    ),
    (
        r"UnsupportedClassVersionError",
        Failure(
            "java-too-old",
            "its Java is too old for this Kafka",
            "use an image with a newer Java, or set JAVA_HOME to one",
            keys=("version", "image", "distribution"),
        ),
    ),
    (r"\bClass (?P<what>[\w.$]+) (?:cannot|could not) be found", _NO_CLASS),
    (r"(?:ClassNotFoundException|NoClassDefFoundError): (?P<what>[\w.$/]+)", _NO_CLASS),
    (
        r"(Unrecognized VM option|Invalid maximum heap size|Error: Could not create the Java Virtual Machine)",
        Failure(
            "java-options-invalid",
            "the JVM does not accept its options",
            "check heap, JAVA_TOOL_OPTIONS and JDK_JAVA_OPTIONS",
            keys=("heap",),
        ),
    ),
    (
        r"KafkaException: (?P<what>.+ is not an instance of .+)",
        Failure(
            "configuration-invalid",
            "it does not accept its configuration: {what}",
            "correct the property in the environment file",
        ),
    ),
    (
        r"(?:ConfigException|IllegalArgumentException|requirement failed)[^:]*: (?P<what>.+)",
        Failure(
            "configuration-invalid",
            "it does not accept its configuration: {what}",
            "correct the property in the environment file",
        ),
    ),
    (
        r"(AccessDeniedException|Permission denied)",
        Failure(
            "data-directory-not-writable",
            "it may not write to its data directory",
            "check who owns the storage directory",
            keys=("storage",),
        ),
    ),
)
# What follows from something else, and is the reason only if nothing else is said.
CONSEQUENCES = (
    (
        r"all log dirs in (?P<what>.+?) have failed|[Nn]one of the specified log dirs",
        Failure(
            "log-directory-failed",
            "its data directory failed",
            "check the disk; the log says which file",
            keys=("storage",),
        ),
    ),
    (
        r"ZooKeeperClientTimeoutException|Timed out waiting for connection while in state",
        Failure("zookeeper-silent", "ZooKeeper did not answer it", "`provision logs` of its nodes says why"),
    ),
)
OUT_OF_MEMORY = Failure(
    "out-of-memory",
    "it used more memory than its limit and was killed",
    "raise brokers.memory",
    keys=("memory", "heap"),
)
"""What the runtime tells, and no log."""


def failure_ids() -> tuple[str, ...]:
    """The ids of all known reasons, each once, in the order of the entries."""
    every = (*CAUSES, *CONSEQUENCES)
    return tuple(dict.fromkeys((*(failure.id for _, failure in every), OUT_OF_MEMORY.id)))
