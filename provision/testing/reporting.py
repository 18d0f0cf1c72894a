"""What a failed test's report says of the cluster."""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from provision import Environment, ProvisionError
from provision.common.counts import counted
from provision.common.secret_texts import without_secrets

_TIME = re.compile(r"\[?(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:[,.](\d{3}))?")


def sections(
    environment: Environment, test: str, began: float, directory: Path | None, *, tail: int
) -> list[tuple[str, str]]:
    """Titles and texts: the state of the environment and its topics, and the nodes' logs since the test began.

    What cannot be told keeps nothing else from being told: nodes and logs say most when no broker answers.

    Args:
        environment: what the test used.
        test: names it, for the files.
        began: its Unix time.
        directory: where the logs are written, too; None for nowhere.
        tail: at most so many lines of each log.
    """
    state = [_said(lambda: _status(environment)), _said(lambda: _topics(environment))]
    told = [
        ("Kafka: status", "\n".join(filter(None, state))),
        ("Kafka: logs", _said(lambda: _logs(environment, began, tail))),
    ]
    if directory:
        try:
            _write(directory / re.sub(r"[^A-Za-z0-9._-]+", "-", test).strip("-")[-150:], told)
        except OSError as error:
            told.append(("Kafka: files", f"they are not written: {error}"))
    return told


def _said(tell: Callable[[], str]) -> str:
    """What that tells; if it cannot, the reason, because the failure of the test stays the first."""
    try:
        return tell()
    except ProvisionError as error:
        return f"{error.what}\n{error.why}".strip()
    except Exception as error:  # noqa: BLE001 from a hook, it would end the run, and hide why the test failed
        return f"nothing can be told of it: {type(error).__name__}: {error}"


def _write(place: Path, told: Iterable[tuple[str, str]]) -> None:
    place.mkdir(parents=True, exist_ok=True)
    for title, text in told:
        content = f"{text}\n".encode(errors="backslashreplace")
        (place / f"{title.rpartition(' ')[2]}.txt").write_bytes(content)


def _status(environment: Environment) -> str:
    assessment = environment.status()
    lines = [f"{environment.name} at {environment.bootstrap_servers}: {assessment.level}"]
    lines += [f"  {node.name}: {node.state}" for node in assessment.observed.nodes]
    lines += [f"  {what}: {why}" for what, why in assessment.missing.items()]
    return "\n".join(lines)


def _topics(environment: Environment) -> str:
    lines = []
    for topic in environment.topics(settings=False):
        behind = f", {topic.under_replicated} under-replicated" if topic.under_replicated else ""
        lines.append(f"  topic {topic.name}: {counted('partition', len(topic.partitions))}{behind}")
    return "\n".join(lines)


def _logs(environment: Environment, began: float, tail: int) -> str:
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
