"""Addresses of the form `host:port`."""

import re

LAST_PORT = 65535
_ENDPOINT = re.compile(r"[A-Za-z0-9._:\[\]-]+:([1-9][0-9]{0,4})")


def is_endpoint(text: str) -> bool:
    """Whether it is `host:port`."""
    match = _ENDPOINT.fullmatch(text)
    return match is not None and int(match[1]) <= LAST_PORT
