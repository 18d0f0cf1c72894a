"""What an environment may be called. The name becomes part of paths, container names and labels."""

import re

NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{1,39}$"
NAME_IN_WORDS = "2 to 40 lower-case letters, digits and hyphens, beginning with a letter or digit"


def is_environment_name(text: str) -> bool:
    """Whether an environment may have this name."""
    return re.fullmatch(NAME_PATTERN.removesuffix("$"), text) is not None
