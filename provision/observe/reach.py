"""How the cluster of an environment is reached from this machine."""

from provision.cluster.model import Role
from provision.home.secrets import known_secrets
from provision.kafka.access import Access, Credentials
from provision.plan.observed import NodeState, ObservedEnvironment
from provision.security.material import AUTHORITY
from provision.security.profiles import ITSELF, PLAIN_TEXT, PROFILES, Profile

NOT_RUNNING = {
    NodeState.CREATED: "it was never started",
    NodeState.PAUSED: "it is paused (`provision start` resumes it)",
    NodeState.RESTARTING: "it has exited, and the engine restarts it",
    NodeState.EXITED: "it has exited",
    NodeState.LOST: "it runs, but its directory is gone",
}
"""Why a node in that state answers nothing."""


def profile_of(observed: ObservedEnvironment) -> Profile:
    """How clients get in: the environment's profile, or, on the way to that, one by which all brokers let them in."""
    wanted = PROFILES.get(observed.about.security if observed.about else "", PROFILES[PLAIN_TEXT])
    running = [node.open_ways for node in observed.of_role(Role.BROKER) if node.state is NodeState.RUNNING]
    ways = [ways.keys() & PROFILES.keys() for ways in running if ways]
    common = frozenset(PROFILES).intersection(*ways)
    return wanted if not ways or not common or wanted.name in common else PROFILES[min(common)]


def access_to(observed: ObservedEnvironment) -> Access:
    """Access to all of its brokers that have a port on this machine; those that do not run are known to be down.

    Those that let nobody in without certificates that are not here are not asked either.
    """
    brokers = [node for node in observed.of_role(Role.BROKER) if node.endpoint]
    profile = profile_of(observed)
    running = {node.number: node.open_ways for node in brokers if node.state is NodeState.RUNNING}
    reached = {number: ways[profile.name] for number, ways in running.items() if profile.name in ways}
    down = {node.number: NOT_RUNNING[node.state] for node in brokers if node.state is not NodeState.RUNNING}
    down |= dict.fromkeys(running.keys() - reached.keys(), f"it has no listener with security: {profile.name}")
    if not profile.is_secured or not reached:
        return Access(reached, down=down)
    secrets = known_secrets(observed.name, observed.about)
    if secrets is None or not secrets.is_there:
        where = f"{observed.about.home} on {observed.about.host}" if observed.about else ""
        return Access({}, down=down | dict.fromkeys(reached, f"what lets us in is in {where}, not here"))
    password = (secrets.read(f"{ITSELF}.password") or b"").decode() if profile.mechanism else ""
    return Access(
        reached,
        profile.protocol,
        Credentials(profile.mechanism, ITSELF, password) if password else None,
        ca=str(secrets.path(AUTHORITY)) if profile.encrypted else None,
        certificate=str(secrets.path(f"{ITSELF}.pem")) if profile.asks_certificate else None,
        down=down,
    )
