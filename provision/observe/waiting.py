"""Waiting until an environment is ready.

Waits poll with pauses, stop at once when a node has exited, and never report ready because time has run out.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from provision.cluster.model import Role
from provision.common.patience import Patience, Pauses
from provision.common.values import replace
from provision.errors import NodeFailed, NodeGone, NotReady
from provision.events import LevelReached, Listener, NodeReady, NodeWaiting, StillWaiting
from provision.kafka.failures import LOG_LINES, explain, telling
from provision.kafka.levels import Level
from provision.kafka.readiness import ask_brokers, missing_for_agreement, missing_for_brokers
from provision.observe.exits import check_beside, failure_of, was_stopped
from provision.observe.health import Condition, explained, health_of, with_halted
from provision.observe.reach import access_to
from provision.observe.readiness import Assessment, assess, with_members
from provision.observe.remembered import read_settings, with_remembered
from provision.plan.listing import listed
from provision.plan.observed import NodeState, ObservedEnvironment
from provision.runtime.base import Runtime

_BY_ITSELF = "it ended by itself and without an error: something in its JVM, such as a Java agent, has ended it"
# A killed broker can register again once its ZooKeeper session has expired: 18 s by default.
_RESTART_PAUSE_S = 3.0

Ask = Callable[[ObservedEnvironment], Assessment]


@dataclass(slots=True)
class Wait:
    """Waits for the nodes of one environment, one level after the other.

    Each wait may use the full `patience` from its beginning. `timings` records the seconds by level since `began`, a
    `time.monotonic()` value. With `ignore_moves`, replicas that a reassignment is adding are not waited for. Without
    `restarts`, no node is started again.

    With `changing`, which tells whether a command is changing the environment, this is a wait for the whole of it, as
    `status` sees it: also for nodes that only others remember, or that a signal has stopped. One that is gone ends the
    wait, unless that command may be about to make it.
    """

    runtime: Runtime
    environment: str
    nodes: Sequence[str]
    patience: Patience
    tell: Listener
    ignore_moves: bool = False
    restarts: bool = True
    changing: Callable[[], bool] | None = None
    began: float = field(default_factory=time.monotonic)
    timings: dict[str, float] = field(default_factory=dict)
    _ready: set[str] = field(default_factory=set)
    _restarted: dict[str, Patience] = field(default_factory=dict)
    _settings: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)

    def until(self, level: Level, topics: Collection[str] | None, members: Collection[str] = ()) -> Assessment:
        """Poll until the environment has reached `level`, and these members of the ensemble are part of it.

        Raises:
            NodeFailed: a node exited; has the errors in its log, and the reason if it is known. Or it is gone.
            NotReady: the time limit has passed; names what is missing.
            Interrupted: the wait was cancelled.
        """

        def assessed(observed: ObservedEnvironment) -> Assessment:
            return assess(
                self.runtime,
                observed,
                topics,
                nodes=self.nodes,
                ask_inside=level is Level.QUORUM,
                ignore_moves=self.ignore_moves,
            )

        def ask(observed: ObservedEnvironment) -> Assessment:
            assessment = assessed(observed)
            if self.changing:
                if assessment.level >= level and (seen := with_halted(observed, self.runtime)) is not observed:
                    assessment = assessed(seen)  # brokers need not miss what a signal has stopped
                assessment = with_remembered(assessment, read_settings(self.runtime, observed, self._settings))
                self._check_gone(assessment, self.changing)
            if assessment.level >= level:
                assessment = with_members(assessment, self.runtime, members)
            self._report(assessment, level)
            return assessment

        patience = self.patience.renewed(f"waiting for {level}")
        reached = self._poll(ask, level, patience)
        return reached if level <= Level.TOPICS else self.roundtrip(reached, patience)

    def until_agreed(self) -> None:
        """Poll until all brokers answer and report the same partitions.

        Raises:
            NodeFailed, NotReady, Interrupted: as in `until`.
        """

        def ask(observed: ObservedEnvironment) -> Assessment:
            answers = ask_brokers(access_to(observed))
            missing = missing_for_brokers(answers) or missing_for_agreement(answers)
            return Assessment(observed, Level.PROCESS if missing else Level.BROKERS, missing)

        self._poll(ask, Level.BROKERS, self.patience.renewed("waiting for the brokers to agree"))

    def _poll(self, ask: Ask, level: Level, patience: Patience) -> Assessment:
        pauses, before = Pauses(), None
        while True:
            self.tell(StillWaiting(str(level)))
            observed = self.runtime.observe(self.environment)
            if self.changing:  # a command may add or remove some meanwhile
                self.nodes = observed.all_names or self.nodes
            self._check_exits(observed)
            assessment = ask(observed)
            if assessment.level >= min(level, Level.TOPICS):
                return assessment
            if (found := (assessment.level, assessment.missing)) != before:
                pauses.begin_again()
                before = found
            if not patience.pause(pauses.next_s()):
                raise self._not_ready(level, assessment, patience)

    def check_exits(self) -> None:
        """Raise if a node has exited; one with a transient failure is started again.

        Raises:
            NodeFailed: with the errors in its log, and the reason if it is known.
        """
        self._check_exits(self.runtime.observe(self.environment))

    def roundtrip(self, assessment: Assessment, patience: Patience | None = None) -> Assessment:
        """Check, in an environment that has reached `topics`, that each broker takes and returns a record.

        Raises:
            NotReady: not in time: as long as `patience` allows, which may have begun already.
            NodeFailed: a node has exited.
        """
        from provision.kafka.roundtrip import roundtrip

        patience = patience or self.patience.renewed("waiting for a round trip")
        try:
            roundtrip(access_to(assessment.observed), patience)
        except NotReady as error:
            check_beside(self.check_exits, error.why.splitlines())
            raise
        proven = replace(assessment, level=Level.ROUNDTRIP)
        self._report(proven, Level.ROUNDTRIP)
        return proven

    def _report(self, assessment: Assessment, wanted: Level) -> None:
        for node in assessment.observed.nodes:
            reason = assessment.missing.get(node.name)
            if reason:
                self._ready.discard(node.name)
                self.tell(NodeWaiting(node.name, reason))
            elif assessment.level >= _ready_level(node.role) and node.name not in self._ready:
                self._ready.add(node.name)
                self.tell(NodeReady(node.name, node.endpoint))
        for step in Level:
            if Level.NONE < step <= min(assessment.level, wanted) and str(step) not in self.timings:
                self.timings[str(step)] = round(time.monotonic() - self.began, 2)
                self.tell(LevelReached(str(step), self.timings[str(step)]))

    def _check_exits(self, observed: ObservedEnvironment) -> None:
        for node in observed.nodes:
            if node.state is NodeState.LOST and node.name in self.nodes:
                hint = f"`provision down {self.environment} --keep-data` ends it; `provision up` makes it again"
                raise NodeFailed(f"{node.name} runs, but its directory is gone", node=node.name, hint=hint)
            if node.waits_for and node.name in self.nodes:
                what = f"{node.name} waits for its engine"
                hint = "`docker node ls` shows engines; if one is gone for good, `provision up --give-up ENGINE`"
                raise NodeFailed(what, node=node.name, why=node.waits_for, hint=hint)
            if node.state is NodeState.EXITED and node.name in self.nodes:
                log = self._log_of(node.name)
                if log is None:
                    continue
                failure = failure_of(node, log)
                if failure and failure.transient and self.restarts:
                    self._start_again(node.name, failure.reason)
                    continue
                if was_stopped(node, log):
                    hint = f"`provision start {self.environment} {node.name}`"
                    stopped = NodeFailed(f"{node.name} is stopped", node=node.name, hint=hint)
                    stopped.stopped = True
                    raise stopped
                error = NodeFailed(
                    f"{node.name} exited" + (f" with code {node.exit_code}" if node.exit_code is not None else ""),
                    node=node.name,
                    why=failure.reason if failure else _BY_ITSELF if node.exit_code == 0 else "",
                    hint=failure.hint if failure else f"its whole log: `provision logs {self.environment} {node.name}`",
                    log=telling(log),
                )
                error.port_taken = failure is not None and failure.port_taken
                raise error

    def _check_gone(self, assessment: Assessment, changing: Callable[[], bool]) -> None:
        """Raise if nodes are not there and nobody is about to make them, with data or without."""
        gone = [name for name in assessment.missing if assessment.observed.node(name) is None]
        if not gone or changing():
            return
        there = self.runtime.observe(self.environment)  # the command may have ended since the first look
        if still := [name for name in gone if there.node(name) is None]:
            raise NodeFailed(
                f"{listed(still)} {'is' if len(still) == 1 else 'are'} gone",
                node=still[0],
                why="\n".join(f"{name}: {assessment.missing[name]}" for name in still),
                hint=f"`provision up {self.environment}` makes what is gone again, or says what of it is lost for good",
            )

    def _log_of(self, node: str) -> list[str] | None:
        """The last lines of a node's log; None if it has gone since it was seen, which the next look tells."""
        try:
            return list(self.runtime.log_lines(self.environment, node, tail=LOG_LINES))
        except NodeGone:
            return None

    def _start_again(self, node: str, reason: str) -> None:
        self.tell(NodeWaiting(node, reason))
        if node not in self._restarted or self._restarted[node].is_over:
            self._restarted[node] = Patience(_RESTART_PAUSE_S)
            self.runtime.start_node(self.environment, node)

    def _not_ready(self, level: Level, assessment: Assessment, patience: Patience) -> NotReady:
        missing = dict(assessment.missing) or {"the environment": "it is not known why"}
        told = health_of(with_halted(assessment.observed, self.runtime), list(missing))
        missing = explained(missing, told)
        frozen = " ".join(node for node, health in told.items() if health.condition == Condition.FROZEN)
        name, *_ = missing
        there = assessment.observed.node(name)
        reads = there and not there.waits_for
        log = (self._log_of(name) if reads else None) or []
        known = explain(log)
        otherwise = "raise --timeout, or look at `provision logs`"
        if any(health.condition == Condition.UNREACHABLE for health in told.values()):
            otherwise = f"`provision doctor {self.environment}` looks for the reason; or raise --timeout"
        if frozen:
            otherwise = f"`provision restart {self.environment} {frozen}` ends it and starts it again"
        error = NotReady(
            f"{self.environment} did not reach {level} within {patience.given}",
            why="\n".join(f"{node}: {reason}" for node, reason in missing.items()),
            hint=known.hint if known else otherwise,
            log=telling(log),
            missing=missing,
        )
        if known:
            error.add(f"{name} may say why in its log: {known.reason}")
        return error


def _ready_level(role: str) -> Level:
    return Level.BROKERS if role == Role.BROKER else Level.QUORUM
