"""How the cluster of an environment is reached from this machine."""

from provision.cluster.model import Role
from provision.home.secrets import known_secrets
from provision.kafka.access import Access, Credentials
from provision.plan.listing import listed
from provision.plan.observed import NodeState, ObservedEnvironment
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


def access_to(observed: ObservedEnvironment) -> Access:
    """Access to all of its brokers that have a port on this machine; those that do not run are known to be down.

    Those that let nobody in without certificates that are not here are not asked either.
    """
    brokers = [node for node in observed.of_role(Role.BROKER) if node.endpoint]
    reached = {node.number: node.endpoint for node in brokers if node.endpoint and node.state is NodeState.RUNNING}
    down = {node.number: NOT_RUNNING[node.state] for node in brokers if node.state is not NodeState.RUNNING}
    profile = PROFILES.get(observed.about.security) if observed.about else None
    if profile is None or not profile.is_secured or not reached:
        return Access(reached, down=down)
    secrets = known_secrets(observed.name, observed.about)
    if secrets is None or (missing := _missing(profile, secrets)):
        where = f"{observed.about.home} on {observed.about.host}" if observed.about else ""
        why = f"what lets us in is in {where}, not here"
        if secrets is not None and secrets.is_there:
            why = f"{secrets.directory} has no {listed(missing)}, without which nobody lets us in"
        return Access({}, down=down | dict.fromkeys(reached, why))
    password = secrets.password(ITSELF) if profile.mechanism else ""
    return Access(
        reached,
        profile.protocol,
        Credentials(profile.mechanism, ITSELF, password) if password else None,
        ca=str(secrets.path(AUTHORITY)) if profile.encrypted else None,
        certificate=str(secrets.path(f"{ITSELF}.pem")) if profile.asks_certificate else None,
        down=down,
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
