"""Processes that outlive the command: the only module that knows how systems differ.

A process belongs to a node if it is this user's and its command line has the mark of the node's directory, which is
unique on a machine. Its id and start time are noted there, so that it is found without a search, and so that a later
process with the same id is never mistaken for it. The mark alone suffices: the directory may be gone.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import psutil
from pydantic import Field

from provision.common.clocks import now_s
from provision.common.notes import DamagedNote, Note, Seconds, read_note
from provision.common.patience import Patience, Pauses
from provision.common.sessions import OUT_OF_REACH
from provision.common.whole_files import write_whole
from provision.errors import ProvisionError
from provision.plan.observed import WAS_ASKED_TO_STOP, WAS_KILLED

MARK, TOOL_MARK = "-Dprovision.node=", "-Dprovision.tool="
_NOTE = "process.json"
_PROCESSES = Path("/proc")
_DELETED = " (deleted)"
_KILL_PATIENCE_S = 10.0
_REAP_S = 1.0
_STOPPED_S = 2.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.002, 0.05
_EXEC_S, _EXEC_PAUSE_S = 0.2, 0.01


class _Process(Note):
    """`process.json`: a process, by its id and when it was started, and how it ended if it was ended from here."""

    pid: Annotated[int, Field(ge=1, lt=2**31)]
    created: Seconds
    exit_code: Annotated[int, Field(ge=0, lt=256)] | None = None


# Children of this command: their exit codes are available only to their parent.
_children: dict[int, subprocess.Popen[bytes]] = {}


def mark(directory: Path) -> str:
    """The argument that marks a node's process."""
    return f"{MARK}{directory.as_posix()}"


def tool_mark(environment: Path) -> str:
    """The argument that marks an environment's tool."""
    return f"{TOOL_MARK}{environment.as_posix()}"


def start(command: Sequence[str], directory: Path, output: Path, variables: Mapping[str, str] | None = None) -> None:
    """Start a process that outlives this one, its output appended to a file; `variables` are its environment.

    Raises:
        ProvisionError: the program cannot be started.
    """
    forget(directory)
    try:
        with output.open("ab") as log:
            with suppress(OSError):  # how the last one ended says nothing about this one
                (directory / _NOTE).unlink(missing_ok=True)
            child = subprocess.Popen(  # noqa: S603 the command is ours
                command,
                cwd=directory,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                **OUT_OF_REACH,
            )
    except OSError as error:
        raise ProvisionError(f"cannot start {command[0]}", why=error.strerror or str(error)) from error
    _children[child.pid] = child
    _note(directory, psutil.Process(child.pid))


def start_apart(command: Sequence[str], variables: Mapping[str, str]) -> int:
    """Start a process that has nothing of this one: neither its session, streams and directory, nor it as its parent.

    So it outlives whatever ends this process with all that it has started. Returns its id.

    Raises:
        ProvisionError: it cannot be started.
    """
    try:
        started = subprocess.run(  # noqa: S603 the command is ours
            ["/bin/sh", "-c", '"$@" >/dev/null & echo $!', "sh", *command],
            cwd="/",
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            **OUT_OF_REACH,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise ProvisionError(f"cannot start {command[0]}", why=str(error)) from error
    return int(started.stdout)


def kill_with_children(pid: int) -> None:
    """Kill a process of this user with all that it has started, and wait until they are gone."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        with _signalled(process):
            process.suspend()  # so that it starts nothing else meanwhile
            for one in (*process.children(recursive=True), process):
                _kill(one)


def marked(directory: Path) -> dict[str, psutil.Process]:
    """Running nodes of this user with a mark below that directory, by the rest of its path, such as `broker-1`."""
    prefix, found = f"{mark(directory)}/", dict[str, psutil.Process]()
    for process in _candidates(prefix):
        if name := next((one.removeprefix(prefix) for one in _arguments(process) if one.startswith(prefix)), ""):
            found[name] = process
    return found


def all_marked() -> Iterator[tuple[Path, psutil.Process]]:
    """All running nodes of this user, in whatever home, each with its directory."""
    for process in _candidates(MARK):
        for one in _arguments(process):
            if one.startswith(MARK):
                yield Path(one.removeprefix(MARK)), process


def is_orphan(process: psutil.Process, directory: Path) -> bool:
    """Whether the directory in which a node was started has certainly been deleted.

    That a path is not there tells nothing: a process in a container, or in a service with files of its own, has others;
    directories are moved, and file systems unmounted. Linux says of a process in the same mounts that its directory was
    deleted. Other systems do not, so nothing is claimed there.
    """
    mounts, own = Path("ns/mnt"), _PROCESSES / "self"
    there = _PROCESSES / str(process.pid)
    try:
        same = os.readlink(there / mounts) == os.readlink(own / mounts)  # noqa: PTH115 not a path
        root = (there / "root").samefile(own / "root")
        told = os.readlink(there / "cwd")  # noqa: PTH115 with what Linux adds
        return same and root and process.is_running() and _says_deleted(told, directory)
    except (OSError, psutil.Error):  # it has ended, or may not be looked at, or there is no such file system
        return False


def _says_deleted(told: str, directory: Path) -> bool:
    """Whether that is how Linux tells of a deleted directory of that name, and nothing is called so."""
    return Path(told).name == f"{directory.name}{_DELETED}" and not os.path.lexists(told) and told.startswith("/")


def _candidates(text: str) -> Iterator[psutil.Process]:
    """All processes that may have a text in their command line.

    Linux tells command lines by the file, which takes a tenth of the time that psutil needs to look at each process.
    """
    if sys.platform != "linux":
        patience = Patience(_EXEC_S)
        for process in psutil.process_iter():
            if any(text in argument for argument in _command_line(process, patience)):
                yield process
        return
    wanted, in_exec = os.fsencode(text), list[psutil.Process]()
    for entry in _PROCESSES.iterdir():
        with suppress(OSError, psutil.NoSuchProcess):  # it has ended meanwhile, or is hidden from this user
            if not entry.name.isdigit():
                continue
            if wanted in (line := (entry / "cmdline").read_bytes()):
                yield psutil.Process(int(entry.name))
            elif not line and _has_memory(entry):
                in_exec.append(psutil.Process(int(entry.name)))
    patience = Patience(_EXEC_S)
    yield from (one for one in in_exec if any(text in argument for argument in _command_line(one, patience)))


def _has_memory(entry: Path) -> bool:
    """Whether a process of `/proc` has memory of its own; kernel threads and zombies have none."""
    return not (entry / "statm").read_text().startswith("0 ")


def find(directory: Path, running: Mapping[str, psutil.Process] | None = None) -> psutil.Process | None:
    """The running process of the node with that directory.

    By its note; if that is missing or does not match, by its mark: the command that started it may have been killed
    before it could write the note. `running` are the `marked` nodes of its environment, if they are known already.
    """
    try:
        note = _noted(directory)
        process = psutil.Process(note.pid) if note else None
        if note and process and process.create_time() == note.created and _is_of(process, directory):
            return process
    except psutil.Error:
        pass  # it has ended, so another command may have started one since
    marks = marked(directory.parent) if running is None else running
    if directory.name not in marks:
        return None
    _note(directory, marks[directory.name])
    return marks[directory.name]


def exit_code(directory: Path) -> int | None:
    """The exit code of the node's last process, 128 + N for signal N.

    Only its parent is told it: other commands know what a `stop` or `kill` of any of them has noted, else it is None.
    The process has already ended, but the system may need another moment to provide its exit code.
    """
    note = _noted(directory)
    child = _children.get(note.pid) if note else None
    try:
        code = child.wait(_REAP_S) if child else note.exit_code if note else None
    except subprocess.TimeoutExpired:
        return None
    return 128 - code if code is not None and code < 0 else code


def forget(directory: Path) -> None:
    """Forget the node's last process, which has ended and whose exit code nobody will ask for."""
    if note := _noted(directory):
        _children.pop(note.pid, None)


def _noted(directory: Path) -> _Process | None:
    """The note; None if it is missing or damaged: then the search tells."""
    try:
        return read_note(directory / _NOTE, _Process)
    except DamagedNote:
        return None


def was_started(directory: Path) -> bool:
    """Whether a process of the node was noted, even if the note is damaged now."""
    return os.path.lexists(directory / _NOTE)


def is_paused(process: psutil.Process) -> bool:
    """Whether it was stopped by a signal (SIGSTOP; the state T of `ps`), so that it answers nothing until SIGCONT."""
    try:
        return process.status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False


def up_s(process: psutil.Process) -> float | None:
    """For how many seconds it has been there; None if it has just ended."""
    try:
        return max(now_s() - process.create_time(), 0.0)
    except psutil.Error:
        return None


def pause(directory: Path) -> None:
    """Freeze the node's process, if there is one, until `resume`."""
    if process := find(directory):
        with _signalled(process):
            process.suspend()
            # SIGSTOP reaches the process's threads one after the other.
            patience, pauses = Patience(_STOPPED_S), Pauses(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
            while not is_paused(process) and process.is_running() and patience.pause(pauses.next_s()):
                pass


def resume(directory: Path) -> bool:
    """Let the node's process go on if it is paused; whether there is one."""
    process = find(directory)
    if process and is_paused(process):
        with _signalled(process):
            process.resume()
    return process is not None


def stop(directory: Path, patience_s: float) -> None:
    """Stop the node's process, and kill it if it is still running after `patience_s`."""
    if process := find(directory):
        with _signalled(process):
            process.terminate()
            if is_paused(process):  # it notices SIGTERM only then
                process.resume()
            if not _await_exit(process, patience_s):
                _kill(process)
            _note_end(directory, process, WAS_ASKED_TO_STOP)  # it was asked to, however it ended


def kill(directory: Path) -> None:
    """Kill the node's process and wait until it is gone."""
    if (process := find(directory)) and _kill(process):
        _note_end(directory, process, WAS_KILLED)


def _note_end(directory: Path, process: psutil.Process, exit_code: int) -> None:
    """Note for later commands how the process has ended; without space they do not know."""
    note = _noted(directory)
    if note and (note.pid, note.created) == (process.pid, process.create_time()):
        with suppress(OSError):
            write_whole(directory / _NOTE, note.model_copy(update={"exit_code": exit_code}).model_dump_json())


def kill_tools(environment: Path) -> None:
    """Kill tools left running by a killed command."""
    for process in _candidates(tool_mark(environment)):
        if tool_mark(environment) in _arguments(process):
            _kill(process)


def _kill(process: psutil.Process) -> bool:
    """Kill it, and wait until it is gone; returns False if it had ended before."""
    is_killed = False
    with _signalled(process):
        process.kill()
        is_killed = True
        if not _await_exit(process, _KILL_PATIENCE_S):
            raise ProvisionError(f"process {process.pid} does not end, not even by SIGKILL")
    return is_killed


@contextmanager
def _signalled(process: psutil.Process) -> Iterator[None]:
    try:
        yield
    except psutil.NoSuchProcess:
        pass  # it has just ended by itself
    except psutil.AccessDenied as error:
        who = f"process {process.pid} belongs to another user"
        raise ProvisionError(who, hint="stop it as the user who started it") from error


def _await_exit(process: psutil.Process, timeout_s: float) -> bool:
    patience, pauses = Patience(timeout_s), Pauses(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
    while True:
        if child := _children.get(process.pid):
            child.poll()
        if _is_over(process):
            if child:
                child.wait()  # so that no zombie stays
            return True
        if not patience.pause(pauses.next_s()):
            return False


def _is_over(process: psutil.Process) -> bool:
    """Whether it has ended. A zombie has only once no thread is left: until then its ports and files stay open."""
    try:
        if not process.is_running():
            return True
        return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
    except psutil.NoSuchProcess:
        return True


def _command_line(process: psutil.Process, patience: Patience | None = None) -> Sequence[str]:
    """The arguments of a process; nothing if it has ended, or is somebody else's.

    A process has none for the moment of an exec (the one that starts it; Java's launcher does two more), so they are
    waited for, at most for that patience.
    """
    patience = patience or Patience(_EXEC_S)
    try:
        while not (arguments := process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
            if not patience.pause(_EXEC_PAUSE_S):
                break
    except psutil.Error:
        return ()
    return arguments


def _is_of(process: psutil.Process, directory: Path) -> bool:
    return mark(directory) in _arguments(process)


def _arguments(process: psutil.Process) -> Sequence[str]:
    """The command line of a process that has a mark; nothing if it has ended, or is not this user's."""
    arguments = _command_line(process)
    try:
        if any(one.startswith((MARK, TOOL_MARK)) for one in arguments) and _is_ours(process):
            return arguments
    except psutil.Error:  # gone, or somebody else's
        pass
    return ()


def _is_ours(process: psutil.Process) -> bool:
    """Whether it runs, and for this user: anybody can give a process of his own any argument."""
    if process.status() == psutil.STATUS_ZOMBIE:
        return False
    if hasattr(os, "geteuid"):
        return bool(process.uids().effective == os.geteuid())
    return bool(process.username() == psutil.Process().username())


def _note(directory: Path, process: psutil.Process) -> None:
    with suppress(OSError, psutil.NoSuchProcess):
        write_whole(directory / _NOTE, _Process(pid=process.pid, created=process.create_time()).model_dump_json())
