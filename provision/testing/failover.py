"""How long a test waits after it has killed a broker: until the cluster takes it for dead, and until it may come back.

Both times are the lease of its registration. Kafka's defaults, 9 s in KRaft mode and 18 s with ZooKeeper, suit networks
that lose packets; on one machine a few seconds are enough.
"""

from provision import Environment, ProvisionError

_KRAFT = {"broker.session.timeout.ms": 4_000, "broker.heartbeat.interval.ms": 500}
# Kafka's default up to 2.4. ZooKeeper grants 4 to 40 s, unless one of the keys below says otherwise.
_ZOOKEEPER = {"zookeeper.session.timeout.ms": 6_000}
_GRANTED = ("tickTime", "minSessionTimeout", "maxSessionTimeout")


def prompt_failover(environment: Environment) -> tuple[str, ...]:
    """The overrides that shorten these times; none if the description sets one of them, or is not valid."""
    try:
        if environment.external_servers:
            return ()
        spec, cluster = environment.source.load(), environment.validate()
    except ProvisionError:  # whoever starts it tells
        return ()
    brokers = [spec.brokers.properties, *(override.properties for override in spec.brokers.overrides.values())]
    if cluster.zookeepers:
        wanted, sections = _ZOOKEEPER, ["brokers"]
        said = {*_GRANTED} & spec.zookeeper.properties.keys()
    else:
        wanted, sections = _KRAFT, ["brokers", *(["controllers"] if spec.controllers.nodes else [])]
        said = wanted.keys() & spec.controllers.properties.keys()
    if said or any(wanted.keys() & properties.keys() for properties in brokers):
        return ()
    return tuple(f"{section}.properties.{key}={value}" for section in sections for key, value in wanted.items())
