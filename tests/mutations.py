"""What may become of a file between writing and reading it: by another version, by hand, by a full disk, by anybody."""

import json
import os
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1,
    65536,
    10**30,
    1e308,
    float("inf"),
    float("nan"),
    "",
    "x",
    "9.9.9",
    "1.0.0",
    "..",
    "../../../outside",
    "/",
    "/nowhere/../etc",
    "127.0.0.1:99999",
    "a\nb",
    "a\x00b",
    "\x1b[31m",
    "\ud800",
    [],
    [[]],
    ["../x"],
    {},
    {"a": {}},
)
CUTS = (b"", b"{", b"[]", b"null", b"7", b'"x"', b"\x00", b"\xff\xfe\x00", b"[" * 100_000, b'{"a":' * 5000, b"9" * 6000)


def mutated(content: bytes) -> st.SearchStrategy[bytes]:
    """The content of a JSON file with one or more changes, or other bytes altogether."""
    return st.one_of(
        _edited(content),
        st.integers(0, len(content) - 1).map(lambda end: content[:end]),
        mangled(content),
        st.sampled_from(CUTS),
    )


def mangled(content: bytes) -> st.SearchStrategy[bytes]:
    """The content of any file with other bytes somewhere."""

    def put(at: int, junk: bytes, over: int) -> bytes:
        return content[:at] + junk + content[at + over :]

    return st.builds(put, st.integers(0, len(content)), st.binary(min_size=1, max_size=20), st.integers(0, 20))


@st.composite
def _edited(draw: st.DrawFn, content: bytes) -> bytes:
    document = json.loads(content)
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(document))
        if not found:
            break
        holder, key = draw(st.sampled_from(found))
        match draw(st.sampled_from(("set", "drop", "add"))):
            case "set":
                holder[key] = deepcopy(draw(st.sampled_from(ODD_VALUES)))  # it may be changed too
            case "drop":
                del holder[key]
            case "add" if isinstance(holder, dict):
                name = draw(st.sampled_from(("new", "", "../x", "\ud800")))
                holder[name] = deepcopy(draw(st.sampled_from(ODD_VALUES)))
    return json.dumps(document).encode()


def places(document: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401 any JSON
    """All places of a document, each by what holds it and its key or index there."""
    keys = document if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ()
    for key in list(keys):
        yield document, key
        yield from places(document[key])


def _directory(file: Path) -> None:
    file.unlink()
    (file / "inside").mkdir(parents=True)


def _link(file: Path) -> None:
    file.unlink()
    file.symlink_to("/etc/hostname")


def _link_to_nothing(file: Path) -> None:
    file.unlink()
    file.symlink_to("/nowhere")


def _link_to_itself(file: Path) -> None:
    file.unlink()
    file.symlink_to(file)


def _endless(file: Path) -> None:
    file.unlink()
    file.symlink_to("/dev/zero")


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _huge(file: Path) -> None:
    os.truncate(file, 2**40)


def _unreadable(file: Path) -> None:
    file.chmod(0)


REPLACED: dict[str, Callable[[Path], None]] = {
    "directory": _directory,
    "link": _link,
    "link to nothing": _link_to_nothing,
    "link to itself": _link_to_itself,
    "endless": _endless,
    "pipe": _pipe,
    "huge": _huge,
    "unreadable": _unreadable,
}
"""What may stand in a file's place; each is put there by a function."""
