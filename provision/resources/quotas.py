"""Client quotas as a kind of resource.

An entity that the file names gets exactly the limits in the file. Other entities are left alone, or removed with
`prune`. Without the key `quotas` in the file, quotas are not even observed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct
from pydantic import ValidationError

from provision.common.patience import Pauses
from provision.errors import NotReady
from provision.events import Listener
from provision.kafka.connection import NotAnswering
from provision.kafka.quotas import Entity, Limits, alter_quotas, describe_quotas, quotas_of
from provision.plan.actions import Action, Verb
from provision.plan.differences import Difference
from provision.plan.keeping import is_kept
from provision.plan.observed import ObservedCluster
from provision.resources.kind import Kind, Outcome, Target, Work
from provision.spec.model import EnvironmentSpec
from provision.spec.quotas import DEFAULT, QuotaSpec

if TYPE_CHECKING:
    from provision.kafka.admin import Admin

# Kafka's names for the keys that identify the entity of a quota, in display order.
_TYPES = {"user": "user", "client_id": "client-id", "ip": "ip"}


class DesiredQuotas(Struct, frozen=True):
    """The desired limits of each entity, and whether others are removed, unless they fit a pattern of `keep`."""

    limits: Mapping[Entity, Limits]
    prune: bool = False
    keep: tuple[str, ...] = ()


class QuotaChange(Struct, frozen=True):
    """A change of an entity's limits: those to set, and those to remove."""

    entity: Entity
    limits: Limits
    remove: tuple[str, ...] = ()


ObservedQuotas = Mapping[Entity, Limits]


class Quotas(Kind[DesiredQuotas, ObservedQuotas]):
    """Limits on users, client ids and IP addresses."""

    name: ClassVar[str] = "quota"
    section: ClassVar[str] = "quotas"
    performs: ClassVar[frozenset[str]] = frozenset({name})

    def desired(self, spec: EnvironmentSpec, brokers: int | None = None) -> DesiredQuotas | None:  # noqa: ARG002
        """The quotas in the file; None if it does not have the key."""
        if "quotas" not in spec.model_fields_set:
            return None
        limits = {_entity_of(quota.entity): quota.limits for quota in spec.quotas}
        return DesiredQuotas(limits, spec.prune, tuple(spec.keep))

    def empty_state(self) -> ObservedQuotas:
        """No quotas."""
        return {}

    def observe(self, admin: "Admin", target: Target, desired: DesiredQuotas) -> ObservedQuotas:  # noqa: ARG002
        """All quotas of the cluster."""
        return describe_quotas(target.access)

    def plan(
        self,
        desired: DesiredQuotas,
        observed: ObservedQuotas,
        cluster: ObservedCluster,  # noqa: ARG002 quotas are the same on every broker
        target: Target,  # noqa: ARG002
    ) -> Sequence[Action]:
        """New and changed quotas in the order of the file, then those to prune."""
        changes = [
            action
            for entity, limits in desired.limits.items()
            for action in _planned(entity, limits, observed.get(entity))
        ]
        return (*changes, *(_pruned(desired, observed) if desired.prune else ()))

    def perform(
        self,
        admin: "Admin",  # noqa: ARG002 it has no requests for them
        verb: Verb,  # noqa: ARG002 each says what to set and what to remove
        actions: Sequence[Action],
        observed: ObservedQuotas,  # noqa: ARG002
        work: Work,
    ) -> Outcome:
        """Change all quotas in one request, and wait until every broker has them."""
        subjects = [(a.name, a.subject) for a in actions if isinstance(a.subject, QuotaChange)]
        changes = {change.entity: {**change.limits, **dict.fromkeys(change.remove)} for _, change in subjects}
        refused = alter_quotas(work.target.access, changes)
        failed = {name: refused[change.entity] for name, change in subjects if change.entity in refused}
        self._wait_for({entity: limits for entity, limits in changes.items() if entity not in refused}, work)
        return Outcome(failed)

    def _wait_for(self, changes: Mapping[Entity, Mapping[str, float | None]], work: Work) -> None:
        """Wait for all brokers: in KRaft mode they read from the metadata log what the controller has accepted."""
        access, patience, pauses = work.target.access, work.patience.renewed("waiting for quotas"), Pauses()
        while missing := [broker for broker in access.brokers if not _knows(work, broker, changes)]:
            work.check()
            if not patience.pause(pauses.next_s()):
                why = f"broker {missing[0]} does not know them"
                raise NotReady(f"the quotas of {work.target.name} are not in force after {patience.given}", why=why)

    def fingerprint(self, desired: DesiredQuotas, observed: ObservedQuotas | None) -> object:
        """Desired and observed limits in full."""
        said = {"desired": _plain(desired.limits), "prune": desired.prune, "keep": desired.keep}
        return said | {"there": _plain(observed or {})}

    def adopt(
        self,
        admin: "Admin",  # noqa: ARG002
        target: Target,
        tell: Listener,  # noqa: ARG002
        *,
        replicas: bool,  # noqa: ARG002
    ) -> list[dict[str, Any]]:
        """All quotas whose entity a file can express."""
        return [
            _entry(entity, limits)
            for entity, limits in sorted(describe_quotas(target.access).items(), key=lambda found: _text(found[0]))
            if _can_be_named(entity, limits)
        ]


def _entity_of(said: Sequence[tuple[str, str]]) -> Entity:
    return tuple(sorted((_TYPES[key], None if name == DEFAULT else name) for key, name in said))


def _planned(entity: Entity, limits: Limits, there: Limits | None) -> Iterator[Action]:
    name = _text(entity)
    if there is None:
        detail = _shown(limits)
        yield Action(Verb.CREATE, Quotas.name, name, "not there", detail, subject=QuotaChange(entity, limits))
        return
    changes = tuple(
        Difference(key, _value(there.get(key)), _value(limits.get(key)))
        for key in sorted(limits.keys() | there.keys())
        if limits.get(key) != there.get(key)
    )
    if changes:
        values = {change.key: limits[change.key] for change in changes if change.key in limits}
        remove = tuple(change.key for change in changes if change.key not in limits)
        cause = f"limits changed: {'; '.join(map(str, changes))}"
        subject = QuotaChange(entity, values, remove)
        yield Action(Verb.CONFIGURE, Quotas.name, name, cause, subject=subject, changes=changes)


def _pruned(desired: DesiredQuotas, observed: ObservedQuotas) -> Iterator[Action]:
    for entity, limits in sorted(observed.items(), key=lambda found: _text(found[0])):
        kept = is_kept(f"{Quotas.name} {_text(entity)}", desired.keep)
        if entity not in desired.limits and _can_be_named(entity, {}) and not kept:
            subject = QuotaChange(entity, {}, tuple(sorted(limits)))
            cause = "not in the file (prune: true)"
            yield Action(Verb.DELETE, Quotas.name, _text(entity), cause, _shown(limits), subject=subject)


def _knows(work: Work, broker: int, changes: Mapping[Entity, Mapping[str, float | None]]) -> bool:
    try:
        known = quotas_of(work.target.access, broker)
    except NotAnswering:
        return False
    return all(
        known.get(entity, {}).get(key) == value for entity, limits in changes.items() for key, value in limits.items()
    )


def _entry(entity: Entity, limits: Limits) -> dict[str, Any]:
    """As a file says it, if it can: not a user whose name is `default`, which there is Kafka's default entity."""
    keys = {kafka: key for key, kafka in _TYPES.items()}
    named = {keys.get(kind, kind): DEFAULT if name is None else name for kind, name in _in_order(entity) or entity}
    return named | {key: _number(value) for key, value in sorted(limits.items())}


def _can_be_named(entity: Entity, limits: Limits) -> bool:
    """Whether a file can express it."""
    try:
        QuotaSpec.model_validate(_entry(entity, limits))
    except ValidationError:
        return False
    return all(name != DEFAULT for _, name in entity)


def _in_order(entity: Entity) -> list[tuple[str, str | None]]:
    known = dict(entity)
    return [(kind, known[kind]) for kind in _TYPES.values() if kind in known]


def _text(entity: Entity) -> str:
    """The entity as text: `user alice, client-id app`, or `default user`."""
    parts = _in_order(entity) or list(entity)
    return ", ".join(f"{DEFAULT} {kind}" if name is None else f"{kind} {_quoted(name)}" for kind, name in parts)


def _quoted(name: str) -> str:
    """In quotation marks where it could be taken for more than a name."""
    return json.dumps(name, ensure_ascii=False) if set(name) & set(' ,"') else name


def _shown(limits: Limits) -> str:
    return ", ".join(f"{key}={_number(value)}" for key, value in sorted(limits.items()))


def _number(value: float) -> int | float:
    return int(value) if float(value).is_integer() else value


def _value(value: float | None) -> str | None:
    return None if value is None else str(_number(value))


def _plain(limits: Mapping[Entity, Limits]) -> list[list[object]]:
    return [[_text(entity), dict(sorted(of_entity.items()))] for entity, of_entity in sorted(limits.items(), key=repr)]
