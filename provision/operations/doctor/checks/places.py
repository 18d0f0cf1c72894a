"""Where nodes are and what they need to exist: images, ports, volumes, networks, addresses."""

from collections.abc import Iterator

from provision.cluster.model import Role
from provision.observe.remembered import remembered
from provision.operations.doctor.away import passing
from provision.operations.doctor.facts import Facts, Unasked, known
from provision.operations.doctor.findings import Finding, Severity
from provision.operations.doctor.reachability import Reach
from provision.operations.doctor.registry import check
from provision.plan.observed import NodeState


@check("image-missing", "wrong-architecture")
def images(facts: Facts) -> Iterator[Finding]:
    """An image that nodes run is gone, or is made for another processor."""
    around, machine = known(facts.surroundings), known(facts.machine)
    for image, architecture in (around.software if around else {}).items():
        if architecture is None:
            yield Finding(
                "image-missing",
                f"the image {image} is gone",
                evidence=(f"nodes of {facts.name} were made from {image}, which the engine does not have any more",),
                cause="it was removed or renamed (`docker rmi`, `docker image prune`); what runs goes on running",
                file=facts.line_for("broker-1", "image"),
                fix=f"docker pull {image}, or provision image build or load; then provision up {facts.name}",
            )
        elif machine and machine.architecture and architecture != machine.architecture:
            yield Finding(
                "wrong-architecture",
                f"the image {image} is made for {architecture}, and the engine runs on {machine.architecture}",
                evidence=(f"architecture of {image}: {architecture}", f"of {machine.name}: {machine.architecture}"),
                cause="an image for one processor was pulled or loaded on a machine with another",
                file=facts.line_for("broker-1", "image"),
                fix=f"docker pull --platform linux/{machine.architecture} {image}, or set kafka.image to one that fits",
            )


@check("port-taken")
def ports(facts: Facts) -> Iterator[Finding]:
    """Somebody else has the port of a node that does not run, so that it cannot start."""
    for node, (port, holder) in sorted(facts.taken_ports.items()):
        yield Finding(
            "port-taken",
            f"port {port} of {node} is taken",
            evidence=(f"127.0.0.1:{port} is used by {holder}",),
            cause="two programs cannot listen on one port",
            file=facts.line_for(node, "port"),
            fix=f"end what uses it, or set another port or `port: auto`; then provision up {facts.name}",
            node=node,
        )


@check("node-gone", "volume-lost", "directory-lost")
def lost(facts: Facts) -> Iterator[Finding]:
    """A node is not there, though its data are, or the others say that it was."""
    observed = known(facts.observed)
    for name in observed.gone if observed and observed.nodes else ():
        yield Finding(
            "node-gone",
            f"{name} is gone, and its data are still there",
            evidence=(f"there is the storage of {name}, and no node",),
            cause="it was removed behind provision's back (`docker rm`)",
            fix=f"provision up {facts.name}",
            node=name,
        )
    settings = {name: one.settings for name, one in facts.nodes.items()}
    others = remembered(observed, facts.inside.cluster, settings) if observed else {}
    for name, who in sorted(others.items()):
        yield Finding(
            "volume-lost",
            f"{name} is gone with its data",
            evidence=(who,),
            cause="its container and its volume, or its directory, were removed behind provision's back",
            fix=f"provision up {facts.name} makes it again or says what of it is lost for good",
            node=name,
        )
    for node, about in facts.each:
        if isinstance(about.stored, Unasked) and about.stored.mend:
            yield Finding(
                "volume-lost",
                f"{node.name} has lost its data",
                evidence=(about.stored.why,),
                cause="the directory of its volume was removed behind provision's back",
                fix=about.stored.mend,
                node=node.name,
            )
    for node, _ in facts.in_state(NodeState.LOST):
        yield Finding(
            "directory-lost",
            f"{node.name} runs, but its directory is gone",
            evidence=(f"a process carries the mark of {node.name}, whose directory does not exist",),
            cause="the directory in the home was removed while the node ran",
            fix=f"provision down {facts.name} --keep-data ends it; provision up makes it again",
            node=node.name,
        )


@check("foreign-container")
def strangers(facts: Facts) -> Iterator[Finding]:
    """A node of another environment is in the network: names and addresses may be mixed up."""
    around = known(facts.surroundings)
    for stranger in around.strangers if around else ():
        yield Finding(
            "foreign-container",
            f"{stranger} is in the network of {facts.name}",
            evidence=(f"the network {facts.name} has a member that is not its own: {stranger}",),
            cause="somebody connected it (`docker network connect`)",
            fix=f"docker network disconnect {facts.name} {stranger.partition(' ')[0]}",
            severity=Severity.WARNING,
        )


@check("unreachable-listener")
def unreachable(facts: Facts) -> Iterator[Finding]:
    """A broker works, and advertises an address at which nobody reaches it."""
    answers = known(facts.inside.answers)
    working = {Role.BROKER.node(broker) for broker in (answers.clusters if answers else ())} - passing(facts)
    rows = [row for row in known(facts.reachability) or () if row.expected and row.differs and row.node in working]
    by_address: dict[tuple[str, str, str], list[Reach]] = {}
    for row in rows:
        by_address.setdefault((row.node, row.listener, row.address), []).append(row)
    for (node, listener, address), several in by_address.items():
        yield Finding(
            "unreachable-listener",
            f"{node} advertises {address} ({listener}), where it does not answer",
            evidence=tuple(f"asked from {row.asker}: {row.why}" for row in several),
            cause="clients connect to what a broker advertises, whatever address they were given first",
            file=facts.line_of_property(node, "advertised.listeners") or facts.line_for(node, "templates"),
            fix=f"correct advertised.listeners (in a template, or set dynamically), then provision up {facts.name}",
            node=node,
        )


@check("environment-file-invalid")
def invalid(facts: Facts) -> Iterator[Finding]:
    """The environment file is not valid, so that no change can be made."""
    if facts.problems:
        first = facts.problems[0]
        yield Finding(
            "environment-file-invalid",
            "the environment file is not valid",
            evidence=tuple(map(str, facts.problems)),
            cause=first.message,
            file=f"{first.file}:{first.line}" if first.line else first.file,
            fix="correct it; provision validate checks it",
        )
