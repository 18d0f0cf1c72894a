"""The file that `provision init` writes: small, commented, and valid without changes (tested)."""

_STARTER = """\
# A Kafka cluster for development. `provision up {name}` starts it, `provision down {name}` removes it.
# All keys: docs/reference/environment-file.md

name: {name}

kafka:
  version: {version}

zookeeper:
  nodes: 1 # 1, 3, 5 or 7
  port: 2181 # on 127.0.0.1; leave it out to publish none

brokers:
  nodes: 1 # 3 for replicated topics
  port: 9092 # broker 1 on 127.0.0.1, broker 2 the next, ...; or auto
  heap: 256m
  # properties: # extra keys for every server.properties
  #   auto.create.topics.enable: false

storage: volume # kept until `provision down`; memory: faster, gone when stopped; or a directory

topics:
  - name: sample
    partitions: 1
    replication_factor: 1
    # config:
    #   retention.ms: 86400000
"""


def starter(name: str) -> str:
    """The text of a first environment file."""
    from provision.catalogue.versions import DEFAULT_VERSION

    return _STARTER.format(name=name, version=DEFAULT_VERSION)
