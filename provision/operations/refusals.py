"""What Kafka refused of several things that were asked of it at once."""

from collections.abc import Mapping, Sequence

from provision.errors import KafkaRefused, PartlyApplied


def require_done(kind: str, done: str, asked: Sequence[str], refused: Mapping[str, str], hint: str = "") -> None:
    """Raise if Kafka refused any of them.

    Args:
        kind: what they are, for example `topic`.
        done: what was to become of them, for example `deleted`.
        asked: their names.
        refused: Kafka's reasons, by the name.
        hint: what to do about it.

    Raises:
        KafkaRefused: it refused all of them, so that nothing was done.
        PartlyApplied: it refused some of them.
    """
    if not refused:
        return
    why = "\n".join(f"{kind} {name}: {reason}" for name, reason in sorted(refused.items()))
    if refused.keys() < set(asked):
        raise PartlyApplied(f"not every {kind} could be {done}", why=why, hint=hint)
    if len(refused) > 1:
        raise KafkaRefused(f"no {kind} could be {done}", why=why, hint=hint)
    ((name, reason),) = refused.items()
    raise KafkaRefused(f"{kind} {name} cannot be {done}", why=reason, hint=hint)
