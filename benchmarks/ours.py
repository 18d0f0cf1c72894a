"""`provision` as people run it: a command in a process of its own, in a home of its own."""

import contextlib
import json
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import docker
import psutil
from docker.errors import APIError

from benchmarks.machine import ROOT
from benchmarks.measuring import Contestant, run
from benchmarks.shapes import Shape, written
from provision.catalogue.versions import DEFAULT_VERSION
from provision.home.place import Home


@dataclass(frozen=True, slots=True)
class Program:
    """The program with a home in `directory`, and a cache that all measurements share; `prefix` is what starts it."""

    directory: Path
    cache: Path
    prefix: Sequence[str] = ()

    @property
    def home(self) -> Path:
        """Its home."""
        return self.directory / "home"

    def variables(self) -> dict[str, str]:
        """What it is run with."""
        return {
            **os.environ,
            "PROVISION_HOME": str(self.home),
            "PROVISION_CACHE": str(self.cache),
            "PYTHONPATH": str(ROOT),
            "NO_COLOR": "1",
        }

    def command(self, *arguments: str) -> list[str]:
        """The whole command."""
        alone = ["--no-warm"] if arguments[0] == "up" else []  # nothing is to go on in the background meanwhile
        return [*self.prefix, sys.executable, "-m", "provision", *arguments, *alone]

    def __call__(self, *arguments: str, timeout_s: float = 300) -> tuple[float, str]:
        """Run it; returns the seconds that it took, and its standard output."""
        return run(self.command(*arguments), cwd=self.directory, env=self.variables(), timeout_s=timeout_s)

    def resident_bytes(self, name: str, role: str = "") -> float:
        """The mean of what the nodes of an environment that are processes have in memory."""
        mark = f"-Dprovision.node={self.home}/environments/{name}/{role}"
        sizes = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if any(word.startswith(mark) for word in process.cmdline()):
                    sizes.append(process.memory_info().rss)
        return sum(sizes) / len(sizes)


@contextlib.contextmanager
def own_cache() -> Iterator[Path]:
    """A cache with the jars of the user's own, so that archives are made in it and go with it."""
    theirs = Home.of_user().jars(DEFAULT_VERSION)
    if not theirs.is_dir():
        run([sys.executable, "-m", "provision", "fetch", str(DEFAULT_VERSION)], cwd=ROOT, timeout_s=600)
    # Beside the jars, where they can be linked and not copied: a copy is read from the disk again.
    with tempfile.TemporaryDirectory(dir=theirs.parents[1], prefix="bench-") as directory:
        cache = Path(directory)
        shutil.copytree(theirs, cache / "kafka" / str(DEFAULT_VERSION), copy_function=os.link)
        yield cache


def unique() -> str:
    """A name that no other environment has."""
    return f"bench-{uuid.uuid4().hex[:6]}"


def archives_of(directory: Path, cache: Path, shape: Shape) -> list[dict[str, Any]]:
    """Make the archives for such a cluster, if they are missing; returns what `warm -o json` tells of them."""
    file = written(directory, unique(), shape.text())
    _, out = Program(directory, cache)("warm", file, "-o", "json", timeout_s=400)
    archives: list[dict[str, Any]] = json.loads(out)
    return archives


@contextlib.contextmanager
def warm(directory: Path, cache: Path, shape: Shape) -> Iterator[None]:
    """With archives for such a cluster. Those that were made for it in the engine are removed from there.

    One that another environment has found meanwhile, and uses, stays: `provision down --all --caches` removes it.
    """
    archives = archives_of(directory, cache, shape)
    try:
        yield
    finally:
        if shape.runtime == "docker":
            _remove([archive["place"].removeprefix("volume ") for archive in archives if archive["made"]])


def _remove(volumes: Sequence[str]) -> None:
    api = docker.from_env(timeout=60).api
    for volume in volumes:
        try:
            api.remove_volume(volume, force=True)
        except APIError as error:
            if error.status_code != HTTPStatus.CONFLICT:
                raise


def life(cache: Path, shape: Shape) -> Contestant:
    """`up` until every topic is in sync, and `down`."""

    def lived(empty: Path) -> Mapping[str, Any]:
        name, program = unique(), Program(empty, cache)
        file = written(empty, name, shape.text())
        try:
            ready_s, out = program("up", file, "--timings", "-o", "json")
            found: dict[str, Any] = {"ready": ready_s, "phases": json.loads(out)["phases"]}
            if shape.runtime == "process":
                found["broker_bytes"] = program.resident_bytes(name, "broker")
        finally:
            down_s, _ = program("down", file)
        return found | {"down": down_s}

    return lived


@contextlib.contextmanager
def running(directory: Path, cache: Path, shape: Shape, *, prefix: Sequence[str] = ()) -> Iterator[tuple[Program, str]]:
    """A cluster of that shape; gives the program and its file, and removes the cluster afterwards.

    `prefix` starts the command that starts the nodes, and no other one.
    """
    program = Program(directory, cache)
    file = written(directory, unique(), shape.text())
    try:
        Program(directory, cache, prefix)("up", file)
        yield program, file
    finally:
        program("down", file)
