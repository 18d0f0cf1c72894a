"""A node that another command removes while this one looks at it: `status` goes on, `plan` looks again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from provision import preparing
from provision.cluster.model import RenderedFile
from provision.common.patience import Patience
from provision.errors import NodeGone, NotReady
from provision.events import silent
from provision.kafka.levels import Level
from provision.observe.leaders import ensemble_modes
from provision.operations.status import status, wait_for
from provision.runtime.base import JavaCommand
from tests.fake_kafka import SpokenRuntime
from tests.test_converge import Living, living_in

NAME, BROKER, MEMBER = "living", "broker-2", "zookeeper-1"


class Changing(SpokenRuntime):
    """Nodes that are seen, and gone when they are asked, as often as `gone` says."""

    def __init__(self) -> None:
        super().__init__()
        self.gone = 0
        self.asked = 0

    def _ask(self, name: str, node: str) -> None:
        self.asked += 1
        if self.gone:
            self.gone -= 1
            raise NodeGone(name, node)

    def read_files(self, name: str, node: str) -> tuple[RenderedFile, ...]:
        """Only from one that is there."""
        self._ask(name, node)
        return super().read_files(name, node)

    def log_lines(self, name: str, node: str, *, tail: int | None = None, follow: bool = False) -> Iterator[str]:
        """As above."""
        self._ask(name, node)
        return super().log_lines(name, node, tail=tail, follow=follow)

    def run_in_node(self, name: str, node: str, command: JavaCommand) -> tuple[int, str]:
        """As above."""
        self._ask(name, node)
        return super().run_in_node(name, node, command)


@pytest.fixture
def runtime() -> Changing:
    return Changing()


@pytest.fixture
def living(tmp_path: Path, runtime: Changing, monkeypatch: pytest.MonkeyPatch) -> Living:
    monkeypatch.setattr(preparing, "_PAUSE_S", 0.01)
    made = living_in(tmp_path, monkeypatch, runtime)
    made.up()
    runtime.asked = 0
    return made


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("change", [{}, {"security": "tls"}], ids=["nothing", "of its security"])
def test_plan_looks_again_until_the_nodes_stay(
    living: Living, runtime: Changing, times: int, change: dict[str, object]
) -> None:
    expected = [str(action) for action in living.want(**change).plan().plan.actions]
    runtime.gone = times
    assert [str(action) for action in living.plan().plan.actions] == expected
    assert runtime.gone == 0


def test_plan_ends_if_they_never_stay(living: Living, runtime: Changing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "_CHANGING_S", 0.1)
    runtime.gone = 10**6
    with pytest.raises(NodeGone, match="living has no node") as caught:
        living.plan()
    assert "if another command is changing it, try again" in caught.value.hint
    assert 1 < runtime.asked < 100


def test_status_goes_on_without_them(living: Living, runtime: Changing) -> None:
    living.runtime.exit_node(NAME, BROKER, 1)
    runtime.gone = 10**6
    assessment = status(runtime, NAME)
    assert {node.name for node in assessment.observed.nodes} == {MEMBER, "broker-1", BROKER, "broker-3"}
    assert set(assessment.edited.values()) == {None}
    assert ensemble_modes(runtime, runtime.observe(NAME)) == {MEMBER: None}


def test_a_wait_for_a_node_that_has_exited_goes_on_if_it_is_replaced_before_its_log_is_read(
    living: Living, runtime: Changing, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime.exit_node(NAME, BROKER, 1)

    def log_lines(name: str, node: str, **_: object) -> Iterator[str]:
        runtime.start_node(NAME, BROKER)
        raise NodeGone(name, node)

    monkeypatch.setattr(runtime, "log_lines", log_lines)
    assert wait_for(runtime, NAME, Level.PROCESS, None, Patience(30.0), silent).level >= Level.PROCESS


def test_a_wait_that_is_over_tells_what_is_missing_also_without_the_log(living: Living, runtime: Changing) -> None:
    living.runtime.pause_node(NAME, BROKER)
    runtime.gone = 10**6
    with pytest.raises(NotReady, match="living did not reach process within 0 s") as caught:
        wait_for(runtime, NAME, Level.PROCESS, None, Patience(0), silent)
    assert caught.value.why.startswith(f"{BROKER}: it is paused")
