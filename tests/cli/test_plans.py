"""How plans and their progress are put in words: whatever a plan can hold can be shown."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.apply.walk import require_no_refusal
from provision.cli.layout import table_lines, wrapped
from provision.cli.plans import plan_lines
from provision.cli.progress import progress
from provision.errors import ProvisionError, Refused
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
    assert first == "+ create  broker-1, 2  not there"


def test_what_happens_to_many_nodes_for_one_reason_is_one_line_and_no_word_is_broken() -> None:
    nodes = [f"broker-{number}" for number in range(1, 101)]
    reason = "kafka.version 3.9.1 → 3.8.1: Kafka cannot read what a newer release wrote"
    refused = [Action(Verb.REFUSE, Kind.NODE, node, reason, "set it back") for node in nodes]
    restarts = [Action(Verb.RESTART, Kind.NODE, node, "config changed: num.io.threads 4 → 16") for node in nodes[1:]]
    other = Action(Verb.RESTART, Kind.NODE, "zookeeper-1", "config changed: maxClientCnxns 60 → 70")
    plan = Plan("orders", (*refused, other, *restarts))
    lines = list(plan_lines(plan))
    assert [re.split("  +", line)[:2] for line in lines[:-1]] == [
        ["✗ refuse", "broker-1 … 100"],
        ["↻ restart", "zookeeper-1"],
        ["↻ restart", "broker-2 … 100"],
    ]
    assert lines[-1] == "orders: 100 to restart, 100 refused"
    for columns in (40, 60, 80, 120):
        narrow = list(plan_lines(plan, columns))
        assert max(map(len, narrow)) <= columns
        assert " ".join(" ".join(narrow).split()) == " ".join(" ".join(lines).split())


def test_many_resources_are_counted_but_not_what_has_to_be_agreed_to_or_changed() -> None:
    def of_topics(verb: Verb, cause: str, detail: str = "", count: int = 1000, first: int = 0) -> list[Action]:
        subject = Reassignment({0: (2,), 1: (1,)}, 1024**2) if verb is Verb.REASSIGN else None
        names = (f"t{number}" for number in range(first, first + count))
        return [Action(verb, "topic", name, cause, detail, subject=subject, estimate_s=9.0) for name in names]

    evened = of_topics(Verb.REASSIGN, "evened out", count=30)
    emptied = of_topics(Verb.REASSIGN, "broker-5 to be emptied", count=30, first=30)
    in_turn = [action for pair in zip(evened, emptied, strict=True) for action in pair]
    plan = Plan("orders", (*of_topics(Verb.CREATE, "not there", "1 × RF 3"), *in_turn))
    assert list(plan_lines(plan)) == [
        "+ create    1,000 topics           not there; 1 × RF 3",
        "→ reassign  30 topics     dynamic  evened out; 60 partitions",
        "→ reassign  30 topics     dynamic  broker-5 to be emptied; 60 partitions",
        "orders: 1000 to create, 60 to reassign, 60.0 MiB to move in about 9 s",
    ]
    for verb, count in ((Verb.DELETE, 40), (Verb.REFUSE, 40), (Verb.CREATE, 25)):
        *lines, _ = plan_lines(Plan("orders", tuple(of_topics(verb, "because", count=count))))
        assert [line.split()[3] for line in lines] == [f"t{number}" for number in range(count)]


def test_refusals_are_named_together_where_a_command_is_refused() -> None:
    refused = [Action(Verb.REFUSE, Kind.NODE, f"broker-{number}", "it cannot", "do not") for number in (1, 2, 3, 5)]
    with pytest.raises(Refused) as raised:
        require_no_refusal(Plan("orders", tuple(refused)))
    assert (raised.value.why, raised.value.hint) == ("broker-1 … 3, 5: it cannot", "do not")


def test_a_plan_in_colors_says_the_same_without() -> None:
    verbs = {Verb.CREATE: "green", Verb.CONFIGURE: "yellow", Verb.RESTART: "yellow", Verb.REMOVE: "red"}
    plan = Plan("orders", tuple(Action(verb, Kind.NODE, "broker-1", "because") for verb in verbs))
    painted = list(plan_lines(plan, None, lambda text, color: f"<{color}>{text}</>"))
    plain = list(plan_lines(plan))
    for line, color in zip(painted, verbs.values(), strict=False):
        assert line.startswith(f"<{color}>")
    assert [re.sub("<[^>]*>", "", line) for line in painted] == plain


@given(st.text(alphabet="ab, …", max_size=300), st.integers(min_value=1, max_value=100))
def test_lines_end_between_words(text: str, columns: int) -> None:
    lines = wrapped(text, columns)
    assert "".join("".join(lines).split()) == "".join(text.split())
    longest = max((len(word) for word in re.findall("[^ ,]+,*", text)), default=0)
    assert max(map(len, lines)) <= max(columns, longest + 2, 22) or max(map(len, lines)) <= columns
    pieces = re.findall("[^ ,]+", text)
    assert re.findall("[^ ,]+", " ".join(lines)) == pieces


@given(
    st.lists(st.tuples(st.integers(1, 66), st.integers(1, 9), st.integers(0, 8)), max_size=5),
    st.sampled_from([60, 80, 120]),
)
def test_tables_fit_the_terminal_as_far_as_their_words_do(rows: list[tuple[int, int, int]], columns: int) -> None:
    cells = [["x" * name, str(count), ", ".join(["min.insync.replicas=2"] * several)] for name, count, several in rows]
    headers = ("TOPIC", "PARTITIONS", "CONFIG")
    header, lines = table_lines(headers, cells, columns)
    assert all(len(line) <= max(columns, 66) for line in (*header, *lines))
    words = [word for row in (headers, *cells) for cell in row for word in cell.split()]
    assert " ".join((*header, *lines)).split() == words


@pytest.mark.parametrize("verb", [*(verb for verb in Verb if verb is not Verb.REFUSE), STOP, "build", "load"])
def test_every_verb_that_is_done_has_its_words(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as tell:
        tell(ActionDone("broker-1", verb, 1.5))
        tell(ActionFailed("broker-1", verb, 2.5, ProvisionError("no room")))
    done, failed = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"broker-1 (?:\w+ed|built|has its new \w+) \(1\.5 s\)", done)
    assert re.fullmatch(r"broker-1: \w+ing(?: \w+)? failed \(2\.5 s\): no room", failed)
    assert f" {verb} " not in f"{done} {failed}"
