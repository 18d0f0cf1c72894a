"""Classify what a changed file means for its node: nothing, a dynamic setting, a restart, or a new node.

The classes, from the mildest; the first that suffices is used:

1. none: another comment or order of keys, which makes no difference to the node.
2. `configure`: only properties that the running broker itself declares as updatable change.
3. `restart`: any other property changes. The node restarts with the new file and keeps its data.
4. `recreate`: something outside its files changes: the image, JVM options, memory, host ports. Its data are kept.
5. `refuse`: a change that would leave its data behind.

What somebody has edited in a node's files is undone: by a restart or a new node, for the node may have read it by now;
where it makes no difference, or a restart would lose data, the files are only written again, which is a `configure`
without differences. So is a writing of files that was cut off.
"""

from collections.abc import Collection, Sequence

from msgspec import Struct

from provision.cluster.fingerprint import are_incomplete, begun_hash, config_hash, is_edited, written_hash
from provision.cluster.model import LAUNCH_FILE, MAIN_FILES, Cluster, RenderedFile, Role, StorageKind
from provision.cluster.properties import read
from provision.plan.actions import Verb
from provision.plan.differences import Difference, differences
from provision.plan.observed import NodeState, ObservedNode

BROKER_FILE = MAIN_FILES[Role.BROKER]
NEVER_DYNAMIC = frozenset({"listeners", "advertised.listeners", "listener.security.protocol.map"})
"""Advertised addresses: never changed while clients and other brokers use them."""
_VOTERS = "controller.quorum.voters"
_EDITED = "its files were edited"
_CUT_OFF = "its files were not written to the end"
_UNREADABLE = "its files cannot be read, so it is not known what changed"
_IN_MEMORY = "it would lose its data, which are in memory (storage: memory)"
_FOLLOWS_FROM_SOFTWARE = frozenset({"kafka", "software", "arguments", "java"})


class NodeChange(Struct, frozen=True):
    """What must be done to a node, why, and which settings change; a refused change has a hint."""

    verb: Verb
    cause: str
    differences: tuple[Difference, ...] = ()
    hint: str = ""

    @property
    def only_writes(self) -> bool:
        """Whether the files are written again and the node, running or not, is left alone."""
        return self.verb is Verb.CONFIGURE and not self.differences


def change_of(
    cluster: Cluster,
    there: ObservedNode,
    before: Sequence[RenderedFile],
    after: Sequence[RenderedFile],
    dynamic: Collection[str] = (),
) -> NodeChange | None:
    """Classify the change of one node.

    Args:
        cluster: the desired cluster.
        there: the node as observed.
        before: its present files, empty if they cannot be read.
        after: its new files.
        dynamic: keys whose new value the running broker accepts without a restart.
    """
    changed, wanted = differences(before, after), config_hash(there.name, after)
    edited = is_edited(there.name, before)
    if before and not changed:
        cause = f"{_EDITED}, which changes no setting" if edited else _CUT_OFF if are_incomplete(before) else ""
        return NodeChange(Verb.CONFIGURE, cause) if cause else None
    if edited and written_hash(before) == wanted:
        return _writing_again(cluster, there, _EDITED, changed, dynamic)
    if begun_hash(before) == wanted:
        return _writing_again(cluster, there, _CUT_OFF, changed, dynamic)
    cause = _cause(cluster, there, changed) if before else _UNREADABLE
    changed_before = [d for d in changed if d.before is not None]  # a file that did not exist yet has no old values
    if moved := next((d for d in changed_before if d.file == LAUNCH_FILE and d.key == "storage"), None):
        hint = "`provision down` it first, or undo the change"
        return NodeChange(Verb.REFUSE, f"{moved}: its data would be left behind", changed, hint)
    voters = next((d for d in changed_before if d.key == _VOTERS), None)
    alone = len([node for node in cluster.nodes if node.role is not Role.ZOOKEEPER]) == 1
    if voters and not _finds_same(voters, before, after, is_known=there.is_alive and not alone):
        hint = "`provision down` it first, or undo the change"
        return NodeChange(Verb.REFUSE, f"{voters}: the quorum of a running cluster is not changed", changed, hint)
    verb = _verb(there, changed, dynamic)
    has_run = there.state is not NodeState.CREATED
    if cluster.storage.kind is StorageKind.MEMORY and verb is not Verb.CONFIGURE and has_run:
        hint = "undo the change, or `provision down` and `up` again"
        return NodeChange(Verb.REFUSE, f"{cause}; {_IN_MEMORY}", changed, hint)
    return NodeChange(verb, cause, changed)


def _writing_again(
    cluster: Cluster, there: ObservedNode, why: str, changed: tuple[Difference, ...], dynamic: Collection[str]
) -> NodeChange:
    """The change of a node whose files are to say what was written, or was to be, and say something else."""
    cause, verb = f"{why}: {'; '.join(map(str, changed))}", _verb(there, changed, dynamic)
    has_run = there.state is not NodeState.CREATED
    if cluster.storage.kind is StorageKind.MEMORY and verb is not Verb.CONFIGURE and has_run:
        return NodeChange(Verb.CONFIGURE, cause)  # a restart would lose its data
    return NodeChange(verb, cause, changed)


def _finds_same(
    voters: Difference, before: Sequence[RenderedFile], after: Sequence[RenderedFile], *, is_known: bool
) -> bool:
    """Whether the same voters are only reached by other listeners: a running node that others know must have them."""
    ids = [sorted(voter.partition("@")[0] for voter in str(side).split(",")) for side in (voters.before, voters.after)]
    known, used = (_controller_listeners(files, voters.file) for files in (before, after))
    return ids[0] == ids[1] and used[0] != known[0] and (used[0] in known or not is_known)


def _controller_listeners(files: Sequence[RenderedFile], name: str) -> list[str]:
    values = next((read(file.text) for file in files if file.name == name), None) or {}
    return values.get("controller.listener.names", "").split(",")


def _verb(there: ObservedNode, changed: Sequence[Difference], dynamic: Collection[str]) -> Verb:
    if not changed or not there.is_alive or any(d.file == LAUNCH_FILE for d in changed):
        return Verb.RECREATE
    takes_it = (
        d.file == BROKER_FILE and d.after is not None and d.key in dynamic and d.key not in NEVER_DYNAMIC
        for d in changed
    )
    return Verb.CONFIGURE if all(takes_it) else Verb.RESTART


def _cause(cluster: Cluster, there: ObservedNode, changed: Sequence[Difference]) -> str:
    version = str(cluster.version)
    if there.version and there.version != version:
        others = [str(d) for d in changed if d.file != LAUNCH_FILE or d.key not in _FOLLOWS_FROM_SOFTWARE]
        return "; ".join((f"Kafka {there.version} → {version}", *others))
    return f"config changed: {'; '.join(map(str, changed))}"
