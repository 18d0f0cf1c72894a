"""The command line: the only place that prints, prompts or exits."""

import sys


def main() -> None:
    """The `provision` command: run it, print what went wrong, and exit with the contract's code."""
    from provision.cli.run import run

    sys.exit(run(sys.argv[1:]))
