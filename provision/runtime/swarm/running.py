"""Start and end a node: its service gets one task, or none."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from docker.errors import NotFound

from provision.common.patience import Patience
from provision.errors import PortTaken, ProvisionError, Unavailable
from provision.runtime.docker.client import refusal
from provision.runtime.swarm import services
from provision.runtime.swarm.calls import updated
from provision.runtime.swarm.reach import container_of
from provision.runtime.swarm.records import Record

Service = Mapping[str, Any]
Finish = Callable[[Any, str], None]
"""Ends a container, given the API of its engine and its id."""
_SERVICES = "services"
_START_S = 60.0
_WAITS_S = 5.0
_END_S = services.GRACE_S + 30.0
_FORGET_S = 10.0
_POLL_S = 0.05
_PORT_IN_USE = "host-mode port already in use"


def newest_task(api: Any, service: Service) -> Mapping[str, Any] | None:  # noqa: ANN401 the SDK's client has no types
    """The newest task of a service."""
    try:
        return services.newest(api.tasks(filters={"service": service["ID"]}), service["ID"])
    except NotFound:  # the service has just been removed
        return None


def start(api: Any, service: Service, record: Record, account: str) -> None:  # noqa: ANN401 as above
    """Let a service run a new task with the node's present files, and wait until its engine has started it.

    Raises:
        PortTaken: somebody has its port.
        Unavailable: its engine does not start it.
    """
    node = record.node
    before = newest_task(api, service)
    if services.task_state(before) == services.RUNNING:
        return
    configs, secrets = record.references(account)

    def run(told: dict[str, Any]) -> None:
        told["TaskTemplate"]["ContainerSpec"] |= {"Configs": configs, "Secrets": secrets}
        # Else a task that has ended would count as the one that is wanted.
        told["TaskTemplate"]["ForceUpdate"] = told["TaskTemplate"].get("ForceUpdate", 0) + 1
        told["Mode"]["Replicated"]["Replicas"] = 1
        told["Labels"][services.STARTED] = "true"
        told["Labels"].pop(services.EXIT_CODE, None)

    updated(api, _SERVICES, service["ID"], run)
    patience, known = Patience(_START_S), before["ID"] if before else ""
    while True:
        task = newest_task(api, service)
        if task and task["ID"] != known:
            if services.task_state(task) == services.RUNNING:
                return
            if services.is_over(task):
                _require_started(node, task)
                return
            if patience.waited_s > _WAITS_S and (why := services.waits(task)):
                raise _no_engine(api, service, record, why)
        if not patience.pause(_POLL_S):
            state = services.task_state(task) or "not scheduled"
            raise Unavailable(f"{node} was not started", why=f"after {_START_S:g} s its task is {state}")


def _require_started(node: str, task: Mapping[str, Any]) -> None:
    if refused := services.was_refused(task):
        error = refusal(f"starting {node}", refused)
        if "No such image" in refused:
            raise Unavailable(error.what, why=refused, hint="bring the image to its engine with `docker load`")
        raise error


def _no_engine(api: Any, service: Service, record: Record, why: str) -> ProvisionError:  # noqa: ANN401 as above
    if _PORT_IN_USE in why:
        return _taken(api, service, record)
    hint = "`docker node ls` shows its state"
    return Unavailable(f"{record.node} waits for engine {record.engine_name}", why=why, hint=hint)


def _taken(api: Any, service: Service, record: Record) -> PortTaken:  # noqa: ANN401 as above
    """Which of its ports another service has, as far as a manager knows."""
    own = services.published_ports(service)
    tasks = api.tasks(filters={"node": record.engine, "desired-state": "running"})  # a port is one of an engine
    there = {task["ServiceID"] for task in tasks} - {service["ID"]}
    others = {
        port: one["Spec"]["Name"]
        for one in api.services()
        if one["ID"] in there
        for port in services.published_ports(one)
    }
    port = next((port for port in own if port in others), next(iter(own), 0))
    return PortTaken(
        f"starting {record.node}: port {port} of engine {record.engine_name} is taken",
        port=port,
        why=f"the service {others[port]} has it" if port in others else "another service of the swarm has it",
        hint="choose another port (`brokers.port`), or remove that service",
    )


def end(
    api: Any,  # noqa: ANN401 as above
    engine: Any,  # noqa: ANN401 as above
    service: Service,
    node: str,
    finish: Finish,
    *,
    away: bool,
) -> None:
    """End a service's task, and note its exit code.

    Args:
        api: a manager.
        engine: the API of the node's engine, None if that is not reached; then the swarm itself ends the task, and
            kills it once `services.GRACE_S` have passed.
        service: the node's.
        node: its name.
        finish: ends a container of an engine.
        away: whether the engine is down; it ends the task when it is back, and nobody waits for that.

    Raises:
        ProvisionError: it does not end.
    """
    task = newest_task(api, service)
    code = services.exit_code_of(service, task)
    if task and not services.is_over(task):
        if engine is not None and services.task_state(task) == services.RUNNING:
            with suppress(NotFound):
                finish(engine, container_of(task))
        else:
            updated(api, _SERVICES, service["ID"], lambda told: told["Mode"]["Replicated"].update(Replicas=0))
        code = None if away else _ended(api, service, task["ID"], node)

    def rest(told: dict[str, Any]) -> None:
        told["Mode"]["Replicated"]["Replicas"] = 0
        if code is not None:
            told["Labels"][services.EXIT_CODE] = str(code)

    with suppress(NotFound):
        updated(api, _SERVICES, service["ID"], rest)


def _ended(api: Any, service: Service, task: str, node: str) -> int | None:  # noqa: ANN401 as above
    """Wait until a task has ended; returns its exit code, if the swarm has told it before it forgot the task."""
    patience = Patience(_END_S)
    while True:
        there = next((one for one in api.tasks(filters={"service": service["ID"]}) if one["ID"] == task), None)
        if there is None:
            return None
        if services.is_over(there):
            status = there["Status"].get("ContainerStatus") or {}
            return int(status.get("ExitCode", 0))
        if not patience.pause(_POLL_S):
            raise ProvisionError(f"{node} does not end", why=f"its task still runs after {_END_S:g} s")


def remove(api: Any, service: Service, node: str, *, away: bool) -> None:  # noqa: ANN401 as above
    """Remove a service that has ended, once the swarm has forgotten its tasks, unless its engine is down.

    A manager that forgets a task while it removes its service may crash (seen in Docker 20.10). Tasks that were cut off
    by the end of their engine may never be forgotten: they are not waited for as long.

    Raises:
        ProvisionError: its task still runs.
    """
    patience, forgetting = Patience(_END_S), Patience(_FORGET_S)
    while not away and (task := newest_task(api, service)):
        if forgetting.is_over and services.is_over(task):
            break
        if not patience.pause(_POLL_S):
            raise ProvisionError(f"the service of {node} is not removed", why="its task still runs")
    with suppress(NotFound):
        api.remove_service(service["ID"])
