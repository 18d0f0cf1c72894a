"""What was set on the running cluster and is in no file: throttles that were left, and dynamic settings."""

from collections.abc import Iterable, Iterator

from provision.cluster.model import Role
from provision.operations.doctor.away import first_few
from provision.operations.doctor.facts import Facts, NodeFacts, known
from provision.operations.doctor.findings import Finding, Severity
from provision.operations.doctor.places import place_of_setting
from provision.operations.doctor.registry import check
from provision.operations.doctor.repairs import Resource, unthrottling
from provision.plan.differences import same_setting
from provision.plan.throttle import RATES, THROTTLED_REPLICAS

_ALL_BROKERS: Resource = ("broker", "")


@check("stale-throttle")
def stale_throttle(facts: Facts) -> Iterator[Finding]:
    """A throttle of replication, although nothing is reassigned."""
    moves, settings, topics = known(facts.inside.moves), known(facts.inside.settings), known(facts.inside.topics)
    if moves is None or moves or settings is None:
        return
    declared = {topic.name: topic.config for topic in facts.cluster.topics} if facts.cluster else {}
    found: dict[Resource, dict[str, str]] = {
        ("broker", str(broker)): {key: dynamic[key] for key in RATES if key in dynamic}
        for broker, dynamic in settings.items()
    }
    for topic in topics or ():
        own = declared.get(topic.name, {})
        left = {key: value for key, value in topic.config.items() if key in THROTTLED_REPLICAS and key not in own}
        found["topic", topic.name] = left
    found[_ALL_BROKERS] = {key: now for key, (now, _) in (known(facts.inside.defaults) or {}).items() if key in RATES}
    found = {at: left for at, left in found.items() if left}
    removable = {at: tuple(left) for at, left in found.items() if at != _ALL_BROKERS}
    if found:
        fixes = [f"provision doctor {facts.name} --fix"] if removable else []
        if _ALL_BROKERS in found:  # the client library cannot change settings of all brokers
            fixes.append(_deleting(facts, found[_ALL_BROKERS]))
        yield Finding(
            "stale-throttle",
            "the throttle of a reassignment that has ended still slows replication down",
            evidence=first_few(
                f"{f'{kind} {name}' if name else 'all brokers'}: {key}={value}"
                for (kind, name), left in found.items()
                for key, value in left.items()
            ),
            cause="the command that set it was killed, or it was set by hand",
            fix=", and ".join(fixes),
            severity=Severity.WARNING,
            repairs=(unthrottling(removable),) if removable else (),
        )


def _deleting(facts: Facts, keys: Iterable[str]) -> str:
    delete = f"--alter --entity-type brokers --entity-default --delete-config {','.join(keys)}"
    return f"provision tool {facts.name} kafka-configs -- {delete}"


@check("dynamic-default")
def dynamic_default(facts: Facts) -> Iterator[Finding]:
    """Settings for all brokers that override their files; no `up` compares them."""
    defaults = known(facts.inside.defaults) or {}
    overriding = {key: told for key, told in defaults.items() if key not in RATES and not same_setting(*told)}
    if overriding:
        first = next(iter(overriding))
        yield Finding(
            "dynamic-default",
            "settings for all brokers override their files",
            evidence=first_few(
                f"{key}={now}, without it {before or 'unset'}" for key, (now, before) in overriding.items()
            ),
            cause="they were set on the cluster, as `kafka-configs --entity-default` does",
            file=facts.line_of("brokers", "properties", first),
            fix=f"{_deleting(facts, overriding)}; or write them into the environment file",
            severity=Severity.WARNING,
        )


@check("dynamic-setting")
def dynamic_setting(facts: Facts) -> Iterator[Finding]:
    """Settings of a running broker that override its file."""
    for broker, dynamic in sorted((known(facts.inside.settings) or {}).items()):
        name = Role.BROKER.node(broker)
        about = facts.nodes.get(name) or NodeFacts(name)
        if known(about.files) is None:
            continue
        overriding = {
            key: value
            for key, value in dynamic.items()
            if key not in RATES and not same_setting(value, about.settings.get(key))
        }
        if overriding:
            first = next(iter(overriding))
            yield Finding(
                "dynamic-setting",
                f"{name} runs with settings that are not those of its file",
                evidence=first_few(
                    f"{key}={value}, in its file {about.settings.get(key, 'unset')}"
                    for key, value in overriding.items()
                ),
                cause="they were set on the running broker, as `kafka-configs --alter` does",
                file=facts.line_of("brokers", "properties", first) or place_of_setting(facts, about, first),
                fix=f"provision up {facts.name}, which reverts them; or write them into the environment file",
                severity=Severity.WARNING,
                node=name,
            )
