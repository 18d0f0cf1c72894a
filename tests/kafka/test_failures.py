"""What nodes' last lines mean, in words."""

import pytest

from provision.kafka.failures import explain


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("org.apache.zookeeper.KeeperException$NodeExistsException: KeeperErrorCode = NodeExists", "still registered"),
        ("kafka.common.InconsistentClusterIdException: The Cluster ID x doesn't match", "cluster id mismatch"),
        ("java.lang.RuntimeException: Invalid cluster.id in: /data/meta.properties. Expected a", "cluster id mismatch"),
        ("java.lang.OutOfMemoryError: Java heap space", "ran out of memory"),
        ("java.net.BindException: Address already in use", "port it listens on is taken"),
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
    failure = explain(["[INFO] starting", line, "\tat kafka.Kafka.main"])
    assert failure is not None
    assert reason in failure.reason
    assert failure.hint


def test_only_a_session_that_has_not_ended_passes_by_itself() -> None:
    transient = explain(["KeeperErrorCode = NodeExists"])
    assert transient is not None
    assert transient.transient
    permanent = explain(["java.lang.OutOfMemoryError"])
    assert permanent is not None
    assert not permanent.transient


def test_the_runtimes_word_on_memory_comes_first() -> None:
    failure = explain(["Address already in use"], out_of_memory=True)
    assert failure is not None
    assert "more memory than its limit" in failure.reason


def test_unknown_lines_are_not_explained() -> None:
    assert explain(["all is well", ""]) is None
