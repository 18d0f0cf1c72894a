"""The port of a kind of resource: what lives inside Kafka, from how it is read in a file to how it is made.

A kind speaks of its resources in its own types; everybody else handles them by the kind's name. To add one: a module
beside this one with a subclass of `Kind`, a line in `provision.resources.registry`, and its keys in the schema.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from provision.common.patience import Patience
from provision.events import Listener
from provision.home.throttles import ThrottleNote
from provision.kafka.access import Access
from provision.plan.actions import Action, Verb
from provision.plan.observed import ObservedBroker, ObservedCluster
from provision.spec.model import EnvironmentSpec

if TYPE_CHECKING:
    from provision.kafka.admin import Admin

Desired = TypeVar("Desired")
Observed = TypeVar("Observed")


@dataclass(frozen=True, slots=True)
class Target:
    """The cluster that resources are planned and made for.

    `name` is what messages call it. `leaving` are the ids of brokers that are to hold nothing any more, `joining`
    brokers that will be there when the plan's turn comes. `broker_properties` is what the file sets on all brokers;
    nothing where others run them. `throttle` is where the settings are noted that a reassignment's throttle replaces.
    """

    name: str
    access: Access
    throttle: ThrottleNote
    throttle_bytes_per_s: int | None = None
    leaving: frozenset[int] = frozenset()
    joining: tuple[ObservedBroker, ...] = ()
    broker_properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Work:
    """What is needed to make resources.

    `check` raises when a node has exited; each wait has the whole of `patience`.
    """

    target: Target
    patience: Patience
    check: Callable[[], None]
    tell: Listener


@dataclass(frozen=True, slots=True)
class Outcome:
    """How equal actions ended, by the names of their resources.

    `failed` has Kafka's reasons. `existed` are those to create that were there after all: somebody else has made them
    since the plan, or a broker did not know them yet; another round compares them.
    """

    failed: Mapping[str, str] = field(default_factory=dict)
    existed: frozenset[str] = frozenset()


class Kind(ABC, Generic[Desired, Observed]):
    """A kind of resource inside Kafka.

    `name` is the kind of its actions, as in `topic orders`; `performs` names all kinds of actions that it performs.
    `section` is its key in the environment file, and its plural in messages.
    """

    name: ClassVar[str]
    section: ClassVar[str]
    performs: ClassVar[frozenset[str]]

    @abstractmethod
    def desired(self, spec: EnvironmentSpec, brokers: int | None = None) -> Desired | None:
        """What the file says; None where it says nothing of this kind, so that nothing is looked at either.

        Args:
            spec: the file.
            brokers: how many there are, where the file does not say it.
        """

    @abstractmethod
    def of_new(self) -> Observed:
        """What a cluster has that was just made."""

    @abstractmethod
    def observe(self, admin: "Admin", target: Target, desired: Desired) -> Observed:
        """What the cluster has.

        Raises:
            Unavailable: the brokers do not answer, or do not agree yet.
        """

    @abstractmethod
    def plan(self, desired: Desired, observed: Observed, cluster: ObservedCluster, target: Target) -> Sequence[Action]:
        """What must change, in its order. Pure.

        Args:
            desired: what the file says.
            observed: what the cluster has.
            cluster: the brokers as they will be, without topics.
            target: what else is known of the cluster.
        """

    def with_costs(self, observed: Observed, _actions: Sequence[Action], _admin: "Admin") -> Observed:
        """What the cluster has, with what is asked only where a plan needs it; then it is planned again."""
        return observed

    @abstractmethod
    def perform(self, admin: "Admin", verb: Verb, actions: Sequence[Action], observed: Observed, work: Work) -> Outcome:
        """Do equal actions, in as few requests as possible. What fails is told by name; all else is done.

        Raises:
            ProvisionError: none of them could be done.
        """

    @abstractmethod
    def fingerprint(self, desired: Desired, observed: Observed | None) -> object:
        """Both as plain data for a saved plan, without what changes by itself; None where nothing was observed."""

    @abstractmethod
    def adopt(self, admin: "Admin", target: Target, *, replicas: bool) -> list[dict[str, Any]]:
        """The kind's section of a file that describes what the cluster has; `replicas` asks for brokers' ids."""

    def again(self, _desired: Desired, _actions: Sequence[Action]) -> bool:
        """Whether another round may find more to do after these actions."""
        return False
