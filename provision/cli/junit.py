"""Readiness as JUnit XML, which CI systems show: a test case for each node and each topic of an environment."""

import itertools
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from provision.cluster.model import Role
from provision.common.process_identity import host_name
from provision.common.secret_texts import without_secrets
from provision.common.values import replace
from provision.common.whole_files import require_no_other, require_writable, told_as_unwritable, write_output
from provision.errors import InvalidEnvironment, NodeFailed, NotReady, ProvisionError, Refused, UsageError
from provision.events import ActionFailed, Event, LevelReached, Listener, NodeReady, NodeWaiting, Notice, silent
from provision.kafka.levels import Level

if TYPE_CHECKING:
    from provision.environment import Environment

_NO_XML = "[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
_WHOLE = "environment"
_UNKNOWN = "provision"
"""The name of an environment that is not known."""
_REPORT = (b"<?xml", "not a report")
"""What a report begins with, and what a file is that does not, such as the environment file by mistake."""
_OPTION, _COMMANDS = "--junit", ("up", "wait", "run")


@contextmanager
def reported(file: Path | None, env: str | None) -> Iterator["Report"]:
    """Write what becomes of the readiness of an environment inside the block to a file, however it ends.

    The block tells the report which environment it is about; until then it is called what the user called it, `env`.
    That the file cannot be written any more when the work is done is told, and changes nothing of how the work ends.

    Raises:
        Refused: there is a file that is no report; the block is not entered.
        UsageError: there cannot be such a file; the block is not entered.
    """
    report = Report(env or os.environ.get("PROVISION_ENV", ""))
    if file is None:
        yield report
        return
    with told_as_unwritable(file):
        require_writable(file)
        require_no_other(file, *_REPORT)
    try:
        yield report
    except BaseException as error:
        if (told := _written(file, report.as_xml(error))) and isinstance(error, ProvisionError):
            error.add(f"and {told}")
        raise
    if told := _written(file, report.as_xml(None)):
        report.listener(Notice(told))


def report_wrong_line(error: ProvisionError, words: Sequence[str]) -> None:
    """Write why no command has begun to the file that `--junit` names among the words of a command line, if it does."""
    file = _file_in(words)
    if file and (told := _written(file, Report("").as_xml(error))):
        error.add(f"and {told}")


def _file_in(words: Sequence[str]) -> Path | None:
    if not words or words[0] not in _COMMANDS:
        return None
    ours = itertools.takewhile(lambda word: word != "--", words)
    for word, following in itertools.pairwise((*ours, "")):
        option, _, value = word.partition("=")
        if option == _OPTION and (found := value or following):
            return Path(found)
    return None


def _written(file: Path, content: bytes) -> str:
    """Write the file; returns why that failed, empty if it did not."""
    try:
        require_no_other(file, *_REPORT)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_output(file, content)
    except OSError as error:
        return f"{file} cannot be written: {error.strerror or error}"
    except Refused as error:
        return error.what
    return ""


class Report:
    """What events tell of the readiness of an environment; `called` is what the user called it."""

    def __init__(self, called: str) -> None:
        self._called = called
        self._environment: Environment | None = None
        self.listener: Listener = silent
        self._began = time.time()
        self._ready: dict[str, float] = {}
        self._failed: dict[str, str] = {}
        self._levels: dict[str, float] = {}

    def about(self, environment: "Environment") -> "Environment":
        """The environment that the report is about, whose events it notes from now on."""
        self._environment, self.listener = environment, environment.on_event
        environment.on_event = self._beside(environment.on_event)
        return environment

    def _beside(self, other: Listener) -> Listener:
        """A listener that notes events, and passes them on to the other one."""

        def listen(event: Event) -> None:
            self._note(event)
            other(event)

        return listen

    def _note(self, event: Event) -> None:
        match event:
            case NodeReady(node):
                self._ready[node] = event.at_s
            case NodeWaiting(node):
                self._ready.pop(node, None)
            case ActionFailed(resource, verb, _, error):
                self._failed[resource.removeprefix("topic ")] = f"{verb}: {error}"
            case LevelReached(level):
                self._levels[level] = event.at_s
            case _:
                pass

    def as_xml(self, error: BaseException | None) -> bytes:
        """The whole file."""
        name, nodes, topics = self._named()
        missing = error.missing if isinstance(error, NotReady) else {}
        lacking = {topic: _naming(topic, missing) for topic in topics}
        cases = [self._of_node(node, error, lacking.values()) for node in nodes]
        cases += [self._of_topic(topic, error, reasons) for topic, reasons in lacking.items()]
        if error and not any(case.failure for case in cases):
            kind = type(error).__name__
            cases.append(_Case(_WHOLE, _WHOLE, failure=_told(error), log=_log_of(error), kind=kind, is_error=True))
        return _xml(name, cases, self._began)

    def _named(self) -> tuple[str, list[str], list[str]]:
        """The environment, its nodes and its topics: those of its file, else those that are there."""
        if (environment := self._environment) is None:
            return Path(self._called).stem or _UNKNOWN, [], []
        listener, environment.on_event = environment.on_event, silent  # its warnings were told
        try:
            if environment.file is None:
                observed = environment.observe()
                there = [node.name for role in Role for node in observed.of_role(role)]
                return observed.name, there, [topic.name for topic in environment.topics(settings=False)]
            cluster = environment.validate()
            nodes = () if environment.external_servers else cluster.nodes
            return cluster.name, [node.name for node in nodes], [topic.name for topic in cluster.topics]
        except ProvisionError:  # as the command itself, or nothing more can be known
            return _name_of(environment), sorted(self._ready), []
        finally:
            environment.on_event = listener

    def _of_node(self, node: str, error: BaseException | None, lacking: Iterable[Mapping[str, str]]) -> "_Case":
        case = _Case("nodes", node, self._seconds(self._ready.get(node)))
        missing = error.missing if isinstance(error, NotReady) else {}
        if isinstance(error, NodeFailed) and error.node == node:
            return replace(case, failure=_told(error), log=_log_of(error), kind=type(error).__name__)
        if node in missing and not any(node in reasons for reasons in lacking):
            return replace(case, failure=missing[node], log=_log_of(error) if node == next(iter(missing)) else ())
        if node in self._failed:
            return replace(case, failure=self._failed[node])
        if error and node not in self._ready and str(Level.BROKERS) not in self._levels:
            return replace(case, skipped=f"not reached: {_summary(error)}")
        return case

    def _of_topic(self, topic: str, error: BaseException | None, reasons: Mapping[str, str]) -> "_Case":
        reached = self._levels.get(str(Level.TOPICS))
        case = _Case("topics", topic, self._seconds(reached))
        if topic in self._failed:
            return replace(case, failure=self._failed[topic])
        if reached is not None:
            return case
        if reasons:
            return replace(case, failure="\n".join(f"{node}: {reason}" for node, reason in reasons.items()))
        return replace(case, skipped=f"not reached: {_summary(error)}" if error else "it was not asked for")

    def _seconds(self, at_s: float | None) -> float:
        return 0.0 if at_s is None else max(at_s - self._began, 0.0)


def _name_of(environment: "Environment") -> str:
    try:
        return environment.name
    except (InvalidEnvironment, UsageError):
        return environment.file.stem if environment.file else ""


def _naming(topic: str, missing: Mapping[str, str]) -> dict[str, str]:
    """What is missing on account of a topic, by node."""
    named = re.compile(rf"(?<![\w.-]){re.escape(topic)}(?:-\d+)?(?![\w.-])")
    return {node: reason for node, reason in missing.items() if named.search(reason)}


class _Case(Struct, frozen=True):
    """A test case: it has passed unless it has a `failure` or was `skipped`."""

    group: str
    name: str
    seconds: float = 0.0
    failure: str = ""
    log: Sequence[str] = ()
    skipped: str = ""
    kind: str = "NotReady"
    is_error: bool = False


def _told(error: BaseException) -> str:
    if not isinstance(error, ProvisionError):
        return "interrupted" if isinstance(error, KeyboardInterrupt) else f"{type(error).__name__}: {error}"
    return "\n".join(filter(None, (error.what, error.why, error.hint and f"hint: {error.hint}")))


def _summary(error: BaseException) -> str:
    return _told(error).partition("\n")[0]


def _log_of(error: BaseException | None) -> Sequence[str]:
    return error.log if isinstance(error, NodeFailed | NotReady) else ()


def _xml(name: str, cases: Sequence[_Case], began: float) -> bytes:
    failures = [case for case in cases if case.failure]
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(not case.is_error for case in failures)),
        "errors": str(sum(case.is_error for case in failures)),
        "skipped": str(sum(bool(case.skipped) for case in cases)),
        "time": f"{time.time() - began:.3f}",
    }
    from xml.etree import ElementTree as ET  # few commands write a report

    root = ET.Element("testsuites", {"name": "provision", **counts})
    stamp = datetime.fromtimestamp(began, tz=UTC).isoformat(timespec="seconds").removesuffix("+00:00")
    suite = ET.SubElement(root, "testsuite", {"name": name, **counts, "timestamp": stamp, "hostname": host_name()})
    for case in cases:
        shown = ET.SubElement(
            suite,
            "testcase",
            {"classname": f"{name}.{case.group}", "name": case.name, "time": f"{case.seconds:.3f}"},
        )
        if case.failure:
            first, _, _ = case.failure.partition("\n")
            element = ET.SubElement(
                shown, "error" if case.is_error else "failure", {"message": _clean(first), "type": case.kind}
            )
            element.text = _clean("\n".join((case.failure, *(f"| {line}" for line in case.log))))
        elif case.skipped:
            ET.SubElement(shown, "skipped", {"message": _clean(case.skipped)})
    ET.indent(root)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _clean(text: str) -> str:
    """Without secrets, and without the characters that XML cannot have, such as the escapes of a colored log."""
    return re.sub(_NO_XML, "\N{REPLACEMENT CHARACTER}", without_secrets(text))
