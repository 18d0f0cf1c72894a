"""Take nodes down one at a time, while their cluster can do without them.

For each node:

1. wait until everything answers, and until the cluster can do without this node: a broker by the rule in
   `provision.kafka.availability`, a member of an ensemble while the others are a majority;
2. do with it what is to be done: stop it, perhaps give it another configuration, start it;
3. wait until it is back: a member in its quorum, a broker with every replica in sync, but for those that a reassignment
   is just bringing.

It guarantees that no record that was acknowledged by all in-sync replicas is lost, and that with enough replicas nobody
notices. A node that does not come back ends the roll there: those after it are as they were.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from provision.cluster.catalogue import KRAFT
from provision.cluster.model import FIRST_CONTROLLER_ID, Role
from provision.errors import Interrupted, NotReady, Unavailable
from provision.events import Event, Listener, NodeReady, NodeWaiting
from provision.kafka.availability import blockers
from provision.kafka.levels import Level
from provision.kafka.quorum import PARKED_FETCH_MS, Quorum, ask_for_quorum
from provision.kafka.readiness import ask_brokers, first_of, missing_for_brokers
from provision.kafka.zookeeper import has_quorum
from provision.observe import admin_of
from provision.plan.observed import NodeState, ObservedEnvironment
from provision.runtime.base import Runtime
from provision.waiting import Wait, ensemble_modes

_PAUSE_S = 0.3
_ENSEMBLE_PAUSE_S = 1.0  # where no port is published, each answer costs a JVM


@dataclass(frozen=True, slots=True)
class Roller:
    """Rolls nodes of one environment.

    `members` is how many nodes its ensemble is to have, `timeout_s` bounds each wait, `cancelled` ends them all.
    """

    runtime: Runtime
    environment: str
    members: int
    timeout_s: float
    tell: Listener
    cancelled: threading.Event = field(default_factory=threading.Event)

    def step(self, node: str, role: str, act: Callable[[], None]) -> None:
        """Take one node down by `act`, which brings it up again, and wait until it is back.

        Raises:
            NotReady: the cluster cannot do without it, or it did not come back, in time.
            NodeFailed: a node exited meanwhile.
        """
        self._wait_until_expendable(node, role)
        if self.cancelled.is_set():
            raise Interrupted(f"{node} was left as it is")
        act()
        self._wait_for_voter(node, role)
        self.wait_until_back(node, role)

    def _wait_for_voter(self, node: str, role: str) -> None:
        """A voter of a KRaft quorum is back when the active controller hears of it again."""
        if self.runtime.observe(self.environment).mode != KRAFT:
            return
        number = int(node.rpartition("-")[2])
        voter = number + FIRST_CONTROLLER_ID - 1 if role == Role.CONTROLLER else number
        since_ms: int | None = None

        def missing() -> str:
            nonlocal since_ms
            quorum = self._quorum()
            if quorum is None:
                return "no broker can tell of the quorum"
            since_ms = quorum.now_ms + PARKED_FETCH_MS if since_ms is None else since_ms
            return "" if quorum.heard_of(voter, since_ms) else "the active controller has not heard of it"

        self._poll(missing, _PAUSE_S, f"{node} is not back in the quorum", node)

    def wait_until_back(self, node: str, role: str) -> None:
        """Wait for the quorum where that is possible, then for all brokers and replicas; tells of `node` alone."""
        observed = self.runtime.observe(self.environment)
        if observed.mode == KRAFT:
            self._poll(self._lagging_voters, _PAUSE_S, "the quorum is not whole")
        if role == Role.ZOOKEEPER and not self._wait_for_members("the ensemble has no quorum"):
            return  # the first of a growing ensemble: those that make it a majority come next
        running_brokers = [node for node in observed.of_role(Role.BROKER) if node.state is NodeState.RUNNING]
        if running_brokers:
            self._wait(observed, node).until(Level.TOPICS, None)

    def _wait(self, observed: ObservedEnvironment, node: str) -> Wait:
        def tell(event: Event) -> None:
            """What others wait for is this node's doing: it is told beside this one's name."""
            if isinstance(event, NodeWaiting):
                whose = "" if event.node == node else f"{event.node}: "
                self.tell(NodeWaiting(node, f"{whose}{event.detail}"))
            elif isinstance(event, NodeReady) and event.node == node:
                self.tell(event)

        now = time.monotonic()
        # One that has exited meanwhile ends the wait at once; one that was never started has its turn later.
        wanted = [there.name for there in observed.nodes if there.state is not NodeState.CREATED]
        return Wait(
            self.runtime,
            self.environment,
            wanted,
            began=now,
            deadline=now + self.timeout_s,
            tell=tell,
            beside_moves=True,
            cancelled=self.cancelled,
        )

    def _wait_until_expendable(self, node: str, role: str) -> None:
        observed = self.runtime.observe(self.environment)
        if observed.mode == KRAFT:
            self._poll(self._lagging_voters, _PAUSE_S, f"{node} cannot be taken down")
            if role == Role.CONTROLLER:
                return
        if role == Role.ZOOKEEPER:
            if len(observed.of_role(Role.ZOOKEEPER)) > 1:
                self._poll(self._missing_members, _ENSEMBLE_PAUSE_S, f"{node} cannot be taken down")
            return

        def hindrance() -> str:
            try:
                return self._hindrance(int(node.rpartition("-")[2]))
            except Unavailable as error:  # the controller moves, or a broker does not know a topic yet
                return f"{error}: {error.why}"

        self._poll(hindrance, _PAUSE_S, f"{node} cannot be taken down", node)

    def wait_until_joinable(self) -> None:
        """Wait until whoever has data leads: a newcomer that found only newcomers would begin an empty history."""
        self._wait_for_members("nobody can join the ensemble")

    def _wait_for_members(self, failure: str) -> bool:
        """Wait until all members that ever ran make a quorum; False where so few cannot, and all of them run."""
        observed = self.runtime.observe(self.environment)
        ran = [node for node in observed.of_role(Role.ZOOKEEPER) if node.state is not NodeState.CREATED]
        if len(ran) > self.members // 2:
            self._poll(self._missing_members, _ENSEMBLE_PAUSE_S, failure)
            return True
        self._wait(observed, "").check_exits()
        return False

    def _missing_members(self) -> str:
        modes = ensemble_modes(self.runtime, self.runtime.observe(self.environment))
        if has_quorum(list(modes.values())):
            return ""
        lost = [name for name, mode in modes.items() if mode is None]
        return f"{', '.join(lost) or 'the ensemble'}: not part of a quorum"

    def _lagging_voters(self) -> str:
        quorum = self._quorum()
        if quorum is None:
            return "no broker can tell of the quorum"
        lacking = ", ".join(map(str, quorum.lacking()))
        return f"controller {lacking} has not caught up" if lacking else ""

    def _quorum(self) -> Quorum | None:
        return ask_for_quorum(self.runtime.observe(self.environment).broker_endpoints.values())

    def _hindrance(self, broker: int) -> str:
        """Why a broker may not go down now."""
        observed = self.runtime.observe(self.environment)
        answers = ask_brokers(observed.broker_endpoints)
        cluster = answers.best
        if missing := missing_for_brokers(answers) or ({} if cluster else {"the brokers": "they do not answer"}):
            return "; ".join(f"{name}: {reason}" for name, reason in missing.items())
        assert cluster is not None  # noqa: S101 told by what is missing
        with admin_of(observed.bootstrap_servers) as admin:
            minimum = admin.topics.minimum_in_sync([topic.name for topic in cluster.topics])
            cluster = cluster.with_moves(admin.partitions.moves())
        return first_of(blockers(cluster, minimum, broker))

    def _poll(self, missing: Callable[[], str], pause_s: float, failure: str, node: str = "") -> None:
        deadline = time.monotonic() + self.timeout_s
        wait = self._wait(self.runtime.observe(self.environment), node)
        while True:
            wait.check_exits()  # nothing comes from a node that has exited
            if not (reason := missing()):
                return
            if node:
                self.tell(NodeWaiting(node, reason))
            if time.monotonic() > deadline:
                hint = f"`provision status {self.environment}` shows what is missing; then again"
                raise NotReady(f"{failure} within {self.timeout_s:.0f} s", why=reason, hint=hint)
            if self.cancelled.wait(pause_s):
                raise Interrupted(f"{failure}: given up")
