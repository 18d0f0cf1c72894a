"""How plans and their progress are put in words: whatever a plan can hold can be shown."""

import pytest

from provision.cli.plans import plan_lines
from provision.cli.progress import _GOING, _PAST
from provision.plan.actions import Action, Kind, Plan, Verb


@pytest.mark.parametrize("verb", Verb)
def test_every_verb_can_be_shown(verb: Verb) -> None:
    (line, total) = plan_lines(Plan("orders", (Action(verb, Kind.NODE, "broker-1", "because"),)))
    assert f" {verb}  broker-1  because" in line
    assert total == ("orders: 1 refused" if verb is Verb.REFUSE else f"orders: 1 to {verb}")


@pytest.mark.parametrize("verb", [verb for verb in Verb if verb is not Verb.REFUSE])
def test_every_verb_that_is_done_has_its_words(verb: Verb) -> None:
    assert _GOING[verb]
    assert _PAST[verb]
