"""The services of a swarm, one for each node: their specification, and what their tasks say of the node. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from docker.types import (
    ConfigReference,
    ContainerSpec,
    DNSConfig,
    DriverConfig,
    EndpointSpec,
    Mount,
    Placement,
    Resources,
    RestartPolicy,
    SecretReference,
    ServiceMode,
    TaskTemplate,
)
from msgspec import Struct

from provision.cluster.layout import NODE_HOME
from provision.cluster.model import Cluster, Node
from provision.plan.observed import NodeState
from provision.runtime.docker import containers as spec

OWNER = "provision.swarm-environment"
"""The label of what engines list beside their own things: containers, volumes and the network. It is another one than
that of an environment in Docker, whose runtime would take them for its own."""
JOB_OF = "provision.job-of"
"""The label of a job that has the name of the node whose volume it uses."""
STARTED, EXIT_CODE = "provision.started", "provision.exit-code"
GRACE_S = 60
"""How long a node may take to stop, by which its clients are served by others and its data are on disk."""
_NANOSECONDS = 10**9
_PROCESSES = 1024

_ON_THE_WAY = ("new", "allocated", "pending", "assigned", "accepted", "preparing", "ready", "starting")
RUNNING = "running"
_REFUSED = ("rejected", "orphaned")
_RAN = "task: non-zero exit"


class Image(Struct, frozen=True):
    """An image: what every engine knows it by, its id on the manager, and the anonymous volumes that it declares."""

    reference: str
    id: str
    volumes: tuple[str, ...] = ()


def node_service(cluster: Cluster, node: Node, image: Image, config_hash: str, engine: str) -> dict[str, Any]:
    """The service of a node, which runs nothing yet: its files are given to it when it is started.

    Swarm neither moves nor restarts it: the constraint is its engine, and the condition for a restart none.
    """
    name = spec.name_of(cluster.name, node.name)
    labels = spec.node_labels(cluster, node, config_hash)
    container = ContainerSpec(
        image.reference,
        command=[node.java, *node.java_args],
        hostname=name,
        user=spec.user_of(cluster, node),
        labels={OWNER: cluster.name, spec.NODE: node.name},
        mounts=[volume_mount(cluster.name, node.name), *scratch(image.volumes)],
        stop_grace_period=GRACE_S * _NANOSECONDS,
        read_only=True,
        cap_drop=["ALL"],
    )
    ports = [
        {
            "Protocol": "tcp",
            "PublishMode": "host",
            "TargetPort": listener.listen_port,
            "PublishedPort": listener.host_port,
        }
        for listener in node.listeners
        if listener.host_port and not listener.inside
    ]
    endpoint = EndpointSpec(mode="dnsrr")
    endpoint["Ports"] = ports
    return {
        "task_template": _template(container, engine, node.memory_bytes, cluster.name),
        "name": name,
        "labels": labels,
        "mode": ServiceMode("replicated", replicas=0),
        "endpoint_spec": endpoint,
    }


def scratch(image_volumes: Sequence[str]) -> list[Mount]:
    """What every container has in memory: `/tmp`, and in the place of each anonymous volume that its image declares."""
    temporary = Mount("/tmp", None, type="tmpfs", tmpfs_size=64 * 1024**2, tmpfs_mode=0o1777)  # noqa: S108 its own
    return [temporary, *(Mount(path, None, type="tmpfs", tmpfs_size=1024**2) for path in image_volumes)]


def volume_mount(environment: str, node: str) -> Mount:
    """The node's volume, which its engine creates when the first container needs it."""
    labels = {OWNER: environment, spec.NODE: node}
    return Mount(NODE_HOME, spec.name_of(environment, node), type="volume", no_copy=True, labels=labels)


def _template(container: ContainerSpec, engine: str, memory_bytes: int, network: str = "") -> TaskTemplate:
    return TaskTemplate(
        container,
        resources=_limits(memory_bytes),
        restart_policy=RestartPolicy(condition="none"),
        placement=Placement(constraints=[f"node.id=={engine}"]),
        log_driver=DriverConfig("json-file", {"max-size": "16m", "max-file": "2"}),
        networks=[network] if network else None,
    )


def _limits(memory_bytes: int) -> Resources:
    resources = Resources(mem_limit=memory_bytes)
    resources["Limits"]["Pids"] = _PROCESSES  # which the SDK does not know
    return resources


def job_service(  # noqa: PLR0913 what a job is, by name
    environment: str,
    name: str,
    image: Image,
    engine: str,
    command: Sequence[str],
    *,
    user: str,
    memory_bytes: int,
    mounts: Sequence[Mount] = (),
    configs: Sequence[ConfigReference] = (),
    secrets: Sequence[SecretReference] = (),
    capabilities: Sequence[str] = (),
    network: str = "",
    node: str = "",
) -> dict[str, Any]:
    """A service whose one task ends by itself, on that engine; `node` is the one whose volume it uses."""
    container = ContainerSpec(
        image.reference,
        command=list(command),
        user=user,
        labels={OWNER: environment, spec.ROLE: spec.TOOL_ROLE},
        mounts=[*mounts, *scratch(image.volumes)],
        configs=list(configs),
        secrets=list(secrets),
        read_only=True,
        cap_drop=["ALL"],
        cap_add=list(capabilities) or None,
        # It has no names to ask for; but Kafka does ask for those of voters, and would wait for an answer.
        dns_config=None if network else DNSConfig(nameservers=["127.0.0.1"]),
    )
    return {
        "task_template": _template(container, engine, memory_bytes, network),
        "name": name,
        "labels": {spec.ENVIRONMENT: environment, spec.ROLE: spec.TOOL_ROLE, JOB_OF: node, **spec.process_label()},
        "mode": ServiceMode("replicated", replicas=1),
        "endpoint_spec": EndpointSpec(mode="dnsrr"),
    }


def newest(tasks: Iterable[Mapping[str, Any]], service: str) -> Mapping[str, Any] | None:
    """The newest task of a service, whose id is given: the others are what is left of earlier runs."""
    own = [task for task in tasks if task.get("ServiceID") == service]
    return max(own, key=lambda task: str(task.get("CreatedAt", "")), default=None)


def state_of(service: Mapping[str, Any], task: Mapping[str, Any] | None, *, engine_is_up: bool) -> NodeState:
    """The state of a node, by its service and the newest task of that.

    While its engine is away, nobody knows more than that it answers nothing: it counts as exited.
    """
    told = task_state(task)
    if told == RUNNING:
        return NodeState.RUNNING if engine_is_up else NodeState.EXITED
    if replicas_of(service) and told in _ON_THE_WAY and engine_is_up and not waits(task):
        return NodeState.RESTARTING
    return NodeState.EXITED if STARTED in service["Spec"]["Labels"] else NodeState.CREATED


def is_published(service: Mapping[str, Any]) -> bool:
    """Whether its engine opens ports for it."""
    return bool(published_ports(service))


def published_ports(service: Mapping[str, Any]) -> tuple[int, ...]:
    """The ports that its engine opens for it."""
    ports = (service["Spec"].get("EndpointSpec") or {}).get("Ports") or ()
    return tuple(int(port["PublishedPort"]) for port in ports if port.get("PublishedPort"))


def replicas_of(service: Mapping[str, Any]) -> int:
    """How many tasks the service is to have: one, or none."""
    return int(service["Spec"]["Mode"]["Replicated"].get("Replicas") or 0)


def task_state(task: Mapping[str, Any] | None) -> str:
    """The state of a task; empty without one."""
    return str(task["Status"]["State"]) if task else ""


def exit_code_of(service: Mapping[str, Any], task: Mapping[str, Any] | None) -> int | None:
    """The exit code of its last run, of which the task tells as long as the swarm remembers it."""
    if replicas_of(service) and task:
        status = task["Status"].get("ContainerStatus") or {}
        has_run = task_state(task) in ("complete", "failed", "shutdown") and status.get("ContainerID")
        return int(status.get("ExitCode", 0)) if has_run else None
    noted = service["Spec"]["Labels"].get(EXIT_CODE, "")
    return int(noted) if noted.isdecimal() else None


def waits(task: Mapping[str, Any] | None) -> str:
    """Why the swarm starts a task on no engine; empty if it does."""
    return str(task["Status"].get("Err") or "") if task and task_state(task) == "pending" else ""


def is_over(task: Mapping[str, Any]) -> bool:
    """Whether it runs no more, or never will."""
    return task_state(task) not in (*_ON_THE_WAY, RUNNING)


def was_refused(task: Mapping[str, Any]) -> str:
    """Why its engine could not start it; empty if it has run, or runs."""
    status, state = task["Status"], task_state(task)
    error = str(status.get("Err") or "")
    if state in _REFUSED or (state == "failed" and not error.startswith(_RAN)):
        return error or str(status.get("Message") or "it was rejected")
    return ""
