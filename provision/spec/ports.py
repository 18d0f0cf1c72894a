"""Ports of this machine in an environment file."""

LAST_PORT = 65535

PORT = {"anyOf": [{"type": "integer", "minimum": 1, "maximum": LAST_PORT}, {"const": "auto"}]}
"""How the JSON Schema describes one."""


def is_port(value: object) -> bool:
    """Whether that is a port, or `auto`."""
    return value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LAST_PORT)
