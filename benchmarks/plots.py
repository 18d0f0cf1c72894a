"""The plots of the page. They need matplotlib (`pip install -e '.[bench]'`); without it, the page has none."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.measuring import OURS
from benchmarks.results import Results

_MIB = 1024**2
_OF_US, _OF_OTHERS = "#2b7a4b", "#9aa5b1"


def drawn(found: Results, directory: Path) -> dict[str, str]:
    """Draw all plots as SVG files; returns their paths by name, as the page beside the directory names them."""
    try:
        import matplotlib as mpl
    except ImportError:
        return {}
    mpl.use("svg")
    # The same results make the same files.
    mpl.rcParams |= {"svg.hashsalt": "speed", "svg.fonttype": "none", "font.size": 9, "axes.spines.right": False}
    os.environ.setdefault("SOURCE_DATE_EPOCH", "0")
    directory.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = {}
    for name, row in found["rows"].items():
        ready = {who: one["ready"] for who, one in row["times"].items() if "ready" in one}
        if len(ready) > 1:
            figures[name] = _bars(ready)
        if spans := results.profile(row):
            figures[f"{name}-phases"] = _spans(spans)
    for series, points in found["scale"].items():
        figures[f"scale-{series}"] = _growth(series, points)
    for name, figure in figures.items():
        figure.savefig(directory / f"{name}.svg", bbox_inches="tight", metadata={"Date": None})
    return {name: f"{directory.name}/{name}.svg" for name in figures}


def _figure(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="tight")
    return figure, figure.subplots(1, columns)


def _bars(ready: Mapping[str, Sequence[float]]) -> Any:  # noqa: ANN401 a figure
    """The medians, and each repetition as a point."""
    figure, axes = _figure(7, 0.5 + 0.35 * len(ready))
    medians = results.medians({"times": {who: {"ready": values} for who, values in ready.items()}})
    for at, (who, values) in enumerate(ready.items()):
        axes.barh(at, medians[who]["ready"], color=_OF_US if who.startswith(OURS) else _OF_OTHERS, height=0.6)
        axes.plot(values, [at] * len(values), "k.", markersize=3)
    axes.set_yticks(range(len(ready)), list(ready))
    axes.invert_yaxis()
    axes.set_xlabel("seconds until ready")
    return figure


def _spans(spans: Sequence[Mapping[str, Any]]) -> Any:  # noqa: ANN401 a figure
    """Each stretch of time where it lies."""
    figure, axes = _figure(7, 0.6 + 0.2 * len(spans))
    for at, span in enumerate(spans):
        axes.barh(at, span["seconds"], left=span["began_s"], color=_OF_US, height=0.7)
    axes.set_yticks(range(len(spans)), [f"{span['phase']} {span['what']}" for span in spans])
    axes.invert_yaxis()
    axes.set_xlabel("seconds since the start of the program")
    return figure


def _growth(series: str, points: Mapping[str, Any]) -> Any:  # noqa: ANN401 a figure
    """Seconds on the left, memory on the right."""
    figure, (seconds, memory) = _figure(8, 3, columns=2)
    medians = {int(number): results.medians(point).get(OURS, {}) for number, point in points.items()}
    for measure in dict.fromkeys(measure for one in medians.values() for measure in one):
        numbers = [number for number, one in medians.items() if measure in one]
        values = [medians[number][measure] for number in numbers]
        if measure.endswith("_bytes"):
            in_mib = [value / _MIB for value in values]
            memory.plot(numbers, in_mib, "o-", markersize=3, label=measure.removesuffix("_bytes"))
        else:
            seconds.plot(numbers, values, "o-", markersize=3, label=measure)
    for axes, unit in ((seconds, "seconds"), (memory, "MiB resident")):
        axes.set_xlabel(series)
        axes.set_ylabel(unit)
        axes.set_ylim(bottom=0)
        if axes.get_legend_handles_labels()[0]:  # none if no point of it could be measured
            axes.legend(frameon=False)
    return figure
