"""How the cluster of an environment is reached from this machine."""

from provision.cluster.model import Role
from provision.kafka.access import Access
from provision.plan.observed import NodeState, ObservedEnvironment

NOT_RUNNING = {
    NodeState.CREATED: "it was never started",
    NodeState.PAUSED: "it is paused (`provision start` resumes it)",
    NodeState.RESTARTING: "it has exited, and the engine restarts it",
    NodeState.EXITED: "it has exited",
    NodeState.LOST: "it runs, but its directory is gone",
}
"""Why a node in that state answers nothing."""


def access_to(observed: ObservedEnvironment) -> Access:
    """Access to all of its brokers that have a port on this machine; those that do not run are known to be down."""
    brokers = [node for node in observed.of_role(Role.BROKER) if node.endpoint]
    return Access(
        {node.number: node.endpoint for node in brokers if node.endpoint and node.state is NodeState.RUNNING},
        down={node.number: NOT_RUNNING[node.state] for node in brokers if node.state is not NodeState.RUNNING},
    )
