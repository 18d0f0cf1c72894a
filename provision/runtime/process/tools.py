"""How Kafka's own tools are run as processes of this machine."""

import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from msgspec import Struct

from provision.common.offloading import ended_by, require_wanted
from provision.errors import Unavailable
from provision.runtime.base import JavaCommand, Streams
from provision.runtime.process.notes import files_of

OPTIONS = ("-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""Of the JVM: a tool runs for a short time."""
_CLIENT_FILE = "client.properties"
_TIMEOUT_S = 60


class Started(Struct, frozen=True):
    """What a command is started with: its last arguments, its JVM's options, and the descriptors that it inherits."""

    arguments: tuple[str, ...]
    options: tuple[str, ...] = ()
    descriptors: tuple[int, ...] = ()


@contextmanager
def told(command: JavaCommand, directory: Path, own: Path) -> Iterator[Started]:
    """The arguments of a command, with files of its own for what lets it in.

    The files have no names: no other command can read or overwrite them, and they are gone when the last process that
    has them open ends, however it ends.

    Args:
        command: what is run.
        directory: of the environment, where there is room for them.
        own: where those files are that the command reads, and does not bring.
    """
    with ExitStack() as held:
        with files_of(directory):  # errors of what runs meanwhile are not its
            brought = {name: _unnamed(held, content, directory) for name, content in _brought(command).items()}
        paths = {name: f"/dev/fd/{descriptor}" for name, descriptor in brought.items()}
        options = command.options(lambda name: paths.get(name) or f"{own.as_posix()}/{name}")
        yield Started(command.told(paths.get(_CLIENT_FILE, "")), options, tuple(brought.values()))


def _brought(command: JavaCommand) -> Mapping[str, bytes]:
    return {**command.secrets, **({_CLIENT_FILE: command.properties} if command.option else {})}


def _unnamed(held: ExitStack, content: bytes, directory: Path) -> int:
    file = held.enter_context(tempfile.TemporaryFile(dir=directory))  # noqa: SIM115 it is left with the others
    file.write(content)
    file.flush()
    file.seek(0)  # where the system has one position for all who open it by its descriptor
    return file.fileno()


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
            with ended_by(tool.kill):
                written, complained = tool.communicate()
        except BaseException:
            tool.kill()
            raise
    require_wanted()
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
