"""Spec to `Cluster`: defaults filled in; ids, names, ports, listeners and JVM options decided. No I/O."""

import posixpath
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

from provision.catalogue.versions import KRAFT, ZOOKEEPER, KafkaVersion, release_of
from provision.cluster import name_cache
from provision.cluster.agents import Agents, agents_of
from provision.cluster.layout import CLIENT, Layout, controller_name, voter_names
from provision.cluster.model import (
    MAIN_FILES,
    AuthorityFiles,
    Cluster,
    Listener,
    Node,
    Role,
    Storage,
    StorageKind,
    SwarmOptions,
    Topic,
    TopicPolicy,
    User,
)
from provision.common.jmx import bound_here
from provision.common.values import replace
from provision.security import ensemble
from provision.security.acls import authorizer
from provision.security.listening import HOST, Security, lease_name
from provision.security.profiles import Place, beside, settings
from provision.spec.acls import asks_for_permission, super_users
from provision.spec.checks import JVM_OVERHEAD_BYTES
from provision.spec.defaults import internal_topic_settings, mode_of, partitions_of, replication_factor_of
from provision.spec.java import JavaSpec
from provision.spec.listeners import broker_ports, security_of
from provision.spec.model import BrokerOverride, EnvironmentSpec
from provision.spec.paths import record_file
from provision.spec.swarm import SWARM, SwarmSpec
from provision.spec.units import parse_duration_s, parse_size_bytes
from provision.spec.users import may_keep_users, mechanism_of

_MAIN_CLASSES = {
    Role.ZOOKEEPER: "org.apache.zookeeper.server.quorum.QuorumPeerMain",
    Role.CONTROLLER: "kafka.Kafka",
    Role.BROKER: "kafka.Kafka",
}

# A JVM that runs out of memory exits, so that this is noticed.
_JVM_OPTIONS = ("-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true")
_PROFILES = {
    # Short-lived clusters start faster with only the first compiler and without parallel collectors.
    "fast": ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
    # As `kafka-run-class.sh` has it.
    "server": (
        "-server",
        "-XX:+UseG1GC",
        "-XX:MaxGCPauseMillis=20",
        "-XX:InitiatingHeapOccupancyPercent=35",
        "-XX:+ExplicitGCInvokesConcurrent",
    ),
}


def resolve(spec: EnvironmentSpec, layout: Layout, ports: Mapping[str, int], base_directory: str = "/") -> Cluster:
    """Resolve a spec completely.

    Args:
        spec: a checked environment.
        layout: the runtime's layout.
        ports: the ports for the names in `layout.leased_ports`.
        base_directory: the absolute path to which relative paths in the file refer.
    """
    version = KafkaVersion.parse(spec.kafka.version)
    storage = resolve_storage(spec.storage, base_directory)
    all_ports = {**fixed_ports(spec), **ports}
    mode = mode_of(spec)
    if mode == KRAFT:
        nodes = _quorum_and_brokers(spec, layout, all_ports)
    else:
        zookeepers = tuple(
            _zookeeper(spec, layout, number, all_ports, storage) for number in _numbers(spec.zookeeper.nodes)
        )
        connect = ",".join(f"{node.listener(CLIENT).host}:{node.listener(CLIENT).port}" for node in zookeepers)
        own = {
            "zookeeper.connect": connect,
            # Everything starts at once, and a ZooKeeper that is not quite up can leave a connection unanswered until
            # the client drops it after a session timeout (18 s). The broker must still be running then to retry.
            "zookeeper.connection.timeout.ms": "60000",
            # When all brokers stop, the last ones ask three times to hand over leaders that no broker can take.
            "controlled.shutdown.retry.backoff.ms": "1000",
        }
        nodes = (
            *zookeepers,
            *(_broker(spec, layout, number, all_ports, own) for number in _numbers(spec.brokers.nodes)),
        )
    return Cluster(
        name=spec.name,
        runtime=layout.runtime,
        version=version,
        mode=mode,
        software=layout.software(Role.BROKER).name,
        storage=storage,
        nodes=nodes,
        topics=resolve_topics(spec),
        topic_policy=resolve_topic_policy(spec),
        variables=spec.vars,
        templates=posixpath.join(base_directory, spec.templates) if spec.templates else None,
        ttl_s=parse_duration_s(spec.ttl) if spec.ttl else None,
        security=security_of(spec).name,
        users=_users(spec, base_directory),
        authority=_authority(spec, base_directory),
        swarm=_swarm(spec.swarm) if spec.runtime == SWARM else None,
    )


def _swarm(spec: SwarmSpec) -> SwarmOptions:
    return SwarmOptions(spec.encrypted, spec.engines, frozenset(spec.drain))


def resolve_without_ports(spec: EnvironmentSpec, layout: Layout, base_directory: str = "/") -> Cluster:
    """Resolve a spec if ports do not matter: those to be leased are 0."""
    return resolve(spec, layout, dict.fromkeys(layout.leased_ports(spec), 0), base_directory)


def fixed_ports(spec: EnvironmentSpec) -> dict[str, int]:
    """The host ports in the file: that of node 1, and the following ones."""
    ensemble = spec.zookeeper.nodes if mode_of(spec) == ZOOKEEPER else 0
    sections = (
        (Role.ZOOKEEPER, HOST, spec.zookeeper.port, ensemble),
        *((Role.BROKER, listener, port, spec.brokers.nodes) for listener, port in broker_ports(spec).items()),
    )
    return {
        lease_name(role.node(number), listener): port + number - 1
        for role, listener, port, nodes in sections
        if isinstance(port, int)
        for number in _numbers(nodes)
    }


def _numbers(count: int) -> range:
    return range(1, count + 1)


def resolve_storage(text: str, base_directory: str) -> Storage:
    """The storage that `storage` means; a relative directory is below `base_directory`."""
    if text in ("volume", "memory"):
        return Storage(StorageKind(text))
    return Storage(StorageKind.DIRECTORY, posixpath.normpath(posixpath.join(base_directory, text)))


def _users(spec: EnvironmentSpec, base_directory: str) -> tuple[User, ...]:
    return tuple(
        User(
            user.name,
            mechanism_of(user, security_of(spec)),
            (user.password.env if user.password else None) or "",
            posixpath.join(base_directory, user.password.file) if user.password and user.password.file else "",
        )
        for user in spec.users
    )


def _authority(spec: EnvironmentSpec, base_directory: str) -> AuthorityFiles | None:
    if spec.certificates is None:
        return None
    named = spec.certificates.authority
    return AuthorityFiles(*(posixpath.join(base_directory, file) for file in (named.key, named.certificate)))


def _zookeeper(spec: EnvironmentSpec, layout: Layout, number: int, ports: Mapping[str, int], storage: Storage) -> Node:
    name = Role.ZOOKEEPER.node(number)
    section = spec.zookeeper
    is_closed = ensemble.closes(security_of(spec))
    own = ensemble.of_member(layout.config_dir(name), has_peers=section.nodes > 1) if is_closed else {}
    defaults = {
        "tickTime": "2000",
        "initLimit": "10",
        "syncLimit": "5",
        "maxClientCnxns": "0",
        "admin.enableServer": "false",
        "4lw.commands.whitelist": ensemble.STATUS_WORD if is_closed else "srvr,ruok,stat,mntr",
        "autopurge.snapRetainCount": "3",
        "autopurge.purgeInterval": "24",
    }
    if storage.kind is StorageKind.MEMORY:
        defaults["forceSync"] = "no"  # never if data are kept: a crash would lose acknowledged writes
    listeners = layout.zookeeper_listeners(f"{spec.name}-{name}", name, ports)
    return _node(
        spec,
        layout,
        Role.ZOOKEEPER,
        number,
        listeners=tuple(replace(one, protocol="SSL") for one in listeners) if is_closed else listeners,
        memory_bytes=parse_size_bytes(section.heap) + 2 * JVM_OVERHEAD_BYTES,
        heap=section.heap,
        properties=defaults | section.properties | own,
    )


def _quorum_and_brokers(spec: EnvironmentSpec, layout: Layout, ports: Mapping[str, int]) -> tuple[Node, ...]:
    """The nodes of KRaft mode: dedicated controllers, if any, and brokers."""
    controllers = tuple(_controller(spec, layout, number, ports) for number in _numbers(spec.controllers.nodes))
    return (*controllers, *(_broker(spec, layout, number, ports, {}) for number in _numbers(spec.brokers.nodes)))


def _controller(spec: EnvironmentSpec, layout: Layout, number: int, ports: Mapping[str, int]) -> Node:
    name = Role.CONTROLLER.node(number)
    section = spec.controllers
    return _node(
        spec,
        layout,
        Role.CONTROLLER,
        number,
        listeners=(layout.controller_listener(controller_name(spec), f"{spec.name}-{name}", name, ports),),
        memory_bytes=parse_size_bytes(section.heap) + 2 * JVM_OVERHEAD_BYTES,
        heap=section.heap,
        properties=section.properties,
        votes=True,
    )


def _broker(
    spec: EnvironmentSpec, layout: Layout, number: int, ports: Mapping[str, int], own: Mapping[str, str]
) -> Node:
    """A broker; `own` are the settings of its mode."""
    name = Role.BROKER.node(number)
    section = spec.brokers
    override = section.overrides.get(number, BrokerOverride())
    dealt_rack = section.racks[(number - 1) % len(section.racks)] if section.racks else None
    defaults = {
        **own,
        "num.network.threads": "2",
        "num.io.threads": "4",
        "group.initial.rebalance.delay.ms": "0",
        **internal_topic_settings(section.nodes, KafkaVersion.parse(spec.kafka.version), mode_of(spec)),
    }
    host = f"{spec.name}-{name}"
    votes = mode_of(spec) == KRAFT and name in voter_names(spec)
    voting = (layout.controller_listener(controller_name(spec), host, name, ports),) if votes else ()
    return _node(
        spec,
        layout,
        Role.BROKER,
        number,
        listeners=(*layout.broker_listeners(host, name, ports, security_of(spec)), *voting),
        memory_bytes=parse_size_bytes(section.memory),
        heap=override.heap or section.heap,
        properties=defaults | section.properties | override.properties,
        rack=override.rack or dealt_rack,
        votes=votes,
    )


def _node(  # noqa: PLR0913 what differs between the roles, by name
    spec: EnvironmentSpec,
    layout: Layout,
    role: Role,
    number: int,
    *,
    listeners: tuple[Listener, ...],
    memory_bytes: int,
    heap: str,
    properties: Mapping[str, str],
    rack: str | None = None,
    votes: bool = False,
) -> Node:
    """The part common to all roles: the node's directories, and how it is started."""
    name = role.node(number)
    software = layout.software(role)
    agents = agents_of(_java_of(spec, role), layout, name, number)
    if role is not Role.ZOOKEEPER:
        security = security_of(spec)
        listeners = tuple(_secured(one, security) for one in listeners)
        place = _place(spec, listeners, layout.config_dir(name))
        secured = settings(security, place, {user.name: mechanism_of(user, security) for user in spec.users})
        if role is Role.BROKER and not place.kraft and ensemble.closes(security):
            secured |= ensemble.of_broker(place.config_dir)
        if asks_for_permission(spec):
            secured |= authorizer(security, super_users(spec), kraft=place.kraft)
        properties = beside(secured, properties)
    return Node(
        name=name,
        role=role,
        id=role.id_of(number),
        listeners=listeners,
        rack=rack,
        memory_bytes=memory_bytes,
        properties=_sorted(properties),
        config_dir=layout.config_dir(name),
        data_dir=layout.data_dir(name),
        temp_dir=layout.temp_dir(name),
        log_file=layout.log_file(name),
        software=software.name,
        java=software.java,
        java_args=_java_args(spec, layout, name, role, heap, agents),
        votes=votes,
        logs_itself=software.logs_itself,
        engine=layout.engine(name),
        java_ports=agents.ports,
        agent_files=agents.files,
    )


def _place(spec: EnvironmentSpec, listeners: Iterable[Listener], config_dir: str) -> Place:
    names = [listener.name for listener in listeners]
    return Place(names, config_dir, kraft=mode_of(spec) == KRAFT, keeps_users=may_keep_users(spec))


def _secured(listener: Listener, security: Security) -> Listener:
    name = listener.name if listener.is_controller else security.named(listener.name)
    protocol, profile = security.protocol_of(listener.name), security.of_listener(listener.name)
    return replace(listener, name=name, protocol=protocol, security=profile.name)


def _java_args(
    spec: EnvironmentSpec, layout: Layout, node: str, role: Role, heap: str, agents: Agents
) -> tuple[str, ...]:
    software, java = layout.software(role), _java_of(spec, role)
    logging = release_of(KafkaVersion.parse(spec.kafka.version)).logging_file
    config_dir, temp_dir = layout.config_dir(node), layout.temp_dir(node)
    return (
        f"-Xms{heap}",
        f"-Xmx{heap}",
        *_PROFILES[java.profile],
        *_JVM_OPTIONS,
        # zstd, snappy and lz4 unpack native libraries: Docker mounts tmpfs noexec unless told otherwise
        f"-Djava.io.tmpdir={temp_dir}",
        f"-DZstdTempFolder={temp_dir}",
        f"-Dorg.xerial.snappy.tempdir={temp_dir}",
        *([] if software.logs_itself else [f"-D{logging.property}={file_url(f'{config_dir}/{logging.name}')}"]),
        *agents.options,
        # Containers find each other by names; processes by addresses.
        *(bound_here(java.options) if layout.runtime == "process" else (name_cache.option(config_dir),)),
        *java.options,
        "-cp",
        software.class_path,
        _MAIN_CLASSES[role],
        f"{config_dir}/{MAIN_FILES[role]}",
    )


def _java_of(spec: EnvironmentSpec, role: Role) -> JavaSpec:
    java = {
        Role.ZOOKEEPER: spec.zookeeper.java,
        Role.CONTROLLER: spec.controllers.java,
        Role.BROKER: spec.brokers.java,
    }
    return java[role]


def file_url(path: str) -> str:
    """An absolute path as the URL that a logging library asks for."""
    return f"file:{quote(path, safe='/:', errors='surrogateescape')}"


def resolve_topic_policy(spec: EnvironmentSpec) -> TopicPolicy:
    """The policy for all topics."""
    throttle = parse_size_bytes(spec.throttle) if spec.throttle else None
    return TopicPolicy(prune=spec.prune, rebalance=spec.rebalance, throttle_bytes_per_s=throttle, keep=tuple(spec.keep))


def resolve_topics(spec: EnvironmentSpec, brokers: int | None = None) -> tuple[Topic, ...]:
    """The topics with every default filled in; `brokers` is their number if the file does not give it."""
    return tuple(
        Topic(
            name=topic.name,
            partitions=partitions_of(spec, index),
            replication_factor=replication_factor_of(spec, index, brokers),
            config=_sorted(spec.topic_defaults.config | topic.config),
            replicas=tuple(map(tuple, topic.replicas)) if topic.replicas else None,
            grow_compacted=topic.grow_compacted,
            records=record_file(topic.records, Path()) if topic.records else None,
        )
        for index, topic in enumerate(spec.topics)
    )


def _sorted(mapping: Mapping[str, str]) -> dict[str, str]:
    return dict(sorted(mapping.items()))
