"""How the cluster of an environment is reached from this machine."""

from collections.abc import Mapping

from provision.cluster.model import Role
from provision.common.values import replace
from provision.home.secrets import known_secrets
from provision.kafka.access import Access, Credentials
from provision.plan.listing import listed
from provision.plan.observed import NodeState, ObservedEnvironment, ObservedNode
from provision.security.listening import HOST, HostListener, Security, own_way, security_in
from provision.security.material import AUTHORITY
from provision.security.profiles import ITSELF, PROFILES, Profile
from provision.security.store import SecretStore

NOT_RUNNING = {
    NodeState.CREATED: "it was never started",
    NodeState.PAUSED: "it is paused (`provision start` resumes it)",
    NodeState.RESTARTING: "it has exited, and the engine restarts it",
    NodeState.EXITED: "it has exited",
    NodeState.LOST: "it runs, but its directory is gone",
}
"""Why a node in that state answers nothing."""


def why_not_running(node: ObservedNode) -> str:
    """Why a node that does not run answers nothing: that its engine is away says more than its own state."""
    return f"it waits: {node.waits_for}" if node.waits_for else NOT_RUNNING[node.state]


def why_cut_off(node: ObservedNode) -> str:
    """Why a node that runs answers nothing, if nobody can find it."""
    return f"it is cut off: {node.astray} (`provision up` connects it again)"


def security_of_nodes(observed: ObservedEnvironment) -> Security:
    """How the listeners of an environment are secured."""
    return security_in(observed.about.security if observed.about else "")


def listeners_of(node: ObservedNode) -> Mapping[str, HostListener]:
    """A broker's listeners for clients on this machine, by name, the first one first; none if it has no port here."""
    return {listener.name: listener for listener in node.ways}


def known_listeners(observed: ObservedEnvironment) -> Mapping[str, Profile]:
    """The listeners for clients on this machine that all brokers have, those that run if any do, with their profiles.

    While listeners come and go, not all brokers have the same ones. Those that will stay come first.
    """
    brokers = [node for node in observed.of_role(Role.BROKER) if node.endpoint]
    asked = [node for node in brokers if node.state is NodeState.RUNNING] or brokers
    found = [{name: one.security for name, one in listeners_of(node).items()} for node in asked]
    common = [(name, of) for name, of in found[0].items() if all(o.get(name) == of for o in found)] if found else []
    wanted, known = security_of_nodes(observed), common or [*(found[0].items() if found else ())]
    ordered = sorted(known, key=lambda one: wanted.of_listener(one[0]).name != one[1])
    return {name: PROFILES[profile] for name, profile in ordered}


def access_to(observed: ObservedEnvironment, listener: str = "") -> Access:
    """Access to all of its brokers that have a port on this machine; those that do not run are known to be down.

    Those that let nobody in without certificates that are not here are not asked either. It is over the listener of
    that name, else over the one by which the cluster knows this program.
    """
    known = known_listeners(observed)
    name = listener or (own_way(known) if known else HOST)
    brokers = {node: listeners_of(node).get(name) for node in observed.of_role(Role.BROKER) if node.endpoint}
    reached = {
        node.number: there.endpoint for node, there in brokers.items() if there and node.state is NodeState.RUNNING
    }
    down = {
        node.number: f"it has no listener {name} yet" if node.state is NodeState.RUNNING else why_not_running(node)
        for node, there in brokers.items()
        if node.state is not NodeState.RUNNING or there is None
    }
    access = Access(reached, down=down, proxy=observed.proxy)
    return secured(observed, known[name], access) if name in known else access


def secured(observed: ObservedEnvironment, profile: Profile, access: Access) -> Access:
    """How this program gets in where listeners have a profile."""
    if not profile.is_secured or not access.brokers:
        return access
    secrets = known_secrets(observed.name, observed.about)
    if secrets is None or (missing := _missing(profile, secrets)):
        where = f"{observed.about.home} on {observed.about.host}" if observed.about else ""
        why = f"what lets us in is in {where}, not here"
        if secrets is not None and secrets.is_there:
            why = f"{secrets.directory} has no {listed(missing)}, without which nobody lets us in"
        return Access({}, down={**access.down, **dict.fromkeys(access.brokers, why)})
    password = secrets.password(ITSELF) if profile.mechanism else ""
    return replace(
        access,
        protocol=profile.protocol,
        credentials=Credentials(profile.mechanism, ITSELF, password) if password else None,
        ca=str(secrets.path(AUTHORITY)) if profile.encrypted else None,
        certificate=str(secrets.path(f"{ITSELF}.pem")) if profile.asks_certificate else None,
    )


def _missing(profile: Profile, secrets: SecretStore) -> list[str]:
    """The files that this program needs to get in, and that are not there."""
    needed = {
        AUTHORITY: profile.encrypted,
        f"{ITSELF}.pem": profile.asks_certificate,
        f"{ITSELF}.password": bool(profile.mechanism),
    }
    names = secrets.names
    return [name for name, is_needed in needed.items() if is_needed and name not in names]
