"""Users with SCRAM as a kind of resource: the cluster keeps them, so that they come and go without a restart.

A user that the file names has exactly the mechanism and the iterations in the file, and the password that is kept for
it. Kafka tells nobody a password: whether it is still the same is seen by using it. Other users are left alone, or
removed with `prune`. Users with PLAIN are in the nodes' files; the cluster keeps nothing of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct

from provision.common.values import replace
from provision.errors import NotReady
from provision.events import Listener
from provision.kafka.access import Access, Credentials
from provision.kafka.connection import NotAnswering
from provision.kafka.scram import Scram, ScramChange, alter_scram, describe_scram, is_let_in, lets_in, scram_of
from provision.plan.actions import Action, Verb
from provision.plan.differences import Difference
from provision.plan.keeping import is_kept
from provision.plan.listing import listed
from provision.plan.observed import ObservedCluster
from provision.resources.kind import Kind, Outcome, Target, Work
from provision.security.profiles import PLAIN, SCRAM
from provision.spec.listeners import security_of
from provision.spec.model import EnvironmentSpec
from provision.spec.users import may_keep_users, mechanism_of

if TYPE_CHECKING:
    from provision.kafka.admin import Admin

_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class DesiredUsers:
    """The mechanism of each user, with its iterations, in the order of the file, and whether others are removed.

    Those stay that fit a pattern of `keep`. `passwords` are those of its users; a file does not have them. The users in
    `plain` are in the file as well, with PLAIN.
    """

    users: Mapping[str, tuple[str, int]]
    plain: tuple[str, ...] = ()
    prune: bool = False
    keep: tuple[str, ...] = ()
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)

    def login(self, user: str) -> Credentials:
        """How a user is to get in."""
        return Credentials(self.users[user][0], user, self.passwords.get(user, ""))


class ObservedUsers(Struct, frozen=True):
    """All users, and those of the file whose password is another one than in the cluster."""

    users: Mapping[str, Scram]
    refused: frozenset[str] = frozenset()


class Users(Kind[DesiredUsers, ObservedUsers]):
    """Who may get in."""

    name: ClassVar[str] = "user"
    section: ClassVar[str] = "users"
    performs: ClassVar[frozenset[str]] = frozenset({name})
    ahead: ClassVar[frozenset[Verb]] = frozenset({Verb.CREATE})  # the nodes' files may lose whom the cluster gets

    def desired(self, spec: EnvironmentSpec, brokers: int | None = None) -> DesiredUsers | None:  # noqa: ARG002
        """The users in the file; None unless the cluster may keep some."""
        security = security_of(spec)
        if spec.bootstrap_servers or not security.scram or not may_keep_users(spec):
            return None
        found = {user.name: (mechanism_of(user, security), user.iterations) for user in spec.users}
        users = {name: scram for name, scram in found.items() if scram[0] in SCRAM}
        return DesiredUsers(users, tuple(name for name in found if name not in users), spec.prune, tuple(spec.keep))

    def empty_state(self) -> ObservedUsers:
        """No users."""
        return ObservedUsers({})

    def observe(self, admin: "Admin", target: Target, desired: DesiredUsers) -> ObservedUsers:  # noqa: ARG002
        """All users of the cluster; those of the file are let in, or not."""
        found = describe_scram(target.access)
        named = [user for user, (mechanism, _) in desired.users.items() if mechanism in found.get(user, ())]
        refused = (user for user in named if not is_let_in(target.access, desired.login(user)))
        return ObservedUsers(found, frozenset(refused))

    def plan(
        self,
        desired: DesiredUsers,
        observed: ObservedUsers,
        cluster: ObservedCluster,  # noqa: ARG002 they are the same on every broker
        target: Target,  # noqa: ARG002
    ) -> Sequence[Action]:
        """New and changed users in the order of the file, then those to prune."""
        changes = [
            one
            for user, (mechanism, iterations) in desired.users.items()
            for one in _planned(
                ScramChange(user, mechanism, iterations, desired.passwords.get(user, "")),
                observed.users.get(user),
                refused=user in observed.refused,
            )
        ]
        changes += [_left_to_files(user, observed.users[user]) for user in desired.plain if user in observed.users]
        doomed = self._others(desired, observed) if desired.prune else []
        return (*changes, *(_pruned(user, observed.users[user]) for user in doomed))

    def left_alone(self, desired: DesiredUsers, observed: ObservedUsers) -> str:
        """The users that are not in the file: one that was taken from it is still let in."""
        others = self._others(desired, observed)
        if desired.prune or not others:
            return ""
        return f"the cluster lets users in that are not in the file: {listed(others)}; `prune: true` removes such users"

    def _others(self, desired: DesiredUsers, observed: ObservedUsers) -> list[str]:
        """Those that are not in the file, and of whom it does not say that they are kept."""
        others = sorted(observed.users.keys() - desired.users.keys() - {*desired.plain})
        return [user for user in others if not is_kept(f"{self.name} {user}", desired.keep)]

    def perform(
        self,
        admin: "Admin",  # noqa: ARG002 it has no requests for them
        verb: Verb,  # noqa: ARG002 each says what to set and what to remove
        actions: Sequence[Action],
        observed: ObservedUsers,  # noqa: ARG002
        work: Work,
    ) -> Outcome:
        """Change all of them in one request, and wait until every broker knows."""
        changes = [action.subject for action in actions if isinstance(action.subject, ScramChange)]
        refused = alter_scram(work.target.access, changes)
        self._wait_for([change for change in changes if change.user not in refused], work)
        return Outcome(refused)

    def _wait_for(self, changes: Sequence[ScramChange], work: Work) -> None:
        """Wait for all brokers: they learn of a change from the metadata log, or from a note in ZooKeeper."""
        access, patience = work.target.access, work.patience.renewed("waiting for users")
        while missing := [broker for broker in access.brokers if not _knows(access, broker, changes)]:
            work.check()
            if not patience.pause(_PAUSE_S):
                why = f"broker {missing[0]} does not know them"
                raise NotReady(f"the users of {work.target.name} are not let in after {patience.given}", why=why)

    def fingerprint(self, desired: DesiredUsers, observed: ObservedUsers | None) -> object:
        """Desired and observed ones in full, without a password."""
        there = observed or self.empty_state()
        return {
            "desired": {user: list(scram) for user, scram in desired.users.items()},
            "plain": sorted(desired.plain),
            "prune": desired.prune,
            "keep": desired.keep,
            "there": {user: dict(sorted(scram.items())) for user, scram in sorted(there.users.items())},
            "refused": sorted(there.refused),
        }

    def adopt(
        self,
        admin: "Admin",  # noqa: ARG002
        target: Target,  # noqa: ARG002
        tell: Listener,  # noqa: ARG002
        *,
        replicas: bool,  # noqa: ARG002
    ) -> list[dict[str, Any]]:
        """None: a file that describes a cluster of others has no users."""
        return []


def with_passwords(desired: Mapping[str, Any], passwords: Mapping[str, str]) -> dict[str, Any]:
    """The desired resources by kind, where users have these passwords."""
    users = desired.get(Users.name)
    return {**desired, **({Users.name: replace(users, passwords=passwords)} if users else {})}


def _planned(change: ScramChange, there: Scram | None, *, refused: bool) -> Iterator[Action]:
    said = f"{change.mechanism}, {change.iterations} iterations"
    if there is None:
        yield Action(Verb.CREATE, Users.name, change.user, "not there", said, subject=change)
        return
    others = tuple(sorted(there.keys() - {change.mechanism}))
    differences = [
        *(Difference(mechanism, str(there[mechanism]), None) for mechanism in others),
        *(
            [Difference(change.mechanism, _text(there.get(change.mechanism)), str(change.iterations))]
            if there.get(change.mechanism) != change.iterations
            else []
        ),
    ]
    causes = [f"iterations changed: {'; '.join(map(str, differences))}"] if differences else []
    causes += ["the password is another one"] if refused else []
    if causes:
        subject = ScramChange(change.user, change.mechanism, change.iterations, change.password, others)
        cause = "; ".join(causes)
        yield Action(Verb.CONFIGURE, Users.name, change.user, cause, subject=subject, changes=tuple(differences))


def _left_to_files(user: str, there: Scram) -> Action:
    """One who had SCRAM, and has PLAIN now: by the old way nobody shall get in any more."""
    changes = tuple(Difference(mechanism, str(there[mechanism]), None) for mechanism in sorted(there))
    subject = ScramChange(user, remove=tuple(sorted(there)))
    cause = f"its mechanism is {PLAIN} in the file"
    return Action(Verb.CONFIGURE, Users.name, user, cause, subject=subject, changes=changes)


def _pruned(user: str, there: Scram) -> Action:
    said = ", ".join(f"{mechanism}, {iterations} iterations" for mechanism, iterations in sorted(there.items()))
    subject = ScramChange(user, remove=tuple(sorted(there)))
    return Action(Verb.DELETE, Users.name, user, "not in the file (prune: true)", said, subject=subject)


def _text(iterations: int | None) -> str | None:
    return None if iterations is None else str(iterations)


def _knows(access: Access, broker: int, changes: Sequence[ScramChange]) -> bool:
    """Whether a broker lets those in that were set, and has none that were removed."""
    try:
        known = scram_of(access, broker)
        return all(
            not any(mechanism in known.get(change.user, ()) for mechanism in change.remove)
            and (
                not change.mechanism
                or lets_in(access, broker, Credentials(change.mechanism, change.user, change.password))
            )
            for change in changes
        )
    except NotAnswering:
        return False
