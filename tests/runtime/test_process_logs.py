"""The log of a node that is a process: what one JVM wrote is not taken for another's."""

from pathlib import Path

from provision.kafka.failures import explain
from provision.runtime.process import logs

TAKEN = "ERROR: transport error 202: bind failed: Address already in use"
BEGINS = "[now] INFO Registered kafka:type=kafka.Log4jController MBean (kafka.Utils)"


def test_a_jvms_last_words_come_before_the_log_of_the_next_run(tmp_path: Path) -> None:
    node = tmp_path / "broker-1"
    (node / "log").mkdir(parents=True)
    logs.fresh_console(node).write_text(f"{TAKEN}\n")
    assert explain(list(logs.lines(node, None))) is not None
    logs.fresh_console(node).write_text("")
    (node / "log" / "broker-1.log").write_text(f"{BEGINS}\n[now] ERROR of another kind (kafka.Kafka)\n")
    assert next(iter(logs.lines(node, None))) == TAKEN
    assert explain(list(logs.lines(node, None))) is None
    logs.fresh_console(node)  # nothing was written: what the one before said is kept
    assert TAKEN in list(logs.lines(node, None))
