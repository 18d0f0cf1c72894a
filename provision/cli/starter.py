"""The files that `provision init` writes: small, commented, and valid without changes (tested)."""

from enum import StrEnum

from msgspec import Struct

from provision.catalogue.versions import DEFAULT_VERSION
from provision.spec.schema import FILE_NAME
from provision.spec.yaml_output import dump


class Template(StrEnum):
    """What an environment file is to start from."""

    QUICKSTART = "quickstart"
    THREE_BROKERS = "three-brokers"
    CI = "ci"


class Start(Struct, frozen=True):
    """The choices of `init`; `brokers` None means as many as the template has."""

    template: Template = Template.QUICKSTART
    kraft: bool = False
    brokers: int | None = None

    @property
    def nodes(self) -> int:
        """The number of brokers."""
        return self.brokers or (1 if self.template is Template.QUICKSTART else 3)


_ABOUT = {
    Template.QUICKSTART: "A Kafka cluster for development.",
    Template.THREE_BROKERS: "Replicated topics that survive the loss of any one broker.",
    Template.CI: "A Kafka cluster for tests in CI: free ports, and data that need not outlive a stop.",
}
_HEAD = """\
# yaml-language-server: $schema={schema}
# {about} `provision up {name}` starts it, `provision down {name}` removes it.
# All keys: `provision docs environment-file`. Editors that know the schema above complete and check them.

name: {written}

kafka:
  version: {version}
"""
_KRAFT = "  mode: kraft # the brokers keep the metadata themselves; zookeeper: an ensemble does\n"
_ZOOKEEPER = """
zookeeper:
  nodes: 1 # 1, 3, 5 or 7
"""
_ENSEMBLE_PORT = "  port: 2181 # on 127.0.0.1; leave it out to publish none\n"
_BROKERS = """
brokers:
  nodes: {nodes} # {why}
  port: {port}
  heap: 256m
  # properties: # extra keys for every server.properties
  #   auto.create.topics.enable: false

storage: {storage}

topics:
  - name: sample
    partitions: {partitions}
    replication_factor: {factor}
"""
_COMMENTED = """\
    # config:
    #   retention.ms: 86400000
"""
_IN_SYNC = """\
    config:
      min.insync.replicas: 2
"""
_FIXED_PORT = "9092 # broker 1 on 127.0.0.1, broker 2 the next, ...; or auto"
_FREE_PORT = "auto # free ports; `provision env {name}` tells them"
_KEPT = "volume # kept until `provision down`; memory: faster, may be gone when a broker stops; or a directory"
_IN_MEMORY = "memory # may be gone when a broker stops; volume: kept until `provision down`; or a directory"
_REPLICAS = 3


def starter(name: str, start: Start) -> str:
    """The text of a first environment file."""
    ci, nodes = start.template is Template.CI, start.nodes
    head = _HEAD.format(
        schema=FILE_NAME, about=_ABOUT[start.template], name=name, written=dump(name).strip(), version=DEFAULT_VERSION
    )
    if start.kraft:
        head += _KRAFT
    else:
        head += _ZOOKEEPER + ("" if ci else _ENSEMBLE_PORT)
    body = _BROKERS.format(
        nodes=nodes,
        why="3 for replicated topics" if nodes < _REPLICAS else "1 is enough without replicated topics",
        port=_FREE_PORT.format(name=name) if ci else _FIXED_PORT,
        storage=_IN_MEMORY if ci else _KEPT,
        partitions=1 if nodes == 1 else 6,
        factor=min(_REPLICAS, nodes),
    )
    return head + body + (_IN_SYNC if nodes >= _REPLICAS else _COMMENTED)
