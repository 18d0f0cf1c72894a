"""A file is written whole, or stays as it was."""

import resource
from pathlib import Path

import pytest

from provision.common.whole_files import write_whole


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "orders.lock.yaml"
    write_whole(file, "before\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_whole(file, "after\n" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.read_text() == "before\n"
    assert list(tmp_path.iterdir()) == [file]
    write_whole(file, "after\n")
    assert file.read_text() == "after\n"
