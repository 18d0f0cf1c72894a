"""One run of the command line: arguments in, exit code out."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

import typer

from provision.cli import completion
from provision.cli.app import called, path_of
from provision.cli.groups import WrongLine
from provision.cli.output import print_error, say, write_line
from provision.cli.streams import OutputLost, Purpose
from provision.cli.streams import lost as lost_output
from provision.common.interrupts import handle_signals
from provision.common.texts import is_text
from provision.errors import Interrupted, ProvisionError

# What typer raises for a wrong command line. Newer releases carry their own copy of click, older ones use click itself:
# this is ClickException of the one in use, the parent of UsageError, the parent of BadParameter.
_SHOW_CURSOR = b"\x1b[?25h"
_ClickException = cast(type[Exception], typer.BadParameter.__mro__[2])


def run(arguments: Sequence[str]) -> int:
    """Run `provision` with these arguments; returns the exit code, and never shows the user a traceback."""
    handle_signals(_end_at_once)
    try:
        return _settled(_run(arguments))
    except KeyboardInterrupt:  # while an error is printed
        return Interrupted.exit_code


def _run(arguments: Sequence[str]) -> int:
    try:
        result = _called(arguments)
    except WrongLine as error:
        from provision.cli.junit import report_wrong_line

        report_wrong_line(error, arguments)
        return _failed(error)
    except ProvisionError as error:
        return _failed(error)
    except (KeyboardInterrupt, typer.Abort):
        result = Interrupted.exit_code
    except OutputLost:
        return 0
    except OSError as error:
        subject = f"{error.filename}: " if error.filename else ""
        return _failed(ProvisionError(f"{subject}{error.strerror or error}"))
    except Exception as error:
        if not _is_an_interrupt(error):
            raise
        result = Interrupted.exit_code
    if result == Interrupted.exit_code:  # typer itself turns Ctrl-C into this code
        return _failed(Interrupted("interrupted"))
    return result


def _called(arguments: Sequence[str]) -> int:
    """Have typer call the command; the exit code.

    Raises:
        WrongLine: the command line is wrong.
        Exception: whatever the command raises.
    """
    try:
        _require_text(arguments)
        with completion.installation(arguments):
            result = called(arguments)(args=list(arguments), prog_name="provision", standalone_mode=False)
    except SystemExit as error:  # once it has shown the script that completes words
        result = error.code
    except _ClickException as error:
        if type(error).__name__ != "NoArgsIsHelpError":
            raise _wrong_usage(error, arguments) from error
        write_line(str(error))
        result = 0
    return result if isinstance(result, int) else 0


def _is_an_interrupt(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind an error: what Python raises again under another name, as it does in `__set_name__`."""
    seen = list[BaseException]()
    while error is not None and error not in seen:
        if isinstance(error, KeyboardInterrupt):
            return True
        seen.append(error)
        error = error.__cause__ or error.__context__
    return False


def _end_at_once(way_on: str) -> None:
    """End the program, whatever is going on: also from the middle of a write to standard error."""
    text = f"\ninterrupted again: what was being done is left as it is\nhint: {way_on}\n" if way_on else ""
    with suppress(OSError):
        if sys.stderr.isatty():
            os.write(2, _SHOW_CURSOR)  # a live table hides it
        os.write(2, text.encode())
    os._exit(Interrupted.exit_code)


def _settled(code: int) -> int:
    """The exit code after what was written to standard output has arrived, or has not."""
    if (lost := lost_output()) is None:
        return code
    purpose, reason = lost
    what = f"standard output cannot be written: {reason.strerror or reason}"
    if purpose is Purpose.REPORT:
        say(f"{what}; the work is done")
        return code
    failed = _failed(ProvisionError(what))
    return code or failed


def _require_text(arguments: Sequence[str]) -> None:
    """Refuse bytes that are no text: neither Kafka, Java nor Docker takes a name with them, and they cannot be printed.

    Raises:
        WrongLine: an argument, or `PROVISION_ENV`, has some.
    """
    for argument in (*arguments, os.environ.get("PROVISION_ENV", "")):
        if not is_text(argument):
            raise WrongLine(f"{argument!r} is not UTF-8 text", hint="rename it, or write it in UTF-8")


def _failed(error: ProvisionError) -> int:
    print_error(error)
    return error.exit_code


def _wrong_usage(error: Any, arguments: Sequence[str]) -> WrongLine:  # noqa: ANN401 see above
    text = error.format_message().rstrip(".").replace("Value error, ", "")  # of what typer makes of a Literal
    path, where = path_of(arguments), getattr(error, "ctx", None)
    takes = [str(param.metavar) for param in (where.command.params if where else ())]
    if "--" not in arguments and (others := next((one for one in takes if one.startswith("-- ")), "")):
        return WrongLine(text, hint=f"options for another program come after --: `{path} [ENV] ... {others}`")
    return WrongLine(text, hint=f"`{path} --help`")
