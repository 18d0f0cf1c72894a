"""How long the commands of an environment's life take, as ratios to another checkout or release of the program.

    python benchmarks/lifecycle.py --beside /path/to/another/checkout --runs 5 --runtime process --json out.json

Each run takes both programs in turn through the same life, so that a noisy moment meets both: the first `up`, `status`,
a second `up` with nothing to do, 20 more topics, `down`. It prints medians of wall-clock seconds and their ratios, and
does not fail: machines differ, ratios less so. Every environment gets a home of its own, and is removed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent
TOPICS = [f"{{name: t{number}}}" for number in range(10)]
MORE = [f"{{name: more{number}}}" for number in range(20)]
SHAPES = {
    "kraft-1": "kafka: {mode: kraft}\nbrokers: {nodes: 1, port: auto}\ntopic_defaults: {partitions: 3}\n",
    "zookeeper-1": "brokers: {nodes: 1, port: auto}\ntopic_defaults: {partitions: 3}\n",
    "kraft-3": "kafka: {mode: kraft}\nbrokers: {nodes: 3, port: auto}\n"
    "topic_defaults: {partitions: 6, replication_factor: 3}\n",
    "zookeeper-3": "brokers: {nodes: 3, port: auto}\ntopic_defaults: {partitions: 6, replication_factor: 3}\n",
}
Times = dict[str, list[float]]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", type=Path, help="another checkout, to compare with")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--runtime", choices=("process", "docker"), default="process")
    parser.add_argument("--image", default="", help="with docker, instead of the default image")
    parser.add_argument("--shape", choices=SHAPES, action="append", help="which clusters; all if left out")
    parser.add_argument("--json", type=Path, help="where to write every time")
    asked = parser.parse_args()
    programs = [ROOT, *([asked.beside.resolve()] if asked.beside else [])]
    taken: dict[str, dict[str, Times]] = {}
    for shape in asked.shape or SHAPES:
        times: dict[str, Times] = {str(program): defaultdict(list) for program in programs}
        for _ in range(asked.runs):
            for program in programs:
                _life(program, shape, asked.runtime, asked.image, times[str(program)])
        taken[shape] = times
        _print(shape, times)
    if asked.json:
        asked.json.write_text(json.dumps(taken, indent=2))


def _life(program: Path, shape: str, runtime: str, image: str, times: Times) -> None:
    name = f"bench-{shape}-{os.getpid()}"
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, f"{name}.yaml")
        text = f"runtime: {runtime}\n{SHAPES[shape]}"
        if image:
            text = text.replace("kafka: {", f"kafka: {{image: '{image}', ")
            text = text if "kafka:" in text else f"kafka: {{image: '{image}'}}\n{text}"
        environment = os.environ | {"PROVISION_HOME": f"{directory}/home", "PYTHONPATH": str(program)}

        def run(what: str, *arguments: str) -> None:
            command = [sys.executable, "-m", "provision", *arguments]
            began = time.perf_counter()
            subprocess.run(command, cwd=directory, env=environment, check=True, capture_output=True, timeout=180)
            times[what].append(time.perf_counter() - began)

        file.write_text(f"{text}topics: [{', '.join(TOPICS)}]\n")
        try:
            run("first up", "up", str(file))
            run("status", "status", str(file))
            run("second up", "up", str(file))
            file.write_text(f"{text}topics: [{', '.join(TOPICS + MORE)}]\n")
            run("20 more topics", "up", str(file))
        finally:
            run("down", "down", str(file))


def _print(shape: str, times: dict[str, Times]) -> None:
    ours, *others = times.values()
    print(f"{shape:<16} {'seconds':>8}" + (f" {'beside':>8} {'ratio':>6}" if others else ""))
    for what, seconds in ours.items():
        median = statistics.median(seconds)
        line = f"  {what:<14} {median:8.2f}"
        for other in others:
            beside = statistics.median(other[what])
            line += f" {beside:8.2f} {median / beside:6.2f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
