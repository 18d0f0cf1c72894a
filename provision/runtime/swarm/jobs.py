"""Run something once on an engine of the swarm, and read what it has written."""

import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from docker.errors import APIError, NotFound

from provision.common.patience import Patience
from provision.errors import ProvisionError, Unavailable
from provision.runtime.swarm import services
from provision.runtime.swarm.calls import task_log
from provision.runtime.swarm.services import Image

TIMEOUT_S = 90.0
_POLL_S = 0.1
_LOGS_S = 5.0


def run(
    api: Any,  # noqa: ANN401 the SDK's client has no types
    environment: str,
    image: Image,
    engine: str,
    command: Sequence[str],
    *,
    what: str,
    **options: Any,  # noqa: ANN401 as of `job_service`
) -> tuple[int, bytes]:
    """Run a command to its end; returns its exit code and output. Nothing of it is left.

    Args:
        api: a manager.
        environment: what it belongs to.
        image: what it runs in.
        engine: where, by id.
        command: the command.
        what: what it does, for errors.
        options: further ones of `services.job_service`.

    Raises:
        Unavailable: its engine does not start it.
    """
    name = f"{environment}-job-{secrets.token_hex(4)}"
    service = api.create_service(**services.job_service(environment, name, image, engine, command, **options))["ID"]
    try:
        task = _ended(api, service, what)
        if refused := services.was_refused(task):
            raise Unavailable(f"{what} could not be started", why=refused)
        code = int((task["Status"].get("ContainerStatus") or {}).get("ExitCode", 0))
        return code, _output(api, task["ID"])
    finally:
        with suppress(NotFound):
            api.remove_service(service)


def _ended(api: Any, service: str, what: str) -> Mapping[str, Any]:  # noqa: ANN401 as above
    patience = Patience(TIMEOUT_S)
    while True:
        task = services.newest(api.tasks(filters={"service": service}), service)
        if task and services.is_over(task):
            return task
        if (why := services.waits(task)) or not patience.pause(_POLL_S):
            state = services.task_state(task) or "not scheduled"
            raise Unavailable(f"{what} does not run", why=why or f"after {TIMEOUT_S:g} s it is {state}")


def _output(api: Any, task: str) -> bytes:  # noqa: ANN401 as above
    """What it has written. The engine that has it may still be about to tell the manager where."""
    patience = Patience(_LOGS_S)
    while True:
        try:
            return b"".join(task_log(api, task))
        except APIError as error:
            if not patience.pause(_POLL_S):
                raise ProvisionError("what a job has written cannot be read", why=str(error.explanation)) from error
