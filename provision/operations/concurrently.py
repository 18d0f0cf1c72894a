"""Act on several nodes concurrently."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from provision.errors import ProvisionError
from provision.events import Listener, action

_WORKERS = 16
_BETWEEN = "; "


def each(tell: Listener, verb: str, names: Iterable[str], act: Callable[[str], None]) -> None:
    """Act on every name concurrently; all are tried, and then the first failure is raised with the others' reasons."""

    def one(name: str) -> None:
        with action(tell, verb, name):
            act(name)

    with ThreadPoolExecutor(max_workers=_WORKERS) as pool:
        futures = [pool.submit(one, name) for name in names]
    raise_all([error for future in futures if (error := future.exception())])


def raise_all(errors: Sequence[BaseException]) -> None:
    """Raise the first error, if there is one, with what the others say: a cause and a part of a hint are said once."""
    if not errors:
        return
    first, *others = errors
    for other in others:
        if not isinstance(first, ProvisionError):
            first.add_note(f"and {other}")
        elif isinstance(other, ProvisionError):
            first.add(f"and {other}", *(line for line in other.why.split("\n") if line not in first.why.split("\n")))
            hints = (*first.hint.split(_BETWEEN), *other.hint.split(_BETWEEN))
            first.hint = _BETWEEN.join(dict.fromkeys(filter(None, hints)))
        else:
            first.add(f"and {other}")
    raise first
