"""What a failed test's report says of the cluster."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from provision import ProvisionError
from provision.common.counts import counted
from provision.common.secret_texts import without_secrets
from provision.testing.kafka import Kafka

_TIME = re.compile(r"\[?(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:[,.](\d{3}))?")


def sections(kafka: Kafka, test: str, began: float, directory: Path | None, *, tail: int) -> list[tuple[str, str]]:
    """Titles and texts: the state of the environment and its topics, and the nodes' logs since the test began.

    Args:
        kafka: what the test used.
        test: names it, for the files.
        began: its Unix time.
        directory: where the logs are written, too; None for nowhere.
        tail: at most so many lines of each log.
    """
    try:
        told = [("Kafka: status", _status(kafka)), ("Kafka: logs", _logs(kafka, began, tail))]
    except ProvisionError as error:  # the report says so, and the failure of the test stays the first
        return [("Kafka", f"{error.what}\n{error.why}".strip())]
    except Exception as error:  # noqa: BLE001 as above: from a hook, it would end the run, and hide why the test failed
        return [("Kafka", f"nothing can be told of it: {type(error).__name__}: {error}")]
    if directory:
        try:
            _write(directory / re.sub(r"[^A-Za-z0-9._-]+", "-", test).strip("-")[-150:], told)
        except OSError as error:
            told.append(("Kafka: files", f"they are not written: {error}"))
    return told


def _write(place: Path, told: Iterable[tuple[str, str]]) -> None:
    place.mkdir(parents=True, exist_ok=True)
    for title, text in told:
        content = f"{text}\n".encode(errors="backslashreplace")
        (place / f"{title.rpartition(' ')[2]}.txt").write_bytes(content)


def _status(kafka: Kafka) -> str:
    environment = kafka.environment
    assessment = environment.status()
    lines = [f"{environment.name} at {kafka.bootstrap_servers}: {assessment.level}"]
    lines += [f"  {node.name}: {node.state}" for node in assessment.observed.nodes]
    lines += [f"  {what}: {why}" for what, why in assessment.missing.items()]
    for topic in environment.topics(settings=False):
        behind = f", {topic.under_replicated} under-replicated" if topic.under_replicated else ""
        lines.append(f"  topic {topic.name}: {counted('partition', len(topic.partitions))}{behind}")
    return "\n".join(lines)


def _logs(kafka: Kafka, began: float, tail: int) -> str:
    environment = kafka.environment
    nodes = [node.name for node in environment.observe().nodes]
    # Containers log in UTC, processes of this machine in its own time.
    zone = None if environment.runtime.kind == "process" else UTC
    since = datetime.fromtimestamp(began, tz=zone).strftime("%Y-%m-%d %H:%M:%S %f")
    lines, now = [], False
    for node, line in environment.logs(nodes, tail=tail):
        match = _TIME.match(line)
        if match:
            time = " ".join(filter(None, match.groups()))
            now = time >= since[: len(time)]  # as exactly as the line tells it
        if now:
            lines.append(f"{node}  {without_secrets(line)}")
    return "\n".join(lines) or "nothing was logged during the test"
