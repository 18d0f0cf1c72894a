"""What nodes' last lines mean, in words."""

import pytest

from provision.kafka.failures import explain, lines_of, telling


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("org.apache.zookeeper.KeeperException$NodeExistsException: KeeperErrorCode = NodeExists", "still registered"),
        ("kafka.common.InconsistentClusterIdException: The Cluster ID x doesn't match", "cluster id mismatch"),
        ("java.lang.RuntimeException: Invalid cluster.id in: /data/meta.properties. Expected a", "cluster id mismatch"),
        ("java.lang.OutOfMemoryError: Java heap space", "ran out of memory"),
        ("java.net.BindException: Address already in use", "port it listens on is taken"),
        (
            "org.apache.kafka.common.KafkaException: Socket server failed to bind to 127.0.0.1:9092: Address taken",
            "127.0.0.1:9092, where it listens, is taken",
        ),
        ("java.io.IOException: No space left on device", "disk is full"),
        ("Error: Could not find or load main class kafka.Kafka", "kafka.Kafka is not where it was looked for"),
        ("java.lang.UnsupportedClassVersionError: kafka/Kafka has been compiled", "Java is too old"),
        ("Unrecognized VM option 'UseX'", "does not accept its options"),
        (
            "ConfigException: Invalid value zero for configuration x: Not a number",
            "Invalid value zero for configuration x",
        ),
        ("java.nio.file.AccessDeniedException: /data", "may not write"),
    ],
)
def test_a_known_line_is_explained(line: str, reason: str) -> None:
    failure = explain(["[2026-11-26 04:16:55,764] INFO starting", *line.split("\n"), "\tat kafka.Kafka.main"])
    assert failure is not None
    assert reason in failure.reason
    assert failure.hint


OWNER, STAT = '"org.apache.zookeeper.data.Stat.getEphemeralOwner()"', '"kafka.zookeeper.GetDataResponse.stat()"'


@pytest.mark.parametrize(
    "lines",
    [
        ["KeeperErrorCode = NodeExists"],
        [
            f"java.lang.NullPointerException: Cannot invoke {OWNER} because the return value of {STAT} is null",
            "\tat kafka.zk.KafkaZkClient$CheckedEphemeral.getAfterNodeExists(KafkaZkClient.scala:2023)",
        ],
        [  # without helpful messages, as Java 11
            "java.lang.NullPointerException",
            "\tat kafka.zk.KafkaZkClient$CheckedEphemeral.getAfterNodeExists(KafkaZkClient.scala:1872)",
            "\tat kafka.zk.KafkaZkClient$CheckedEphemeral.create(KafkaZkClient.scala:1849)",
        ],
    ],
)
def test_what_a_former_self_causes_passes_by_itself(lines: list[str]) -> None:
    log = [logged("ERROR", "Fatal error during KafkaServer startup. Prepare to shutdown"), *lines, *SHUTDOWN]
    transient = explain(log)
    assert transient is not None
    assert transient.id == "node-exists"
    assert transient.transient
    assert lines_of(log, transient)
    assert not any(line.strip().startswith("at ") for line in telling(log))


def test_no_other_reason_passes_by_itself() -> None:
    permanent = explain(["java.lang.OutOfMemoryError"])
    assert permanent is not None
    assert not permanent.transient


def test_the_runtimes_word_on_memory_comes_first() -> None:
    failure = explain(["Address already in use"], out_of_memory=True)
    assert failure is not None
    assert "more memory than its limit" in failure.reason


def test_unknown_lines_are_not_explained() -> None:
    assert explain(["all is well", ""]) is None


def logged(level: str, text: str) -> str:
    """A line as the templates have it written."""
    return f"[2026-11-26 04:16:56,760] {level} {text} (kafka.Kafka$)"


BEGINS = logged("INFO", "Registered kafka:type=kafka.Log4jController MBean")
SHUTDOWN = [logged("INFO", f"[SocketServer] Stopping {number} (kafka.network)") for number in range(200)]
# As JVMs 17 and brokers 3.9 wrote them.
BY_THE_JVM = {
    "the port of its debugger (jdwp) is taken": """\
ERROR: transport error 202: bind failed: Address already in use
ERROR: JDWP Transport dt_socket failed to initialize, TRANSPORT_INIT(510)
JDWP exit error AGENT_ERROR_TRANSPORT_INIT(197): No transports initialized [./src/jdk.jdwp.agent/debugInit.c:744]""",
    "the port 26999 of JMX is taken": """\
Error: Exception thrown by the agent : java.rmi.server.ExportException: Port already in use: 26999; nested is:
\tjava.net.BindException: Address already in use
jdk.internal.agent.AgentConfigurationError: java.rmi.server.ExportException: Port already in use: 26999; nested is:
\tjava.net.BindException: Address already in use
\tat jdk.management.agent/sun.management.jmxremote.ConnectorBootstrap.start(ConnectorBootstrap.java:492)
Caused by: java.net.BindException: Address already in use
\t... 11 more""",
    "the port 9999 of JMX": "Error: JMX connector server communication error: service:jmx:rmi://host:9999",
    "the agent /no/such.jar": """\
Error opening zip file or JAR manifest missing : /no/such.jar
Error occurred during initialization of VM
agent library failed to init: instrument""",
    "the agent nosuch": "Could not find agent library nosuch on the library path, with error: libnosuch.so",
    "a port of its Java agent is taken": """\
java.lang.reflect.InvocationTargetException
Caused by: java.net.BindException: Address already in use
\tat java.base/sun.nio.ch.Net.bind0(Native Method)
*** java.lang.instrument ASSERTION FAILED ***: "result" with message agent load/premain call failed
FATAL ERROR in native method: processing of -javaagent failed, processJavaStart failed""",
    "another thread": """\
[4.512s][warning][os,thread] Failed to start thread "Unknown thread" with pthread_create failed (EAGAIN) for attributes
Terminating due to java.lang.OutOfMemoryError: unable to create native thread: possibly out of memory or process""",
    "raise -XX:CompressedClassSpaceSize": "Terminating due to java.lang.OutOfMemoryError: Compressed class space",
    "raise -XX:MaxMetaspaceSize": "Terminating due to java.lang.OutOfMemoryError: Metaspace",
    "or -XX:MaxDirectMemorySize": "java.lang.OutOfMemoryError: Cannot reserve 65536 bytes of direct buffer memory",
    "vm.max_map_count": "java.lang.OutOfMemoryError: Map failed",
    "ran out of memory": "Terminating due to java.lang.OutOfMemoryError: Java heap space",
    "memory for its classes": """\
Error occurred during initialization of VM
Could not allocate compressed class space: 1073741824 bytes""",
    "mapped into memory": """\
#
# A fatal error has been detected by the Java Runtime Environment:
#
#  SIGBUS (0x7) at pc=0x00007f0b0c0a5b3e, pid=1, tid=7
#
# JRE version: OpenJDK Runtime Environment (17.0.15+6) (build 17.0.15+6-Debian-1deb12u1)""",
}
BY_KAFKA = {
    "it does not find the class no.such.Authorizer": """\
ERROR Encountered fatal fault: caught exception (org.apache.kafka.server.fault.ProcessTerminatingFaultHandler)
java.lang.ClassNotFoundException: no.such.Authorizer
\tat java.base/jdk.internal.loader.BuiltinClassLoader.loadClass(BuiltinClassLoader.java:641)""",
    "it does not find the class com.example.Reporter": """\
ERROR Exiting Kafka due to fatal exception during startup. (kafka.Kafka$)
org.apache.kafka.common.KafkaException: Class com.example.Reporter cannot be found
Caused by: java.lang.ClassNotFoundException: com.example.Reporter""",
    "is not an instance of": """\
ERROR Exiting Kafka due to fatal exception during startup. (kafka.Kafka$)
org.apache.kafka.common.KafkaException: java.lang.String is not an instance of org.apache.kafka.MetricsReporter""",
    "its limit of open files": """\
ERROR Error while accepting connection (kafka.network.DataPlaneAcceptor)
java.io.IOException: Too many open files""",
    "its disk is full": """\
ERROR Error while writing to checkpoint file /data/recovery-point-offset-checkpoint (o.a.k.s.i.log.LogDirFailureChannel)
java.io.IOException: No space left on device""",
    "its disk or /dev/shm is full": """\
ERROR Uncaught exception in scheduled task 'flush-log' (org.apache.kafka.server.util.KafkaScheduler)
java.lang.InternalError: a fault occurred in an unsafe memory access operation""",
    "its disk fails: Read-only file system": """\
ERROR Error while creating log for t-0 in dir /data (o.a.k.s.i.log.LogDirFailureChannel)
java.nio.file.FileSystemException: /data/t-0: Read-only file system""",
    "than the controllers'": """\
ERROR [RaftManager id=2] Unexpected error INCONSISTENT_CLUSTER_ID in FETCH response: Inbound…""",
    "/data/meta.properties says that its data belong to another cluster": """\
ERROR Exiting Kafka due to fatal exception (kafka.Kafka$)
java.lang.RuntimeException: Invalid cluster.id in: /data/meta.properties. Expected AAA, but read BBB""",
    "those of another node": """\
ERROR Fatal error during KafkaServer startup. Prepare to shutdown (kafka.server.KafkaServer)
kafka.common.InconsistentBrokerIdException: Configured broker.id 2 doesn't match stored broker.id Some(1)""",
    "another process uses its data directory /data": """\
ERROR Exiting Kafka due to fatal exception during startup. (kafka.Kafka$)
org.apache.kafka.common.KafkaException: Failed to acquire lock on file .lock in /data. A Kafka instance in another""",
}


@pytest.mark.parametrize(("reason", "lines"), BY_THE_JVM.items())
def test_what_a_jvm_says_last_is_explained_and_leads(reason: str, lines: str) -> None:
    written = lines.split("\n")
    failure = explain([BEGINS, *SHUTDOWN, *written])
    assert failure is not None
    assert reason in f"{failure.reason}; {failure.hint}"
    assert failure.hint
    shown = telling([BEGINS, *SHUTDOWN, *written])
    assert len(shown) <= 12
    assert shown[0] in written


@pytest.mark.parametrize("level", ["ERROR", "FATAL", "WARN"])
@pytest.mark.parametrize(("reason", "lines"), BY_KAFKA.items())
def test_what_kafka_says_before_its_shutdown_is_explained_and_leads(reason: str, lines: str, level: str) -> None:
    first, *others = lines.replace("ERROR ", "").split("\n")
    log = [BEGINS, logged(level, first), *others, logged("ERROR", "and more"), *SHUTDOWN]
    failure = explain(log)
    assert failure is not None
    assert reason in failure.reason
    assert failure.hint
    shown = telling(log)
    assert logged(level, first) in shown[:5]
    assert not any(line.startswith("\tat ") for line in shown)
    assert len(shown) == 12


def test_a_consequence_is_the_reason_only_where_nothing_else_is_said() -> None:
    consequence = logged("FATAL", "Shutdown broker because all log dirs in /data have failed")
    alone = explain([BEGINS, consequence, *SHUTDOWN])
    assert alone is not None
    assert alone.reason == "its data directory failed"
    cause = [logged("ERROR", "Error while writing"), "java.io.IOException: No space left on device"]
    with_cause = explain([BEGINS, *cause, consequence, *SHUTDOWN])
    assert with_cause is not None
    assert with_cause.reason == "its disk is full"


def test_what_ended_an_earlier_run_is_not_the_reason_for_this_one() -> None:
    earlier = [BEGINS, logged("ERROR", "KeeperErrorCode = NodeExists"), *SHUTDOWN]
    assert explain([*earlier, BEGINS, *SHUTDOWN]) is None
    found = explain([*earlier, BEGINS, logged("WARN", "of no use"), "java.lang.ClassNotFoundException: no.such.X"])
    assert found is not None
    assert found.reason == "it does not find the class no.such.X"
    assert telling([*earlier, BEGINS, *SHUTDOWN])[-1] == SHUTDOWN[-1]


def test_values_that_a_broker_lists_explain_nothing() -> None:
    listed = [logged("INFO", "KafkaConfig values:"), "\tssl.keystore.type = Permission denied", "\tbroker.id = 1"]
    assert explain([BEGINS, *listed]) is None


def test_a_warning_of_the_jvm_gives_way_to_its_error() -> None:
    warning = "OpenJDK 64-Bit Server VM warning: Sharing is only supported for boot loader classes"
    assert telling([warning, "Error occurred during initialization of VM"])[0].startswith("Error occurred")


def test_the_lines_that_show_a_reason_are_those_of_the_last_run() -> None:
    log = [
        "[2026-01-01 09:00:00,000] INFO Registered kafka:type=kafka.Log4jController MBean",
        "[2026-01-01 09:00:01,000] ERROR Error (k.s.Partition)",
        "java.io.IOException: No space left on device (of the run before)",
        "[2026-01-01 10:00:00,000] INFO Registered kafka:type=kafka.Log4jController MBean",
        "[2026-01-01 10:00:01,000] ERROR Error while appending (k.s.Partition)",
        "java.io.IOException: No space left on device",
        "[2026-01-01 10:00:02,000] ERROR Shutdown broker because all log dirs in /data have failed",
    ]
    failure = explain(log)
    assert failure is not None
    assert failure.id == "disk-full"
    assert lines_of(log, failure) == ["java.io.IOException: No space left on device"]
