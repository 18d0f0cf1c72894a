"""`--frozen`: an environment runs what its lock says, byte for byte, or nothing of it is touched.

1. The lock must be for what the file says: version, mode, images.
2. An image that is missing is brought by its digest, jars as ever.
3. What is there then, read again, must be what is locked.
4. No node that the plan leaves as it is may have been made from another image.

So what is made afterwards, by the images' names and from the jars, is what is locked.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from provision.cluster.identity import Identities
from provision.cluster.model import Cluster
from provision.errors import Refused
from provision.events import Listener, action
from provision.plan.actions import Kind, Plan, Verb
from provision.plan.observed import ObservedEnvironment
from provision.runtime.base import Runtime
from provision.software.pins import Deviation, Pins, deviations, images_of, lock_file_of, outdated
from provision.software.pins_file import read

_NAMED = 12
_REMADE = (Verb.RECREATE, Verb.RESTART)  # both replace the node
_NO_DIGESTS: Mapping[str, str] = MappingProxyType({})


def hold_to_pins(environment: Path, cluster: Cluster, runtime: Runtime, tell: Listener, *, bring: bool) -> Identities:
    """Refuse to go on with any other software than the locked one; returns what there is of it.

    Args:
        environment: the environment file, beside which the lock is.
        cluster: what it means; ports do not matter.
        runtime: where it runs.
        tell: gets the events of bringing what is missing.
        bring: whether to bring it; else nothing is compared while something is missing.

    Raises:
        Refused: there is no lock, it is for another file, or something is not as locked: each with both sides.
        InvalidEnvironment: the lock is damaged.
    """
    file, pins, records = lock_file_of(environment), require_pins(environment, cluster.name), how_to_record(environment)
    require_none(outdated(pins, cluster), f"{file} is not for what {environment} says", records)
    missing = runtime.missing_software(cluster)
    digests = _digests(cluster, pins, missing, records)
    if missing and not bring:
        return {}
    bring_software(missing, cluster, runtime, tell, digests)
    found, kind = runtime.identify_software(cluster), "image" if images_of(cluster) else "jar"
    require_none(deviations(pins.of(cluster), found, kind), f"what is here is not what {file} says", records)
    return found


def require_pinned_nodes(found: Identities, cluster: Cluster, observed: ObservedEnvironment, plan: Plan) -> None:
    """Refuse to keep nodes that were made from another image than the one that has its name now.

    Raises:
        Refused: names each.
    """
    if plan.refusals:  # they are told in its place
        return
    remade = {one.name for one in plan.actions if one.kind == Kind.NODE and one.verb in _REMADE}
    kept = [(node, there) for node in cluster.nodes if (there := observed.node(node.name)) and node.name not in remade]
    others = [
        Deviation(f"{node.name}, image {node.software}", image.checksum, there.software_id)
        for node, there in kept
        if there.software_id and (image := found.get(node.software)) and there.software_id != image.checksum
    ]
    hint = f"`provision down --keep-data {cluster.name}` first; `up --frozen` then creates them again, with their data"
    require_none(others, f"{cluster.name} runs from other images than locked", hint)


def require_pins(environment: Path, name: str) -> Pins:
    """The pins of an environment.

    Raises:
        Refused: there is none.
        InvalidEnvironment: it is damaged.
    """
    file = lock_file_of(environment)
    if (pins := read(file)) is None:
        raise Refused(f"{name} has no lock", why=f"there is no file {file}", hint=f"`provision lock {environment}`")
    return pins


def how_to_record(environment: Path) -> str:
    """The hint for what is there and is not what was recorded."""
    return f"`provision lock {environment}` records what is here, if that is intended"


def require_none(found: Iterable[Deviation], what: str, hint: str) -> None:
    """Refuse where something deviates.

    Raises:
        Refused: names each, or the first and how many more there are.
    """
    lines = [str(deviation) for deviation in found]
    if len(lines) > _NAMED:
        lines[_NAMED:] = [f"and {len(lines) - _NAMED} more"]
    if lines:
        raise Refused(what, why="\n".join(lines), hint=hint)


def bring_software(
    missing: Iterable[str], cluster: Cluster, runtime: Runtime, tell: Listener, digests: Mapping[str, str] = _NO_DIGESTS
) -> None:
    """Fetch what is missing, each told as an action."""
    for name in missing:
        with action(tell, Verb.FETCH, f"{Kind.SOFTWARE} {name}"):
            runtime.fetch_software(cluster, name, tell, digests.get(name, ""))


def _digests(cluster: Cluster, pins: Pins, missing: Iterable[str], records: str) -> dict[str, str]:
    """By which to pull the images that are not there.

    Raises:
        Refused: one is known by its id alone, and no registry finds images by that.
    """
    locked = {name: pins.images[name] for name in images_of(cluster) if name in missing}
    lost = [Deviation(f"image {name}", image, None) for name, image in locked.items() if not image.digest]
    hint = f"`provision image load` or `docker load` brings it from a file; {records}"
    require_none(lost, "an image is not here, and no registry has it by its id", hint)
    return {name: image.digest for name, image in locked.items() if image.digest}
