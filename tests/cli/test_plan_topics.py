"""What `plan` says of topics that it could not compare."""

from pathlib import Path

import pytest

from provision.cli.run import run
from tests.cli.world import NAME, settle
from tests.fake_kafka import SpokenRuntime

NEW = "topics are planned as new; the data that were kept may have them"


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> SpokenRuntime:
    """One with an environment that is up, and free to be taken down."""
    running, _ = settle(tmp_path, monkeypatch)
    running.on_verb = lambda _verb, _subject: None
    capsys.readouterr()
    return running


@pytest.mark.usefixtures("runtime")
def test_over_kept_data_it_says_that_the_topics_may_be_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["down", NAME, "--keep-data"]) == 0
    capsys.readouterr()
    assert run(["plan", NAME]) == 0
    assert NEW in capsys.readouterr().err


@pytest.mark.usefixtures("runtime")
def test_where_nothing_was_kept_all_is_new(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["down", NAME]) == 0
    capsys.readouterr()
    assert run(["plan", NAME]) == 0
    assert NEW not in capsys.readouterr().err


def test_while_a_node_is_down_it_says_that_they_are_not_planned(
    runtime: SpokenRuntime, capsys: pytest.CaptureFixture[str]
) -> None:
    node = next(node.name for node in runtime.observe(NAME).nodes if node.role == "zookeeper")
    runtime.kill_node(NAME, node)
    assert run(["plan", NAME]) == 0
    said = capsys.readouterr().err
    assert "topics are not planned: not all of the nodes run and answer yet" in said
    assert NEW not in said
