"""Ports on which nobody listens, for as long as a test says so."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def refusing(host: str = "127.0.0.1") -> Iterator[int]:
    """A port that refuses connections, and that nobody else is given meanwhile: it is bound, and not listened on."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as holder:
        holder.bind((host, 0))
        yield int(holder.getsockname()[1])
