"""Render a user's templates in a process of their own, which bounds their time and memory.

Jinja's sandbox bounds neither: a template can multiply texts, loop, and call itself. Whatever it does, a process can be
ended, and so from any thread. It takes about 0.2 s to start; the shipped templates do without.

The process limits itself, because then Python can name the template's line. Its parent ends it where the system knows
no such limits, or if the process does not end.
"""

import faulthandler
import json
import pickle
import re
import signal
import subprocess
import sys
from ast import literal_eval
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path

from provision.cluster.model import Cluster, RenderedFile
from provision.common.patience import Patience
from provision.errors import InvalidEnvironment, Problem

SECONDS, MEMORY_MIB = 10, 512
"""The bounds for rendering all files of an environment; the time is counted from when the process is ready."""

_START_S, _LOOK_S = 30, 0.05
_ALARM = getattr(signal, "SIGALRM", 0)  # Windows has none
_START = "from provision.cluster.confined import main"
_LINES = "lines: "
_FRAME = re.compile(r'^  File "(.*)", line (\d+)', re.MULTILINE)
_SHOWN = 500  # the characters of a file's name that faulthandler shows


def render(cluster: Cluster) -> tuple[RenderedFile, ...]:
    """The files that `render.render_here` makes.

    Raises:
        InvalidEnvironment: a template is wrong or takes too much, or a value cannot be given to another process.
    """
    try:
        task = pickle.dumps(cluster)
    except Exception as error:  # what a program's own values raise may be anything
        raise InvalidEnvironment([_unfit(error)]) from error
    code, answer, complaint = _run(task)
    if code:
        raise InvalidEnvironment([_stopped(cluster, code, complaint)])
    files, problems = json.loads(answer)
    if problems:
        raise InvalidEnvironment([Problem(*fields) for fields in problems])
    return tuple(RenderedFile(node, name, text.encode()) for node, name, text in files)


def _run(task: bytes) -> tuple[int, bytes, str]:
    """The exit code, the answer, and what went wrong."""
    start = f"import sys; sys.path[:] = {[str(place) for place in sys.path]!r}; {_START}; main({SECONDS})"
    patience, given, excess = Patience(SECONDS + _START_S), task, ""
    with subprocess.Popen(  # noqa: S603 this program
        [sys.executable, "-c", start], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        try:
            while True:
                try:
                    answer, complaint = child.communicate(given, timeout=_LOOK_S)
                except subprocess.TimeoutExpired:
                    given = b""
                    excess = excess or _excess(child.pid, patience)
                    if excess:
                        child.kill()
                else:
                    return child.returncode, answer, f"{complaint.decode(errors='replace')}{excess}"
        finally:
            child.kill()  # without effect once it has ended


def _excess(process: int, patience: Patience) -> str:
    import psutil

    if patience.is_over:
        return _too_long()
    with suppress(psutil.Error):
        if psutil.Process(process).memory_info().rss > MEMORY_MIB * 2**20:
            return too_large()
    return ""


def main(seconds: float) -> None:
    """Render the cluster from standard input; the files and problems go to standard output."""
    faulthandler.enable()
    _limit_memory()
    from provision.cluster.render import render_here

    files: tuple[RenderedFile, ...] = ()
    problems: list[Problem] = []
    try:
        cluster: Cluster = pickle.load(sys.stdin.buffer)  # noqa: S301 from our parent
    except Exception as error:  # noqa: BLE001 what a program's own values raise may be anything
        problems = [_unfit(error)]
    else:
        _limit_time(seconds)  # of the templates, not of the start
        try:
            files = render_here(cluster, _tell_lines)
        except InvalidEnvironment as error:
            problems = list(error.problems)
    answer = [[file.node, file.name, file.text] for file in files], [astuple(problem) for problem in problems]
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()


def _limit_time(seconds: float) -> None:
    """End this process after so many seconds, and tell what ran.

    By a signal, because the thread that runs tells its own frames then. Another thread would read them while they
    change: with macros that call each other it found no template in one of 20 cases, or read what was no longer there.
    """
    if _ALARM:
        signal.signal(_ALARM, signal.SIG_DFL)  # a program that ignores or blocks signals hands that on
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {_ALARM})
        faulthandler.register(_ALARM, all_threads=False, chain=True)
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    with suppress(ValueError, OSError):  # its own limit is lower, or it knows none
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MIB * 2**20,) * 2)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # if a template makes Python crash


def _tell_lines(file: str, code: str) -> None:
    """Tell the parent which lines of the code are which of the template, before that can run for ever."""
    pairs = literal_eval(code.rpartition("debug_info = ")[2]).split("&")  # `TEMPLATE=CODE`, in order
    lines = [tuple(map(int, pair.split("="))) for pair in pairs if pair]
    print(f"{_LINES}{json.dumps([file, lines])}", file=sys.stderr, flush=True)  # noqa: T201 to the parent


def _too_long() -> str:
    return f"it takes more than {SECONDS} s"


def too_large() -> str:
    """What is said of a template that takes too much memory."""
    return f"it takes more than {MEMORY_MIB} MiB of memory"


def _unfit(error: Exception) -> Problem:
    message = f"a value cannot be given to the templates: {error or type(error).__name__}"
    return Problem("the environment", 0, 0, "vars", message, "use texts, numbers, lists and mappings")


def _stopped(cluster: Cluster, code: int, complaint: str) -> Problem:
    """Why there are no files, and the template's line that ran last, as far as it is known."""
    last = complaint.strip().splitlines()[-1:] or [f"Python ended with {code}"]
    if code == -_ALARM or last[0].endswith(_too_long()):
        message = _too_long()
    elif last[0].endswith(too_large()) or last[0].startswith("MemoryError"):
        message = too_large()
    else:
        message = f"it made Python end with {code}: {last[0]}"
    hint = f"all templates of an environment together may take {SECONDS} s and {MEMORY_MIB} MiB"
    file, line = _running(complaint)
    own = Path(cluster.templates or "")
    name = str(own) if not file else file if Path(file).is_relative_to(own) else Path(file).name
    return Problem(name, line, 1 if line else 0, "", f"rendering: {message}", hint)


def _running(complaint: str) -> tuple[str, int]:
    """The template and its line in a traceback of faulthandler; an empty name if it has none."""
    known = {}
    for text in complaint.splitlines():
        if text.startswith(_LINES):
            file, lines = json.loads(text.removeprefix(_LINES))
            known[_as_shown(file)] = (file, lines)
    for shown, number in _FRAME.findall(complaint):
        if shown in known:
            file, lines = known[shown]
            return file, max((line for line, code in lines if code <= int(number)), default=1)
    return "", 0


def _as_shown(file: str) -> str:
    text = file[:_SHOWN].encode("ascii", "backslashreplace").decode()
    return f"{text}..." if len(file) > _SHOWN else text
