"""YAML text to plain data, with the position of every key and value.

The rules are YAML 1.2's core schema, so that `off`, `no`, `12:30` and `2024-01-01` stay strings, as intended: they are
common in Kafka's settings. For the same reason only decimal numbers without leading zeros are numbers; `0x10` and `007`
stay text. Tags, recursive aliases and huge files are rejected early.
"""

import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self, cast

import yaml

from provision.errors import Problem
from provision.spec.shown import may_be_secret, shown_parts

MAX_BYTES = 1024 * 1024
MAX_VALUES = 100_000
MAX_CHARACTERS = 4 * MAX_BYTES
MAX_DEPTH = 32

_SHOWN = 1000
_TOO_DEEP = f"values are nested more than {MAX_DEPTH} deep"

Path = tuple[str | int, ...]

_STRING, _NULL, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:null", "tag:yaml.org,2002:merge"
_BOOL, _INT, _FLOAT = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"


class _CoreLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the C parser where it is built
    """PyYAML's parser with the scalars of YAML 1.2's core schema."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def descend_resolver(self, current_node: yaml.Node | None, current_index: object) -> None:
        """Called before each node: the C parser recurses, and a deep file would overflow its stack and kill us."""
        self._depth += 1
        if current_node is not None and self._depth > MAX_DEPTH + 1:
            raise _TooMuch(_TOO_DEEP, current_node)
        super().descend_resolver(current_node, current_index)

    def ascend_resolver(self) -> None:
        """Called after each node."""
        self._depth -= 1
        super().ascend_resolver()


_FORMS = {
    tag: re.compile(rf"(?:{pattern})\Z")
    for tag, pattern in (
        (_BOOL, r"true|True|TRUE|false|False|FALSE"),
        (_INT, r"[-+]?(?:0|[1-9][0-9]{0,99})"),
        (_FLOAT, r"[-+]?(?:0|[1-9][0-9]{0,99})?(?:\.[0-9]+|(?<=[0-9])\.|(?<=[0-9])(?=[eE]))(?:[eE][-+]?[0-9]+)?"),
        (_NULL, r"~|null|Null|NULL|"),
        (_MERGE, r"<<"),
    )
}
for _tag, _first in (
    (_BOOL, "tTfF"),
    (_INT, "-+0123456789"),
    (_FLOAT, "-+.0123456789"),
    (_NULL, ["~", "n", "N", ""]),
    (_MERGE, "<"),
):
    _CoreLoader.add_implicit_resolver(_tag, _FORMS[_tag], list(_first))


def means_no_text(text: str) -> bool:
    """Whether a scalar that is written like this, without quotes, is read as something else than text."""
    return any(form.match(text) for form in _FORMS.values())


class Decimal(float):
    """A number with a point or an exponent that keeps its original text: a setting may well be `3.10` or `1e9`."""

    text: str

    def __new__(cls, text: str) -> Self:
        """The number, and its text."""
        self = super().__new__(cls, text)
        self.text = text
        return self

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__


@dataclass(slots=True)
class Positions:
    """The position of each key and value of a file, by its path (`("brokers", "nodes")`).

    Values from a program have no lines. `names` are those that are public (`provision.spec.shown`).
    """

    file: str
    keys: dict[Path, tuple[int, int]] = field(default_factory=dict)
    values: dict[Path, tuple[int, int]] = field(default_factory=dict)
    overridden: dict[Path, str] = field(default_factory=dict)
    has_lines: bool = True
    names: frozenset[str] = frozenset()

    def problem(
        self, path: Path, message: str, hint: str = "", *, at_key: bool = False, warning: bool = False
    ) -> Problem:
        """A problem at the position of `path`, or of the nearest key above it that the file has."""
        file, line, column = self._place(path, at_key=at_key)
        return Problem(file, line, column, self.shown(path), _shown(message), hint, warning)

    def shown(self, path: Path) -> str:
        """A path as messages show it."""
        return _shown(dotted(shown_parts(path, names=self.names, keys=self.keys)))

    def _place(self, path: Path, *, at_key: bool) -> tuple[str, int, int]:
        for end in range(len(path), -1, -1):
            if origin := self.overridden.get(path[:end]):
                return origin, 0, 0
            places = self.keys if at_key and end == len(path) else self.values
            if place := places.get(path[:end]):
                return self.file, *place
        return (self.file, 1, 1) if self.has_lines else (self.file, 0, 0)

    def override(self, path: Path, origin: str) -> None:
        """Record that `path`, and everything below it, no longer comes from the file."""
        for places in (self.keys, self.values, self.overridden):
            for below in [known for known in places if known[: len(path)] == path]:
                del places[below]
        self.overridden[path] = origin


def _shown(text: str) -> str:
    """A text as far as it is read: a key or a value may have a million characters."""
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]} … {text[-_SHOWN // 2 :]}"


_LISTS = "acls agents allow bootstrap_servers drain files keep options quotas racks replicas topics users"
LISTS = frozenset(_LISTS.split())
"""The keys whose values are lists; elsewhere a number is the key of a mapping."""


def dotted(path: Path) -> str:
    """`("topics", 0, "name")` as `topics[0].name`."""
    text, key = "", ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) and key in LISTS else f".{part}"
        text = text.removeprefix(".")
        key = key if isinstance(part, int) else part
    return text


def parse_scalar(text: str, path: Path = ()) -> Any:  # noqa: ANN401 any YAML value
    """The value of one YAML fragment under the same rules, as `--set` takes it for that path.

    Raises:
        ValueError: the text is not YAML, or uses tags or duplicate keys.
    """
    builder = _Builder(Positions("--set"))
    try:
        node = _compose(text)
        value = builder.build(node, path, 0) if node else None
    except yaml.YAMLError as error:
        raise ValueError(_yaml_reason(error)) from error
    except _TooMuch as error:
        raise ValueError(str(error)) from error
    if builder.problems:
        raise ValueError(builder.problems[0].message)
    return value


def parse(text: str, file: str) -> tuple[Any, Positions, list[Problem]]:
    """Read YAML text.

    Returns:
        The data, its positions, and every problem of form; with problems, the data has what could be read.
    """
    source = Positions(file)
    builder = _Builder(source)
    try:
        node = _compose(text)
        data = builder.build(node, (), 0) if node else None
    except yaml.YAMLError as error:
        return None, source, [_not_yaml(error, text, file)]
    except _TooMuch as error:
        return None, source, [Problem(file, error.line, error.column, "", str(error))]
    if node is None:
        return None, source, [Problem(file, 1, 1, "", "the file is empty", "`provision init` writes one to start from")]
    return data, source, builder.problems


def _compose(text: str) -> yaml.Node | None:
    if forbidden := yaml.reader.Reader.NON_PRINTABLE.search(text):
        place = forbidden.start()
        line, column = text.count("\n", 0, place), place - text.rfind("\n", 0, place) - 1
        reason = f"the character U+{ord(forbidden[0]):04X} is not allowed"
        raise yaml.MarkedYAMLError(problem=reason, problem_mark=yaml.Mark("", place, line, column, text, place))
    loader = _CoreLoader(text)
    try:
        return cast("yaml.Node | None", loader.get_single_node())
    finally:
        loader.dispose()


def _not_yaml(error: yaml.YAMLError, text: str, file: str) -> Problem:
    """The parser's message, with a hint for the most likely mistake."""
    mark = isinstance(error, yaml.MarkedYAMLError) and (error.problem_mark or error.context_mark)
    line, column = (mark.line, mark.column) if mark else (0, 0)
    reason = _yaml_reason(error)
    if "maximum nesting depth" in reason:  # libyaml 0.2.6 reads a thousand brackets ahead, and has a limit of its own
        return Problem(file, line + 1, column + 1, "", _TOO_DEEP)
    lines = text.splitlines()
    if "\t" in "".join(lines[line : line + 1]):
        hint = "indent with spaces"
    else:
        hint = next((hint for sign, hint in _YAML_HINTS.items() if sign in reason), "")
    return Problem(file, line + 1, column + 1, "", f"this is not YAML: {reason}", hint)


_YAML_HINTS = {
    "another document": "keep each environment in a file of its own",
    "mapping values are not allowed": "a colon is missing above, or a text with a colon needs quotes",
    "did not find expected key": "keys of one mapping begin in the same column",
    "undefined alias": "an alias, *name, needs an anchor, &name, before it; quote a text that begins with *",
    "while scanning a quoted scalar": "the closing quote is missing",
}


def _yaml_reason(error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError):
        return str(error)
    context, mark = error.context or "", error.context_mark
    # The parser that is not built in C also says how what it has not found is called, which may be a secret.
    problem = _CALLED.sub(r"\1", error.problem or "")
    if context and mark and error.problem_mark and mark.line != error.problem_mark.line:
        context += f" that begins in line {mark.line + 1}"
    return ", ".join(part for part in (context, problem) if part)


_CALLED = re.compile(r"\b(alias|anchor|handle) '.*'")


class _TooMuch(Exception):
    def __init__(self, message: str, node: yaml.Node) -> None:
        super().__init__(message)
        self.line, self.column = _place(node)


def _short(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")


def _place(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


class _Builder:
    """Turns composed nodes into data, recording positions and problems."""

    def __init__(self, source: Positions) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self._values = 0
        self._characters = 0

    def build(self, node: yaml.Node, path: Path, depth: int) -> Any:  # noqa: ANN401 any YAML value
        self._count(node)
        self.source.values[path] = _place(node)
        self._check_depth(node, depth)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            if node.tag != "tag:yaml.org,2002:seq":
                self._refuse_tag(node, path)
            return [self.build(item, (*path, index), depth + 1) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _count(self, node: yaml.Node) -> None:
        """Aliases make a small file large: each time they are used counts."""
        self._values += 1
        if self._values > MAX_VALUES:
            raise _TooMuch(f"the file unfolds to more than {MAX_VALUES} values; too many aliases (*name)?", node)
        if isinstance(node, yaml.ScalarNode):
            self._characters += len(node.value)
            if self._characters > MAX_CHARACTERS:
                too_many = f"the file unfolds to more than {MAX_CHARACTERS} characters; too many aliases (*name)?"
                raise _TooMuch(too_many, node)

    def _scalar(self, node: yaml.Node, path: Path) -> Any:  # noqa: ANN401 any YAML scalar
        match node.tag:
            case tag if tag in _FORMS and not _FORMS[tag].match(node.value):
                what = "this" if may_be_secret(path) else repr(node.value)
                self._problem(node, path, f"{what} is not what its tag {_short(tag)} says", "remove the tag")
                return node.value
            case "tag:yaml.org,2002:str" | "tag:yaml.org,2002:merge":
                return node.value
            case "tag:yaml.org,2002:bool":
                return node.value.lower() == "true"
            case "tag:yaml.org,2002:int":
                return int(node.value)
            case "tag:yaml.org,2002:float":
                return Decimal(node.value)
            case "tag:yaml.org,2002:null":
                return None
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
                    self._count(part)
                    merged = self._mapping(part, path, depth + 1) | merged
                continue
            key = self._scalar(key_node, path) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str | int) or isinstance(key, bool):
                self._problem(key_node, path, "a key is a word or a whole number", "quote it to make it a word")
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
                self._problem(part, path, "<< merges mappings only", "write <<: *name, with &name before a mapping")

    def _check_depth(self, node: yaml.Node, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise _TooMuch(f"{_TOO_DEEP}; does an alias contain itself?", node)

    def _refuse_tag(self, node: yaml.Node, path: Path) -> None:
        what = "a tag (!)" if may_be_secret(path) else f"the tag {_short(node.tag)}"
        message = f"{what} is not allowed in an environment file"
        self._problem(node, path, message, "write a plain value")

    def _problem(self, node: yaml.Node, path: Path, message: str, hint: str = "") -> None:
        self.problems.append(Problem(self.source.file, *_place(node), self.source.shown(path), _shown(message), hint))
