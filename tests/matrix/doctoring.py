"""An environment that tests make ill, and what `provision doctor` says about it."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from kafka import KafkaAdminClient

from tests.engine import DEFAULT_VERSION, Provision, java, wait_until, write_environment

OF_BUSY_MACHINE = {"slow-node", "not-examined"}
"""What is also found where nothing is wrong, and others have the processors."""
CALM_S = 60
Found = dict[str, dict[str, Any]]
"""Findings by id; of several with one id the first."""


@dataclass(frozen=True, slots=True)
class Patient:
    """An environment that runs as processes, with its file."""

    provision: Provision
    env: str

    @property
    def name(self) -> str:
        """Its name is that of its file."""
        return Path(self.env).stem

    @property
    def directory(self) -> Path:
        """The directory with its nodes'."""
        return self.provision.home / "environments" / self.name

    def findings(self, *options: str) -> list[dict[str, Any]]:
        """All that is found, in its order, once a busy machine has no part in it; the options are given once."""
        seen = [self.look(*options)]

        def is_calm() -> bool:
            calm = OF_BUSY_MACHINE.isdisjoint(one["id"] for one in seen[-1])
            if not calm:
                seen.append(self.look())
            return calm

        wait_until(is_calm, CALM_S)  # what is still found then is what is wrong
        return seen[-1]

    def look(self, *options: str) -> list[dict[str, Any]]:
        """All that is found now, in its order."""
        result = self.provision("doctor", self.env, "-o", "json", *options)
        assert result.code in (0, 1) and result.out, result.err  # noqa: PT018 one cause
        found: list[dict[str, Any]] = json.loads(result.out)["findings"]
        return found

    def found(self, *options: str) -> Found:
        """The findings by id."""
        return _by_id(self.findings(*options))

    def found_once(self, identity: str) -> Found:
        """The findings by id as soon as that one is among them: some are not told at once."""
        seen: list[Found] = []

        def is_found() -> bool:
            seen.append(_by_id(self.look()))
            return identity in seen[-1] and OF_BUSY_MACHINE.isdisjoint(seen[-1])

        assert wait_until(is_found, timeout_s=120), seen[-1]
        return seen[-1]

    def only(self) -> dict[str, Any]:
        """The only finding there is."""
        every = self.findings()
        assert len(every) == 1, every
        return every[0]

    def ids(self) -> list[str]:
        """The ids of all findings."""
        return sorted(one["id"] for one in self.findings())

    def process(self, node: str) -> psutil.Process:
        """The process of a node that runs."""
        (found,) = self._processes(node)
        return found

    def runs(self, node: str) -> bool:
        """Whether a node has a process."""
        return bool(self._processes(node))

    def _processes(self, node: str) -> list[psutil.Process]:
        mark = f"-Dprovision.node={self.directory / node}"
        every = psutil.process_iter(["cmdline", "status"])
        return [p for p in every if mark in (p.info["cmdline"] or ()) and p.info["status"] != psutil.STATUS_ZOMBIE]

    def kill(self, *nodes: str) -> None:
        """Kill nodes as a crash would."""
        for process in [self.process(node) for node in nodes]:
            process.kill()
            assert wait_until(lambda process=process: not process.is_running())  # type: ignore[misc]

    def servers(self) -> list[str]:
        """The addresses of its brokers."""
        status = json.loads(self.provision.ok("status", self.env, "-o", "json"))
        return str(status["bootstrap_servers"]).split(",")

    @contextmanager
    def admin(self) -> Iterator[KafkaAdminClient]:
        """A client for what somebody does to the cluster by hand."""
        client = KafkaAdminClient(bootstrap_servers=self.servers())
        try:
            yield client
        finally:
            client.close()


def _by_id(findings: Sequence[dict[str, Any]]) -> Found:
    return {one["id"]: one for one in reversed(findings)}


@contextmanager
def healthy(directory: Path, name: str, text: str) -> Iterator[Patient]:
    """A running environment with that file, of which nothing is left in the end."""
    java(DEFAULT_VERSION)
    patient = Patient(Provision(directory / "home", "process"), write_environment(directory, name, text))
    with up(patient):
        yield patient


@contextmanager
def up(patient: Patient) -> Iterator[None]:
    """It runs meanwhile, and nothing of it is left in the end."""
    try:
        patient.provision.ok("up", patient.env)
        yield
    finally:
        patient.provision.ok("down", patient.env)
        assert patient.provision.traces(patient.name) == []


@contextmanager
def away(path: Path) -> Iterator[None]:
    """Move a file or a directory away, and put it back in the end, whatever has taken its place."""
    kept = path.with_name(f"{path.name}.kept")
    path.rename(kept)
    try:
        yield
    finally:
        if path.is_dir():
            shutil.rmtree(path)
        kept.replace(path)


@contextmanager
def rewritten(path: Path, before: bytes, after: bytes) -> Iterator[int]:
    """Replace a part of a file for a while; gives the number of its line."""
    content = path.read_bytes()
    assert before in content
    path.write_bytes(content.replace(before, after, 1))
    try:
        yield content[: content.index(before)].count(b"\n") + 1
    finally:
        path.write_bytes(content)
