"""What is known about an environment, gathered once. Checks read it and ask nothing by themselves."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct, field

from provision.cluster.model import Cluster, RenderedFile, Role
from provision.errors import Problem
from provision.home.holders import Holder
from provision.kafka.causes import Failure
from provision.kafka.failures import explain
from provision.kafka.quorum import Quorum
from provision.kafka.readiness import BrokerAnswers
from provision.observe.exits import failure_of, may_have_been_stopped, was_stopped
from provision.observe.readiness import Assessment
from provision.observe.remembered import settings_in
from provision.operations.certificates import Certificate
from provision.operations.doctor.reachability import Reach
from provision.plan.observed import Move, NodeState, ObservedCluster, ObservedEnvironment, ObservedNode, ObservedTopic
from provision.plan.stored import StoredData
from provision.runtime.health import Machine, Surroundings, Vitals
from provision.spec.source import Source

T = TypeVar("T")


class Unasked(Struct, frozen=True):
    """A fact that could not be asked: `why` is one sentence, `mend` what is to be done if that is known."""

    why: str
    mend: str = ""


_SECTIONS = {Role.ZOOKEEPER: "zookeeper", Role.CONTROLLER: "controllers", Role.BROKER: "brokers"}
_OF_NODES = ("log", "files", "stored", "vitals")
_AROUND = ("machine", "surroundings", "assessment", "reachability", "certificates")
_INSIDE = ("answers", "slow", "quorum", "modes", "settings", "topics", "moves")
NOT_ASKED = Unasked("it was not asked")


def known(fact: T | Unasked) -> T | None:
    """The fact; None if it could not be asked."""
    return None if isinstance(fact, Unasked) else fact


def _mentions(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(name.strip())}(?![\w.])", text) is not None


class NodeFacts(Struct, frozen=True):
    """One node, as far as it could be asked.

    `log` are its last lines (`kafka.failures.LOG_LINES`), oldest first, and `files` its configuration. `stored` is what
    its storage contains, which is only asked while the node does not run.
    """

    name: str
    log: tuple[str, ...] | Unasked = NOT_ASKED
    files: tuple[RenderedFile, ...] | Unasked = NOT_ASKED
    stored: StoredData | Unasked | None = NOT_ASKED
    vitals: Vitals | Unasked = NOT_ASKED

    @property
    def settings(self) -> Mapping[str, str]:
        """The settings in its properties file; empty if that could not be read."""
        return settings_in(known(self.files) or ())


class Arrival(Struct, frozen=True):
    """What the new replicas of a partition lack, and what they gained while they were watched for a few seconds."""

    lacking_bytes: int
    gained_bytes: int


class Inside(Struct, frozen=True):
    """What lives inside Kafka.

    `answers` is what each broker reports within two seconds, and `slow` the reason why those that were silent then did
    not answer within ten either; empty if they did. `settings` are each broker's dynamic settings, by its id, and
    `defaults` those for all brokers, by key, each with what would be in effect without it. `topics` have their own
    settings. `modes` are those of the ZooKeeper nodes that run (`leader`, `follower`, `standalone`, or
    None for one without a quorum). `arrivals` are those of the partitions that are being reassigned.
    """

    answers: BrokerAnswers | Unasked = NOT_ASKED
    slow: Mapping[int, str] | Unasked = NOT_ASKED
    quorum: Quorum | Unasked | None = NOT_ASKED
    modes: Mapping[str, str | None] | Unasked = NOT_ASKED
    settings: Mapping[int, Mapping[str, str]] | Unasked = NOT_ASKED
    defaults: Mapping[str, tuple[str, str]] | Unasked = NOT_ASKED
    topics: tuple[ObservedTopic, ...] | Unasked = NOT_ASKED
    moves: Mapping[tuple[str, int], Move] | Unasked = NOT_ASKED
    arrivals: Mapping[tuple[str, int], Arrival] | Unasked = NOT_ASKED

    @property
    def cluster(self) -> ObservedCluster | None:
        """The cluster as the broker reports it that knows most; None if none answers."""
        answers = known(self.answers)
        return answers.best if answers else None


class Damage(Struct, frozen=True):
    """Why a note cannot be read, and what to do about it."""

    why: str
    fix: str


class Facts(Struct, frozen=True):
    """All that is known about one environment.

    `source` describes it, if that is more than its name; `cluster` is what it means, None if it is not valid
    (`problems`) or only the name is known. `observed` is what the runtime has. `engine` is why Docker does not answer,
    if it was asked and does not. `assessment` is how ready it is, as `status` tells. `taken_ports` are those of
    nodes that do not run, by node, each with who has it. `rendered` are the files that `up` would give the nodes.
    `certificates` are those that are kept of it.
    `damaged` are notes of the program's own that cannot be read, by their places. `changing` is
    the command that is changing it now, None if none is.
    """

    name: str
    observed: ObservedEnvironment | Unasked
    source: Source | None = None
    cluster: Cluster | None = None
    problems: tuple[Problem, ...] = ()
    engine: Unasked | None = None
    machine: Machine | Unasked = NOT_ASKED
    surroundings: Surroundings | Unasked = NOT_ASKED
    nodes: Mapping[str, NodeFacts] = field(default_factory=dict)
    inside: Inside = Inside()
    assessment: Assessment | Unasked = NOT_ASKED
    reachability: tuple[Reach, ...] | Unasked = NOT_ASKED
    taken_ports: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    rendered: tuple[RenderedFile, ...] | Unasked = NOT_ASKED
    certificates: tuple[Certificate, ...] | Unasked = NOT_ASKED
    damaged: Mapping[str, Damage] = field(default_factory=dict)
    changing: Holder | Unasked | None = None

    def line_of(self, *path: str | int) -> str:
        """`FILE:LINE` of a key of the environment file, as in `line_of("topics", 0)`; empty if it does not have it."""
        return self.source.line_of(path) if self.source else ""

    def line_for(self, node: str, *keys: str) -> str:
        """`FILE:LINE` of the first of these keys that the file has for a node; empty if it has none of them.

        Each is looked for in the overrides of the broker, in the section of its role, below `kafka`, and at the top.
        """
        role, number = Role.parse(node)
        section = _SECTIONS[role]
        for key in keys:
            for path in ((section, "overrides", number, key), (section, key), ("kafka", key), (key,)):
                if line := self.line_of(*path):
                    return line
        return ""

    def line_of_property(self, node: str, text: str) -> str:
        """`FILE:LINE` of the property of a node that a text, such as its log, mentions; empty if it mentions none."""
        role, number = Role.parse(node)
        section = _SECTIONS[role]
        above = {(section, "properties"), (section, "overrides", number, "properties")}
        written = [path for path in (self.source.written_keys if self.source else ()) if path[:-1] in above]
        mentioned = [path for path in written if _mentions(text, str(path[-1]))]
        if not mentioned:  # a class that is missing is told without its key
            known_nodes = {one.name: one for one in self.cluster.nodes} if self.cluster else {}
            values = known_nodes[node].properties if node in known_nodes else {}
            names = {path: values.get(str(path[-1]), "").split(",") for path in written}
            mentioned = [path for path in written if any("." in name and _mentions(text, name) for name in names[path])]
        return self.line_of(*mentioned[-1]) if mentioned else ""

    @property
    def there(self) -> tuple[ObservedNode, ...]:
        """The nodes that the runtime has."""
        observed = known(self.observed)
        return observed.nodes if observed else ()

    @property
    def each(self) -> Iterator[tuple[ObservedNode, NodeFacts]]:
        """All nodes, with what is known of each."""
        return self.in_state(*NodeState)

    @property
    def missing(self) -> Mapping[str, str]:
        """Why the environment is not ready, by node; empty if it is."""
        assessment = known(self.assessment)
        return assessment.missing if assessment else {}

    @property
    def is_in_docker(self) -> bool:
        """Whether its nodes are containers."""
        observed = known(self.observed)
        return bool(observed and observed.runtime == "docker")

    def in_state(self, *states: NodeState) -> Iterator[tuple[ObservedNode, NodeFacts]]:
        """The nodes in one of these states, with what is known of each."""
        for node in self.there:
            if node.state in states:
                yield node, self.nodes.get(node.name) or NodeFacts(node.name)

    @property
    def running(self) -> Iterator[tuple[ObservedNode, NodeFacts]]:
        """The nodes that run, with what is known of each."""
        return self.in_state(NodeState.RUNNING)

    @property
    def unasked(self) -> Iterator[tuple[str, str]]:
        """What was asked in vain: its name, and why there is no answer."""
        of_nodes = [(f"{what} of {one.name}", getattr(one, what)) for one in self.nodes.values() for what in _OF_NODES]
        inside = [(what, getattr(self.inside, what)) for what in _INSIDE]
        around = [(what, getattr(self, what)) for what in _AROUND]
        for what, fact in (*around, *of_nodes, *inside):
            if isinstance(fact, Unasked) and fact is not NOT_ASKED:
                yield what, fact.why

    def failure_of(self, node: ObservedNode) -> Failure | None:
        """Why a node exited, or cannot work, as its log tells; None if it says nothing known."""
        log = self.log_of(node.name)
        return failure_of(node, log) if node.state in (NodeState.EXITED, NodeState.RESTARTING) else explain(log)

    def was_stopped(self, node: ObservedNode) -> bool:
        """Whether a node that has exited was asked to."""
        return was_stopped(node, self.log_of(node.name))

    def may_have_been_stopped(self, node: ObservedNode) -> bool:
        """Whether a node that has exited was asked to, or may have been."""
        return may_have_been_stopped(node, self.log_of(node.name))

    def log_of(self, node: str) -> Sequence[str]:
        """The last lines of a node's log, as far as they could be read."""
        facts = self.nodes.get(node)
        return known(facts.log) or () if facts else ()
