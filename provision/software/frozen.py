"""`--frozen`: an environment runs exactly what its lock records, byte for byte, or is not touched.

1. The lock must match the file: version, mode, images.
2. A missing image is pulled by its digest; jars are fetched as usual.
3. What is then present, read again, must be what is locked.
4. No node that the plan leaves alone may have been created from another image.

So the nodes created afterwards, from the images' names and the jars, run what is locked.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from provision.cluster.identity import Identities
from provision.cluster.model import Cluster
from provision.errors import Refused
from provision.events import Listener, action
from provision.plan.actions import Kind, Lost, Plan, Verb
from provision.plan.observed import ObservedEnvironment
from provision.runtime.base import Runtime
from provision.software.pins import Deviation, Pins, deviations, images_of, lock_file_of, outdated
from provision.software.pins_file import read

_NAMED = 12
_REMADE = (Verb.RECREATE, Verb.RESTART, Verb.MOVE)  # they all replace the node
_NO_DIGESTS: Mapping[str, str] = MappingProxyType({})


def require_pins_match(
    environment: Path, cluster: Cluster, runtime: Runtime, tell: Listener, *, bring: bool
) -> Identities:
    """Refuse any other software than the locked one; returns the identities of what is present.

    Args:
        environment: the environment file, next to the lock.
        cluster: the resolved environment; ports do not matter.
        runtime: where it runs.
        tell: receives the events of fetching what is missing.
        bring: whether to fetch it; else nothing is compared while something is missing.

    Raises:
        Refused: there is no lock, it is for another file, or something differs from it: gives both sides of each.
        InvalidEnvironment: the lock is damaged.
    """
    file, pins, records = lock_file_of(environment), require_pins(environment, cluster.name), how_to_record(environment)
    require_none(outdated(pins, cluster), f"{file} does not match {environment}", records)
    missing = runtime.missing_software(cluster)
    digests = _digests(cluster, pins, missing, records)
    if missing and not bring:
        return {}
    bring_software(missing, cluster, runtime, tell, digests)
    found, kind = runtime.identify_software(cluster), "image" if images_of(cluster) else "jar"
    require_none(deviations(pins.of(cluster), found, kind), f"the software here differs from {file}", records)
    return found


def require_pinned_nodes(found: Identities, cluster: Cluster, observed: ObservedEnvironment, plan: Plan) -> None:
    """Refuse to keep nodes that were created from another image than the one that has its name now.

    Raises:
        Refused: names each.
    """
    if plan.refusals:  # they are reported instead
        return
    remade = {one.name for one in plan.actions if one.kind == Kind.NODE and one.verb in _REMADE}
    remade |= {one.name for one in plan.actions if isinstance(one.subject, Lost)}
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
    """The hint for software that differs from the recorded one."""
    return f"`provision lock {environment}` records what is here, if that is intended"


def require_none(found: Iterable[Deviation], what: str, hint: str) -> None:
    """Refuse if anything deviates.

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
    """Fetch what is missing, each reported as an action."""
    for name in missing:
        with action(tell, Verb.FETCH, f"{Kind.SOFTWARE} {name}"):
            runtime.fetch_software(cluster, name, tell, digests.get(name, ""))


def _digests(cluster: Cluster, pins: Pins, missing: Iterable[str], records: str) -> dict[str, str]:
    """The digests by which to pull the missing images.

    Raises:
        Refused: one is known only by its id, by which no registry finds images.
    """
    locked = {name: pins.images[name] for name in images_of(cluster) if name in missing}
    lost = [Deviation(f"image {name}", image, None) for name, image in locked.items() if not image.digest]
    hint = f"`provision image load` or `docker load` brings it from a file; {records}"
    require_none(lost, "an image is not here, and no registry has it by its id", hint)
    return {name: image.digest for name, image in locked.items() if image.digest}
