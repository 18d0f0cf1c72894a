"""One run of the command line: arguments in, exit code out."""

import os
import sys
from collections.abc import Sequence

import click

from provision.cli.app import app
from provision.cli.output import print_error
from provision.errors import Interrupted, ProvisionError, UsageError
from provision.interrupts import as_keyboard_interrupt


def run(arguments: Sequence[str]) -> int:
    """Run `provision` with these arguments; returns the exit code and never raises a traceback at the user."""
    as_keyboard_interrupt()
    try:
        result = app(args=list(arguments), standalone_mode=False)
    except ProvisionError as error:
        print_error(error)
        return error.exit_code
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "provision"
        print_error(UsageError(error.format_message(), hint=f"`{command} --help`"))
        return UsageError.exit_code
    except click.ClickException as error:
        print_error(UsageError(error.format_message()))
        return UsageError.exit_code
    except (KeyboardInterrupt, click.Abort):
        print_error(Interrupted("interrupted"))
        return Interrupted.exit_code
    except BrokenPipeError:
        # The reader (`head`, a pager) has seen enough. What Python flushes at exit must not complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return result if isinstance(result, int) else 0
