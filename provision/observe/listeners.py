"""Whether brokers answer over each of their listeners, and not only over the one by which this program gets in."""

from collections.abc import Collection

from provision.cluster.model import Role
from provision.kafka.readiness import STARTING, ask_brokers
from provision.observe.reach import access_to, known_listeners
from provision.plan.observed import ObservedEnvironment
from provision.security.listening import base_of, own_way


def silent_listeners(observed: ObservedEnvironment, nodes: Collection[str]) -> dict[str, str]:
    """Of these nodes, those that do not answer over one of their other listeners, and why."""
    known = known_listeners(observed)
    if len(known) < 2:  # noqa: PLR2004 there is no other one
        return {}
    missing: dict[str, str] = {}
    for name in known.keys() - {own_way(known)}:
        access = access_to(observed, name)
        asked = access.to({number: at for number, at in access.brokers.items() if Role.BROKER.node(number) in nodes})
        answers = ask_brokers(asked, topics=False)
        for broker, reason in answers.silent.items():
            why = STARTING if broker in answers.unserved else reason
            missing[Role.BROKER.node(broker)] = f"at its listener {base_of(name)}: {why}"
    return missing
