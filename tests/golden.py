"""Golden files: reviewed output, compared byte for byte; `pytest --golden` rewrites them."""

from pathlib import Path

import pytest


class Golden:
    """Compares texts with the files that hold what is expected; `rewrite` makes the files follow instead."""

    def __init__(self, *, rewrite: bool) -> None:
        self.rewrite = rewrite

    def __call__(self, file: Path, actual: str) -> None:
        """Fail unless `file` holds exactly `actual`."""
        if self.rewrite:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(actual.encode())
        elif not file.is_file():
            pytest.fail(f"{file} is not there: `pytest --golden` writes it")
        assert file.read_bytes().decode() == actual

    def directory(self, directory: Path, actual: dict[str, str]) -> None:
        """Fail unless `directory` holds exactly the files `actual`, by their paths below it."""
        there = {str(file.relative_to(directory)): file for file in directory.rglob("*") if file.is_file()}
        if self.rewrite:
            for name in there.keys() - actual.keys():
                there.pop(name).unlink()
        else:
            assert sorted(there) == sorted(actual)
        for name, text in actual.items():
            self(directory / name, text)
