"""Commands in groups: what holds for the words of every command, and how `provision --help` shows them."""

from collections.abc import Sequence
from typing import Any

from typer.core import TyperGroup

from provision.errors import UsageError

ENVIRONMENT = "Environment"
LOOK = "Look"
TOPICS = "Topics and records"
FILES = "Environment files"
SOFTWARE = "Software"


class WrongLine(UsageError):
    """The command line is wrong by itself: no command has begun."""


class Commands(TyperGroup):
    """Commands none of whose words may be empty: that is a variable which is not set, and never what was meant."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:  # noqa: ANN401 click's own or typer's copy
        """Find the command that the words begin with; its own words follow."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and not ctx.resilient_parsing and not hasattr(command, "commands"):
            _require_words(command, rest[: rest.index("--")] if "--" in rest else rest)
        return name, command, rest


def _require_words(command: Any, words: Sequence[str]) -> None:  # noqa: ANN401 as above
    options = {option for param in command.params if not getattr(param, "is_flag", True) for option in param.opts}
    for before, word in zip(["", *words], words, strict=False):
        option, equals, value = word.partition("=")
        if (equals and not value and option in options) or not word:
            what = option or (before if before in options else "an argument")
            raise WrongLine(f"{what} is empty", why="perhaps it is a variable that is not set")


class GroupedCommands(Commands):
    """Shows the commands by group, in the order in which the groups first occur."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 click's own or typer's copy
        """Write a section for each group: every command's name and its summary."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        limit = formatter.width - 6 - max(map(len, commands), default=0)
        groups: dict[str, list[tuple[str, str]]] = {}
        for name, command in commands.items():
            if command is not None and not command.hidden:
                group = getattr(command, "rich_help_panel", None)
                rows = groups.setdefault(group if isinstance(group, str) else "Commands", [])
                rows.append((name, command.get_short_help_str(limit)))
        for group, rows in groups.items():
            with formatter.section(group):
                formatter.write_dl(rows)
