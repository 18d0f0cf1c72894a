"""The ports of `port: auto` while an environment is brought up: chosen, and replaced if they turn out to be taken."""

from collections.abc import Mapping

from provision.cluster.model import Cluster
from provision.cluster.resolve import fixed_ports
from provision.common.interrupts import end_if, shielded
from provision.errors import NodeFailed, PortTaken
from provision.events import Listener, Notice
from provision.home.ports import Situation
from provision.operations.life import stop_all
from provision.operations.remove import remove_environment
from provision.plan.observed import ObservedEnvironment
from provision.runtime import Runtimes
from provision.runtime.base import Runtime
from provision.spec.agents import java_ports
from provision.spec.model import EnvironmentSpec


def situation(
    runtimes: Runtimes,
    runtime: Runtime,
    observed: ObservedEnvironment,
    taken: frozenset[int],
    named: frozenset[int],
    *,
    lease: bool,
) -> Situation:
    """What matters for the choice of an environment's ports; only a lease needs its place."""
    present = frozenset(node.name for node in observed.nodes)
    return Situation(runtime.place if lease else "", present, taken, runtimes.environments_at, named)


def ports_in_use(observed: ObservedEnvironment, taken: frozenset[int]) -> dict[str, int]:
    """The ports that existing nodes have, and keep unless they are taken; first those of nodes that run."""
    nodes = sorted(observed.nodes, key=lambda node: not node.needs_stop)
    ports = {name: port for node in nodes for name, port in node.host_ports.items()}
    return {name: port for name, port in ports.items() if port not in taken}


def named_ports(spec: EnvironmentSpec) -> frozenset[int]:
    """All ports that the file names: those of Kafka's listeners, of ZooKeeper, and those that JVMs open besides."""
    of_java = (port for _, first, nodes in java_ports(spec) for port in range(first, first + nodes))
    return frozenset((*fixed_ports(spec).values(), *of_java))


def found_taken(error: PortTaken | NodeFailed, cluster: Cluster, leased: Mapping[str, int]) -> dict[str, int]:
    """Which leased ports could not be opened, by name; none if the error is about something else.

    A node that says so itself means a port on which it listens; in a container, those are its own.
    """
    if isinstance(error, PortTaken):
        return {name: port for name, port in leased.items() if port == error.port}
    listening = [node.listeners for node in cluster.nodes if error.port_taken and node.name == error.node]
    own = {listener.listen_port for listeners in listening for listener in listeners}
    return {name: port for name, port in leased.items() if port in own}


def back_to(before: ObservedEnvironment, runtime: Runtime, tell: Listener, *, delete_data: bool) -> None:
    """Undo what was begun, so that it can begin again: remove what is new, or stop what was started since.

    Args:
        before: what there was.
        runtime: where it is.
        tell: receives the events.
        delete_data: also delete data in a user's directory; there were none before.
    """
    with shielded(lambda: tell(Notice("still going back, please wait"))) as interrupted:
        if before.nodes:
            alive = {node.name for node in before.nodes if node.is_alive}
            now = runtime.observe(before.name)
            stop_all(runtime, before.name, [n for n in now.nodes if n.needs_stop and n.name not in alive], tell)
        else:
            remove_environment(runtime, before.name, before=before, delete_data=delete_data)
    end_if(interrupted)
