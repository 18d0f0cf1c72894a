"""Whether nodes may leave their engines, and what is refused. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from provision.cluster.model import Cluster
from provision.errors import UsageError
from provision.plan.actions import Action, Kind, Verb
from provision.plan.engines import Departures, Survivors, objections
from provision.plan.observed import ObservedEnvironment
from provision.plan.phases import Phase

_BACK = "bring its engine back; or, once others have all that it had, `provision up` again"
_REPLICATE = "raise the replication factor, or delete the topic, before the engine is drained"


def unknown_engines(observed: ObservedEnvironment, named: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Which of the engines that keys of the file name, by the key, are none of the swarm, in a sentence each."""
    known = {engine.name for engine in observed.engines}
    for key, names in named.items():
        for name in names:
            if known and name not in known:
                yield f"{key}: the swarm has no engine {name} (it has {', '.join(sorted(known))})"


def require_known(observed: ObservedEnvironment, give_up: Collection[str]) -> None:
    """An engine that is given up is one of the swarm, or one on which the environment has a volume.

    Raises:
        UsageError: there is none of that name.
    """
    known = {engine.name for engine in observed.engines} | {place.engine for place in observed.places.values()}
    for name in give_up:
        if not observed.engines:
            raise UsageError("there is no engine to give up", hint=f"nodes of {observed.name} are all on one machine")
        if name not in known:
            raise UsageError(f"there is no engine {name}", hint=f"engines: {', '.join(sorted(known))}")


def refuse_departures(
    cluster: Cluster,
    phases: Sequence[Phase],
    observed: ObservedEnvironment,
    departures: Departures,
    give_up: Collection[str],
    survivors: Survivors,
) -> Iterator[Action]:
    """What must not be given up or moved: see `provision.plan.engines`."""
    noted = {place.engine for place in observed.places.values() if place.given_up}
    ready = [one.name for one in observed.engines if one.is_ready and one.name in give_up and one.name not in noted]
    for engine in ready:
        hint = f"`swarm: {{drain: [{engine}]}}` in the file moves its nodes to others"
        yield Action(Verb.REFUSE, Kind.ENGINE, engine, "it is ready, so that nothing of it is lost", hint)
    if ready:
        return
    if len(phases) > 1:
        for name in sorted(departures.names):
            cause = "it leaves its engine while a change takes several steps"
            yield Action(Verb.REFUSE, Kind.NODE, name, cause, "make one change after the other")
    wanted = {node.name for node in cluster.nodes}
    for name in sorted(departures.names - wanted):
        hint = "leave it in the file until its replicas are elsewhere"
        yield Action(Verb.REFUSE, Kind.NODE, name, "it leaves its engine and the cluster at once", hint)
    voters = [node.id for node in cluster.voters]
    at_risk = [name for name in departures.lost if not observed.never_ran(name)]
    for name, cause in objections(at_risk, voters, survivors):
        yield Action(Verb.REFUSE, Kind.NODE, name, cause, _BACK)
    for name in departures.moving:
        node = observed.node(name)
        if node and node.is_alive:
            for _, cause in objections([name], voters, survivors, run=True):
                yield Action(Verb.REFUSE, Kind.NODE, name, cause, _REPLICATE)
