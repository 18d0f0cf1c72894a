"""What the environment file means for what is there: the files that nodes would get, and data kept in its directory."""

from pathlib import Path

from provision.cluster.model import Cluster, RenderedFile, StorageKind
from provision.cluster.resolve import fixed_ports, resolve
from provision.common.values import replace
from provision.operations.doctor.facts import NodeFacts
from provision.operations.ports import ports_in_use
from provision.plan.observed import ObservedEnvironment
from provision.runtime import Runtimes
from provision.runtime.base import Runtime
from provision.runtime.directories import data_of, kept_files, nodes_with_data, stored_in
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
    in_use = ports_in_use(observed, frozenset())
    leased = runtimes.home.ports.propose(spec.name, layout.leased_ports(spec), {**fixed_ports(spec), **in_use})
    cluster = resolve(spec, layout, leased, source.base_directory)
    return render(replace(cluster, cluster_id=observed.cluster_id))


def orphans(cluster: Cluster, observed: ObservedEnvironment) -> dict[str, NodeFacts]:
    """The nodes of which the user's directory has data that the runtime does not know.

    Raises:
        ProvisionError: the directory cannot be read.
    """
    if cluster.storage.kind is not StorageKind.DIRECTORY:
        return {}
    storage = Path(cluster.storage.directory)
    left = sorted(nodes_with_data(storage, cluster.name) - observed.storages)
    return {
        name: NodeFacts(name, stored=stored_in(data_of(storage, name), name, kept_files(storage, name)))
        for name in left
    }
