"""How ready an environment is, and waiting until it is: the runtime's and Kafka's answers put together.

Waiting is honest: it polls with pauses, stops at once when a node has exited, and never says ready when time is up.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from provision.cluster.catalogue import KRAFT
from provision.cluster.model import Topic
from provision.errors import Interrupted, NodeFailed, NotReady, Unavailable
from provision.events import LevelReached, Listener, NodeReady, NodeWaiting
from provision.kafka.failures import explain
from provision.kafka.leaders import missing_for_leaders
from provision.kafka.levels import Level
from provision.kafka.quorum import ask_for_quorum
from provision.kafka.readiness import (
    BrokerAnswers,
    ask_brokers,
    missing_for_agreement,
    missing_for_brokers,
    missing_for_topics,
)
from provision.kafka.zookeeper import FOUR_LETTER_WORD_MAIN, SERVER_STATUS, has_quorum, mode, server_status
from provision.plan.observed import NodeState, ObservedCluster, ObservedEnvironment, ObservedNode
from provision.runtime.base import JavaCommand, Runtime

_PAUSE_S = 0.15
_ADMIN_S = 5.0
_STOPPED = (0, 143)  # 143: a JVM that was asked to stop by SIGTERM
_LOG_LINES = 60
_SHOWN_LOG_LINES = 12
# A broker that was killed can register again when its ZooKeeper session has ended: 18 s by default.
_RESTART_PAUSE_S = 3.0


_NOT_RUNNING = {NodeState.CREATED: "it was never started", NodeState.EXITED: "it has exited"}


@dataclass(frozen=True, slots=True)
class Assessment:
    """How ready an environment is, and what the next level lacks: node name to reason."""

    observed: ObservedEnvironment
    level: Level
    missing: Mapping[str, str] = field(default_factory=dict)
    cluster: ObservedCluster | None = None


def assess(
    runtime: Runtime,
    observed: ObservedEnvironment,
    topics: Sequence[Topic] | None,
    *,
    nodes: Sequence[str] | None = None,
    ask_inside: bool = False,
    beside_moves: bool = False,
) -> Assessment:
    """Ask everything once.

    Args:
        runtime: where the nodes are.
        observed: what the runtime has.
        topics: those that must be there; None for whichever there are.
        nodes: the nodes that must run; None for those there are.
        ask_inside: ask ZooKeeper nodes without a published port too, from inside, which costs a JVM each.
        beside_moves: replicas that a reassignment is bringing need not be in sync yet.
    """
    stopped = _not_running(observed, nodes)
    if stopped or not observed.nodes:
        return Assessment(observed, Level.NONE, stopped)
    wanted = frozenset(nodes if nodes is not None else (node.name for node in observed.nodes))
    brokers = {
        node.number: node.endpoint for node in observed.of_role("broker") if node.endpoint and node.name in wanted
    }
    answers = ask_brokers(brokers)
    missing = missing_for_brokers(answers)
    if missing or not brokers:
        quorum = _missing_for_quorum(runtime, observed, ask_inside=ask_inside)
        level = Level.PROCESS if quorum is None or quorum else Level.QUORUM
        return Assessment(observed, level, quorum or missing, answers.best)
    missing = missing_for_topics(answers, topics)
    if missing and beside_moves:
        missing = missing_for_topics(_with_moves(observed, answers), topics)
    if not missing and observed.mode == KRAFT and answers.best:
        names = None if topics is None else {topic.name for topic in topics}
        missing = missing_for_leaders(answers.best, brokers, names)
    return Assessment(observed, Level.BROKERS if missing else Level.TOPICS, missing, answers.best)


def _with_moves(observed: ObservedEnvironment, answers: BrokerAnswers) -> BrokerAnswers:
    from provision.kafka.admin import connected

    try:
        with connected(observed.bootstrap_servers, _ADMIN_S) as admin:
            moves = admin.partitions.moves()
    except Unavailable:  # the controller moves: it is asked again with everything else
        return answers
    clusters = {broker: cluster.with_moves(moves) for broker, cluster in answers.clusters.items()}
    return replace(answers, clusters=clusters)


def _not_running(observed: ObservedEnvironment, nodes: Sequence[str] | None) -> dict[str, str]:
    wanted = [node.name for node in observed.nodes] if nodes is None else nodes
    states = {node.name: node.state for node in observed.nodes}
    return {
        name: _NOT_RUNNING[states[name]] if name in states else "it is not there"
        for name in wanted
        if states.get(name) is not NodeState.RUNNING
    }


def _missing_for_quorum(runtime: Runtime, observed: ObservedEnvironment, *, ask_inside: bool) -> dict[str, str] | None:
    """What ensemble or KRaft quorum lack; nothing when they are whole, None when it cannot be told from here."""
    if observed.mode == KRAFT:
        return {} if ask_for_quorum(observed.broker_endpoints.values()) else None
    if not ask_inside and not all(node.endpoint for node in observed.of_role("zookeeper")):
        return None
    modes = ensemble_modes(runtime, observed)
    if has_quorum(list(modes.values())):
        return {}
    return {
        node: "it is not part of a quorum yet" if state is None else f"it is {state}, others are missing"
        for node, state in modes.items()
        if state is None or "leader" not in modes.values()
    }


def ensemble_modes(runtime: Runtime, observed: ObservedEnvironment) -> dict[str, str | None]:
    """What each running node of the ensemble is in it: `standalone`, `leader` or `follower`; None for nothing yet."""
    ensemble = [node for node in observed.of_role("zookeeper") if node.state is NodeState.RUNNING]
    return {node.name: mode(_status_of(runtime, observed.name, node)) for node in ensemble}


def _status_of(runtime: Runtime, environment: str, node: ObservedNode) -> str:
    if node.endpoint:
        return server_status(node.endpoint)
    host, _, port = runtime.inside_address(environment, node.name).rpartition(":")
    return runtime.run_in_node(environment, node.name, JavaCommand(FOUR_LETTER_WORD_MAIN, (host, port, SERVER_STATUS)))[
        1
    ]


@dataclass(slots=True)
class Wait:
    """One wait for a level.

    `began` and `deadline` are `time.monotonic()` values; `timings` gets the seconds from `began` by level. With
    `beside_moves` it is not waited for what reassignments are bringing. `cancelled` ends it from another thread.
    """

    runtime: Runtime
    environment: str
    nodes: Sequence[str]
    began: float
    deadline: float
    tell: Listener
    beside_moves: bool = False
    cancelled: threading.Event = field(default_factory=threading.Event)
    timings: dict[str, float] = field(default_factory=dict)
    _ready: set[str] = field(default_factory=set)
    _restarted: dict[str, float] = field(default_factory=dict)

    def until(self, level: Level, topics: Sequence[Topic] | None) -> Assessment:
        """Poll until the environment holds `level`.

        Raises:
            NodeFailed: a node exited; carries its last log lines and the reason where it is known.
            NotReady: time is up; says what is missing.
        """

        def ask(observed: ObservedEnvironment) -> Assessment:
            assessment = assess(
                self.runtime,
                observed,
                topics,
                nodes=self.nodes,
                ask_inside=level is Level.QUORUM,
                beside_moves=self.beside_moves,
            )
            self._report(assessment, level)
            return assessment

        reached = self._poll(ask, level)
        return reached if level <= Level.TOPICS else self._roundtrip(reached)

    def until_agreed(self) -> None:
        """Poll until all brokers answer, and tell the same partitions.

        Raises:
            NodeFailed, NotReady: as in `until`.
        """

        def ask(observed: ObservedEnvironment) -> Assessment:
            answers = ask_brokers(observed.broker_endpoints)
            missing = missing_for_brokers(answers) or missing_for_agreement(answers)
            return Assessment(observed, Level.PROCESS if missing else Level.BROKERS, missing)

        self._poll(ask, Level.BROKERS)

    def _poll(self, ask: Callable[[ObservedEnvironment], Assessment], level: Level) -> Assessment:
        while True:
            observed = self.runtime.observe(self.environment)
            self._check_exits(observed)
            assessment = ask(observed)
            if assessment.level >= min(level, Level.TOPICS):
                return assessment
            if time.monotonic() > self.deadline:
                raise self._not_ready(level, assessment)
            if self.cancelled.wait(_PAUSE_S):
                raise Interrupted(f"waiting for {level} was given up")

    def check_exits(self) -> None:
        """Raise when a node has exited; one that can come back by itself is started again.

        Raises:
            NodeFailed: with its last log lines, and the reason where it is known.
        """
        self._check_exits(self.runtime.observe(self.environment))

    def _roundtrip(self, assessment: Assessment) -> Assessment:
        from provision.kafka.messages import roundtrip

        roundtrip(assessment.observed.bootstrap_servers, max(self.deadline - time.monotonic(), 1.0))
        proven = replace(assessment, level=Level.ROUNDTRIP)
        self._report(proven, Level.ROUNDTRIP)
        return proven

    def _report(self, assessment: Assessment, wanted: Level) -> None:
        for step in Level:
            if Level.NONE < step <= min(assessment.level, wanted) and str(step) not in self.timings:
                self.timings[str(step)] = round(time.monotonic() - self.began, 2)
                self.tell(LevelReached(str(step), self.timings[str(step)]))
        for node in assessment.observed.nodes:
            reason = assessment.missing.get(node.name)
            if reason:
                self._ready.discard(node.name)
                self.tell(NodeWaiting(node.name, reason))
            elif assessment.level >= _ready_level(node.role) and node.name not in self._ready:
                self._ready.add(node.name)
                self.tell(NodeReady(node.name, node.endpoint))

    def _check_exits(self, observed: ObservedEnvironment) -> None:
        for node in observed.nodes:
            if node.state is NodeState.EXITED and node.name in self.nodes:
                log = list(self.runtime.log_lines(self.environment, node.name, tail=_LOG_LINES))
                failure = explain(log, out_of_memory=node.out_of_memory)
                if failure and failure.transient:
                    self._start_again(node.name, failure.reason)
                    continue
                if node.exit_code in _STOPPED:
                    hint = f"`provision start {self.environment} {node.name}`"
                    raise NodeFailed(f"{node.name} is stopped", node=node.name, hint=hint)
                raise NodeFailed(
                    f"{node.name} exited" + (f" with code {node.exit_code}" if node.exit_code is not None else ""),
                    node=node.name,
                    why=failure.reason if failure else "",
                    hint=failure.hint if failure else f"its whole log: `provision logs {self.environment} {node.name}`",
                    log=_telling(log),
                )

    def _start_again(self, node: str, reason: str) -> None:
        self.tell(NodeWaiting(node, reason))
        if time.monotonic() - self._restarted.get(node, 0.0) > _RESTART_PAUSE_S:
            self._restarted[node] = time.monotonic()
            self.runtime.start_node(self.environment, node)

    def _not_ready(self, level: Level, assessment: Assessment) -> NotReady:
        missing = dict(assessment.missing) or {"the environment": "it cannot be told why"}
        name, *_ = missing
        log = (
            _telling(list(self.runtime.log_lines(self.environment, name, tail=_LOG_LINES)))
            if assessment.observed.node(name)
            else []
        )
        waited = round(self.deadline - self.began)
        return NotReady(
            f"{self.environment} did not reach {level} within {waited} s",
            why="\n".join(f"{node}: {reason}" for node, reason in missing.items()),
            hint="raise --timeout, or look at `provision logs`",
            log=log,
        )


def _telling(log: Sequence[str]) -> list[str]:
    """The last lines of a log without the frames of Java's stack traces."""
    return [line for line in log if not line.startswith(("\tat ", "\t... "))][-_SHOWN_LOG_LINES:]


def _ready_level(role: str) -> Level:
    return Level.BROKERS if role == "broker" else Level.QUORUM
