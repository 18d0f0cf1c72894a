"""What a failed test's report shows of how an error came about."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import pytest

from provision import ProvisionError

_OURS = f"{Path(__file__).parents[1]}{os.sep}"


def trimmed(raised: pytest.ExceptionInfo[BaseException]) -> pytest.ExceptionInfo[BaseException]:
    """Leave out where in this program an error of its own came about: the error says what it is, and what to do."""
    error = raised.value
    if not isinstance(error, ProvisionError):
        return raised
    theirs = [one for one in _entries(error.__traceback__) if not one.tb_frame.f_code.co_filename.startswith(_OURS)]
    shown: TracebackType | None = None
    for entry in reversed(theirs):
        shown = TracebackType(shown, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    error.__cause__ = None
    return pytest.ExceptionInfo.from_exception(error.with_traceback(shown)) if shown else raised


def _entries(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback:
        yield traceback
        traceback = traceback.tb_next
