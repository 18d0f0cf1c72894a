"""Run something once beside a node: on its engine, in its network and with its files."""

from provision.runtime.base import JavaCommand
from provision.runtime.docker import containers as spec
from provision.runtime.docker import tools
from provision.runtime.swarm import jobs
from provision.runtime.swarm.layout import CONFIG_DIR
from provision.runtime.swarm.manager import Manager

_MEMORY_BYTES = 256 * 1024**2


def run(manager: Manager, name: str, node: str, command: JavaCommand) -> tuple[int, str]:
    """Run a Java program of the node's image in a job; returns its exit code and what it has written."""
    service, record = manager.required(name, node), manager.record(name, node)
    account = service["Spec"]["TaskTemplate"]["ContainerSpec"]["User"]
    software = service["Spec"]["Labels"][spec.SOFTWARE]
    configs, hidden = record.references(account)
    code, output = jobs.run(
        manager.api,
        name,
        manager.image(software),
        record.engine,
        tools.java_command(software, command, heap="32m", own=CONFIG_DIR),
        what=f"what asks {node}",
        user=account,
        memory_bytes=_MEMORY_BYTES,
        configs=configs,
        secrets=hidden,
        network=name,
    )
    return code, output.decode(errors="replace")
