"""Act on several nodes concurrently."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from provision.events import Listener, action

_WORKERS = 16


def each(tell: Listener, verb: str, names: Iterable[str], act: Callable[[str], None]) -> None:
    """Act on every name concurrently; all are tried before the first failure is raised."""

    def one(name: str) -> None:
        with action(tell, verb, name):
            act(name)

    with ThreadPoolExecutor(max_workers=_WORKERS) as pool:
        futures = [pool.submit(one, name) for name in names]
    for future in futures:
        future.result()
