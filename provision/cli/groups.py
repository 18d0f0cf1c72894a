"""The groups in which `provision --help` shows the commands."""

from typing import Any

from typer.core import TyperGroup

ENVIRONMENT = "Environment"
LOOK = "Look"
TOPICS = "Topics and records"
FILES = "Environment files"
SOFTWARE = "Software"


class GroupedCommands(TyperGroup):
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
