"""The kinds of resources, in the order in which they are planned and applied. Adding one is one line."""

from collections.abc import Mapping
from typing import Any

from provision.resources.acls import Acls
from provision.resources.kind import Kind
from provision.resources.quotas import Quotas
from provision.resources.topics import Topics
from provision.resources.users import Users
from provision.spec.model import EnvironmentSpec

KINDS: tuple[Kind[Any, Any], ...] = (Topics(), Users(), Acls(), Quotas())

Resources = Mapping[str, Any]
"""The desired resources by kind; kinds that the file does not mention are left out."""


def desired_resources(spec: EnvironmentSpec, brokers: int | None = None) -> dict[str, Any]:
    """The desired resources of every kind; `brokers` is their number if the file does not give it."""
    said = {kind.name: kind.desired(spec, brokers) for kind in KINDS}
    return {name: desired for name, desired in said.items() if desired is not None}


def performer_of(action_kind: str) -> Kind[Any, Any] | None:
    """The kind of resource that performs these actions; None for actions on nodes."""
    return next((kind for kind in KINDS if action_kind in kind.performs), None)


RESOURCE_KINDS = frozenset[str]().union(*(kind.performs for kind in KINDS))
"""The kinds of actions that are performed inside Kafka."""
