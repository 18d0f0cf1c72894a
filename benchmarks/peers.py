"""testcontainers-python and pytest-kafka, where they are installed: `--peers PYTHON` names a Python that has them.

They are no dependencies of the project. Whoever wants these rows makes two virtual environments, because the two need
different releases of kafka-python; see CONTRIBUTING.md.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT
from benchmarks.measuring import CannotRun, Contestant, Failed, run
from benchmarks.ours import Program
from benchmarks.shapes import Shape
from provision.catalogue.versions import DEFAULT_VERSION

PROGRAMS = Path(__file__).parent / "peer_programs"


@dataclass(frozen=True, slots=True)
class Peers:
    """Pythons that may have them."""

    pythons: Sequence[str] = (sys.executable,)

    def having(self, *modules: str) -> str:
        """The first Python that can import them.

        Raises:
            CannotRun: none can.
        """
        told = []
        for one in self.pythons:
            command = [one, "-c", "".join(f"import {module}\n" for module in modules)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if not done.returncode:
                return one
            told.append(done.stderr.strip().rpartition("\n")[2])
        raise CannotRun(f"no Python of --peers can import it ({'; '.join(dict.fromkeys(told))})")

    def testcontainers(self, shape: Shape) -> Contestant:
        """A `KafkaContainer` and its topic, and its end."""

        def lived(_empty: Path) -> Mapping[str, Any]:
            python = self.having("testcontainers.kafka", "confluent_kafka")
            program = [str(PROGRAMS / "one_container.py"), shape.image, str(shape.topics), str(shape.partitions)]
            return _told([python, *program], self.variables())

        return lived

    def pytest_kafka(self, cache: Path) -> Contestant:
        """A test with a broker of pytest-kafka."""

        def lived(empty: Path) -> Mapping[str, Any]:
            python = self.having("pytest_kafka.constants")
            jars = cache / "kafka" / str(DEFAULT_VERSION)
            test = _copied("test_with_pytest_kafka.py", empty)
            variables = {**self.variables(), "JARS": str(jars), "SCRIPTS": str(empty)}
            plain = ["-q", "-p", "no:cacheprovider", "-p", "no:provision"]
            command = [python, "-m", "pytest", *plain, "--rootdir", str(empty), test]
            return {"total": run(command, cwd=empty, env=variables)[0]}

        return lived

    def variables(self) -> dict[str, str]:
        """What they are run with; the image of their reaper cannot be assumed to be there."""
        return {**os.environ, "TESTCONTAINERS_RYUK_DISABLED": "true", "PYTHONPATH": str(ROOT)}


def _copied(program: str, directory: Path) -> str:
    """A copy of a program, out of reach of the configuration of this project's own tests."""
    return Path(shutil.copy(PROGRAMS / program, directory)).name


def our_test(cache: Path) -> Contestant:
    """The same test with our plugin."""

    def lived(empty: Path) -> Mapping[str, Any]:
        test = _copied("test_with_provision.py", empty)
        environment = empty / "kafka.yaml"
        environment.write_text("runtime: process\nbrokers: {port: auto}\nstorage: memory\n", encoding="utf-8")
        plain = ["-q", "-p", "no:cacheprovider", "--kafka-environment", str(environment)]
        command = [sys.executable, "-m", "pytest", *plain, "--rootdir", str(empty), test]
        return {"total": run(command, cwd=empty, env=Program(empty, cache).variables())[0]}

    return lived


def _told(command: Sequence[str], variables: Mapping[str, str]) -> dict[str, float]:
    """Run a program that says `ready` and ends by itself."""
    began = time.perf_counter()
    with subprocess.Popen(
        command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None  # noqa: S101 it is a pipe
        try:
            said = process.stdout.readline().strip()
            ready_s = time.perf_counter() - began
            _, told = process.communicate(timeout=120)
        except BaseException:
            process.kill()
            raise
    if process.returncode or said != "ready":
        raise Failed(f"{' '.join(command[:2])} exited with {process.returncode}:\n{told[-1500:]}")
    return {"ready": ready_s, "down": time.perf_counter() - began - ready_s}
