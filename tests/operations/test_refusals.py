"""What Kafka refused of several things: all of them is not the same as some."""

import pytest

from provision.errors import KafkaRefused, PartlyApplied
from provision.operations.refusals import require_done


@pytest.mark.parametrize(
    ("asked", "refused", "raised", "what", "why"),
    [
        (["a"], {"a": "no"}, KafkaRefused, "consumer group a cannot be deleted", "no"),
        (["a", "a"], {"a": "no"}, KafkaRefused, "consumer group a cannot be deleted", "no"),
        (
            ["b", "a"],
            {"b": "no", "a": "nor that"},
            KafkaRefused,
            "no consumer group could be deleted",
            "consumer group a: nor that\nconsumer group b: no",
        ),
        (["b", "a"], {"b": "no"}, PartlyApplied, "not every consumer group could be deleted", "consumer group b: no"),
    ],
)
def test_some_is_partly_and_all_is_not(
    asked: list[str], refused: dict[str, str], raised: type[KafkaRefused | PartlyApplied], what: str, why: str
) -> None:
    with pytest.raises((KafkaRefused, PartlyApplied)) as caught:
        require_done("consumer group", "deleted", asked, refused, hint="stop its consumers first")
    assert type(caught.value) is raised
    assert (caught.value.what, caught.value.why, caught.value.hint) == (what, why, "stop its consumers first")


def test_what_is_done_is_no_error() -> None:
    require_done("topic", "deleted", ["a"], {})
