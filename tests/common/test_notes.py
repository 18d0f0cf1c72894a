"""Reading notes back: what is not what was written is told in one line."""

import pytest

from provision.common.notes import DamagedNote, Note, parse_note


class _Note(Note):
    text: str


@pytest.mark.parametrize("text", [b"\\u0000", b"a\\u0000b", b"\\\\\\u0000"])
def test_a_text_with_nul_is_damage(text: bytes) -> None:
    with pytest.raises(DamagedNote, match="NUL"):
        parse_note(b'{"text": "%s"}' % text, _Note)


@pytest.mark.parametrize(("text", "read"), [(b"\\\\u0000", "\\u0000"), (b"\\\\\\\\u0000", "\\\\u0000")])
def test_what_only_looks_like_nul_is_a_text(text: bytes, read: str) -> None:
    assert parse_note(b'{"text": "%s"}' % text, _Note).text == read
