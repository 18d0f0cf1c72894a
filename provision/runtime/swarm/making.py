"""Make what an environment has in a swarm: its network, the records of its volumes, and its services."""

from collections.abc import Sequence

from docker.errors import APIError

from provision.cluster.fingerprint import written_hash
from provision.cluster.model import Cluster, Node, RenderedFile
from provision.errors import Refused
from provision.runtime.docker import containers as spec
from provision.runtime.swarm import services, storage
from provision.runtime.swarm.calls import labelled
from provision.runtime.swarm.manager import Manager
from provision.runtime.swarm.records import BEGUN, ENGINE, ENGINE_NAME, IMAGE_ID, PREPARED, REACHED, Record
from provision.runtime.swarm.services import Image

_ENCRYPTED = {"encrypted": ""}


def network(manager: Manager, cluster: Cluster) -> None:
    """An overlay network named like the environment, unless it is there; containers of any engine can be attached."""
    labels = spec.environment_labels(cluster)
    labels[services.OWNER] = labels.pop(spec.ENVIRONMENT)
    options = _ENCRYPTED if cluster.swarm is None or cluster.swarm.encrypted else {}
    if not manager.api.networks(filters=labelled(f"{services.OWNER}={cluster.name}")):
        manager.api.create_network(
            cluster.name, driver="overlay", scope="swarm", attachable=True, options=options, labels=labels
        )


def record(manager: Manager, cluster: Cluster, node: Node) -> None:
    """Note the engine that the node's volume is on. The engine makes the volume when it is first used."""
    engine = manager.engine(node.engine)
    reached = cluster.swarm.reached.get(engine.name, "") if cluster.swarm else ""
    labels = spec.node_labels(cluster, node) | {ENGINE: engine.id, ENGINE_NAME: engine.name, REACHED: reached}
    manager.records.create(cluster.name, node.name, labels)


def service(manager: Manager, cluster: Cluster, node: Node, files: Sequence[RenderedFile]) -> None:
    """Prepare the volume, store the files in the swarm, and create the service, unless that is there.

    Raises:
        Refused: somebody else has a service of that name.
    """
    if manager.service(cluster.name, node.name) is not None:
        return
    image = manager.image(node.software)
    if manager.records.of(cluster.name, node.name) is None:
        record(manager, cluster, node)
    known = manager.record(cluster.name, node.name)
    manager.require_up(known)
    if not known.prepared:
        _prepare(manager, cluster, node, known, image)
    manager.records.put(known, cluster.name, files)
    options = services.node_service(cluster, node, image, written_hash(files), known.engine)
    options["labels"] |= {ENGINE: known.engine, IMAGE_ID: image.id}
    try:
        manager.api.create_service(**options)
    except APIError as error:
        if "name conflicts" in str(error.explanation):
            hint = f"`docker service rm {options['name']}` removes it, if nobody needs it"
            raise Refused(f"the service {options['name']} was not made by provision", hint=hint) from error
        raise


def _prepare(manager: Manager, cluster: Cluster, node: Node, known: Record, image: Image) -> None:
    """Let the volume be there and its node's, without what the node may have left in it when it was given up."""
    records = manager.records
    records.mark(known, {BEGUN: "true"})
    left = [one for one in records.left_of(cluster.name) if one.is_at(known)]
    storage.prepare(manager.api, cluster.name, known, image, spec.user_of(cluster, node), empty=bool(left))
    records.mark(known, {PREPARED: "true"})
    for one in left:
        records.remove(one)
