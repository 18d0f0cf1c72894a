"""Hide what is secret in what is given away: in configuration files, in logs and in descriptions.

Three nets, because no single one holds everything: values of settings whose names say that they are secret, private
keys in PEM form, and whatever value was found to be secret once, wherever it comes again.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from provision.cluster.model import LAUNCH_FILE, UNREADABLE, RenderedFile
from provision.cluster.properties import escape_value
from provision.common.secret_texts import HIDDEN, is_secret_name, is_secret_setting, without_keys, without_secrets
from provision.security.profiles import quoted

_QUOTED = re.compile(r"""["']((?:[^"'\\\n]|\\.)+)["']""")
_SHORTEST = 4  # a shorter value would hide what is not secret all over a log
_DISTINCT = 16  # a longer one is part of nothing else


class Mask:
    """Hides secrets; `know` them and `learn` the files first, so that their values are hidden everywhere."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._known: re.Pattern[str] | None = None

    def know(self, secrets: Iterable[str]) -> None:
        """Remember secrets themselves, in every form in which files and logs have a text."""
        for secret in secrets:
            self._values |= {secret, quoted(secret), escape_value(secret), json.dumps(secret)[1:-1]}
        self._compile()

    def learn(self, files: Iterable[RenderedFile]) -> None:
        """Remember the values in files that are secret by their names."""
        for file in files:
            for key, value in _settings(_text_of(file)):
                if is_secret_setting(key, value):
                    self._values |= {value, *_QUOTED.findall(value)} - {"true", "false"}
        self._compile()

    def _compile(self) -> None:
        longest_first = sorted((value for value in self._values if len(value) >= _SHORTEST), key=len, reverse=True)
        self._known = re.compile("|".join(map(_pattern, longest_first))) if longest_first else None

    def file(self, file: RenderedFile) -> str:
        """The content of a file, for others to read; of one that is secret as a whole, nothing."""
        if file.secret:
            return f"{HIDDEN}\n"
        if file.content == UNREADABLE:
            return "(it cannot be read)\n"
        if file.is_of_agent:
            return f"(a file of a Java agent, SHA-256 {file.identity})\n"
        text = _text_of(file)
        if file.name == LAUNCH_FILE and (launch := _launch(text)) is not None:
            return f"{json.dumps(self.value(launch), indent=2)}\n"
        return "".join(f"{self._line(line)}\n" for line in _logical(without_keys(text)))

    def _line(self, line: str) -> str:
        """A line of a properties file, with those that continue it."""
        (key, value), *_ = [*_settings(line), ("", "")]
        if value and is_secret_name(key):
            return f"{key}={HIDDEN}"
        return self.text(line)

    def text(self, text: str) -> str:
        """Any text: lines of a log, or a message."""
        text = without_secrets(text)
        return self._known.sub(HIDDEN, text) if self._known else text

    def value(self, value: Any) -> Any:  # noqa: ANN401 whatever JSON has
        """A value of JSON: the values of names that say it, those of a change of such a setting, and texts in it."""
        if isinstance(value, Mapping):
            secret = is_secret_name(str(value.get("key", "")))
            return {
                name: HIDDEN
                if inner not in (None, "", "unset")
                and (is_secret_name(str(name)) or (secret and name in ("old", "new")))
                else self.value(inner)
                for name, inner in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.value(inner) for inner in value]
        return self.text(value) if isinstance(value, str) else value


def _pattern(value: str) -> str:
    """Where a value is hidden: a short one as a whole word only, since `kafka` is part of many names."""
    found = re.escape(value)
    return found if len(value) >= _DISTINCT else rf"(?<![\w.-]){found}(?![\w-]|\.\w)"


def _launch(text: str) -> Any:  # noqa: ANN401 whatever JSON has
    try:
        return json.loads(text)
    except ValueError:  # somebody has edited it
        return None


def _text_of(file: RenderedFile) -> str:
    return file.content.decode(errors="replace")


def _logical(text: str) -> Iterator[str]:
    """The lines of a text; one that a backslash continues, together with what continues it."""
    pending = ""
    for line in text.splitlines():
        pending += line
        if (len(line) - len(line.rstrip("\\"))) % 2 and not pending.lstrip().startswith(("#", "!")):
            pending += "\n"
            continue
        yield pending
        pending = ""
    if pending:
        yield pending


# Also `"-Dname=value",` in a list of arguments.
_SETTING = re.compile(r"""\s*"?(?:-D)?([^#!\s=:"][^\s=:"]*)\s*[=:\s]\s*(.*?)(?:",?)?""", re.DOTALL)


def _settings(text: str) -> Iterator[tuple[str, str]]:
    """The keys and values that a properties file sets, or that look like it in another one."""
    for line in _logical(text):
        if match := _SETTING.fullmatch(line):
            yield match[1], re.sub(r"\\\n\s*", "", match[2]).strip()
