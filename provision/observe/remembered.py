"""Nodes of which nothing is left, as the others remember them."""

import re
from collections.abc import Iterable, Mapping

from provision.cluster.model import RenderedFile, Role, is_node_name, node_with_id
from provision.cluster.properties import read
from provision.plan.observed import ObservedCluster, ObservedEnvironment

_MEMBER = re.compile(r"server\.(\d+)")
_VOTERS = "controller.quorum.voters"


def remembered(
    observed: ObservedEnvironment, cluster: ObservedCluster | None, settings: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    """The nodes that are not there, nor their data, and by what the others remember each.

    Args:
        observed: what the runtime has; one without nodes remembers nobody.
        cluster: what the brokers report, if any answers.
        settings: those in the files of the nodes that are there.
    """
    if not observed.nodes:
        return {}
    told: dict[str, str] = {}
    for topic in cluster.topics if cluster else ():
        for partition in topic.partitions:
            for broker in partition.replicas:
                told.setdefault(Role.BROKER.node(broker), f"{topic.name}-{partition.number} has a replica there")
    for name, own in settings.items():
        for key, value in own.items():
            if match := _MEMBER.fullmatch(key):
                told.setdefault(Role.ZOOKEEPER.node(int(match[1])), f"{name} has it as a member of its ensemble")
            for voter in value.split(",") if key == _VOTERS else ():
                told.setdefault(_voter(voter), f"{name} has it as a voter of its quorum")
    there = {node.name for node in observed.nodes} | observed.kept
    return {name: who for name, who in told.items() if is_node_name(name) and name not in there}


def settings_in(files: Iterable[RenderedFile]) -> dict[str, str]:
    """The settings in a node's properties files, as far as they can be read."""
    found = (read(file.text) or {} for file in files if file.name.endswith(".properties"))
    return {key: value for settings in found for key, value in settings.items()}


def _voter(text: str) -> str:
    identity = text.partition("@")[0].strip()
    return node_with_id(int(identity)) if identity.isdecimal() else ""
