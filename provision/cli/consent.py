"""Consent to what cannot be undone: asked on a terminal, or given beforehand by `--yes`."""

import sys

from provision.errors import Refused


def require_agreement(what_stays: str, hint: str) -> None:
    """Ask the user whether to go on.

    Args:
        what_stays: said if they do not agree, for example `orders is left as it is`.
        hint: what agrees without being asked.

    Raises:
        Refused: they do not agree, or there is no terminal to ask.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Refused(what_stays, why="nobody has agreed to that, and there is no terminal to ask", hint=hint)
    import typer

    if not typer.confirm("Go on?", err=True):
        raise Refused(what_stays, why="you did not agree")
