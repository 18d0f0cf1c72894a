"""A container's log, as the engine sends it."""

from collections.abc import Iterator


def lines(chunks: Iterator[bytes]) -> Iterator[str]:
    """The complete lines of a stream of chunks."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.decode(errors="replace").rstrip("\r") for line in whole)
    if rest:
        yield rest.decode(errors="replace")
