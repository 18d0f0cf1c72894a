"""By which listeners this program gets in at all brokers while their listeners change. Pure.

Nodes are replaced one at a time, and it has to get in at all of them over the same listener: over another one, a broker
tells only of those that have it too.
"""

from collections.abc import Iterable, Mapping, Sequence

from provision.cluster.model import Cluster, RenderedFile, Role
from provision.plan.closing import settings_of
from provision.plan.observed import ObservedEnvironment
from provision.security.acls import AUTHORIZER
from provision.security.profiles import Profile

Ways = Mapping[str, Profile]


def ways_through(cluster: Cluster, observed: ObservedEnvironment, files: Mapping[str, Sequence[RenderedFile]]) -> Ways:
    """The listeners for this machine, by name, that all brokers have now, and will have; none if they do not suffice.

    If nodes ask who may do what, now or then, one of them has to know who is there.
    """
    brokers = [node for node in observed.of_role(Role.BROKER) if node.needs_stop]
    has = [{one.name: one.security for one in node.ways} for node in brokers]
    found = {name: of for name, of in ways_of(cluster).items() if all(one.get(name) == of.name for one in has)}
    asked = any(AUTHORIZER[0] in settings_of(files, node.name) for node in brokers) or asks(cluster)
    return found if knows_enough(found.values(), asked=asked) else {}


def ways_of(cluster: Cluster) -> Ways:
    """The listeners for this machine by their names in Kafka, with their profiles."""
    return {cluster.listening.named(name): profile for name, profile in cluster.listening.host}


def asks(cluster: Cluster) -> bool:
    """Whether its nodes ask who may do what."""
    return any(AUTHORIZER[0] in node.properties for node in cluster.brokers)


def knows_enough(ways: Iterable[Profile], *, asked: bool) -> bool:
    """Whether one of these is a way in for this program, by which it may do what it has to."""
    return any(profile.knows_users or not asked for profile in ways)
