"""The command line: the only place that prints, prompts or exits."""

import sys


def main() -> None:
    """Run the `provision` command, print any error, and exit with the documented code."""
    from provision.cli.run import run

    sys.exit(run(sys.argv[1:]))
