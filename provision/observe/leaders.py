"""The active controller of a cluster, and the leader of a ZooKeeper ensemble."""

from concurrent.futures import ThreadPoolExecutor

from provision.catalogue.versions import KRAFT
from provision.cluster.model import Role
from provision.errors import NodeGone, ProvisionError
from provision.kafka.quorum import ask_for_quorum
from provision.kafka.zookeeper import FOUR_LETTER_WORD_MAIN, SERVER_STATUS, mode, server_status
from provision.observe.ensemble import Way, way_to
from provision.observe.reach import access_to
from provision.plan.observed import NodeState, ObservedCluster, ObservedEnvironment, ObservedNode
from provision.runtime.base import DIRECTORY, NOT_ENDED, JavaCommand, Runtime
from provision.security.ensemble import of_tool

LEADER = "leader"
SILENT = "silent"
"""In place of the mode of a member of which nobody can tell, because what asks it does not end."""
# Of a shell and of `docker exec`: the program is not there, or is none.
_CANNOT_RUN = (126, 127)
_NO_MAIN_CLASS = "Could not find or load main class"


def active_controller(observed: ObservedEnvironment, cluster: ObservedCluster) -> int:
    """The active controller's id, -1 while there is none. KRaft brokers name any broker instead (KIP-590)."""
    if observed.mode != KRAFT:
        return cluster.controller
    quorum = ask_for_quorum(access_to(observed))
    return quorum.leader if quorum else -1


def ensemble_modes(runtime: Runtime, observed: ObservedEnvironment) -> dict[str, str | None]:
    """The mode of each running member of the ensemble: `standalone`, `leader` or `follower`; None for none yet.

    One that is asked from inside and does not answer in time is `SILENT`.
    """
    ensemble = [node for node in observed.of_role(Role.ZOOKEEPER) if node.state is NodeState.RUNNING]
    if not ensemble:
        return {}
    way = way_to(observed)
    with ThreadPoolExecutor(max_workers=len(ensemble)) as pool:  # silent ones cost no more time than one
        statuses = pool.map(lambda node: _status_of(runtime, observed.name, node, way), ensemble)
        return {
            node.name: SILENT if status is None else mode(status)
            for node, status in zip(ensemble, statuses, strict=True)
        }


def ensemble_leader(runtime: Runtime, observed: ObservedEnvironment) -> str:
    """The name of the ensemble's leader; empty if there is none, or only a single node."""
    modes = ensemble_modes(runtime, observed) if len(observed.of_role(Role.ZOOKEEPER)) > 1 else {}
    return next((name for name, mode in modes.items() if mode == LEADER), "")


def _status_of(runtime: Runtime, environment: str, node: ObservedNode, way: Way) -> str | None:
    if node.endpoint and way.is_ours:
        return server_status(node.endpoint, way.keys)
    host, _, port = runtime.inside_address(environment, node.name).rpartition(":")
    plain = JavaCommand(FOUR_LETTER_WORD_MAIN, (host, port, SERVER_STATUS))
    # By the node's own certificate, which is there anyway.
    closed = JavaCommand(FOUR_LETTER_WORD_MAIN, (*plain.arguments, "true"), jvm=of_tool(DIRECTORY))
    first, then = (closed, plain) if way.closed else (plain, closed if way.keys else None)
    try:
        code, output = runtime.run_in_node(environment, node.name, first)
        if then and code not in (0, NOT_ENDED):  # it is being closed, or opened
            code, output = runtime.run_in_node(environment, node.name, then)
    except NodeGone:  # another command is replacing it: it answers as little as one that has just started
        return ""
    if code == NOT_ENDED:
        return None
    if code in _CANNOT_RUN or _NO_MAIN_CLASS in output:  # waiting would not help
        raise ProvisionError(f"{node.name} cannot be asked for its status", why=output.strip())
    return output
