"""What is told about a first `up` that failed, once what it created is removed again."""

import re
from collections.abc import Callable

from provision.errors import Interrupted, NodeFailed, NotReady, PartlyApplied, ProvisionError
from provision.resources.rounds import REST_IS_DONE

# A clause of a hint that sends the reader to an environment which is no longer there.
_LOOK = re.compile(r"`provision (?:logs|status|start|restart|wait|topics|tool|endpoints)\b")
_CLAUSES = re.compile(r"; |, or |, then ")


def undone(error: BaseException, undo: Callable[[], None], environment: str) -> BaseException:
    """Undo a first `up`; returns the error to report: still the first one, with what could not be removed after it.

    Args:
        error: what made it fail.
        undo: removes what it created.
        environment: its name.
    """
    try:
        undo()
    except Exception as failure:  # noqa: BLE001 whatever it is, it must not take the place of the first error
        return _with_remains(_as_reported(error), failure, environment)
    return _without_environment(_as_reported(error))


def _as_reported(error: BaseException) -> BaseException:
    """Nothing is partly applied once all is removed."""
    if isinstance(error, PartlyApplied):
        hint = _joined(*(clause for clause in _CLAUSES.split(error.hint) if clause != REST_IS_DONE))
        return ProvisionError(error.what, why=error.why, hint=hint)
    return error


def _with_remains(error: BaseException, failure: Exception, environment: str) -> BaseException:
    if isinstance(error, KeyboardInterrupt):
        error = Interrupted("interrupted")
    if not isinstance(error, ProvisionError):  # a bug: its traceback is needed
        error.add_note(f"and {environment} could not be removed again: {failure}")
        return error
    why = failure.why if isinstance(failure, ProvisionError) else ""
    error.add(f"{environment} could not be removed again: {failure}", why)
    error.hint = _joined(error.hint, f"`provision down {environment}` removes what is left")
    return error


def _without_environment(error: BaseException) -> BaseException:
    """The error without hints at logs and nodes that are removed; `--retain` would have kept them."""
    if not isinstance(error, ProvisionError):
        return error
    looks = bool(_LOOK.search(error.hint))
    if looks:
        error.hint = _joined(*(clause for clause in _CLAUSES.split(error.hint) if not _LOOK.search(clause)))
    if looks or isinstance(error, NodeFailed | NotReady):
        error.hint = _joined(error.hint, "`provision up --retain` keeps what fails, with its logs")
    return error


def _joined(*hints: str) -> str:
    return "; ".join(filter(None, hints))
