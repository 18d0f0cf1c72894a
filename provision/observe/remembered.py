"""Nodes of which nothing is left, as the others remember them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from provision.cluster.layout import LOOPBACK
from provision.cluster.model import RenderedFile, Role, is_node_name, node_with_id
from provision.cluster.properties import read
from provision.common.values import replace
from provision.errors import ProvisionError
from provision.kafka.levels import Level
from provision.kafka.readiness import ask_brokers
from provision.observe.files import files_of
from provision.observe.reach import access_to
from provision.observe.readiness import Assessment
from provision.plan.observed import ObservedCluster, ObservedEnvironment, ObservedNode
from provision.runtime.base import Runtime

_MEMBER = re.compile(r"server\.(\d+)")
_VOTERS, _ENSEMBLE = "controller.quorum.voters", "zookeeper.connect"
_READERS = 8

Settings = Mapping[str, Mapping[str, str]]
"""The settings in the files of nodes, by node and key."""


def with_remembered(assessment: Assessment, settings: Settings) -> Assessment:
    """The same with the nodes of which nothing is left and whom others remember: it is not whole without them.

    Args:
        assessment: of all nodes that are there, and of those of which only the data are left.
        settings: those of the nodes that are there.
    """
    observed, cluster = assessment.observed, assessment.cluster
    if assessment.level is Level.NONE:  # not all of its nodes run; those that do were not asked what they remember
        cluster = ask_brokers(access_to(observed)).best
    gone = remembered(observed, cluster, settings)
    if not gone:
        return assessment
    missing = {**assessment.missing, **{node: f"it is not there: {who}" for node, who in gone.items()}}
    return replace(assessment, level=Level.NONE, missing=missing, lost=tuple(sorted(gone)))


def remembered(observed: ObservedEnvironment, cluster: ObservedCluster | None, settings: Settings) -> dict[str, str]:
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
            for node in _ensemble(observed.name, value) if key == _ENSEMBLE else ():
                told.setdefault(node, f"{name} has it in its {_ENSEMBLE}")
    there = {node.name for node in observed.nodes} | observed.kept
    return {name: who for name, who in told.items() if is_node_name(name) and name not in there}


def settings_in(files: Iterable[RenderedFile]) -> dict[str, str]:
    """The settings in a node's properties files, as far as they can be read."""
    found = (read(file.text) or {} for file in files if file.name.endswith(".properties"))
    return {key: value for settings in found for key, value in settings.items()}


def _voter(text: str) -> str:
    identity = text.partition("@")[0].strip()
    return node_with_id(int(identity)) if identity.isdecimal() else ""


def _ensemble(environment: str, connect: str) -> Iterator[str]:
    """The environment's own nodes in a broker's list, which has them in the order of their numbers."""
    for number, address in enumerate(connect.partition("/")[0].split(","), start=1):
        node = Role.ZOOKEEPER.node(number)
        if address.strip().rpartition(":")[0] in (LOOPBACK, f"{environment}-{node}"):
            yield node


def read_settings(
    runtime: Runtime, observed: ObservedEnvironment, known: dict[tuple[str, str], dict[str, str]]
) -> dict[str, dict[str, str]]:
    """The settings of the nodes that are there, as far as they can be read.

    Args:
        runtime: where they are.
        observed: what it has.
        known: what was read before, by name and fingerprint; what is read now is added.
    """

    def settings(node: ObservedNode) -> dict[str, str] | None:
        try:
            return settings_in(files_of(runtime, observed.name, node.name))
        except ProvisionError:  # it has just been removed, or its engine is away: the next look tells
            return None

    new = [node for node in observed.nodes if (node.name, node.config_hash) not in known]
    if new:
        with ThreadPoolExecutor(max_workers=_READERS) as pool:
            found = zip(new, pool.map(settings, new), strict=True)
            known |= {(node.name, node.config_hash): of for node, of in found if of is not None}
    return {node.name: known.get((node.name, node.config_hash), {}) for node in observed.nodes}
