"""New topics are filled with the records of their files: once, whatever interrupts it; the whole pipeline in memory."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from provision.common.records import NewRecord
from provision.environment import Environment
from provision.errors import InvalidEnvironment, KafkaRefused, PartlyApplied, ProvisionError, Refused
from provision.events import Progress
from provision.kafka.partitioning import partition_of
from tests.fake_kafka import Partition
from tests.fake_kafka import Topic as KeptTopic
from tests.test_converge import Living, living_in, topic

LINES: list[dict[str, object]] = [
    {"key": str(number % 7) if number % 3 else None, "value": f"v{number}"} for number in range(50)
]
VALUES = sorted(f"v{number}".encode() for number in range(50))


class Killed(BaseException):
    """What nobody catches: the program is gone."""


@pytest.fixture
def living(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Living:
    write(tmp_path / "seed.jsonl", LINES)
    return living_in(tmp_path, monkeypatch)


def write(file: Path, lines: Sequence[Mapping[str, object]]) -> None:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


def seeded(partitions: int = 3, records: object = "seed.jsonl") -> dict[str, object]:
    return {**topic("orders", partitions), "records": records}


def environment(living: Living) -> Environment:
    return Environment(living.path, runtimes=living.runtimes)


def values(living: Living, name: str = "orders") -> list[bytes]:
    return sorted(record.value or b"" for row in living.kafka.topics[name].records for record in row)


def dies_after(living: Living, records: int) -> Callable[[str, object], None]:
    left = [records]

    def on_call(what: str, _about: object) -> None:
        if what == "produce":
            left[0] -= 1
            if left[0] < 0:
                raise Killed

    return on_call


def interrupted(living: Living, after: int, **sections: object) -> None:
    """Have `up` die while it fills the topic."""
    living.want(**sections)
    living.kafka.on_call = dies_after(living, after)
    with pytest.raises(Killed):
        living.up()
    living.kafka.on_call = lambda _what, _about: None


def test_a_new_topic_is_filled_in_order_and_a_second_up_does_nothing(living: Living) -> None:
    living.settles()
    living.want(topics=[seeded()])
    created, filled = living.plan().plan.actions
    assert str(created).startswith("topic orders create (not there")
    assert str(filled) == "topic orders fill (new, 50 records from seed.jsonl)"
    assert filled.as_dict()["records"] == 50
    assert living.settles() == ["create topic orders", "fill topic orders"]
    assert values(living) == VALUES
    for number, row in enumerate(living.kafka.topics["orders"].records):
        assert all(partition_of(record.key, 3) == number for record in row if record.key is not None)
        of_row = [int((record.value or b"")[1:]) for record in row]
        assert of_row == sorted(of_row)
    progress = [(one.done, one.total) for one in living.told if isinstance(one, Progress) and "orders" in one.what]
    assert progress[-1] == (50, 50)
    assert living.settles() == []
    assert len(values(living)) == 50


def test_it_is_part_of_the_first_up_and_of_the_plan_before_it(living: Living) -> None:
    living.want(topics=[seeded(), topic("plain")])
    keys = [action.key for action in living.plan().plan.actions]
    assert keys[-3:] == ["create topic orders", "create topic plain", "fill topic orders"]
    living.settles(topics=[seeded(), topic("plain")])
    assert values(living) == VALUES


def test_a_topic_that_is_there_is_never_filled(living: Living) -> None:
    living.settles(topics=[topic("orders", partitions=3)])
    assert living.settles(topics=[seeded()]) == []
    assert values(living) == []


@pytest.mark.parametrize("after", [0, 1, 17, 49])
def test_one_that_is_interrupted_is_continued_without_loss_or_doubles(living: Living, after: int) -> None:
    living.settles()
    interrupted(living, after, topics=[seeded()])
    assert len(values(living)) == after
    (action,) = living.plan().plan.actions
    assert str(action) == f"topic orders fill (interrupted after {after} of them, 50 records from seed.jsonl)"
    assert living.settles() == ["fill topic orders"]
    assert values(living) == VALUES
    assert living.settles() == []


def test_one_that_is_interrupted_again_and_again_is_full_in_the_end(living: Living) -> None:
    living.settles()
    for _ in range(7):
        interrupted(living, 7, topics=[seeded()])
    assert len(values(living)) == 49
    living.settles()
    assert values(living) == VALUES


@pytest.mark.parametrize("named", ["the same", "another"])
def test_one_without_records_yet_is_begun_anew_with_what_the_file_says_now(living: Living, named: str) -> None:
    living.settles()
    interrupted(living, 0, topics=[seeded()])
    name = "seed.jsonl" if named == "the same" else "corrected.jsonl"
    write(living.path.parent / name, LINES[:20])
    interrupted(living, 5, topics=[seeded(records=name)])
    assert len(values(living)) == 5
    assert living.settles() == ["fill topic orders"]  # it is continued with the file that it was begun with
    assert values(living) == sorted(f"v{number}".encode() for number in range(20))
    assert living.settles() == []


def test_what_the_file_says_of_its_settings_now_holds_before_it_is_filled(living: Living) -> None:
    living.settles()
    interrupted(living, 0, topics=[seeded() | {"config": {"retention.ms": "5"}}])
    assert living.settles(topics=[seeded()]) == ["configure topic orders", "fill topic orders"]
    assert values(living) == VALUES


def test_a_filling_that_fails_says_how_far_it_came_and_what_to_do(living: Living) -> None:
    living.settles()

    def on_call(what: str, about: object) -> None:
        if what == "produce" and about == ("orders", b"v2"):
            raise KafkaRefused("orders does not take record 3", why="a policy")

    living.kafka.on_call = on_call
    living.want(topics=[seeded(), topic("other")])
    with pytest.raises(PartlyApplied) as told:
        living.up()
    assert told.value.why == "topic orders: orders does not take record 3; a policy"
    assert told.value.hint == (
        "correct them in the file and apply it again; a topic that has some of its records needs `provision topics "
        "delete` before another file; the rest is done"
    )
    living.kafka.on_call = lambda _what, _about: None
    write(living.path.parent / "seed.jsonl", LINES[:20])
    with pytest.raises(Refused) as refused:
        living.up()
    assert "interrupted after 2 records, and seed.jsonl is another file than then, or has changed" in refused.value.why


def test_a_first_up_whose_filling_fails_has_nothing_done_and_nothing_to_delete(living: Living) -> None:
    def on_call(what: str, _about: object) -> None:
        if what == "produce":
            living.kafka.topics.clear()  # they go with their brokers
            raise KafkaRefused("orders does not take record 1")

    living.kafka.on_call = on_call
    living.want(topics=[seeded()])
    with pytest.raises(ProvisionError) as told:
        living.up()
    assert living.runtime.observe("living").is_absent
    assert told.value.hint.startswith("correct them in the file and apply it again; `provision up --retain`")
    assert "the rest is done" not in told.value.hint
    assert "topics delete" not in told.value.hint


def test_a_file_that_changes_between_the_plan_and_the_filling_is_told_with_its_line(living: Living) -> None:
    living.settles()

    def on_call(what: str, about: object) -> None:
        if what == "create" and about == ["orders"]:
            write(living.path.parent / "seed.jsonl", [*LINES[:2], {"key": "no value"}])

    living.kafka.on_call = on_call
    living.want(topics=[seeded()])
    with pytest.raises(PartlyApplied) as told:
        living.up()
    assert "seed.jsonl:3:1: a record needs a value" in told.value.why
    assert len(values(living)) == 2


KEYLESS = "a record of a compacted topic needs a key"


@pytest.fixture(params=[1, 10])
def checked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many records are looked at when the environment file is loaded."""
    monkeypatch.setattr("provision.spec.paths._CHECKED_RECORDS", request.param)
    return int(request.param)


@pytest.mark.parametrize(
    ("config", "line", "told"),
    [
        ({"cleanup.policy": "compact"}, {"value": "a"}, KEYLESS),
        ({"cleanup.policy": "compact,delete"}, {"value": "a"}, KEYLESS),
        ({"cleanup.policy": "delete, compact"}, {"value": "a"}, KEYLESS),
        (
            {"max.message.bytes": "1000"},
            {"value": "a" * 1001},
            "it is larger than the topic takes: 1001 B, and its max",
        ),
        ({"max.message.bytes": "1000"}, {"value": "a" * 900, "key": "k" * 101}, "its max.message.bytes is 1000 B"),
    ],
)
def test_a_record_that_the_topic_cannot_take_is_found_before_anything_starts(
    living: Living, config: dict[str, str], line: dict[str, str], told: str, checked: int
) -> None:
    write(living.path.parent / "seed.jsonl", [{"key": "1", "value": "a"}, line])
    for sections in ({"topics": [seeded() | {"config": config}]}, {"topic_defaults": {"config": config}}):
        living.want(**{"topics": [seeded()]} | sections)
        with pytest.raises(InvalidEnvironment) as invalid:
            living.up()
        (problem,) = invalid.value.problems
        assert told in problem.message
        assert "seed.jsonl:2:1: " in str(problem) if checked == 1 else "seed.jsonl, line 2: " in problem.message
        assert problem.hint
    assert living.runtime.observe("living").is_absent


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ({"cleanup.policy": "compact"}, {"key": "", "value": "a"}),
        ({"cleanup.policy": "delete"}, {"value": "a"}),
        ({"max.message.bytes": "1000"}, {"value": "a" * 1000}),
    ],
)
def test_a_record_that_the_topic_may_take_is_left_to_kafka(
    living: Living, config: dict[str, str], line: dict[str, str]
) -> None:
    write(living.path.parent / "seed.jsonl", [line])
    living.settles(topics=[seeded() | {"config": config}])
    assert values(living) == [line["value"].encode()]


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.txt", "a\n", 1),
        ("a.csv", "key,value\n1,a\n\n,b\n", 4),
        ("a.jsonl", '{"key": "1", "value": 1}\n\n{"value": 2}', 3),
    ],
)
def test_a_record_without_a_key_is_found_in_every_format(living: Living, name: str, text: str, line: int) -> None:
    (living.path.parent / name).write_text(text)
    living.want(topics=[seeded(records=name) | {"config": {"cleanup.policy": "compact"}}])
    with pytest.raises(InvalidEnvironment, match=f"{name}, line {line}: {KEYLESS}"):
        living.plan()


@pytest.mark.parametrize("change", ["the file", "the partitions"])
def test_with_something_else_it_is_not_continued_but_after_the_topic_is_deleted_anew(
    living: Living, change: str
) -> None:
    living.settles()
    interrupted(living, 10, topics=[seeded()])
    if change == "the file":
        write(living.path.parent / "seed.jsonl", LINES[:20])
    else:
        living.want(topics=[seeded(partitions=4)])
    with pytest.raises(Refused) as refused:
        living.up()
    assert "its filling was interrupted" in refused.value.why
    assert len(values(living)) == 10
    del living.kafka.topics["orders"]
    assert living.settles() == ["create topic orders", "fill topic orders"]
    assert len(values(living)) == (20 if change == "the file" else 50)


def test_what_somebody_else_wrote_meanwhile_is_told(living: Living) -> None:
    living.settles()
    interrupted(living, 10, topics=[seeded()])
    living.kafka.topics["orders"].records[0] *= 30
    with pytest.raises(KafkaRefused) as told:
        living.up()
    assert "records more than its file: somebody else has written to it" in told.value.why


def test_one_that_somebody_else_has_created_and_used_meanwhile_is_left_alone(living: Living) -> None:
    living.settles()

    def on_call(what: str, about: object) -> None:
        if what == "create" and about == ["orders"]:
            living.kafka.on_call = lambda _what, _about: None
            rows = [Partition((n, n % 3 + 1, (n + 1) % 3 + 1)) for n in (1, 2, 3)]
            living.kafka.topics["orders"] = KeptTopic(rows, {}, [[], [NewRecord(b"theirs")], []])

    living.kafka.on_call = on_call
    living.want(topics=[seeded()])
    living.up()
    assert values(living) == [b"theirs"]
    assert living.plan().plan.actions == ()


def test_a_refused_creation_leaves_no_trace(living: Living) -> None:
    living.settles()
    living.kafka.refusals["orders"] = "policy"
    living.want(topics=[seeded()])
    with pytest.raises(KafkaRefused):
        living.up()
    assert not list((living.home.directory / "seeds").rglob("*.json"))
    living.kafka.refusals.clear()
    living.settles()
    assert values(living) == VALUES


def test_a_line_that_is_wrong_is_found_before_anything_starts(living: Living) -> None:
    write(living.path.parent / "seed.jsonl", [*LINES, {"key": "no value"}])
    living.want(topics=[seeded()])
    with pytest.raises(InvalidEnvironment) as told:
        living.up()
    (problem,) = told.value.problems
    assert problem.path == "topics[0].records"
    assert "seed.jsonl, line 51: a record needs a value" in problem.message
    assert living.runtime.observe("living").is_absent


def test_one_far_below_is_found_by_the_plan(living: Living, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provision.spec.paths._CHECKED_RECORDS", 10)
    write(living.path.parent / "seed.jsonl", [*LINES, {"key": "no value"}])
    living.want(topics=[seeded()])
    with pytest.raises(InvalidEnvironment) as told:
        living.up()
    assert f"{living.path.parent / 'seed.jsonl'}:51:1: a record needs a value" in told.value.why
    assert living.runtime.observe("living").is_absent


@pytest.mark.parametrize(
    ("records", "told"),
    [
        ("nowhere.jsonl", "there is no file"),
        ("seed.json", "does not say what format it has"),
        ({"file": "seed.jsonl", "format": "xml"}, "must be 'jsonl', 'text' or 'csv'"),
        (".", "does not say what format it has"),
        ({"file": ".", "format": "text"}, "is not a file"),
        ({"file": "seed.jsonl", "key": "nothing"}, "there is no field 'nothing' for the key"),
        ({"key": "id"}, "this key is required"),
        (7, "must be a mapping"),
    ],
)
def test_what_is_wrong_with_the_key_is_told(living: Living, records: object, told: str) -> None:
    living.want(topics=[seeded(records=records)])
    with pytest.raises(InvalidEnvironment) as invalid:
        living.plan()
    assert told in invalid.value.why


def test_topics_apply_fills_them_too(living: Living) -> None:
    living.settles()
    living.want(topics=[seeded()])
    assert [action.key for action in environment(living).apply_resources().actions] == [
        "create topic orders",
        "fill topic orders",
    ]
    assert values(living) == VALUES
    with pytest.raises(ProvisionError):
        environment(living).plan_resources(["nothing"])


def test_down_forgets_what_was_interrupted(living: Living) -> None:
    living.settles()
    interrupted(living, 10, topics=[seeded()])
    assert list((living.home.directory / "seeds").rglob("*.json"))
    living.kafka.topics.clear()
    environment(living).down()
    assert not list((living.home.directory / "seeds").rglob("*.json"))
