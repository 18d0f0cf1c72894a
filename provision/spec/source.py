"""YAML text to plain data, keeping the place of every key and value.

The rules are YAML 1.2's core schema, so that `off`, `no`, `12:30` and `2024-01-01` stay the strings their writer meant:
Kafka's settings are full of them. Tags, endless aliases and huge files are refused before they can cost anything.
"""

import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import yaml

from provision.errors import Problem

MAX_BYTES = 1024 * 1024
MAX_VALUES = 100_000
MAX_DEPTH = 32

Path = tuple[str | int, ...]

_STRING, _NULL, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:null", "tag:yaml.org,2002:merge"
_BOOL, _INT, _FLOAT = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"


class _CoreLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the C parser where it is built
    """PyYAML's parser with the scalars of YAML 1.2's core schema."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012 PyYAML's own protocol


for _tag, _pattern, _first in (
    (_BOOL, r"true|True|TRUE|false|False|FALSE", "tTfF"),
    (_INT, r"[-+]?[0-9]{1,18}", "-+0123456789"),
    (_FLOAT, r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    (_NULL, r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    (_MERGE, r"<<", "<"),
):
    _CoreLoader.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern})\Z"), list(_first))


@dataclass(slots=True)
class Source:
    """Where each key and value of a file stands, by its path (`("brokers", "nodes")`)."""

    file: str
    keys: dict[Path, tuple[int, int]] = field(default_factory=dict)
    values: dict[Path, tuple[int, int]] = field(default_factory=dict)
    overridden: dict[Path, str] = field(default_factory=dict)

    def problem(self, path: Path, message: str, hint: str = "", *, at_key: bool = False) -> Problem:
        """A problem at the place of `path`, or of the nearest key above it that the file has."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.overridden:
                return Problem(self.overridden[path[:end]], 0, 0, dotted(path), message, hint)
            places = self.keys if at_key and end == len(path) else self.values
            if place := places.get(path[:end]):
                return Problem(self.file, *place, dotted(path), message, hint)
        return Problem(self.file, 1, 1, dotted(path), message, hint)


def dotted(path: Path) -> str:
    """`("topics", 0, "name")` as `topics[0].name`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) and text in ("topics", "brokers.racks") else f".{part}"
        text = text.removeprefix(".")
    return text


def parse_scalar(text: str) -> Any:  # noqa: ANN401 any YAML value
    """The value of one YAML fragment under the same rules, as `--set` takes it.

    Raises:
        ValueError: the text is no YAML, or uses tags or duplicate keys.
    """
    try:
        node = _compose(text)
    except yaml.YAMLError as error:
        raise ValueError(_yaml_reason(error)) from error
    if node is None:
        return None
    builder = _Builder(Source("--set"))
    value = builder.build(node, (), 0)
    if builder.problems:
        raise ValueError(builder.problems[0].message)
    return value


def parse(text: str, file: str) -> tuple[Any, Source, list[Problem]]:
    """Read YAML text.

    Returns:
        The data, the places in it, and every problem of form: with problems the data holds what could be read.
    """
    source = Source(file)
    try:
        node = _compose(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        hint = "indent with spaces" if "\t" in text else ""
        return None, source, [Problem(file, line, column, "", f"this is not YAML: {_yaml_reason(error)}", hint)]
    except yaml.YAMLError as error:
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
        return None, source, [Problem(file, line, 1, "", f"this is not YAML: {_yaml_reason(error)}")]
    if node is None:
        return None, source, [Problem(file, 1, 1, "", "the file is empty", "`provision init` writes one to start from")]
    builder = _Builder(source)
    try:
        data = builder.build(node, (), 0)
    except _TooMuch as error:
        return None, source, [Problem(file, error.line, error.column, "", str(error))]
    return data, source, builder.problems


def _compose(text: str) -> yaml.Node | None:
    loader = _CoreLoader(text)
    try:
        return cast("yaml.Node | None", loader.get_single_node())
    except RecursionError as error:
        raise yaml.YAMLError("it is nested too deeply") from error
    finally:
        loader.dispose()


def _yaml_reason(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError):
        return ", ".join(part for part in (error.context, error.problem) if part)
    if isinstance(error, yaml.reader.ReaderError):
        return f"{error.reason} (character {error.character!r})"
    return str(error)


class _TooMuch(Exception):
    def __init__(self, message: str, node: yaml.Node) -> None:
        super().__init__(message)
        self.line, self.column = _place(node)


def _place(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


class _Builder:
    """Turns composed nodes into data, noting places and problems on the way."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self._values = 0

    def build(self, node: yaml.Node, path: Path, depth: int) -> Any:  # noqa: ANN401 any YAML value
        self._values += 1
        if self._values > MAX_VALUES:
            raise _TooMuch(f"the file unfolds to more than {MAX_VALUES} values; too many aliases (*name)?", node)
        self.source.values[path] = _place(node)
        self._check_depth(node, depth)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            if node.tag != "tag:yaml.org,2002:seq":
                self._refuse_tag(node, path)
            return [self.build(item, (*path, index), depth + 1) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _scalar(self, node: yaml.Node, path: Path) -> Any:  # noqa: ANN401 any YAML scalar
        match node.tag:
            case "tag:yaml.org,2002:str":
                return node.value
            case "tag:yaml.org,2002:bool":
                return node.value.lower() == "true"
            case "tag:yaml.org,2002:int":
                return int(node.value)
            case "tag:yaml.org,2002:float":
                return float(node.value)
            case "tag:yaml.org,2002:null":
                return None
            case "tag:yaml.org,2002:merge":
                return node.value
        self._refuse_tag(node, path)
        return node.value

    def _mapping(self, node: yaml.MappingNode, path: Path, depth: int) -> dict[Hashable, Any]:
        self._check_depth(node, depth)  # a merge key that leads to itself comes only through here
        if node.tag != "tag:yaml.org,2002:map":
            self._refuse_tag(node, path)
        merged: dict[Hashable, Any] = {}
        own: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                for part in self._merge_sources(value_node, path):
                    merged = self._mapping(part, path, depth + 1) | merged
                continue
            key = self._scalar(key_node, path) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str | int) or isinstance(key, bool):
                self._problem(key_node, path, "a key is a plain word or number")
                continue
            here = (*path, key)
            if key in own:
                line, _ = self.source.keys[here]
                self._problem(key_node, here, f"this key is already there in line {line}", "remove one of the two")
                continue
            self.source.keys[here] = _place(key_node)
            own[key] = self.build(value_node, here, depth + 1)
        return merged | own

    def _merge_sources(self, node: yaml.Node, path: Path) -> Iterator[yaml.MappingNode]:
        for part in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if isinstance(part, yaml.MappingNode):
                yield part
            else:
                self._problem(part, path, "<< merges mappings only")

    def _check_depth(self, node: yaml.Node, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise _TooMuch(f"values are nested more than {MAX_DEPTH} deep; does an alias contain itself?", node)

    def _refuse_tag(self, node: yaml.Node, path: Path) -> None:
        self._problem(node, path, f"the tag {node.tag} is not allowed in an environment file", "write a plain value")

    def _problem(self, node: yaml.Node, path: Path, message: str, hint: str = "") -> None:
        self.problems.append(Problem(self.source.file, *_place(node), dotted(path), message, hint))
