"""Ask the jars of each Kafka release line for their configuration keys, and write them as data of the package.

    python -m scripts.known_keys.generate

Needs a Java that runs all of them (17) and, for versions that are not in the cache yet, the network. For a new release
line add a version to `NEWEST` of the catalogue, run it, and read the diff: what came, what went, what has other bounds.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from provision.catalogue.versions import NEWEST, KafkaVersion
from provision.events import silent
from provision.home.place import Home
from provision.runtime import jars

VERSIONS = tuple(map(str, NEWEST))
SECTIONS = ("broker", "topic")
TARGET = Path(__file__).parents[2] / "provision" / "spec" / "lint" / "known_keys.json"

Facts = dict[str, Any]
_PROGRAM = Path(__file__).with_name("KnownKeys.java")
_RANGE_OR = re.compile(r"\[(-?\d+),\.\.\.,(-?\d+)\] or (-?\d+)")
_TIMEOUT_S = 120


def read(version: str) -> dict[str, dict[str, Facts]]:
    """What one version says: by section and key its facts."""
    wanted = KafkaVersion.parse(version)
    directory = jars.fetch(wanted, Home.of_user().jars(wanted), silent)
    java = shutil.which("java")
    if java is None:
        raise SystemExit("there is no java on PATH")
    shown = subprocess.run(  # noqa: S603 our own program
        [java, "-cp", f"{directory}/*", str(_PROGRAM)],
        capture_output=True, check=True, text=True, timeout=_TIMEOUT_S,
    ).stdout  # fmt: skip
    known: dict[str, dict[str, Facts]] = json.loads(shown)
    return {
        section: {key: _tidy(facts) for key, facts in sorted(keys.items())} for section, keys in sorted(known.items())
    }


def _tidy(facts: Facts) -> Facts:
    """Without what says nothing; a rule in words becomes bounds where it is `[1,...,9] or -1`, else it is left out."""
    rule = str(facts.pop("rule", ""))
    if found := _RANGE_OR.search(rule):
        low, high, also = map(int, found.groups())
        facts |= {"min": low, "max": high, "or": also}
    if facts.get("default") == "":
        del facts["default"]
    if not facts.get("one_of", True):
        del facts["one_of"]  # a list of anything
    if "one_of" in facts:
        facts["one_of"] = sorted(facts["one_of"], key=str.lower)
    return facts


def spans(by_version: Iterable[dict[str, Facts]]) -> dict[str, list[list[Any]]]:
    """By key the spans of versions with the same facts: `[first, last, facts]`, counted from 0."""
    found: dict[str, list[list[Any]]] = {}
    for number, keys in enumerate(by_version):
        for key, facts in keys.items():
            known = found.setdefault(key, [])
            if known and known[-1][1] == number - 1 and known[-1][2] == facts:
                known[-1][1] = number
            else:
                known.append([number, number, facts])
    return dict(sorted(found.items()))


def main() -> None:
    """Write the file, one key a line, so that a diff is read easily."""
    known = []
    for version in VERSIONS:
        known.append(read(version))
        sys.stderr.write(f"{version}: {', '.join(f'{len(known[-1][name])} {name} keys' for name in SECTIONS)}\n")
    parts = [f'"versions": {json.dumps(VERSIONS)}']
    for section in SECTIONS:
        lines = (
            f"{json.dumps(key)}: {json.dumps(of_key, separators=(',', ':'), sort_keys=True)}"
            for key, of_key in spans(one[section] for one in known).items()
        )
        parts.append(f'"{section}": {{\n' + ",\n".join(lines) + "\n}")
    TARGET.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
