"""The program as a shell starts it, often: each case is a process of its own, with streams of its own.

They are forked from one that has loaded everything and has an environment up (`tests.cli.world`), which makes hundreds
of them cheap. What a case does to that environment, the next one does not see.
"""

import fcntl
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
_AT_ONCE = 6
PIPE, CLOSED, FULL, LEFT = "pipe", "closed", "full", "left"


@dataclass(frozen=True)
class Case:
    """A command line and its streams: `closed`, `full`, `left` (a pipe that nobody reads), or a pipe."""

    line: Sequence[str]
    stdin: str = PIPE
    stdout: str = PIPE
    stderr: str = PIPE
    encoding: str = "utf-8"


@dataclass
class Ended:
    """How a case ended: `state` is what there is afterwards, of nodes, topics and files."""

    code: int
    out: str
    err: str
    state: dict[str, Any] = field(default_factory=dict)


def results(cases: Sequence[Case], directory: Path) -> list[Ended]:
    """Run all cases in a directory."""
    asked = json.dumps([asdict(case) for case in cases])
    command = [sys.executable, "-m", "tests.cli.program"]
    env = os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(directory)}
    done = subprocess.run(command, cwd=directory, input=asked, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [Ended(**one) for one in json.loads(done.stdout)]


def _stream(kind: str, mode: int, file: Path) -> int | None:
    """A descriptor of that kind; None if it is to be closed."""
    if kind == CLOSED:
        return None
    if kind == FULL:
        return os.open("/dev/full", mode)
    if kind == LEFT:
        reading, writing = os.pipe()
        os.close(reading)
        return writing
    return os.open(file, mode | os.O_CREAT)


def _as_python_starts(case: Case, directory: Path) -> None:
    """Put the streams in place, and open them as the interpreter does before our first line."""
    (directory / "in").write_text("one\ntwo\n")
    kinds = (case.stdin, os.O_RDONLY), (case.stdout, os.O_WRONLY), (case.stderr, os.O_WRONLY)
    made = [
        _stream(kind, mode, directory / name) for (kind, mode), name in zip(kinds, ("in", "out", "err"), strict=True)
    ]
    kept = [None if one is None else fcntl.fcntl(one, fcntl.F_DUPFD, 3) for one in made]  # none is 0, 1 or 2
    for number, one in enumerate(kept):
        if one is None:
            os.close(number)
        else:
            os.dup2(one, number)
    modes = ("r", "w", "w")
    errors = ("strict", "strict", "backslashreplace")
    opened = [
        None if one is None else open(number, mode, encoding=case.encoding, errors=error, closefd=False)  # noqa: SIM115
        for number, (one, mode, error) in enumerate(zip(kept, modes, errors, strict=True))
    ]
    sys.stdin, sys.stdout, sys.stderr = opened


def _child(case: Case, directory: Path, runtime: Any, kafka: Any) -> None:  # noqa: ANN401 fakes
    from provision.cli import main
    from tests.cli.world import NAME

    work = directory / "work"
    shutil.copytree(Path.cwd(), work)
    os.chdir(work)
    os.environ["PROVISION_HOME"] = str(work / "home")
    _as_python_starts(case, directory)
    sys.argv = ["provision", *case.line]
    code: object = "it did not exit"
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    for stream in (sys.stdout, sys.stderr):  # as the interpreter does at the end
        try:
            stream.flush()
        except (OSError, ValueError):
            code = 120
    state = {
        "nodes": {node.name: str(node.state) for node in runtime.observe(NAME).nodes},
        "topics": sorted(kafka.topics),
        "files": sorted(str(file.relative_to(work)) for file in work.rglob("*.*")),
    }
    (directory / "ended").write_text(json.dumps({"code": code, "state": state}))


def _start(case: Case, directory: Path, runtime: Any, kafka: Any) -> int:  # noqa: ANN401 fakes
    child = os.fork()
    if child == 0:
        try:
            _child(case, directory, runtime, kafka)
        except BaseException as error:  # noqa: BLE001 it is the outcome
            (directory / "ended").write_text(json.dumps({"code": repr(error), "state": {}}))
        finally:
            os._exit(0)
    return child


def _outcome(case: Case, directory: Path) -> dict[str, Any]:
    def said(name: str) -> str:
        file = directory / name
        return file.read_bytes().decode(case.encoding, errors="replace") if file.exists() else ""

    return {**json.loads((directory / "ended").read_text()), "out": said("out"), "err": said("err")}


def _all(cases: Sequence[Case], runtime: Any, kafka: Any) -> list[dict[str, Any]]:  # noqa: ANN401 fakes
    """Several at a time, because some wait."""
    with tempfile.TemporaryDirectory() as kept:
        directories = [Path(kept, str(number)) for number in range(len(cases))]
        running = 0
        for case, directory in zip(cases, directories, strict=True):
            directory.mkdir()
            if running == _AT_ONCE:
                os.wait()
                running -= 1
            _start(case, directory, runtime, kafka)
            running += 1
        for _ in range(running):
            os.wait()
        return [_outcome(*one) for one in zip(cases, directories, strict=True)]


def _main() -> None:
    from tests.cli.world import settle

    cases = [Case(**one) for one in json.load(sys.stdin)]
    shown, sys.stdout = sys.stdout, io.StringIO()
    complaints, sys.stderr = sys.stderr, io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        runtime, kafka = settle(Path.cwd(), patch)
        sys.stderr = complaints
        ended = _all(cases, runtime, kafka)
    json.dump(ended, shown)


if __name__ == "__main__":
    _main()
