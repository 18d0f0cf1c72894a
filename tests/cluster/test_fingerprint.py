"""What tells whether somebody has edited the files of a node."""

import pytest

from provision.cluster.fingerprint import (
    FINGERPRINT_FILE,
    are_incomplete,
    begun_hash,
    in_order,
    is_edited,
    with_fingerprint,
    written_hash,
)
from provision.cluster.model import UNREADABLE, RenderedFile

NODE = "broker-1"


def file(name: str, content: bytes, *, secret: bool = False) -> RenderedFile:
    return RenderedFile(NODE, name, content, secret=secret)


SETTINGS, LAUNCH = file("server.properties", b"a=1\n"), file("launch.json", b"{}")
WRITTEN = with_fingerprint(NODE, (SETTINGS, LAUNCH))


@pytest.mark.parametrize(
    ("files", "edited"),
    [
        (WRITTEN, False),
        ((*reversed(WRITTEN),), False),
        # What a node had before stays where it was.
        ((*WRITTEN, file("ca.pem", b"of its time with TLS"), file("secrets.properties", b"s", secret=True)), False),
        ((*WRITTEN, file("server.properties.bak", UNREADABLE)), False),
        ((file("server.properties", b"a=2\n"), *WRITTEN[1:]), True),
        ((file("server.properties", b"a=1\n# more\n"), *WRITTEN[1:]), True),
        ((file("server.properties", b"\xff"), *WRITTEN[1:]), True),
        (WRITTEN[1:], True),
        ((file("server.properties", UNREADABLE), *WRITTEN[1:]), None),
        ((SETTINGS, LAUNCH), False),  # it is not noted
        ((SETTINGS, LAUNCH, file(FINGERPRINT_FILE, b"")), None),  # they are just being written
        ((SETTINGS, LAUNCH, file(FINGERPRINT_FILE, b"0123")), None),
        ((SETTINGS, LAUNCH, file(FINGERPRINT_FILE, UNREADABLE)), None),
        ((), False),
    ],
)
def test_edits_are_of_the_files_that_were_written(files: tuple[RenderedFile, ...], *, edited: bool | None) -> None:
    assert is_edited(NODE, files) is edited


def test_fewer_files_than_before_are_no_edit() -> None:
    """As after `security: tls`, or with an agent that was taken out: the next fingerprint is not of them."""
    with_agent = with_fingerprint(NODE, (SETTINGS, LAUNCH, file("agent-jmx.yaml", b"rules: []")))
    there = {one.name: one for one in (*with_agent, *WRITTEN)}
    assert is_edited(NODE, tuple(there.values())) is False
    assert written_hash(there.values()) == written_hash(WRITTEN) != written_hash(with_agent)


OTHER = with_fingerprint(NODE, (file("server.properties", b"a=2\n"), file("launch.json", b"{1}"), file("ca.pem", b"c")))


@pytest.mark.parametrize(("before", "after"), [(WRITTEN, OTHER), (OTHER, WRITTEN), (WRITTEN, WRITTEN), ((), OTHER)])
def test_files_that_are_half_written_look_neither_edited_nor_complete(
    before: tuple[RenderedFile, ...], after: tuple[RenderedFile, ...]
) -> None:
    there = {one.name: one for one in before}
    *begin, last = in_order((*reversed(after),))
    for one in begin:
        there[one.name] = one
        assert (is_edited(NODE, (*there.values(),)), are_incomplete(there.values())) == (None, True)
        assert begun_hash(there.values()) == written_hash(after)
    there[last.name] = last
    assert (is_edited(NODE, (*there.values(),)), are_incomplete(there.values())) == (False, False)
    assert begun_hash(there.values()) == ""
    assert all(there[one.name] == one for one in after)
