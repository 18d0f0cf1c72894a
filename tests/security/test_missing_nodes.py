"""A node that is missing in the middle of a change of security: it is started so that it understands all who run."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from tests.security.test_changing import BY_LISTENER_IN_KRAFT, SHAPES, Changing
from tests.security.test_environments import NAME

ALONE: dict[str, Any] = {"brokers": {"nodes": 1, "port": "auto"}}
HERE = SHAPES | {"alone": ALONE, "alone at an ensemble": ALONE | {"zookeeper": {"nodes": 3}}}
REMOVED, EXITED = "removed", "exited"
CHANGES = [
    # A broker that is alone changes its listeners at once: only ZooKeeper needs phases then.
    ("alone", "sasl-tls", "plaintext", 2),
    ("alone", "plaintext", "sasl-tls", 3),
    ("alone at an ensemble", "sasl-tls", "plaintext", 13),
    ("zookeeper", "sasl-tls", "plaintext", 17),
    ("ensemble", "plaintext", "mtls", 37),
    ("combined", "sasl-tls", "plaintext", 19),
    ("dedicated", "plaintext", "sasl-tls", 29),
]


class Watched(Changing):
    """It looks whether nodes understand each other whenever one has started, too."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.started: list[str] = []
        self.looks = False
        start = self.runtime.start_node

        def start_node(name: str, node: str) -> None:
            start(name, node)
            if self.looks:
                self.started.append(node)
                self.understand_each_other()

        self.runtime.start_node = start_node  # type: ignore[method-assign]

    def lose(self, node: str, how: str) -> None:
        """Let a node be gone, as by a crash, or as if somebody had removed it."""
        following, self.runtime.on_verb = self.runtime.on_verb, lambda _verb, _subject: None
        self.runtime.exit_node(NAME, node, 137)
        if how == REMOVED:
            self.runtime.remove_node(NAME, node)
        self.runtime.on_verb = following
        self.looks = True


@pytest.mark.parametrize("how", [REMOVED, EXITED])
@pytest.mark.parametrize(
    ("shape", "before", "after", "every"),
    [
        *CHANGES,
        *(pytest.param(*change, 1, marks=pytest.mark.soak) for *change, _ in CHANGES),
        pytest.param("some vote", "mtls", "plaintext", 5, marks=pytest.mark.soak),
        pytest.param("zookeeper", "sasl-tls", "mtls", 5, marks=pytest.mark.soak),
    ],
)
def test_it_understands_the_others_wherever_the_change_stands(
    tmp_path: Path, shape: str, before: str, after: str, every: int, how: str
) -> None:
    """Cut off at each step in turn, with each node missing in turn; `up` goes on, or back, by turns."""
    node_number = itertools.count(how == EXITED)
    for step in itertools.count(0, every):
        with pytest.MonkeyPatch.context() as patched:
            changing = Watched(tmp_path / f"{step}")
            changing.kafka.speak(patched)
            wanted = {one: changing.of(one, **HERE[shape]) for one in (before, after)}
            changing.up(wanted[before])
            if not changing.is_killed(wanted[after], step):
                break
            nodes = [node.name for node in changing.runtime.observe(NAME).nodes]
            lost = nodes[next(node_number) % len(nodes)]
            changing.lose(lost, how)
            going = wanted[(after, before)[step // every % 2]]
            changing.up(going)
            assert lost in changing.started
            assert not going.plan().plan.changes
    assert step > every  # it was cut off at least twice


@pytest.mark.parametrize("how", [REMOVED, EXITED])
@pytest.mark.parametrize(
    "change", ["no longer several", pytest.param("one more, which nodes use", marks=pytest.mark.soak)]
)
def test_so_it_is_when_listeners_change(tmp_path: Path, change: str, how: str) -> None:
    lost_in_turn = itertools.cycle(["zookeeper-1", "broker-1", "broker-3"])
    for step, lost in zip(itertools.count(2, 13), lost_in_turn, strict=False):
        with pytest.MonkeyPatch.context() as patched:
            changing = Watched(tmp_path / f"{step}")
            changing.kafka.speak(patched)
            before, after = (changing.by_listener("zookeeper", file) for file in BY_LISTENER_IN_KRAFT[change])
            changing.up(before)
            if not changing.is_killed(after, step):
                break
            changing.lose(lost, how)
            changing.up(after)
            assert not after.plan().plan.changes
    assert step > 2 * 13


@pytest.mark.parametrize("how", [REMOVED, EXITED])
@pytest.mark.parametrize(
    ("shape", "lost"), [("zookeeper", ["broker-1", "broker-3"]), ("dedicated", ["broker-1", "broker-2"])]
)
def test_it_is_not_alone_whose_others_are_all_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: str, lost: list[str], how: str
) -> None:
    changing = Watched(tmp_path)
    changing.kafka.speak(monkeypatch)
    changing.up(changing.like(shape, "sasl-tls"))
    for node in lost:
        changing.lose(node, how)
    after = changing.like(shape, "plaintext")
    changing.up(after)
    assert set(lost) <= set(changing.started)
    assert not after.plan().plan.changes
