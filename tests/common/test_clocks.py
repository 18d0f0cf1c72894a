"""Tests of an application replace the clocks of the module `time`; what runs beside them is not misled."""

import pytest

from provision.common import clocks
from provision.common.pacing import paced
from provision.common.patience import Patience
from tests.stopped_clocks import stop_clocks


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    stop_clocks(monkeypatch)


@pytest.mark.usefixtures("frozen")
def test_they_go_on() -> None:
    before = clocks.running_s()
    assert clocks.now_s() > 1.7e9
    while clocks.running_s() == before:
        pass
    assert clocks.running_s() > before


@pytest.mark.usefixtures("frozen")
def test_a_wait_ends_all_the_same() -> None:
    patience, looks = Patience(0.05), 1
    while patience.pause(0.01):
        looks += 1
        assert looks < 1000
    assert patience.is_over


@pytest.mark.usefixtures("frozen")
def test_a_rate_is_kept_all_the_same() -> None:
    paused_s: list[float] = []

    def pause(pause_s: float) -> None:
        paused_s.append(pause_s)
        Patience(pause_s).pause(pause_s)

    assert list(paced(range(10), 100, sleep=pause)) == list(range(10))
    assert max(paused_s) < 0.02
