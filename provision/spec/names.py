"""What names look like. Those of environments become part of paths, container names and labels."""

import re

from provision.common.texts import shown_name, too_long
from provision.errors import UsageError

NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{1,39}$"
LONGEST_NAME = 40
NAME_IN_WORDS = "2 to 40 lower-case letters, digits and hyphens, beginning with a letter or digit"
LISTENER_PATTERN = r"^[A-Za-z][A-Za-z0-9_-]{0,31}$"
LISTENER_IN_WORDS = "a listener's name: 1 to 32 letters, digits, hyphens and underscores, the first one a letter"
USER_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
USER_IN_WORDS = "a user's name: 1 to 64 letters, digits, dots, hyphens, underscores, the first one a letter or digit"

# A network cannot have these names: the engine has one of its own, or the name is a way to have none.
_NETWORKS_OF_ENGINES = frozenset({"bridge", "container", "default", "host", "ingress", "nat", "none", "podman"})


def network_of_engine(name: str) -> str:
    """Why an environment cannot have a name that is fine in form; empty if it can."""
    if name not in _NETWORKS_OF_ENGINES:
        return ""
    return f"{name!r} is the name of a network of the engine's own, and an environment's network is named like it"


def is_environment_name(text: str) -> bool:
    """Whether an environment may have this name."""
    return re.fullmatch(NAME_PATTERN.removesuffix("$"), text) is not None


def no_name(text: str) -> str:
    """What to say of a text that names neither an environment nor a file."""
    long = too_long(text, LONGEST_NAME)
    return f"{shown_name(text)} is neither an environment's name nor a file{long and f': it {long}'}"


def require_environment_name(text: str) -> str:
    """The text if it is a valid name: it becomes part of paths, where `..` would lead anywhere.

    Raises:
        UsageError: it is not a valid name.
    """
    if not is_environment_name(text):
        raise UsageError(no_name(text), hint=f"a name is {NAME_IN_WORDS}")
    return text
