"""The interface of a kind of resource inside Kafka, from reading it in a file to creating it.

A kind describes its resources in its own types; other code refers to them by the kind's name. To add a kind, write a
module in this package with a subclass of `Kind`, a line in `provision.resources.registry`, and its keys in the schema.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from msgspec import Struct, field

from provision.common.patience import Patience
from provision.events import Listener
from provision.home.seeds import SeedNotes
from provision.home.throttles import ThrottleNote
from provision.kafka.access import Access
from provision.plan.actions import Action, Verb
from provision.plan.observed import ObservedBroker, ObservedCluster
from provision.spec.model import EnvironmentSpec

if TYPE_CHECKING:
    from provision.kafka.admin import Admin

Desired = TypeVar("Desired")
Observed = TypeVar("Observed")


class Target(Struct, frozen=True):
    """The cluster that resources are planned for and applied to.

    `name` is used in messages. `leaving` are the ids of brokers that must be emptied, `joining` are brokers that will
    be running when the plan is carried out. `broker_properties` is what the file sets on all brokers, empty for an
    external cluster. `throttle` stores the settings that a reassignment's throttle replaces, `seeds` the topics that
    are being filled.
    """

    name: str
    access: Access
    throttle: ThrottleNote
    seeds: SeedNotes
    throttle_bytes_per_s: int | None = None
    leaving: frozenset[int] = frozenset()
    joining: tuple[ObservedBroker, ...] = ()
    broker_properties: Mapping[str, str] = field(default_factory=dict)


class Work(Struct, frozen=True):
    """What is needed to apply changes to resources.

    `check` raises if a node has exited; each wait may use the full `patience`.
    """

    target: Target
    patience: Patience
    check: Callable[[], None]
    tell: Listener


class Outcome(Struct, frozen=True):
    """The outcome of a batch of actions with the same verb, by resource name.

    `failed` has Kafka's reasons. `existed` are resources to create that already existed: somebody else has created them
    since the plan, or a broker did not know them yet; another round compares them. `hint` is what else to know before
    the file is corrected.
    """

    failed: Mapping[str, str] = field(default_factory=dict)
    existed: frozenset[str] = frozenset()
    hint: str = ""


class Kind(ABC, Generic[Desired, Observed]):
    """A kind of resource inside Kafka.

    `name` is the kind of its actions, as in `topic orders`; `performs` lists all kinds of actions that it performs.
    `section` is its key in the environment file, and its plural in messages. Actions with the verbs `ahead` come before
    nodes change, if the brokers that run can carry them out.
    """

    name: ClassVar[str]
    section: ClassVar[str]
    performs: ClassVar[frozenset[str]]
    ahead: ClassVar[frozenset[Verb]] = frozenset()

    @abstractmethod
    def desired(self, spec: EnvironmentSpec, brokers: int | None = None) -> Desired | None:
        """The resources the file declares; None if it has no section for this kind, which is then not observed either.

        Args:
            spec: the file.
            brokers: how many there are, if the file does not say so.
        """

    @abstractmethod
    def empty_state(self) -> Observed:
        """What a newly created cluster has."""

    @abstractmethod
    def observe(self, admin: "Admin", target: Target, desired: Desired) -> Observed:
        """What the cluster has.

        Raises:
            Unavailable: the brokers do not answer, or do not agree yet.
        """

    @abstractmethod
    def plan(self, desired: Desired, observed: Observed, cluster: ObservedCluster, target: Target) -> Sequence[Action]:
        """The actions that are needed, in order. Pure.

        Args:
            desired: what the file declares.
            observed: what the cluster has.
            cluster: the brokers as they will be, without topics.
            target: what else is known about the cluster.
        """

    def with_costs(self, observed: Observed, _actions: Sequence[Action], _admin: "Admin") -> Observed:
        """Add what only some plans need to what was observed, such as sizes; the plan is then made again."""
        return observed

    @abstractmethod
    def perform(self, admin: "Admin", verb: Verb, actions: Sequence[Action], observed: Observed, work: Work) -> Outcome:
        """Perform actions with the same verb in as few requests as possible; failures are returned by name.

        Raises:
            ProvisionError: none of them could be performed.
        """

    @abstractmethod
    def fingerprint(self, desired: Desired, observed: Observed | None) -> object:
        """Both as plain data for a saved plan, without what changes by itself; `observed` is None if nothing was."""

    @abstractmethod
    def adopt(self, admin: "Admin", target: Target, tell: Listener, *, replicas: bool) -> list[dict[str, Any]]:
        """The kind's section of a file that describes the cluster; `replicas` includes broker ids.

        Notices report what the section cannot express.
        """

    def left_alone(self, _desired: Desired, _observed: Observed) -> str:
        """What the cluster has beyond the file and keeps, if whoever reads a plan must know; else nothing."""
        return ""

    def again(self, _desired: Desired, _actions: Sequence[Action]) -> bool:
        """Whether another round may be needed after these actions."""
        return False
