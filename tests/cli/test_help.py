"""What `--help` shows on a terminal of 80 columns: all of it, and the commands by their groups."""

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from provision.cli.app import app
from provision.cli.run import run

WIDTH = 80
GROUPS = {
    "Environment files": ["init", "validate", "render", "plan", "docs", "schema"],
    "Environment": ["up", "down", "stop", "start", "restart", "run", "gc"],
    "Look": ["status", "list", "wait", "logs", "endpoints", "env", "client-config", "history", "doctor", "certs"],
    "Topics and records": ["produce", "consume", "tool", "topics"],
    "Software": ["fetch", "lock", "warm", "image"],
}


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:  # noqa: ANN401 click's own or typer's copy
    """Every command and group by the words that lead to it; the program itself by none."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(app)))
SUBGROUPS = [path for path, command in COMMANDS.items() if hasattr(command, "commands")]


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))


def shown(capsys: pytest.CaptureFixture[str], *path: str) -> str:
    """The help of a command."""
    assert run([*path, "--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def packed(text: str) -> str:
    """Without the white space, at which lines are wrapped."""
    return "".join(text.split())


def summary(command: Any) -> str:  # noqa: ANN401 see above
    """The first paragraph of its help."""
    return inspect.cleandoc(command.help).partition("\n\n")[0]


def sections(text: str) -> dict[str, list[str]]:
    """The first word of each entry, by the heading it stands below."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            found[line.removesuffix(":")] = []
        elif found and line.startswith("  ") and line[2] != " ":
            found[list(found)[-1]].append(line.split()[0])
    return found


def test_every_command_is_among_those_that_are_looked_at() -> None:
    assert {path[0] for path in COMMANDS if path} == {name for names in GROUPS.values() for name in names}
    assert SUBGROUPS == [(), ("certs",), ("topics",), ("image",)]
    assert len(COMMANDS) > 30


def test_the_commands_stand_in_their_groups(capsys: pytest.CaptureFixture[str]) -> None:
    found = sections(shown(capsys))
    assert list(found) == ["Options", *GROUPS]
    assert {heading: found[heading] for heading in GROUPS} == GROUPS


@pytest.mark.parametrize("path", SUBGROUPS, ids=lambda path: " ".join(path) or "provision")
def test_every_summary_is_whole(capsys: pytest.CaptureFixture[str], path: tuple[str, ...]) -> None:
    text = packed(shown(capsys, *path))
    cut = {name: summary(command) for name, command in COMMANDS[path].commands.items()}
    assert cut
    assert [name for name, whole in cut.items() if packed(f"{name} {whole}") not in text] == []


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "provision")
def test_every_text_is_whole_and_no_line_is_too_long(capsys: pytest.CaptureFixture[str], path: tuple[str, ...]) -> None:
    out, command = shown(capsys, *path), COMMANDS[path]
    text = packed(out)
    assert packed(command.help) in text
    for parameter in command.params:
        assert parameter.help, f"{parameter.name} is not explained"
        assert packed(parameter.help) in text
        names = parameter.opts if parameter.param_type_name == "option" else [parameter.metavar]
        assert all(name in text for name in map(packed, names))
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= WIDTH
