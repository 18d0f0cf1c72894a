"""How plans and their progress are put in words: whatever a plan can hold can be shown."""

import re

import pytest

from provision.cli.plans import plan_lines
from provision.cli.progress import progress
from provision.errors import ProvisionError
from provision.events import ActionDone, ActionFailed
from provision.operations.life import STOP
from provision.plan.actions import Action, Kind, Plan, Verb
from provision.plan.topic_changes import Reassignment


@pytest.mark.parametrize("verb", Verb)
def test_every_verb_can_be_shown(verb: Verb) -> None:
    (line, total) = plan_lines(Plan("orders", (Action(verb, Kind.NODE, "broker-1", "because"),)))
    assert line.split()[1:3] == [verb, "broker-1"]
    assert line.endswith("  because")
    assert total == ("orders: 1 refused" if verb is Verb.REFUSE else f"orders: 1 to {verb}")


def test_the_lines_of_a_plan_stand_in_columns_with_their_class_and_what_is_copied_in_all() -> None:
    def reassign(name: str, mib: int, estimate_s: float) -> Action:
        subject = Reassignment({0: (2,)}, mib * 1024**2)
        return Action(Verb.REASSIGN, "topic", name, "evened out", "much", subject=subject, estimate_s=estimate_s)

    actions = (
        Action(Verb.CREATE, Kind.NODE, "broker-2", "not there"),
        Action(Verb.CONFIGURE, Kind.NODE, "broker-1", "a 1 → 2"),
        Action(Verb.RECREATE, Kind.NODE, "broker-1", "heap"),
        reassign("t", 100, 200.0),
        reassign("orders", 1000, 100.0),
        Action(Verb.REMOVE, Kind.NODE, "broker-3", "brokers.nodes is 2"),
    )
    *lines, total = plan_lines(Plan("orders", actions))
    assert lines == [
        "+ create     broker-2               not there",
        "~ configure  broker-1      dynamic  a 1 → 2",
        "↻ recreate   broker-1               heap",
        "→ reassign   topic t       dynamic  evened out; much",
        "→ reassign   topic orders  dynamic  evened out; much",
        "- remove     broker-3      delete   brokers.nodes is 2",
    ]
    assert total.startswith("orders: 1 to create, 1 to configure, 1 to recreate, 2 to reassign, 1 to remove, ")
    assert total.endswith(", 1.1 GiB to move in about 3 min 20 s")


def test_where_everything_is_new_there_is_no_column_for_classes() -> None:
    actions = tuple(Action(Verb.CREATE, Kind.NODE, f"broker-{n}", "not there") for n in (1, 2))
    (first, *_) = plan_lines(Plan("orders", actions))
    assert first == "+ create  broker-1  not there"


@pytest.mark.parametrize("verb", [*(verb for verb in Verb if verb is not Verb.REFUSE), STOP, "build", "load"])
def test_every_verb_that_is_done_has_its_words(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as tell:
        tell(ActionDone("broker-1", verb, 1.5))
        tell(ActionFailed("broker-1", verb, 2.5, ProvisionError("no room")))
    done, failed = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"broker-1 (?:\w+ed|built|has its new \w+) \(1\.5 s\)", done)
    assert re.fullmatch(r"broker-1: \w+ing(?: \w+)? failed \(2\.5 s\): no room", failed)
    assert f" {verb} " not in f"{done} {failed}"
