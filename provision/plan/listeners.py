"""Which changes of listeners a running cluster can undergo. Pure.

Its nodes are replaced one at a time. Meanwhile, brokers have to understand each other, and this program has to get in
at all of them over the same listener: over another one, a broker tells only of those that have it too.
"""

from collections.abc import Iterator, Mapping

from provision.cluster.model import Cluster, Role
from provision.plan.actions import Action, Kind, Verb
from provision.plan.changes import NodeChange
from provision.plan.observed import DOCKER, ObservedEnvironment
from provision.security.listening import HOST, HostListener, Security, base_of, security_in
from provision.security.profiles import PLAIN_TEXT, PROFILES

_AUTHORIZER = "authorizer.class.name"


def other_security(
    cluster: Cluster, observed: ObservedEnvironment, changes: Mapping[str, NodeChange]
) -> Iterator[Action]:
    """The refusal of a change that nodes would not understand each other over, or not be understood themselves."""
    before, after = security_in(observed.about.security if observed.about else ""), cluster.listening
    if before == after or not any(node.needs_stop for node in observed.nodes):
        return
    if before.is_uniform and after.is_uniform:  # it goes in phases: `provision.plan.securing`
        return
    if why := _between(before, after, cluster.runtime) or _from_here(cluster, before, observed, changes):
        hint = f"`provision stop {cluster.name}` first: then they all start with the new one; or undo the change"
        cause = f"security {before.name} → {after.name}: {why}"
        yield Action(Verb.REFUSE, Kind.SOFTWARE, cluster.software, cause, hint)


def _between(before: Security, after: Security, runtime: str) -> str:
    if (before.internal, before.controllers) != (after.internal, after.controllers):
        return "its nodes would not understand each other meanwhile"
    if runtime != DOCKER and before.apart != after.apart:
        return "its brokers would look for each other at a listener that not all of them have meanwhile"
    return ""


def _from_here(
    cluster: Cluster, before: Security, observed: ObservedEnvironment, changes: Mapping[str, NodeChange]
) -> str:
    """Why no listener leads to all brokers meanwhile; empty if one does."""
    common = {cluster.listening.named(name): profile.name for name, profile in cluster.listening.host}
    names = ", ".join(f"{base_of(name)} ({profile})" for name, profile in common.items())
    if any(node.is_between for node in observed.nodes):
        return f"it is still going to {before.name}, which `provision up` with the file as it was ends"
    for node in observed.of_role(Role.BROKER):
        there = node.listeners or (HostListener(HOST, PLAIN_TEXT, node.endpoint or ""),)
        has = {one.name: one.security for one in there}
        common = {name: profile for name, profile in common.items() if has.get(name) == profile}
    if not common:
        return f"no listener for this machine stays as it is: {names} would all be new or other ones"
    if _asks_for_permission(cluster, changes) and not any(PROFILES[one].knows_users for one in common.values()):
        left = ", ".join(map(base_of, common))
        return f"nodes ask who may do what, and no listener stays that knows who is there: {left}"
    return ""


def _asks_for_permission(cluster: Cluster, changes: Mapping[str, NodeChange]) -> bool:
    given_up = any(one.key == _AUTHORIZER for change in changes.values() for one in change.differences)
    return given_up or any(_AUTHORIZER in node.properties for node in cluster.brokers)
