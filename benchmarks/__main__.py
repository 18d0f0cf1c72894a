"""Measure `provision` beside what people use instead, interleaved, and write `results.json` and the page from it.

    python -m benchmarks                          all rows and the scale, then docs/speed.md
    python -m benchmarks --rows docker,process    some rows; the others of the file are kept
    python -m benchmarks --scale                  only how it scales
    python -m benchmarks --peers PYTHON…          Pythons with testcontainers or pytest-kafka; see CONTRIBUTING.md

Rows that lack something on this machine say what, and are left out. It fails if something else went wrong. Docker
Compose is found as `docker compose` or as `docker-compose`. Everything is removed at the end.
"""

import argparse
import compileall
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import machine, page, results, scale
from benchmarks.machine import ROOT
from benchmarks.measuring import Row, measured
from benchmarks.ours import own_cache
from benchmarks.peers import Peers
from benchmarks.rows import Means, rows

RESULTS = Path(__file__).parent / "results.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", metavar="NAME,…", help="which rows; `list` lists them")
    parser.add_argument("--scale", action="store_true", help="how it scales; alone, or with --rows")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="how often each row is measured (5)")
    parser.add_argument(
        "--json", type=Path, default=RESULTS, metavar="FILE", help="the results (benchmarks/results.json)"
    )
    parser.add_argument("--peers", nargs="+", default=[sys.executable], metavar="PYTHON", help="Pythons with the peers")
    parser.add_argument("--no-page", action="store_true", help="write no page")
    asked = parser.parse_args(arguments)
    _compile()
    with own_cache() as cache:
        known = rows(Means(cache, Peers(asked.peers)))
        if asked.rows == "list":
            for row in known:
                print(f"{row.name:<16} {row.title}")
            return 0
        chosen = _chosen(known, asked.rows, everything=not asked.scale, parser=parser)
        try:
            found = results.begun(asked.json, machine.machine())
        except ValueError as error:
            parser.error(str(error))
        failed = _measure(found, asked.json, chosen, asked.repeat)
        if asked.scale or not asked.rows:
            failed |= scale.measure(cache, asked.repeat, partial(_keep, found, asked.json), _say)
    if not asked.no_page:
        page.write(found, page.PAGE)
        _say(f"wrote {page.PAGE}")
    return 1 if failed else 0


def _compile() -> None:
    """Let the programs of both sides start from bytecode, as installed ones do."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(ROOT / "provision", quiet=1)


def _chosen(known: Sequence[Row], names: str | None, *, everything: bool, parser: argparse.ArgumentParser) -> list[Row]:
    if not names:
        return list(known) if everything else []
    wanted = names.split(",")
    if unknown := sorted(set(wanted) - {row.name for row in known}):
        parser.error(f"there is no row {', '.join(unknown)}: --rows list")
    return [row for row in known if row.name in wanted]


def _measure(found: results.Results, file: Path, chosen: Sequence[Row], repeat: int) -> bool:
    """Measure the rows and keep each at once; returns whether something failed."""
    failed = False
    for row in chosen:
        _say(f"{row.name}: {row.title}")
        before = machine.load()
        one = measured(row, repeat, _say).as_dict() | {"program": machine.program(), "load": before}
        found["rows"][row.name] = one
        results.write(file, found)
        failed |= bool(one["failed"])
    return failed


def _keep(found: results.Results, file: Path, series: str, points: dict[str, Any]) -> None:
    found["scale"][series] = points
    results.write(file, found)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
