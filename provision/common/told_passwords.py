"""Passwords that this command was told: no environment variable takes one on to what it starts."""

from collections.abc import Collection, Mapping

_told: set[str] = set()


def note(password: str) -> None:
    """Remember a password for as long as this process runs."""
    if password:
        _told.add(password)


def without(variables: Mapping[str, str], others: Collection[str] = ()) -> dict[str, str]:
    """Environment variables without those that have one of these passwords, or of the others."""
    return {name: value for name, value in variables.items() if value not in _told and value not in others}
