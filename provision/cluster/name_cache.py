"""How a node's JVM remembers names that were not known when it asked.

Nodes start at the same time, and the engine knows the name of one only from its own start on. A JVM that was told that
there is no such name believes that for 10 seconds, in which it reaches nobody: long after the other node is there. Only
a file of security properties changes that; the system property for it has no effect where Java's own file sets it.
"""

from provision.cluster.model import Node, RenderedFile

FILE = "java.security"
"""The file next to the node's configuration."""
_CONTENT = b"networkaddress.cache.negative.ttl=0\n"


def option(config_dir: str) -> str:
    """The option of Java that names the file; it adds to Java's own."""
    return f"-Djava.security.properties={config_dir}/{FILE}"


def files_of(node: Node) -> tuple[RenderedFile, ...]:
    """The file, if the node's JVM is told of it."""
    is_named = option(node.config_dir) in node.java_args
    return (RenderedFile(node.name, FILE, _CONTENT),) if is_named else ()
