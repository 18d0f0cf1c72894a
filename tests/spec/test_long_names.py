"""A name that is too long is told with its length and the most, and is not repeated as a whole."""

from pathlib import Path
from typing import Any

import pytest

from provision.cli.run import run
from provision.common.texts import LONGEST_SHOWN, shown_name
from provision.errors import InvalidEnvironment, UsageError
from provision.operations.new_topic import ELSEWHERE, NewTopic
from provision.spec.loader import load_values
from provision.spec.model import IN_WORDS, LONGEST
from provision.spec.names import require_environment_name

LONG = "a" * 300
KINDS: dict[str, tuple[dict[str, Any], int]] = {
    "environment": ({"name": LONG}, 40),
    "topic": ({"topics": [{"name": LONG}]}, 249),
    "user": ({"users": [{"name": LONG}]}, 64),
    "rack": ({"brokers": {"racks": [LONG]}}, 64),
    "rack of a broker": ({"brokers": {"overrides": {1: {"rack": LONG}}}}, 64),
    "listener": ({"listeners": {LONG: {}}}, 32),
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_has_so_many_characters(kind: str) -> None:
    values, most = KINDS[kind]
    with pytest.raises(InvalidEnvironment) as caught:
        load_values({"name": "orders", **values})
    said = str(caught.value.why)
    assert f"has 300 characters; at most {most}" in said
    assert "a" * (LONGEST_SHOWN + 1) not in said


@pytest.mark.parametrize("text", [LONG, "a" * 41, "a" * 5000])
@pytest.mark.parametrize("command", [["status"], ["down"], ["up"], ["logs"], ["init"], ["topics", "list"]])
def test_so_it_is_on_the_command_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run([*command, text]) == 64
    said = capsys.readouterr().err
    assert f"has {len(text):,} characters; at most 40" in said
    assert "a" * (LONGEST_SHOWN + 1) not in said


def test_so_it_is_for_a_topic_that_is_in_no_file() -> None:
    with pytest.raises(UsageError) as caught:
        NewTopic.of(LONG, cluster=ELSEWHERE)
    assert "has 300 characters; at most 249" in str(caught.value.why)
    assert "a" * (LONGEST_SHOWN + 1) not in f"{caught.value.what} {caught.value.why}"


def test_names_that_are_not_too_long_are_shown_as_they_are() -> None:
    assert shown_name("a" * LONGEST_SHOWN) == repr("a" * LONGEST_SHOWN)
    with pytest.raises(UsageError, match="neither an environment's name nor a file") as caught:
        require_environment_name("_")
    assert caught.value.what == "'_' is neither an environment's name nor a file"
    assert LONGEST.keys() <= IN_WORDS.keys()
