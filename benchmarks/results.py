"""Results as they are kept, and what follows from them: medians and ratios."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measuring import OURS

Results = dict[str, Any]
"""`machine`, and by their names `rows` and `scale`; see `python -m benchmarks --help`."""


_TOPICS, _LEAST_S = "topics", 0.02


@dataclass(frozen=True, slots=True)
class Outcome:
    """An aim and what became of it.

    `value` is ours: a ratio where `beside` names another, else seconds or bytes. `lowest` and `highest` are those of
    single repetitions, in which both ran one after the other. All are None if one of the two was not measured.
    """

    measure: str
    beside: str
    at_most: float
    value: float | None
    lowest: float | None = None
    highest: float | None = None

    @property
    def is_met(self) -> bool:
        """Whether it was measured and reached."""
        return self.value is not None and self.value <= self.at_most


def medians(row: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The median of each measure, by contestant."""
    return {
        name: {measure: statistics.median(values) for measure, values in measures.items()}
        for name, measures in row["times"].items()
    }


def outcomes(row: Mapping[str, Any]) -> list[Outcome]:
    """What became of a row's aims."""
    return [_outcome(aim, row["times"]) for aim in row["aims"]]


def _outcome(aim: Mapping[str, Any], times: Mapping[str, Mapping[str, Sequence[float]]]) -> Outcome:
    measure, beside, at_most = aim["measure"], aim["beside"], aim["at_most"]
    ours = times.get(OURS, {}).get(measure, ())
    other = times.get(beside, {}).get(measure, ()) if beside else ()
    if not ours or (beside and not other):
        return Outcome(measure, beside, at_most, None)
    if not beside:
        return Outcome(measure, beside, at_most, statistics.median(ours), min(ours), max(ours))
    pairs = [one / another for one, another in zip(ours, other, strict=False)]
    return Outcome(measure, beside, at_most, statistics.median(ours) / statistics.median(other), min(pairs), max(pairs))


def profile(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Where the time of ours went in the repetition with the median time, or the next longer one.

    Topics are created together, so they are one stretch. Short stretches are left out.
    """
    repetitions = row["phases"].get(OURS)
    if not repetitions:
        return []
    ready = row["times"][OURS]["ready"]
    spans = repetitions[sorted(range(len(ready)), key=ready.__getitem__)[len(ready) // 2]]
    topics = [span for span in spans if span["phase"] == _TOPICS]
    others = [span for span in spans if span["phase"] != _TOPICS]
    if topics:
        began = min(span["began_s"] for span in topics)
        ended = max(span["began_s"] + span["seconds"] for span in topics)
        whole = {"phase": _TOPICS, "what": str(len(topics)), "began_s": began, "seconds": ended - began}
        others.append({**whole, "waited_for": ""})
    return sorted((span for span in others if span["seconds"] >= _LEAST_S), key=lambda span: span["began_s"])


def read(file: Path) -> Results:
    """The results so far, if there are any."""
    if not file.exists():
        return {"machine": {}, "rows": {}, "scale": {}}
    results: Results = json.loads(file.read_text(encoding="utf-8"))
    return results


def begun(file: Path, machine: Mapping[str, str]) -> Results:
    """The results to add to.

    Raises:
        ValueError: those of the file are of another machine or of other versions.
    """
    results = read(file)
    before = results["machine"] or machine
    if other := [what for what in {**before, **machine} if before.get(what) != machine.get(what)]:
        raise ValueError(f"{file} has results of another machine or other versions ({', '.join(other)}): move it away")
    return {**results, "machine": dict(machine)}


def write(file: Path, results: Results) -> None:
    """Write them whole, so that what was measured so far is kept if the rest is interrupted."""
    draft = file.with_suffix(".new")
    draft.write_text(f"{json.dumps(results, indent=1)}\n", encoding="utf-8")
    draft.replace(file)
