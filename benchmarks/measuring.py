"""What is measured: rows of contestants that do the same work in turn, so that a noisy moment meets all of them."""

import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

OURS = "provision"
Contestant = Callable[[Path], Mapping[str, float]]
"""Does the work once, in an empty directory; returns what it measured: seconds, or bytes if the name ends so."""
Contestants = Mapping[str, Contestant]
Phases = list[dict[str, Any]]


class CannotRun(Exception):
    """A contestant lacks something on this machine; the text says what."""


class Failed(Exception):
    """A command failed; the text has what it said."""


@dataclass(frozen=True, slots=True)
class Aim:
    """What is to be reached: `measure` of ours is at most so much, or at most so many times that of another."""

    measure: str
    at_most: float
    beside: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """Contestants that do the same work.

    `opened` prepares them in a directory, before anything is measured, and removes afterwards what is left of them.
    """

    name: str
    title: str
    opened: Callable[[Path], AbstractContextManager[Contestants]]
    aims: Sequence[Aim] = ()
    note: str = ""
    most: int = 1000
    """So many repetitions are enough."""


@dataclass(slots=True)
class Measured:
    """What a row's contestants took: by contestant and measure, in the order of the repetitions."""

    title: str
    note: str
    aims: list[dict[str, Any]]
    date: str
    times: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    phases: dict[str, list[Phases]] = field(default_factory=dict)
    cannot: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """What is kept of it: of a failure only whose it was, since what it said is full of this machine's paths."""
        return asdict(self) | {"failed": sorted(self.failed)}


def measured(row: Row, repeat: int, say: Callable[[str], None]) -> Measured:
    """Measure a row. A contestant that fails is left out from then on, with the reason; the others go on."""
    found = Measured(row.title, row.note, [asdict(aim) for aim in row.aims], datetime.now(UTC).strftime("%Y-%m-%d"))
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        try:
            with row.opened(Path(directory)) as contestants:
                for number in range(1, min(repeat, row.most) + 1):
                    for name, contestant in contestants.items():
                        if name not in found.cannot | found.failed:
                            _turn(found, name, contestant, Path(directory))
                            say(_told(row, number, name, found))
        except CannotRun as reason:
            found.cannot["all"] = str(reason)
            say(f"{row.name}: not measured: {reason}")
        except Exception as error:  # noqa: BLE001 the other rows go on, and the result says it
            found.failed["all"] = _described(error)
            say(f"{row.name}: {found.failed['all']}")
    return found


def _turn(found: Measured, name: str, contestant: Contestant, directory: Path) -> None:
    with tempfile.TemporaryDirectory(dir=directory, prefix="turn-") as empty:
        try:
            result = dict(contestant(Path(empty)))
        except CannotRun as reason:
            found.cannot[name] = str(reason)
            return
        except Exception as error:  # noqa: BLE001 as above
            found.failed[name] = _described(error)
            return
    if phases := result.pop("phases", None):
        found.phases.setdefault(name, []).append(phases)  # type: ignore[arg-type]
    for measure, value in result.items():
        found.times.setdefault(name, {}).setdefault(measure, []).append(round(value, 4))


def _described(error: Exception) -> str:
    if isinstance(error, Failed):
        return str(error)
    return "".join(traceback.format_exception_only(error)).strip()


def _told(row: Row, number: int, name: str, found: Measured) -> str:
    begin = f"{row.name} {number} {name}: "
    if why := found.cannot.get(name):
        return f"{begin}cannot run: {why}"
    if why := found.failed.get(name):
        return f"{begin}failed: {why}"
    return begin + ", ".join(f"{measure} {shown(measure, all_[-1])}" for measure, all_ in found.times[name].items())


def shown(measure: str, value: float) -> str:
    """A value with its unit."""
    if measure.endswith("bytes"):
        return f"{value / 1024**2:.0f} MiB"
    if measure.endswith("lines"):
        return f"{value:.0f}"
    return f"{value:.2f} s"


def run(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 240,
) -> tuple[float, str]:
    """Run a command, which must succeed; returns the seconds that it took, and its standard output.

    Raises:
        Failed: it failed, or did not end in time.
    """
    began = time.perf_counter()
    try:
        done = subprocess.run(
            command, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout_s, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{' '.join(command[:6])} did not end within {timeout_s:.0f} s") from error
    taken_s = time.perf_counter() - began
    if done.returncode:
        told = (done.stderr or "") + (done.stdout or "")
        raise Failed(f"{' '.join(command[:6])} exited with {done.returncode}:\n{told[-1500:]}")
    return taken_s, done.stdout


def python(code: str) -> Contestant:
    """A contestant that runs a line of Python in a process of its own."""
    return lambda _empty: {"time": run([sys.executable, "-c", code])[0]}
