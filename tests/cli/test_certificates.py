"""`provision certs …`: what it says."""

import pytest

from provision.cli import certificates
from provision.cli.run import run


class _Rotated:
    name = "shop"

    def __init__(self, *kinds: str) -> None:
        self.kinds = kinds

    def up(self, *_: object, **_options: object) -> None:
        """It has been done."""

    def certificates(self) -> "list[_Kind]":
        return [_Kind(kind) for kind in self.kinds]


class _Kind:
    def __init__(self, kind: str) -> None:
        self.kind = kind


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
