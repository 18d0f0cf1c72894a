"""`--bundle` of commands that bring an environment up: what tells why that has failed is kept."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from provision.cli.output import say
from provision.common.whole_files import require_no_other, told_as_unwritable
from provision.errors import Interrupted, ProvisionError

if TYPE_CHECKING:
    from provision.environment import Environment

_GZIP = b"\x1f\x8b"


@contextmanager
def start_bundled(environment: "Environment", file: Path | None) -> Iterator[Callable[[], None]]:
    """Write an archive of the environment, if there is any, when the start inside the block fails.

    The block gets what is to be called before what it has created is removed; then that has written the archive.

    Raises:
        OSError: there is a file that cannot be read; the block is not entered.
        Refused: there is a file that is no archive; the block is not entered.
    """
    if file:
        with told_as_unwritable(file):
            require_no_other(file, _GZIP, "no archive")
    written = file is None

    def write() -> None:
        nonlocal written
        if file and not written:
            written = True
            write_bundle(environment, file, "the start")

    try:
        yield write
    except Interrupted:
        raise
    except ProvisionError:
        if not written and _is_there(environment):
            write()
        raise


def write_bundle(environment: "Environment", file: Path, failed: str) -> None:
    """Write an archive of the state after what has failed; whatever becomes of that, the first failure counts."""
    try:
        environment.bundle(file)
    except ProvisionError as error:
        say(f"{file} is not written: {error.why or error}")
    else:
        say(f"wrote {file}, as {failed} has failed")


def _is_there(environment: "Environment") -> bool:
    with suppress(ProvisionError):  # the first failure tells more
        return not environment.runtime.observe(environment.name).is_absent
    return False
