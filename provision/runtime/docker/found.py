"""What the engine lists, separated into an environment's own things and those that conflict with it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from msgspec import Struct

from provision.catalogue.versions import KRAFT
from provision.cluster.model import Role, is_node_name
from provision.plan.observed import NodeState, ObservedEnvironment, ObservedNode
from provision.runtime.docker import abouts
from provision.runtime.docker import containers as spec
from provision.runtime.docker.notes import is_note
from provision.security.listening import listeners_in

Thing = Mapping[str, Any]
"""A container, network or volume, as the engine lists it."""


class Things(Struct, frozen=True):
    """Everything that one engine has."""

    containers: Sequence[Thing]
    networks: Sequence[Thing]
    volumes: Sequence[Thing]


def environment(
    runtime: str,
    name: str,
    wanted: Sequence[str],
    things: Things,
    node_of: Callable[[Thing], ObservedNode],
    called: str = "container",
) -> ObservedEnvironment:
    """An environment, identified by its labels.

    Args:
        runtime: the kind of the runtime.
        name: the environment's name.
        wanted: the names of its desired nodes, to find foreign things with the same names; without any, containers and
            volumes that are called like a node of it.
        things: everything the engine has.
        node_of: converts a node's container.
        called: what is in the place of a container, for messages.
    """
    ours = [thing for thing in things.containers if belongs(thing, name)]
    our_networks = [thing for thing in things.networks if belongs(thing, name)]
    our_volumes = [
        thing for thing in things.volumes if belongs(thing, name) and not (is_note(thing) or is_stray(thing, name))
    ]
    every = (*ours, *our_networks, *our_volumes)
    # A tool's container belongs to the environment but does not describe it, though it may have its image's version
    # label; and during a rolling update, the newest version of any node is the environment's.
    described = [thing["Labels"] for thing in every if spec.SOFTWARE in thing["Labels"]]
    drafts = any(map(_is_draft, chain((network["Name"] for network in our_networks), *map(names_of, ours))))
    labels = {key: text for one in sorted(described, key=spec.version_in) for key, text in one.items()}
    nodes = [node_of(thing) for thing in ours if is_node(thing)]
    about = abouts.among(things.volumes, name)
    return ObservedEnvironment(
        name=name,
        runtime=runtime,
        software=labels.get(spec.SOFTWARE, ""),
        version=labels.get(spec.VERSION, ""),
        mode=labels.get(spec.MODE, ""),
        storage=labels.get(spec.STORAGE, ""),
        cluster_id=labels.get(spec.CLUSTER_ID, ""),
        network=any(network["Name"] == name for network in our_networks),
        incomplete=drafts or any(map(_is_remnant, ours)),
        unidentified=_unidentified(labels, our_volumes),
        storages=frozenset(volume["Labels"][spec.NODE] for volume in our_volumes if spec.NODE in volume["Labels"]),
        nodes=tuple(sorted(nodes, key=lambda node: (node.role, node.number))),
        foreign=tuple(sorted(_foreign(name, wanted, things, called))),
        created_s=_created_s(our_networks or every),
        ttl_s=about.ttl_s if about else spec.label_float(labels, spec.TTL),
        about=about,
    )


def node_in(labels: Mapping[str, str], state: NodeState, **more: Any) -> ObservedNode:  # noqa: ANN401 of its class
    """A node by the labels of its container or service, with what else is known of it."""
    return ObservedNode(
        name=labels[spec.NODE],
        role=Role.parse(labels[spec.NODE])[0],
        state=state,
        config_hash=labels.get(spec.HASH, ""),
        endpoint=labels.get(spec.ENDPOINT),
        version=labels.get(spec.VERSION, ""),
        software=labels.get(spec.SOFTWARE, ""),
        listeners=listeners_in(labels.get(spec.LISTENERS, "")),
        **more,
    )


def _foreign(name: str, wanted: Sequence[str], things: Things, called: str) -> Iterator[str]:
    """Things that do not belong to the environment but have a name that it needs."""
    names = {spec.name_of(name, node) for node in wanted}

    def is_needed(thing: str) -> bool:
        return thing in names if wanted else thing.startswith(f"{name}-") and is_node_name(thing[len(name) + 1 :])

    for container in things.containers:
        if not _is_known(container, name, wanted):
            yield from (f"{called} {known}" for known in names_of(container) if is_needed(known))
    for network in things.networks:
        if wanted and network["Name"] == name and not belongs(network, name):
            yield f"network {name}"
    for volume in things.volumes:
        if is_needed(volume["Name"]) and not _is_known(volume, name, wanted):
            yield f"volume {volume['Name']}"


def _is_known(thing: Thing, name: str, wanted: Sequence[str]) -> bool:
    """Whether it belongs to the environment; or to another one, if only what nobody knows is looked for."""
    return belongs(thing, name) or (not wanted and spec.ENVIRONMENT in (thing.get("Labels") or {}))


def _unidentified(labels: Mapping[str, str], volumes: Sequence[Thing]) -> str:
    if labels.get(spec.MODE) != KRAFT or spec.CLUSTER_ID in labels or not volumes:
        return ""
    return f"no label {spec.CLUSTER_ID} of its volumes, containers and networks tells it"


def is_node(container: Thing) -> bool:
    """Whether it is neither a tool, nor a draft, nor what is left of a removed node."""
    labels = container["Labels"]
    is_of_node = spec.NODE in labels and labels.get(spec.ROLE) != spec.TOOL_ROLE
    return is_of_node and not (_is_remnant(container) or any(map(_is_draft, names_of(container))))


def belongs(thing: Thing, name: str) -> bool:
    """Whether it has the environment's mark."""
    return (thing.get("Labels") or {}).get(spec.ENVIRONMENT) == name


def is_storage(volume: Thing, name: str, node: str) -> bool:
    """Whether it was created to be the node's storage."""
    labels = volume.get("Labels") or {}
    return belongs(volume, name) and labels.get(spec.NODE) == node and not is_stray(volume, name)


def is_stray(volume: Thing, name: str) -> bool:
    """Whether the engine created it for what was to read a storage of the environment that had just been removed."""
    return belongs(volume, name) and volume["Labels"].get(spec.ROLE) == spec.TOOL_ROLE


def names_of(container: Thing) -> list[str]:
    """Its names, as users write them."""
    return [name.removeprefix("/") for name in container["Names"]]


def _is_draft(name: str) -> bool:
    return name.endswith(spec.DRAFT)


def _is_remnant(container: Thing) -> bool:
    return spec.STATES.get(container["State"], NodeState.EXITED) is None


def _created_s(things: Iterable[Thing]) -> float | None:
    """When the first of them was created (Unix time); replaced nodes are younger than the environment."""
    times = [spec.label_float(thing["Labels"], spec.CREATED) for thing in things]
    return min((time for time in times if time is not None), default=None)
