"""Everything that tells of an environment's state in one archive, to be kept by a CI job or attached to a report.

The tree is always the same. What cannot be had of a broken environment is named with its reason in `missing.txt`, and
everything else is there all the same.
"""

import io
import json
import platform
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

from msgspec import Struct

from provision.cluster.model import RenderedFile
from provision.common.whole_files import told_as_unwritable, writing_output
from provision.errors import Interrupted, ProvisionError, UsageError
from provision.home.journals import Run
from provision.home.secrets import known_secrets
from provision.observe.readiness import Assessment
from provision.operations.masking import Mask
from provision.operations.status import status_dict
from provision.plan.actions import Plan
from provision.plan.observed import ObservedEnvironment
from provision.runtime.base import Runtime
from provision.runtime.process.java import all_java

_Answer = TypeVar("_Answer")
Failure = ProvisionError | OSError | None
_MODE = 0o600
_IN_MEMORY_BYTES = 8 * 1024**2


class Contents(Struct, frozen=True):
    """Where what is to be in the archive comes from; `plan` and `render` are None if there is only a name.

    `version` is that of this program. `plan` also gives the files that the nodes would have, where they run; `render`
    those of a file whose plan cannot be had.
    """

    name: str
    version: str
    runtime: Callable[[], Runtime]
    status: Callable[[], Assessment]
    plan: Callable[[], tuple[Plan, Sequence[RenderedFile]]] | None
    render: Callable[[], Sequence[RenderedFile]] | None
    history: Callable[[], Sequence[Run]]


def write_bundle(file: Path, contents: Contents, tail: int | None) -> tuple[str, ...]:
    """Write the archive, whole or not at all, and make its directory; returns what could not be had, with the reasons.

    Raises:
        UsageError: it cannot be written.
    """
    with told_as_unwritable(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        with writing_output(file, _MODE) as stream, tarfile.open(fileobj=stream, mode="w:gz") as archive:
            return _Bundle(contents, archive).fill(tail)


@dataclass(slots=True)
class _Bundle:
    """An archive while it is filled."""

    contents: Contents
    archive: tarfile.TarFile
    mask: Mask = field(default_factory=Mask)
    missing: list[str] = field(default_factory=list)

    def fill(self, tail: int | None) -> tuple[str, ...]:
        """Put everything in."""
        contents = self.contents
        runtime = self._had("the runtime", contents.runtime)
        observed = self._had("its nodes", lambda: runtime.observe(contents.name)) if runtime else None
        nodes = [node.name for node in observed.nodes] if observed else []
        if observed and not nodes:
            self.missing.append("files and logs: there are no nodes; a first start that fails removes those it made")
        files = {node: self._files_of(runtime, node) for node in nodes if runtime}
        plan, rendered, lacking = self._planned()
        self.mask.know(self._had("its secrets", lambda: _secrets(observed)) or () if observed else ())
        self.mask.learn((*rendered, *(file for several in files.values() for file in several)))
        self._json("versions", lambda: _versions(contents.version, runtime, observed))
        self._json("status", lambda: status_dict(contents.status()))
        self._json("plan", lambda: _given(plan, lacking).as_dict())
        self._json("history", lambda: [run.as_dict(actions=True) for run in contents.history()])
        for place, several in (("files", (one for some in files.values() for one in some)), ("rendered", rendered)):
            for file in several:
                self._add(f"{place}/{file.node}/{file.name}", self.mask.file(file))
        for node in nodes:
            if runtime:
                self._add_log(runtime, node, tail)
        self._add("missing.txt", "".join(f"{what}\n" for what in self.missing))
        return tuple(self.missing)

    def _planned(self) -> tuple[Plan | None, Sequence[RenderedFile], Failure]:
        """The plan, or why there is none, and the files that the nodes would have."""
        try:
            if self.contents.plan is None:
                raise UsageError("there is only a name: without the environment's file, there is no plan")
            return *self.contents.plan(), None
        except Interrupted:
            raise
        except (ProvisionError, OSError) as error:
            rendered = self._had("rendered", self.contents.render) if self.contents.render else None
            return None, rendered or (), error

    def _had(self, what: str, ask: Callable[[], _Answer]) -> _Answer | None:
        """The answer; None if there is none, which is noted with the reason."""
        try:
            return ask()
        except Interrupted:
            raise
        except (ProvisionError, OSError) as error:
            self._note(what, error)
            return None

    def _note(self, what: str, error: ProvisionError | OSError) -> None:
        why = "; ".join(error.why.splitlines()) if isinstance(error, ProvisionError) else ""
        self.missing.append(self.mask.text(f"{what}: {error}{f': {why}' if why else ''}"))

    def _files_of(self, runtime: Runtime, node: str) -> Sequence[RenderedFile]:
        return self._had(f"files/{node}", lambda: runtime.read_files(self.contents.name, node)) or ()

    def _json(self, name: str, ask: Callable[[], Any]) -> None:
        """A part that is there also if it cannot be had: it has the reason then."""
        name = f"{name}.json"
        try:
            shown = ask()
        except Interrupted:
            raise
        except (ProvisionError, OSError) as error:
            self._note(name, error)
            known = {"why": error.why, "hint": error.hint} if isinstance(error, ProvisionError) else {}
            shown = {"error": str(error), **known}
        self._add(name, f"{json.dumps(self.mask.value(shown), indent=2, ensure_ascii=False)}\n")

    def _add_log(self, runtime: Runtime, node: str, tail: int | None) -> None:
        """A node's log, which may be larger than what fits into memory."""
        with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as spool:
            try:
                for line in runtime.log_lines(self.contents.name, node, tail=tail):
                    spool.write(f"{self.mask.text(line)}\n".encode(errors="replace"))
            except Interrupted:
                raise
            except (ProvisionError, OSError) as error:  # what was read until then is there
                self._note(f"logs/{node}.log", error)
            size = spool.tell()
            spool.seek(0)
            self._add_stream(f"logs/{node}.log", spool, size)

    def _add(self, name: str, text: str) -> None:
        content = text.encode(errors="replace")
        self._add_stream(name, io.BytesIO(content), len(content))

    def _add_stream(self, name: str, stream: IO[bytes], size: int) -> None:
        entry = tarfile.TarInfo(f"{self.contents.name}/{name}")
        entry.size, entry.mode, entry.mtime = size, _MODE, int(time.time())
        self.archive.addfile(entry, stream)


def _secrets(observed: ObservedEnvironment) -> frozenset[str]:
    """What is kept of its secrets; those of users with SCRAM are in no file of a node."""
    store = known_secrets(observed.name, observed.about)
    return store.words if store else frozenset()


def _given(plan: Plan | None, lacking: Failure) -> Plan:
    if plan is None:
        raise lacking or ProvisionError("there is no plan")
    return plan


def _versions(version: str, runtime: Runtime | None, observed: ObservedEnvironment | None) -> dict[str, Any]:
    machine = None
    if runtime:
        with suppress(ProvisionError):  # other parts say why it does not answer
            machine = runtime.machine()
    javas = all_java() if runtime and runtime.kind == "process" else ()
    return {
        "provision": version,
        "python": platform.python_version(),
        "system": platform.platform(),
        "runtime": runtime.kind if runtime else None,
        "engine": {"name": machine.name, "version": machine.version} if machine else None,
        "java": [{"command": java.command, "version": java.version} for java in javas],
        "kafka": {"version": observed.version, "mode": observed.mode} if observed else None,
    }
