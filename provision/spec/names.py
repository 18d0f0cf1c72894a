"""Names of environments. They become part of paths, container names and labels."""

import re

from provision.errors import UsageError

NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{1,39}$"
NAME_IN_WORDS = "2 to 40 lower-case letters, digits and hyphens, beginning with a letter or digit"


def is_environment_name(text: str) -> bool:
    """Whether an environment may have this name."""
    return re.fullmatch(NAME_PATTERN.removesuffix("$"), text) is not None


def require_environment_name(text: str) -> str:
    """The text if it is a valid name: it becomes part of paths, where `..` would lead anywhere.

    Raises:
        UsageError: it is not a valid name.
    """
    if not is_environment_name(text):
        raise UsageError(f"{text!r} is neither an environment's name nor a file", hint=f"a name is {NAME_IN_WORDS}")
    return text
