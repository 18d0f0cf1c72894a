"""The settings of running brokers: what changes without a restart, and what somebody has set beside the file. Pure."""

from collections.abc import Iterable, Mapping

from provision.cluster.model import Node, RenderedFile
from provision.cluster.properties import parse
from provision.common.values import replace
from provision.plan.actions import Action, BrokerSettings, Kind, Verb
from provision.plan.changes import BROKER_FILE, NodeChange
from provision.plan.differences import Difference, same_setting
from provision.plan.throttle import RATES


def settled_anew(
    node: Node, own: tuple[RenderedFile, ...], change: NodeChange | None, settings: Mapping[str, str]
) -> Action | None:
    """The action that gives a running broker the settings of its file; None if it has them.

    Args:
        node: the broker.
        own: its files, as they are to be.
        change: how it changes, if it does.
        settings: what is set on it beside its file.
    """
    stays = change if change and change.verb is Verb.CONFIGURE else None
    changed = stays.differences if stays else ()
    drifted = _drift(own, settings, {d.key for d in changed})
    if change and not stays:  # it is restarted: no setting may override its new file
        drifted = tuple(replace(d, after=None) for d in drifted)
    if not (stays or drifted):
        return None
    subject = BrokerSettings(
        broker=node.id,
        values={d.key: str(d.after) for d in (*changed, *drifted) if d.after is not None},
        reset=tuple(d.key for d in drifted if d.after is None),
        files=own if stays else (),
    )
    causes = [stays.cause] if stays else []
    if drifted:
        causes.append(f"set on the running broker: {'; '.join(map(str, drifted))}")
    cause, changes = "; ".join(causes), (*changed, *drifted)
    return Action(Verb.CONFIGURE, Kind.NODE, node.name, cause, subject=subject, changes=changes)


def _drift(
    file: tuple[RenderedFile, ...], settings: Mapping[str, str], changed: Iterable[str]
) -> tuple[Difference, ...]:
    """What is set on a running broker and is not what its file says; a reassignment's throttle is nobody's mistake."""
    main = next((f for f in file if f.name == BROKER_FILE), None)
    desired, secret = (parse(main.text), main.secret) if main else ({}, False)
    return tuple(
        Difference(key, value, desired.get(key), BROKER_FILE, secret)
        for key, value in sorted(settings.items())
        if key not in RATES and key not in changed and not same_setting(value, desired.get(key))
    )
