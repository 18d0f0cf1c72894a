"""Where something is written: in a node's own files, as `FILE:LINE`."""

from provision.cluster.properties import line_of
from provision.operations.doctor.facts import Facts, NodeFacts, known


def place_of_file(facts: Facts, node: str, name: str, line: int = 0) -> str:
    """Where a node's configuration file is, as users find it."""
    surroundings = known(facts.surroundings)
    directory = surroundings.configured.get(node, node) if surroundings else node
    return f"{directory}/{name}:{line}" if line else f"{directory}/{name}"


def place_of_setting(facts: Facts, about: NodeFacts, key: str) -> str:
    """The line of a node's properties file that sets a key; empty if none does."""
    for file in known(about.files) or ():
        if file.name.endswith(".properties") and (line := line_of(file.text, key)):
            return place_of_file(facts, about.name, file.name, line)
    return ""
