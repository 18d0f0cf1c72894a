"""The files that `up` would give the nodes, to compare those that they have."""

from dataclasses import replace

from provision.cluster.model import RenderedFile
from provision.cluster.resolve import fixed_ports, resolve
from provision.plan.observed import ObservedEnvironment
from provision.runtime import Runtimes
from provision.runtime.base import Runtime
from provision.spec.source import Source


def rendered(
    source: Source, runtimes: Runtimes, runtime: Runtime, observed: ObservedEnvironment
) -> tuple[RenderedFile, ...]:
    """The files of an environment's nodes, with the ports that it has.

    Raises:
        ProvisionError: its file or a template is not valid.
    """
    from provision.cluster.render import render

    spec = source.load()
    layout = runtimes.layout(runtime.kind, spec, source.base_directory)
    in_use = {node.name: int(node.endpoint.rpartition(":")[2]) for node in observed.nodes if node.endpoint}
    leased = runtimes.home.ports.propose(spec.name, layout.leased_ports(spec), {**fixed_ports(spec), **in_use})
    cluster = resolve(spec, layout, leased, source.base_directory)
    return render(replace(cluster, cluster_id=observed.cluster_id))
