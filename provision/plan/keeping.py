"""What `prune` leaves alone although the file does not name it."""

from collections.abc import Iterable
from fnmatch import fnmatchcase


def is_kept(resource: str, keep: Iterable[str]) -> bool:
    """Whether a resource, as a plan shows it (`topic orders`), fits one of the patterns of the file's `keep`."""
    return any(fnmatchcase(resource, pattern) for pattern in keep)
