"""An environment file to an `EnvironmentSpec`, or every problem in it at once."""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from provision.common.texts import shown_name, too_long
from provision.errors import InvalidEnvironment, Problem
from provision.events import Listener, Notice, Warned, silent
from provision.spec.agents import agent_files, java_of, with_whole_paths
from provision.spec.assumptions import assumptions
from provision.spec.certificates import own_certificates
from provision.spec.checks import RULES
from provision.spec.foreign import foreign, foreign_key_hint
from provision.spec.given import copied, unfit
from provision.spec.lint import RULES as VERSION_RULES
from provision.spec.model import IN_WORDS, LONGEST, EnvironmentSpec, TopicSpec, kind_of
from provision.spec.naming import read_start
from provision.spec.overrides import apply_overrides
from provision.spec.paths import paths, record_files
from provision.spec.rules import RuleReads, check
from provision.spec.shown import may_be_secret, public_names
from provision.spec.users import password_files
from provision.spec.yaml_text import MAX_BYTES, Path, Positions, parse

# A mistyped section can hide the problems below it; leaving out what is wrong, three times, shows the rest as well.
_ROUNDS = 3
_LONGEST_NUMBER = 18  # digits
_SUGGESTIONS = 100  # after so many problems none is suggested: comparing keys is slow


def load(file: FilePath, overrides: tuple[str, ...] = (), tell: Listener = silent) -> EnvironmentSpec:
    """Read and check one environment file.

    Args:
        file: the file; its stem is the environment's name unless it sets another.
        overrides: `path.to.key=value` texts of `--set`, in order.
        tell: receives every warning.

    Raises:
        UsageError: there is no such file, it cannot be read, or an override is malformed.
        InvalidEnvironment: it is not valid; lists every problem with its position.
    """
    text = read_text(file)
    data, source, problems = parse(text, os.fspath(file))
    if known := foreign(data, text):
        raise InvalidEnvironment([source.problem((), f"this is {known.what}, not an environment file", known.hint)])
    if data is None and problems:
        raise InvalidEnvironment(problems)
    if not isinstance(data, dict):
        problems.append(
            source.problem((), "an environment file is a mapping of keys to values", "see `provision init`")
        )
        raise InvalidEnvironment(problems)
    apply_overrides(data, source, overrides)
    data.setdefault("name", file.stem)
    return _checked(data, source, problems, tell, file.absolute().parent)


def load_values(values: Mapping[str, Any], overrides: tuple[str, ...] = (), tell: Listener = silent) -> EnvironmentSpec:
    """Check values in the form of an environment file; they are copied first.

    Raises:
        UsageError: an override is malformed.
        InvalidEnvironment: they are not valid; lists every problem with its key.
    """
    source = Positions("the given values", has_lines=False)
    if found := unfit(dict(values)):
        raise InvalidEnvironment([source.problem(*found)], "the environment")
    data = copied(values)
    apply_overrides(data, source, overrides)
    return _checked(data, source, [], tell, FilePath.cwd())


def load_topic(values: Mapping[str, Any], cluster: Mapping[str, Any]) -> TopicSpec:
    """Check a topic that is in no file by the rules for `topics`.

    Args:
        values: the topic, in the form of an environment file.
        cluster: the sections of such a file that say for which cluster it is; what is wrong with them is not told.

    Raises:
        InvalidEnvironment: it is not valid; lists every problem with its key below `topics[0]`.
    """
    source = Positions("the topic", has_lines=False)
    data = {"name": "topics", **cluster, "topics": [dict(values)]}
    if found := unfit(data):
        raise InvalidEnvironment([source.problem(*found)], "the topic")
    spec, problems, unreadable = _validate(data, source)
    if spec is not None:
        problems += check(spec, source, (*RULES, *VERSION_RULES), unreadable)
    problems = [problem for problem in problems if problem.path.startswith("topics[") and not problem.warning]
    if problems or spec is None:
        raise InvalidEnvironment(problems, "the topic")
    return spec.topics[0]


def _checked(
    data: dict[Any, Any], source: Positions, problems: list[Problem], tell: Listener, base_directory: FilePath
) -> EnvironmentSpec:
    source.names = public_names(data)
    spec, form_problems, unreadable = _validate(data, source)
    problems += form_problems
    if spec is not None:
        on_disk: RuleReads = (lambda spec: paths(spec, base_directory), (("templates",), ("storage",), ("kafka",)))
        content: RuleReads = (lambda spec: record_files(spec, base_directory), (("topics",), ("topic_defaults",)))
        authority: RuleReads = (
            lambda spec: own_certificates(spec, base_directory),
            (("certificates",), ("listeners",), ("security",)),
        )
        passwords: RuleReads = (lambda spec: password_files(spec, base_directory), (("users",),))
        jars: RuleReads = (
            lambda spec: agent_files(spec, base_directory),
            (("brokers",), ("controllers",), ("zookeeper",), ("kafka", "mode"), ("kafka", "version")),
        )
        found = check(spec, source, (*RULES, on_disk, content, authority, passwords, jars, *VERSION_RULES), unreadable)
        problems += (problem for problem in found if not problem.warning)
        for warning in sorted(problem for problem in found if problem.warning):
            tell(Warned(warning))
        for text in assumptions(spec, data) if not problems else ():
            tell(Notice(text))
    if problems or spec is None:
        raise InvalidEnvironment(problems, "the environment file" if source.has_lines else "the environment")
    return _absolute(spec, base_directory)


def _absolute(spec: EnvironmentSpec, base_directory: FilePath) -> EnvironmentSpec:
    """The spec with whole paths of the files of records and of agents: whoever reads them knows only the spec."""
    topics = [
        topic.model_copy(
            update={"records": topic.records.model_copy(update={"file": str(base_directory / topic.records.file)})}
        )
        if topic.records
        else topic
        for topic in spec.topics
    ]
    update: dict[str, object] = {"topics": topics} if any(topic.records for topic in topics) else {}
    for name, (java, _) in java_of(spec).items():
        if java.agents:
            section = getattr(spec, name)
            update[name] = section.model_copy(update={"java": with_whole_paths(java, base_directory)})
    return spec.model_copy(update=update) if update else spec


def read_text(file: FilePath) -> str:
    """The text of a file to parse.

    Raises:
        UsageError: it cannot be read.
        InvalidEnvironment: it is too large, or not UTF-8.
    """
    raw = read_start(file)
    if len(raw) > MAX_BYTES:
        raise InvalidEnvironment(
            [Problem(os.fspath(file), 1, 1, "", "the file is larger than 1 MiB", "is it the right one?")]
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        problem = Problem(os.fspath(file), line, 1, "", "this line is not UTF-8 text", "save the file as UTF-8")
        raise InvalidEnvironment([problem]) from error


def _validate(data: dict[Any, Any], source: Positions) -> tuple[EnvironmentSpec | None, list[Problem], frozenset[Path]]:
    """The spec, the problems of form, and the paths that had to be left out to get a spec at all."""
    problems: list[Problem] = []
    left_out: set[Path] = set()
    for _ in range(_ROUNDS):
        try:
            return EnvironmentSpec.model_validate(data), problems, frozenset(left_out)
        except ValidationError as error:
            known = frozenset(left_out)
            for detail in error.errors(include_url=False):
                path = _real_path(data, detail["loc"])
                if path not in left_out and not _follows(path, known):
                    problems.append(_describe(detail, path, source, suggest=len(problems) < _SUGGESTIONS))
                left_out.add(path)
            for path in left_out:
                _leave_out(data, path)
    return None, problems, frozenset(left_out)


def _follows(path: Path, left_out: frozenset[Path]) -> bool:
    """Whether what is wrong at `path` may be so only because something above or below it was left out."""
    return any(path[: len(one)] == one or one[: len(path)] == path for one in left_out)


def _real_path(data: object, location: Path) -> Path:
    """Pydantic's location without its additions for key checks (`[key]`), and with the keys as in the file."""
    path: list[str | int] = []
    for part in location:
        if isinstance(data, dict) and part not in data and isinstance(part, str) and part.isdecimal():
            part = int(part)  # noqa: PLW2901 pydantic names the key 2 of a mapping "2"
        if isinstance(data, list) or (isinstance(data, dict) and (part != "[key]" or part in data)):
            path.append(part)
            data = _child(data, part)
    return tuple(path)


def _child(data: dict[Any, Any] | list[Any], part: str | int) -> object:
    if isinstance(data, dict):
        return data.get(part)
    return data[part] if isinstance(part, int) and part < len(data) else None


def _leave_out(data: dict[Any, Any], path: Path) -> None:
    """Remove what is wrong, so that the rest can be checked; list items are replaced, to keep the others' positions."""
    target: Any = data
    for part in path[:-1]:
        try:
            target = target[part]
        except (KeyError, IndexError, TypeError):
            return  # gone with something above it
    stand_in = f"unreadable-{path[-2] if path[-1] == 'name' else path[-1]}" if len(path) > 1 else "unreadable"
    match target, path[-1]:
        case list(), int() if _model_at(path[:-1]) is _model_at(path[:-2]):  # nothing can stand in for a text or number
            _leave_out(data, path[:-1])
        case list(), int() if path[0] != "topics" and _has_required(_model_at(path)):  # nor for one of these
            _leave_out(data, path[:-1])
        case list(), int(index):
            item = _model_at(path)
            target[index] = stand_in if item is EnvironmentSpec else {"name": stand_in} if path[0] == "topics" else {}
        case dict(), "name" if path[0] in ("name", "topics"):  # both require a name
            target["name"] = stand_in
        case dict(), "bootstrap_servers" if len(path) == 1:  # that there is such a key means much for the other ones
            target["bootstrap_servers"] = "unreadable:9092"
        case dict(), key if key not in target and len(path) > 1:  # it is required
            _leave_out(data, path[:-1])
        case dict(), key:
            target.pop(key, None)


def _describe(detail: ErrorDetails, path: Path, source: Positions, *, suggest: bool) -> Problem:
    kind, context, given = detail["type"], detail.get("ctx", {}), detail["input"]
    at_key = detail["loc"][-1:] == ("[key]",)
    is_hidden = may_be_secret(path)
    hint = _hint(kind, given, path, at_key=at_key)
    match kind:
        case "extra_forbidden" | "invalid_key":
            return _unknown_key(path, source, suggest=suggest)
        case "missing":
            message = "this key is required"
        case "value_error":
            message = str(context["error"])
        case "literal_error":
            message = f"must be {context['expected']}{'' if is_hidden else f', not {kind_of(given)}'}"
        case "string_pattern_mismatch":
            what, pattern = "this" if is_hidden else shown_name(given), context["pattern"]
            long = too_long(given, LONGEST.get(pattern, len(given)))
            message = f"{what} {long}" if long else f"{what} cannot be {IN_WORDS[pattern]}"
            if path == ("name",) and source.has_lines and path not in source.keys and path not in source.overridden:
                hint = "it is the file's name: rename the file, or set `name:` in it"
        case "too_short":
            message = f"must have at least {context['min_length']} item"
        case "greater_than":
            message = f"must be above {context['gt']:g}, not {given}"
        case "greater_than_equal" | "less_than_equal":
            bound = "at least" if kind == "greater_than_equal" else "at most"
            message = f"must be {bound} {context.get('ge', context.get('le'))}, not {given}"
        case _:
            said = "a single value" if is_hidden and isinstance(given, str | int | float) else kind_of(given)
            message = f"must be {_EXPECTED[kind]}, not {said}" if kind in _EXPECTED else detail["msg"]
    return source.problem(path, message, hint, at_key=at_key)


_EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
}

_UNITS: dict[str | int, str] = {"heap": "256m", "memory": "1g", "ttl": "2h", "throttle": "20m"}


def _hint(kind: str, given: object, path: Path, *, at_key: bool) -> str:
    if path[:2] == ("brokers", "overrides") and len(path) == 3 and at_key:  # noqa: PLR2004 the broker's number
        return "overrides are by the broker's number, which counts from 1"
    if path == ("kafka", "version"):
        return "write it like 3.9.1, or 3.9 for the newest 3.9"
    if given is None:
        return "give it a value, or remove the key"
    if kind == "string_type" and isinstance(given, int | float):
        if path[-1] in _UNITS:
            return f"write its unit too, as in {_UNITS[path[-1]]}"
        return "quote it" if may_be_secret(path) else f'quote it: "{kind_of(given).removeprefix("the number ")}"'
    if isinstance(given, str) and given.isdecimal() and (kind == "int_type" or path[-1] == "port"):
        if len(given) > _LONGEST_NUMBER:
            return "it is too large"
        return "write it without leading zeros" if given.startswith("0") else "remove the quotes"
    return ""


def _unknown_key(path: Path, source: Positions, *, suggest: bool) -> Problem:
    known = list(_model_at(path[:-1]).model_fields)
    near = difflib.get_close_matches(str(path[-1]), known, n=1) if suggest else []
    hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
    if len(path) == 1:
        hint = foreign_key_hint(path[0]) or hint
    return source.problem(path, "unknown key", hint, at_key=True)


def _model_at(path: Path) -> type[BaseModel]:
    """The model that describes the mapping at `path`."""
    model: type[BaseModel] = EnvironmentSpec
    for part in path:
        if isinstance(part, str) and part in model.model_fields:
            annotation: Any = model.model_fields[part].annotation
            inner = next((kind for kind in (annotation, *get_args(annotation)) if _is_model(kind)), None)
            model = inner or model
    return model


def _has_required(model: type[BaseModel]) -> bool:
    return any(field.is_required() for field in model.model_fields.values())


def _is_model(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
