"""ACLs as a kind of resource.

Each of Kafka's ACLs is a resource of its own: it is there or not. Those that the file does not stand for are left
alone, or removed with `prune`. Where the cluster asks for permissions because the file says so, there may be none in
the file; where it says nothing of them, they are not even observed.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct
from pydantic import ValidationError

from provision.errors import NotReady
from provision.events import Listener
from provision.kafka.acls import acls_of, create_acls, delete_acls, describe_acls
from provision.kafka.connection import NotAnswering
from provision.plan.actions import Action, Verb
from provision.plan.keeping import is_kept
from provision.plan.observed import ObservedCluster
from provision.resources.kind import Kind, Outcome, Target, Work
from provision.security.acls import ANY, CLUSTER, Acl, lets_change_permissions, require_name, require_supported
from provision.spec.acls import DENY, PREFIXED, AclSpec, asks_for_permission, declared_acls
from provision.spec.model import EnvironmentSpec

if TYPE_CHECKING:
    from provision.kafka.admin import Admin

_PAUSE_S = 0.2
_SHOWN = 3


class DesiredAcls(Struct, frozen=True):
    """The desired ACLs in the order of the file; whether others are removed, unless they fit a pattern of `keep`.

    In a cluster of `others`, provision is no super user: what lets it in may be one of the ACLs.
    """

    acls: tuple[Acl, ...]
    prune: bool = False
    keep: tuple[str, ...] = ()
    others: bool = False


ObservedAcls = frozenset[Acl]


class Acls(Kind[DesiredAcls, ObservedAcls]):
    """Who may do what."""

    name: ClassVar[str] = "acl"
    section: ClassVar[str] = "acls"
    performs: ClassVar[frozenset[str]] = frozenset({name})

    def desired(self, spec: EnvironmentSpec, brokers: int | None = None) -> DesiredAcls | None:  # noqa: ARG002
        """The ACLs in the file; None if it does not make the cluster ask for permissions."""
        if not asks_for_permission(spec):
            return None
        return DesiredAcls(declared_acls(spec) or (), spec.prune, tuple(spec.keep), others=bool(spec.bootstrap_servers))

    def empty_state(self) -> ObservedAcls:
        """No ACLs."""
        return frozenset()

    def observe(self, admin: "Admin", target: Target, desired: DesiredAcls) -> ObservedAcls:  # noqa: ARG002
        """All ACLs of the cluster; none if it does not ask for permissions yet, which a restart is to change."""
        return describe_acls(target.access) or frozenset()

    def plan(
        self,
        desired: DesiredAcls,
        observed: ObservedAcls,
        cluster: ObservedCluster,  # noqa: ARG002 they are the same on every broker
        target: Target,  # noqa: ARG002
    ) -> Sequence[Action]:
        """New ones in the order of the file, then those to prune."""
        new = [
            Action(Verb.CREATE, self.name, str(acl), "not there", subject=acl)
            for acl in desired.acls
            if acl not in observed
        ]
        doomed = [acl for acl in self._others(desired, observed) if _said(acl)] if desired.prune else []
        left = (observed - frozenset(doomed)) | frozenset(desired.acls)
        locked_out = desired.others and not any(map(lets_change_permissions, left))
        return (*new, *(self._without(acl, locked_out=locked_out) for acl in doomed))

    def _without(self, acl: Acl, *, locked_out: bool) -> Action:
        """The removal of one that is not in the file; refused if nothing else lets provision itself in then."""
        cause = "not in the file (prune: true)"
        if locked_out and lets_change_permissions(acl):
            hint = "it is what lets provision itself in: add it to `acls` or `keep`, or remove it with Kafka's own tool"
            return Action(Verb.REFUSE, self.name, str(acl), cause, hint, subject=acl)
        return Action(Verb.DELETE, self.name, str(acl), cause, subject=acl)

    def left_alone(self, desired: DesiredAcls, observed: ObservedAcls) -> str:
        """The ACLs that are not in the file: one that was taken from it is still in force, whoever it is for."""
        others = self._others(desired, observed)
        if desired.prune:
            odd = [acl for acl in others if not _said(acl)]
            return f"the cluster has ACLs that a file cannot express, which stay: {_some(odd)}" if odd else ""
        if not others:
            return ""
        return f"the cluster has ACLs that are not in the file: {_some(others)}; `prune: true` removes such ACLs"

    def _others(self, desired: DesiredAcls, observed: ObservedAcls) -> list[Acl]:
        """Those that the file does not stand for, and of which it does not say that they are kept."""
        others = sorted(observed - frozenset(desired.acls))
        return [acl for acl in others if not is_kept(f"{self.name} {acl}", desired.keep)]

    def perform(
        self,
        admin: "Admin",  # noqa: ARG002 it has no requests for them
        verb: Verb,
        actions: Sequence[Action],
        observed: ObservedAcls,  # noqa: ARG002
        work: Work,
    ) -> Outcome:
        """Create or delete all of them in one request, and wait until every broker knows."""
        acls = {action.subject: action.name for action in actions if isinstance(action.subject, Acl)}
        creates = verb is Verb.CREATE
        refused = (create_acls if creates else delete_acls)(work.target.access, list(acls))
        self._wait_for(acls.keys() - refused.keys(), work, there=creates)
        return Outcome({acls[acl]: reason for acl, reason in refused.items()})

    def _wait_for(self, acls: Collection[Acl], work: Work, *, there: bool) -> None:
        """Wait for all brokers: they learn of a change from the metadata log, or from a note in ZooKeeper."""
        access, patience = work.target.access, work.patience.renewed("waiting for ACLs")
        while missing := [broker for broker in access.brokers if not _knows(work, broker, acls, there=there)]:
            work.check()
            if not patience.pause(_PAUSE_S):
                why = f"broker {missing[0]} does not know them"
                raise NotReady(f"the ACLs of {work.target.name} are not in force after {patience.given}", why=why)

    def fingerprint(self, desired: DesiredAcls, observed: ObservedAcls | None) -> object:
        """Desired and observed ones in full."""
        there = sorted(map(str, observed or ()))
        return {"desired": sorted(map(str, desired.acls)), "prune": desired.prune, "keep": desired.keep, "there": there}

    def adopt(
        self,
        admin: "Admin",  # noqa: ARG002
        target: Target,
        tell: Listener,  # noqa: ARG002
        *,
        replicas: bool,  # noqa: ARG002
    ) -> list[dict[str, Any]]:
        """All ACLs that a file can express; none of a cluster that asks for no permissions."""
        return [_entry(acl) for acl in sorted(describe_acls(target.access) or ()) if _said(acl)]


def _knows(work: Work, broker: int, acls: Collection[Acl], *, there: bool) -> bool:
    """Whether a broker has learned of it; one that leaves may never have asked for permission, and knows of none."""
    if not acls:
        return True
    try:
        known = acls_of(work.target.access, broker)
    except NotAnswering:
        return False
    return known is None or all((acl in known) is there for acl in acls)


def _entry(acl: Acl) -> dict[str, Any]:
    """As a file says it in full, without what goes without saying."""
    entry: dict[str, Any] = {"principal": acl.principal, "operation": acl.operation, "resource": acl.resource}
    if acl.resource != CLUSTER:
        entry["name"] = acl.name
    if acl.prefixed:
        entry["pattern"] = PREFIXED
    if acl.host != ANY:
        entry["host"] = acl.host
    if not acl.allowed:
        entry["permission"] = DENY
    return entry


def _some(acls: Sequence[Acl]) -> str:
    """The first few of them."""
    return ", ".join([*map(str, acls[:_SHOWN]), *(["…"] if len(acls) > _SHOWN else [])])


def _said(acl: Acl) -> bool:
    """Whether a file can express it."""
    try:
        require_supported(acl.operation, acl.resource)
        require_name(acl.resource, acl.name, prefixed=acl.prefixed)
        return AclSpec.model_validate(_entry(acl)).acls == (acl,)
    except (ValidationError, ValueError):
        return False
