"""The port of JMX, on which a JVM would listen at all addresses."""

from collections.abc import Iterable

_JMX = "-Dcom.sun.management.jmxremote"
_OPENING = (f"{_JMX}.port=", "-Dcom.sun.management.config.file=")
"""What opens the port: an option, or, perhaps, a file of options, which those of the command line override."""
_LOOPBACK = "127.0.0.1"


def bound_here(options: Iterable[str]) -> tuple[str, ...]:
    """What binds the port to the loopback interface, for Java's options if they open one."""
    if not any(option.startswith(_OPENING) for option in options):
        return ()
    return (f"{_JMX}.host={_LOOPBACK}", f"-Djava.rmi.server.hostname={_LOOPBACK}")
