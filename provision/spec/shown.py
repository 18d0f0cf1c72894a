"""What messages may show of the sections in which a secret may stand in the wrong place.

Whoever mistakes the form of `users`, `acls`, `certificates`, `security` or `listeners` may have put a password or a key
wherever there is a place. Of these sections a message shows, by kind:

- what this program has itself: its keys, the words to choose from, and the numbers of entries;
- names that are public by nature, since all who look at the cluster see them: that of a listener, which has a mapping
  below it, and that of a user in an entry that is one;
- what leads to something: a file with a password that is there, a variable that is set;
- the paths of certificates and keys, which are not taken for paths if they have the form of a key.

Everything else is where the message says, and stands in its path as `…`.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

from provision.security.listening import HOST, INTERNAL
from provision.security.profiles import CONTROLLER
from provision.spec.names import LISTENER_PATTERN, USER_PATTERN

Path = tuple[str | int, ...]
HIDDEN = "…"
WORDS: Mapping[str, frozenset[str]] = {
    "users": frozenset(["name", "password", "env", "file", "mechanism", "iterations", "allow", "super"]),
    "acls": frozenset(["user", "principal", "allow", "operation", "resource", "name", "pattern", "permission", "host"]),
    "certificates": frozenset(["authority", "key", "certificate"]),
    "listeners": frozenset(["port", "security"]),
    "security": frozenset(),
}
"""The keys of each of the sections."""
_LISTS = frozenset(["users", "acls", "allow"])
_OF_NAMES = 2  # how deep a path goes that ends with a listener, or with a user by name, as `--set` has it
_OF_NODES = frozenset((HOST, INTERNAL, CONTROLLER, f"{CONTROLLER}S"))


def may_be_secret(path: Path) -> bool:
    """Whether a value may be a secret in the wrong place."""
    return path[:1] != () and path[0] in WORDS


def shown_parts(path: Path, *, names: Collection[str] = (), keys: Collection[Path] = ()) -> Path:
    """The parts of a path, with `HIDDEN` for those that may be secrets.

    Args:
        path: of a key or a value.
        names: those that are public, as `public_names` has them.
        keys: the paths of keys: a number among them is none of an entry.
    """
    if not may_be_secret(path):
        return path
    section, *rest = path
    words = WORDS[str(section)]
    shown: list[str | int] = [section]
    for depth, part in enumerate(rest, 2):
        if isinstance(part, int):
            is_public = path[depth - 2] in _LISTS and path[:depth] not in keys
        else:
            is_public = part in words or (depth == _OF_NAMES and part.upper() in {*names, *_OF_NODES})
        shown.append(part if is_public else HIDDEN)
    return tuple(shown)


def public_names(data: Mapping[Any, Any]) -> frozenset[str]:
    """The names of a file's listeners and users, in capital letters; the file need not be valid."""
    given, users = data.get("listeners"), data.get("users")
    named = [name for name, below in given.items() if isinstance(below, dict)] if isinstance(given, dict) else []
    listeners = {name.upper() for name in named if isinstance(name, str) and re.match(LISTENER_PATTERN, name)}
    entries = [one.get("name") for one in users if isinstance(one, dict)] if isinstance(users, list) else []
    return frozenset(
        listeners | {name.upper() for name in entries if isinstance(name, str) and re.match(USER_PATTERN, name)}
    )
