"""The files of nodes as they are read back while another command may be writing them."""

from provision.cluster.fingerprint import is_edited
from provision.cluster.model import RenderedFile
from provision.errors import ProvisionError
from provision.runtime.base import Runtime

_READINGS = 5


def files_of(runtime: Runtime, name: str, node: str) -> tuple[RenderedFile, ...]:
    """A node's files, as they were at one moment if they look edited.

    They are read one after the other. So some may be from before a command has written them, and others from after it.
    What is read twice was there in between.

    Raises:
        ProvisionError: they change all the time.
    """
    read = runtime.read_files(name, node)
    for _ in range(_READINGS):
        if not is_edited(node, read):
            return read
        before, read = read, runtime.read_files(name, node)
        if read == before:
            return read
    hint = "find out what writes them all the time, and end it; then try it again"
    raise ProvisionError(f"the files of {node} are not known: they change while they are read", hint=hint)
