"""Training archives in the background: what lets it begin after `up`, and what ends it.

`warming.py` is what the process does. It belongs to the environment whose `up` has started it, and ends with that.
"""

import os
from contextlib import suppress

from provision.cluster.model import Cluster
from provision.common import spare
from provision.common.clocks import now_s
from provision.common.process_identity import ProcessIdentity
from provision.common.whole_files import left_drafts
from provision.errors import ProvisionError, UsageError
from provision.events import Listener, Notice
from provision.home.place import Home
from provision.home.trainers import Trainer
from provision.operations import apart
from provision.runtime.archives import kind_of
from provision.runtime.base import Runtime
from provision.runtime.process import processes
from provision.spec.source import Source

LEAST_PROCESSORS = 4
LEAST_MEMORY_BYTES = 2 * 1024**3
_NOT_WHERE = ("CI", "PYTEST_CURRENT_TEST")
"""Variables of places where what is trained is hardly used again, or a process in the background is in the way."""


def could_begin(source: Source) -> bool:
    """Whether a training after `up` is wanted and can slow nobody's work, as far as this machine tells by itself."""
    if source.file is None or not source.require_valid().warm or any(os.environ.get(name) for name in _NOT_WHERE):
        return False
    there = spare.spare()
    return there.processors >= LEAST_PROCESSORS and there.memory_bytes >= LEAST_MEMORY_BYTES


def tell_of_archives(runtime: Runtime, cluster: Cluster, tell: Listener) -> bool:
    """Notices of the archives that JVMs did not take; whether nodes have none, or none that is taken, and could."""
    if runtime.archives is None:
        return False
    refused = runtime.archives.unused(cluster.name)
    for node, why in refused.items():
        tell(Notice(f"{node} started without its archive: {why} (`provision warm {cluster.name}` makes a new one)"))
    nodes = {kind_of(cluster, node): node for node in cluster.nodes}
    return bool(refused) or any(runtime.archives.lacks(cluster, node) for node in nodes.values())


def begin(home: Home, source: Source, runtime: Runtime, tell: Listener) -> None:
    """Start what trains the archives of an environment, unless another one does in this home, or it runs elsewhere.

    What keeps it from starting is told, and is no failure.
    """
    try:
        machine = runtime.machine()
        few = (machine.processors or 0) < LEAST_PROCESSORS
        if not machine.is_here or few or any(one.process.is_over is False for one in home.trainers):
            return
        settings = (word for text in source.overrides for word in ("--set", text))
        file = str(source.required_file.absolute())
        pid = apart.start(home.directory, "warm", file, *settings, "--when-idle", PROVISION_CACHE=str(home.cache))
        with suppress(UsageError):  # it has ended already
            process = ProcessIdentity.of(pid)
            home.trainers.note(Trainer(environment=source.name, runtime=runtime.kind, process=process, since_s=now_s()))
            tell(Notice("archives for faster starts are trained in the background; `--no-warm` leaves that out"))
    except (ProvisionError, OSError) as error:
        tell(Notice(f"no archives are trained in the background: {error}"))


def end(home: Home, trainer: Trainer) -> None:
    """End it with all that it has started, and forget it; what it has made in its runtime is left."""
    home.trainers.forget(trainer.environment)
    if trainer.process.is_over is False:
        processes.kill_with_children(trainer.process.pid)
    for draft in left_drafts(home.cache / "archives"):
        with suppress(OSError):
            draft.unlink()
