"""What the clusters of tests have instead of Kafka's defaults, unless their description says something else.

A test that kills a broker waits until the cluster takes it for dead, and until it may come back. Both times are the
lease of its registration: by default 9 s in KRaft mode and 18 s with ZooKeeper, which suits networks that lose packets.
On one machine a few seconds are enough.

The first consumer group and the first transaction wait for a topic of 50 partitions, with three replicas each, which is
made for them. It cannot be made smaller later, but these clusters do not get old.
"""

from collections.abc import Mapping

from provision import Environment, ProvisionError

_KRAFT = {"broker.session.timeout.ms": 4_000, "broker.heartbeat.interval.ms": 500}
# Kafka's default up to 2.4. ZooKeeper grants 4 to 40 s, unless one of the keys below says otherwise.
_ZOOKEEPER = {"zookeeper.session.timeout.ms": 6_000}
_GRANTED = {"tickTime", "minSessionTimeout", "maxSessionTimeout"}
_FEW = {"offsets.topic.num.partitions": 5, "transaction.state.log.num.partitions": 5}
_SEVERAL_MACHINES = "swarm"


def overrides_of(environment: Environment) -> tuple[str, ...]:
    """The overrides that set them; none for what the description sets.

    None at all if it is not valid, describes the cluster of somebody else, or has templates, which may set anything.
    """
    try:
        if environment.external_servers:
            return ()
        spec, cluster = environment.source.load(), environment.validate()
    except ProvisionError:  # whoever starts it tells
        return ()
    if cluster.templates:
        return ()
    brokers = set(spec.brokers.properties).union(*(one.properties for one in spec.brokers.overrides.values()))
    found = _written("brokers", {key: value for key, value in _FEW.items() if key not in brokers})
    if cluster.runtime == _SEVERAL_MACHINES:
        return found
    if cluster.zookeepers:
        if brokers & _ZOOKEEPER.keys() or _GRANTED & spec.zookeeper.properties.keys():
            return found
        return (*found, *_written("brokers", _ZOOKEEPER))
    if (brokers | spec.controllers.properties.keys()) & _KRAFT.keys():
        return found
    sections = ("brokers", "controllers") if spec.controllers.nodes else ("brokers",)
    return (*found, *(said for section in sections for said in _written(section, _KRAFT)))


def _written(section: str, properties: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(f"{section}.properties.{key}={value}" for key, value in properties.items())
