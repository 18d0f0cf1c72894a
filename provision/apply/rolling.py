"""Take nodes down one at a time, while their cluster can do without them.

For each node:

1. wait until everything answers, and until the cluster can do without this node: a broker by the rule in
   `provision.kafka.availability`, a member of an ensemble while the others are a majority;
2. act on it: stop it, possibly replace its configuration, start it; one that has ended by then, because somebody else
   stopped it, or a command that was killed had begun to, is not waited for if the step starts it again;
3. wait until it is back: a member in its quorum, a broker with every replica in sync, except for those that a
   reassignment is adding.

No record acknowledged by all in-sync replicas is lost, and with enough replicas clients are not interrupted. A node
that does not come back ends the roll: the nodes after it are not touched.
"""

from collections.abc import Callable

from msgspec import Struct

from provision.catalogue.versions import KRAFT
from provision.cluster.model import Role
from provision.common.patience import Patience
from provision.errors import NodeFailed, NotReady, Unavailable
from provision.events import ActionStep, Event, Listener, NodeReady, NodeWaiting
from provision.kafka.availability import blockers
from provision.kafka.levels import Level
from provision.kafka.quorum import PARKED_FETCH_MS, Quorum, ask_for_quorum
from provision.kafka.readiness import ask_brokers, first_of, missing_for_brokers
from provision.kafka.zookeeper import has_quorum
from provision.observe.leaders import SILENT, ensemble_modes
from provision.observe.reach import access_to
from provision.observe.waiting import Wait
from provision.plan.actions import Verb
from provision.plan.observed import NodeState, ObservedEnvironment
from provision.runtime.base import Runtime

_PAUSE_S = 0.3
_ENSEMBLE_PAUSE_S = 1.0  # without a published port, each request starts a JVM

# With its data: a node that moves begins with none, and must not if it was the only one that had some.
_STARTS_IT_AGAIN = frozenset({Verb.RESTART, Verb.RECREATE})

Step = Callable[[str], None]
"""Called with each step on a node, for example `stopping`."""


class Roller(Struct, frozen=True):
    """Takes nodes of one environment down, one at a time.

    `members` is the intended size of its ensemble. Each wait may use the full `patience`.
    """

    runtime: Runtime
    environment: str
    members: int
    patience: Patience
    tell: Listener

    def step(self, node: str, verb: str, act: Callable[[Step], None]) -> None:
        """Run `act`, which takes one node down and starts it again, and wait until it is back.

        Raises:
            NotReady: the cluster could not do without it, or it did not come back, in time.
            NodeFailed: another node exited meanwhile, or this one after its start, or before an `act` that does not
                start it again with its data.
            Interrupted: it was cancelled before the node was touched, or during a wait.
        """

        def told(step: str) -> None:
            self.tell(ActionStep(node, verb, step))

        told("waiting until the others can do without it")
        try:
            self._wait_until_expendable(node)
        except NodeFailed as error:
            if error.node != node or verb not in _STARTS_IT_AGAIN or not self._has_ended(node):
                raise
        self.patience.renewed(f"taking {node} down").check()
        act(told)
        told("waiting until it is back")
        self._wait_for_voter(node)
        self.wait_until_back(node)

    def _has_ended(self, node: str) -> bool:
        there = self.runtime.observe(self.environment).node(node)
        return there is not None and there.state is NodeState.EXITED

    def _wait_for_voter(self, node: str) -> None:
        """Wait until the active controller hears from a voter of the KRaft quorum again."""
        if self.runtime.observe(self.environment).mode != KRAFT:
            return
        role, number = Role.parse(node)
        voter = role.id_of(number)
        since_ms: int | None = None

        def missing() -> str:
            nonlocal since_ms
            quorum = self._quorum()
            if quorum is None:
                return "no broker can describe the quorum"
            since_ms = quorum.now_ms + PARKED_FETCH_MS if since_ms is None else since_ms
            return "" if quorum.heard_of(voter, since_ms) else "the active controller has not heard of it"

        self._poll(missing, _PAUSE_S, f"{node} is not back in the quorum", node)

    def wait_until_back(self, node: str) -> None:
        """Wait for the quorum if possible, then for all brokers and replicas; reports only about `node`."""
        observed = self.runtime.observe(self.environment)
        if observed.mode == KRAFT:
            self._poll(self._lagging_voters, _PAUSE_S, "the quorum is not whole")
        is_member = Role.parse(node)[0] is Role.ZOOKEEPER
        if is_member and not self._wait_for_members("the ensemble has no quorum"):
            return  # the first of a growing ensemble: the members that complete a majority follow
        states = {node.state for node in observed.of_role(Role.BROKER)}
        if NodeState.RUNNING in states:
            # A broker that was lost is started after the ensemble is whole: until then its replicas are missed.
            lacks_brokers = is_member and NodeState.CREATED in states
            self._wait(observed, node).until(Level.BROKERS if lacks_brokers else Level.TOPICS, None)

    def _wait(self, observed: ObservedEnvironment, node: str) -> Wait:
        def tell(event: Event) -> None:
            """Report what other nodes wait for under this node's name, because it is the cause."""
            if isinstance(event, NodeWaiting):
                whose = "" if event.node == node else f"{event.node}: "
                self.tell(NodeWaiting(node, f"{whose}{event.detail}"))
            elif isinstance(event, NodeReady) and event.node == node:
                self.tell(event)

        # A node that has exited ends the wait at once; one that was never started is started later.
        wanted = [there.name for there in observed.nodes if there.state is not NodeState.CREATED]
        return Wait(self.runtime, self.environment, wanted, self.patience, tell, ignore_moves=True)

    def _wait_until_expendable(self, node: str) -> None:
        observed = self.runtime.observe(self.environment)
        role, number = Role.parse(node)
        if observed.mode == KRAFT:
            self._poll(self._lagging_voters, _PAUSE_S, f"{node} cannot be taken down")
            if role is Role.CONTROLLER:
                return
        if role is Role.ZOOKEEPER:
            if len(observed.of_role(Role.ZOOKEEPER)) > 1:
                self._poll(self._missing_members, _ENSEMBLE_PAUSE_S, f"{node} cannot be taken down")
            return

        def hindrance() -> str:
            try:
                return self._hindrance(number)
            except Unavailable as error:  # the controller is changing, or a broker does not know a topic yet
                return f"{error}: {error.why}"

        self._poll(hindrance, _PAUSE_S, f"{node} cannot be taken down", node)

    def wait_until_joinable(self) -> None:
        """Wait until the members with data have a leader: newcomers on their own would begin an empty history."""
        self._wait_for_members("no node can join the ensemble")

    def _wait_for_members(self, failure: str) -> bool:
        """Wait until all members that ever ran form a quorum; False if they are too few for one and all are running."""
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
        lost = [name for name, mode in modes.items() if mode in (None, SILENT)]
        return f"{', '.join(lost) or 'the ensemble'}: not part of a quorum"

    def _lagging_voters(self) -> str:
        quorum = self._quorum()
        if quorum is None:
            return "no broker can describe the quorum"
        lacking = ", ".join(map(str, quorum.lacking()))
        return f"controller {lacking} has not caught up" if lacking else ""

    def _quorum(self) -> Quorum | None:
        return ask_for_quorum(access_to(self.runtime.observe(self.environment)))

    def _hindrance(self, broker: int) -> str:
        """Why a broker must not go down now."""
        from provision.kafka.admin import connected

        access = access_to(self.runtime.observe(self.environment))
        answers = ask_brokers(access)
        cluster = answers.best
        missing = missing_for_brokers(answers)
        if missing or cluster is None:
            reasons = missing or {"the brokers": "they do not answer"}
            return "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        with connected(access) as admin:
            minimum = admin.topics.minimum_in_sync([topic.name for topic in cluster.topics])
            cluster = cluster.with_moves(admin.partitions.moves())
        return first_of(blockers(cluster, minimum, broker))

    def _poll(self, missing: Callable[[], str], pause_s: float, failure: str, node: str = "") -> None:
        patience = self.patience.renewed(f"the wait ({failure})")
        wait = self._wait(self.runtime.observe(self.environment), node)
        while True:
            wait.check_exits()  # no point in waiting for a node that has exited
            if not (reason := missing()):
                return
            if node:
                self.tell(NodeWaiting(node, reason))
            if not patience.pause(pause_s):
                hint = f"`provision status {self.environment}` shows what is missing; then again"
                raise NotReady(f"{failure} within {patience.given}", why=reason, hint=hint)
