"""How Kafka's own tools are run as processes of this machine."""

import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from provision.errors import Unavailable
from provision.runtime.base import JavaCommand, Streams
from provision.runtime.process.notes import files_of

OPTIONS = ("-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""Of the JVM: a tool runs for a short time."""
_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Started:
    """What a command is started with: its last arguments, and the descriptors that it inherits."""

    arguments: tuple[str, ...]
    descriptors: tuple[int, ...] = ()


@contextmanager
def told(command: JavaCommand, directory: Path) -> Iterator[Started]:
    """The arguments of a command, with a file of its own for what lets it in.

    The file has no name: no other command can read it or overwrite it, and it is gone when the last process that has it
    open ends, however it ends.
    """
    if not command.option:
        yield Started(command.arguments)
        return
    with files_of(directory):
        file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 errors of what runs meanwhile are not its
    with file:
        with files_of(directory):
            file.write(command.properties)
            file.flush()
            file.seek(0)  # where the system has one position for all who open it by its descriptor
        yield Started(command.told(f"/dev/fd/{file.fileno()}"), (file.fileno(),))


def run(command: Sequence[str], descriptors: Sequence[int], streams: Streams, variables: Mapping[str, str]) -> int:
    """Run it with the caller's streams if they are files of the system, else through pipes; returns its exit code."""
    out, err = _descriptor(streams.stdout), _descriptor(streams.stderr)
    with subprocess.Popen(  # noqa: S603 the command is ours
        command,
        stdin=streams.stdin or subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        env=variables,
        pass_fds=descriptors,
    ) as tool:
        try:
            written, complained = tool.communicate()
        except BaseException:
            tool.kill()
            raise
    streams.stdout.write(written or b"")
    streams.stderr.write(complained or b"")
    return 128 - tool.returncode if tool.returncode < 0 else tool.returncode


def output(command: Sequence[str], descriptors: Sequence[int], variables: Mapping[str, str]) -> tuple[int, str]:
    """Run it, and return its exit code and all that it wrote.

    Raises:
        Unavailable: it cannot be run, or does not end.
    """
    try:
        done = subprocess.run(  # noqa: S603 the command is ours
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=variables,
            pass_fds=descriptors,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{command[0]} did not end within {_TIMEOUT_S} s") from error
    except OSError as error:
        raise Unavailable(f"{command[0]} cannot be run", why=error.strerror or str(error)) from error
    return done.returncode, done.stdout.decode(errors="replace")


def _descriptor(stream: IO[bytes]) -> int:
    try:
        stream.flush()
        return stream.fileno()
    except (OSError, ValueError):
        return subprocess.PIPE
