"""What the clusters of tests have instead of Kafka's defaults, unless their description says something else.

A broker that goes without a word, and of which nobody tells the controllers, is taken for dead when its session
expires, and may come back only then: by default after 9 s in KRaft mode and 18 s with ZooKeeper, which suits networks
that lose packets. On one machine a few seconds are enough. If it was the active controller, the others have to notice
that first, and to agree on one of them: two that ask for votes at the same time, as two survivors usually do, try again
after that time. Which broker becomes the active controller first is chance by default. To kill broker-1 would then take
6 s in one run and 3 s in another. Here it is the last of the three as a rule, whose patience is the shortest.

The other brokers still connect to a broker that has gone: if it was the active controller, for example, when they need
ids for producers. A container's address goes with the container, so nothing refuses the connection, and they wait for
10 s.

Followers of the metadata learn that a change holds with the next one, or after half a second. A replica that has come
back is in sync when it asks for more, which it does half a second after the last record. Replicas of a new topic, or of
one with a new leader, mostly ask a leader that has not heard yet that it is one. They try again after a second, and
records that all of them have to acknowledge wait for that long.

The first consumer group and the first transaction wait for a topic of 50 partitions, with three replicas each, which is
made for them. It cannot be made smaller later, but these clusters do not get old.
"""

from collections.abc import Iterable, Iterator, Mapping

from provision import Environment, ProvisionError

_Settings = Mapping[str, int]

# None of those that depend on each other is set if the description has one of them.
_SESSIONS: _Settings = {"broker.session.timeout.ms": 3_000, "broker.heartbeat.interval.ms": 500}
# With 300 ms, and an active controller that is missed after 1 s, controllers of a busy machine elect each other all the
# time: eight times within a minute at a load of 15 for each processor, where these make no difference.
_ELECTION = "controller.quorum.election.timeout.ms"
_ELECTIONS: _Settings = {_ELECTION: 500, "controller.quorum.election.backoff.max.ms": 500}
_ELECTIONS_OF_BROKERS_MS = (1_000, 500, 200)  # with 500 ms, the first one often got ahead of the last
_METADATA: _Settings = {"metadata.max.idle.interval.ms": 200}
_REPLICAS: _Settings = {"replica.fetch.wait.max.ms": 100}
_FOLLOWERS: _Settings = {"replica.fetch.backoff.ms": 100}
_CONNECTIONS: _Settings = {"socket.connection.setup.timeout.ms": 1_000, "socket.connection.setup.timeout.max.ms": 1_000}
# Kafka's default up to 2.4. ZooKeeper grants 4 to 40 s, unless one of the keys below says otherwise.
_ZOOKEEPER: _Settings = {"zookeeper.session.timeout.ms": 6_000}
_GRANTED = {"tickTime", "minSessionTimeout", "maxSessionTimeout"}
_OFFSETS: _Settings = {"offsets.topic.num.partitions": 5}
_TRANSACTIONS: _Settings = {"transaction.state.log.num.partitions": 5}
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
    said = set(spec.brokers.properties).union(*(one.properties for one in spec.brokers.overrides.values()))
    said |= spec.controllers.properties.keys()
    if _GRANTED & spec.zookeeper.properties.keys():
        said |= _ZOOKEEPER.keys()
    of_brokers, of_all = [_OFFSETS, _TRANSACTIONS], list[_Settings]()
    if cluster.runtime != _SEVERAL_MACHINES:
        of_brokers += [_ZOOKEEPER] if cluster.zookeepers else []
        of_brokers += [_REPLICAS, _FOLLOWERS] if len(cluster.brokers) > 1 else []
        of_all += [] if cluster.zookeepers else [_SESSIONS]
        of_all += [_CONNECTIONS] if len(cluster.nodes) - len(cluster.zookeepers) > 1 else []
        of_all += [_METADATA] if len(cluster.voters) > 1 else []
        of_all += [_ELECTIONS] if len(cluster.voters) > 1 and spec.controllers.nodes else []
    found = list(_written("brokers", [*of_brokers, *of_all], said))
    if spec.controllers.nodes:
        found += _written("controllers", of_all, said)
    elif len(cluster.voters) > 1 and cluster.runtime != _SEVERAL_MACHINES:
        for voter, timeout_ms in zip(cluster.voters, _ELECTIONS_OF_BROKERS_MS, strict=True):
            found += _written(f"brokers.overrides.{voter.id}", [{**_ELECTIONS, _ELECTION: timeout_ms}], said)
    return tuple(found)


def _written(section: str, fitting: Iterable[_Settings], said: set[str]) -> Iterator[str]:
    for one in fitting:
        if not one.keys() & said:
            yield from (f"{section}.properties.{key}={value}" for key, value in one.items())
