"""The last wave: remove brokers that the file no longer has, once they are empty. Pure."""

from provision.catalogue.versions import KRAFT
from provision.cluster.model import Cluster, Role
from provision.plan.actions import Action, Kind, Removal, Verb
from provision.plan.observed import ObservedEnvironment
from provision.plan.refusals import leaving


def plan_removals(cluster: Cluster, observed: ObservedEnvironment) -> tuple[Action, ...]:
    """Remove each leaving broker, one after the other, and storages of brokers that were removed before."""
    removals: list[Action] = []
    count = f"brokers.nodes is {len(cluster.brokers)}"
    for node in leaving(cluster, observed):
        after = tuple(action.key for action in removals[-1:])
        subject = Removal(node.number, registered=cluster.mode == KRAFT)
        removals.append(Action(Verb.REMOVE, Kind.NODE, node.name, count, "when it is empty", after, subject))
    desired = {node.name for node in cluster.nodes}
    removals += [
        Action(Verb.REMOVE, Kind.STORAGE, name, count, "its node is removed already")
        for name in sorted(observed.storages)
        if Role.parse(name)[0] is Role.BROKER
        and name not in desired
        and observed.node(name) is None
        and not observed.never_ran(name)
    ]
    return tuple(removals)
