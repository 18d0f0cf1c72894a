"""`provision certs …`: what it says."""

import datetime as dt

import pytest

from provision.cli import certificates
from provision.cli.run import run
from provision.security.certificates import Shown


class _Rotated:
    name = "shop"

    def __init__(self, *kinds: str) -> None:
        self.kinds = kinds

    def up(self, *_: object, **_options: object) -> None:
        """It has been done."""

    def certificates(self) -> "list[_Kind]":
        left = {"": 9, "ended": -2, "later": 31}
        return [_Kind(kind.removesuffix(how).rstrip(), left[how]) for kind in self.kinds for how in [_how(kind)]]


def _how(kind: str) -> str:
    return next((how for how in ("ended", "later") if kind.endswith(how)), "")


class _Kind:
    name = "whose"

    def __init__(self, kind: str, days: int = 9) -> None:
        self.kind = kind
        ends = dt.datetime.now(dt.UTC) + dt.timedelta(days=days, hours=1)
        self.says = Shown("whose", "", ends, ends)


FINISH = "`provision certs rotate shop --finish` then ends the trust in the old one"


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        (
            ["authority", "old authority", "old zookeeper authority"],
            ["shop: both authorities are trusted; give clients the new files", FINISH],
        ),
        (
            ["authority", "zookeeper authority", "old zookeeper authority"],
            ["shop: ZooKeeper's nodes trust both of its authorities; clients have nothing of them", FINISH],
        ),
        (["authority", "zookeeper authority"], ["shop: only the new authority is trusted"]),
    ],
)
def test_what_was_rotated_is_told_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kinds: list[str], said: list[str]
) -> None:
    monkeypatch.setattr(certificates, "select_described", lambda *_, **_options: _Rotated(*kinds))
    assert run(["certs", "rotate", "shop", "--yes"]) == 0
    assert capsys.readouterr().err.splitlines() == said


ROTATE = "`provision certs rotate shop"
UNLESS = "unless the file's `certificates` names one: then name another"
OLD = "old authority; give clients the new files before"


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        (["node", "user"], "2 certificates will have ended in 30 days: `provision up shop` makes new ones"),
        (
            ["authority", "node", "old authority"],
            f"3 certificates will have ended in 30 days: {ROTATE}` makes another authority, {UNLESS}",
        ),
        (
            ["zookeeper authority"],
            f"1 certificate will have ended in 30 days: {ROTATE}` makes another authority",
        ),
        (
            ["old authority", "node"],
            f"2 certificates will have ended in 30 days: {ROTATE} --finish` ends the trust in the {OLD}",
        ),
        (
            ["node ended", "user"],
            "2 certificates will have ended in 30 days, 1 of them already: `provision up shop` makes new ones",
        ),
        (["node later"], ""),
    ],
)
def test_what_mends_certificates_that_end_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kinds: list[str], said: str
) -> None:
    monkeypatch.setattr(certificates, "select", lambda _env: _Rotated(*kinds))
    assert run(["certs", "show", "shop"]) == 0
    assert capsys.readouterr().err.splitlines() == ([said] if said else [])
