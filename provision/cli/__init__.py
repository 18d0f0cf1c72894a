"""The command line: the only place that prints, prompts or exits.

It is imported at once when the program starts, and imports nothing itself: until `main` is called, Ctrl-C is Python's.
"""


def main() -> None:
    """Run the `provision` command, print any error, and exit with the documented code."""
    try:
        _main()
    except KeyboardInterrupt:  # between the first line and the last, at the moments when nobody else handles it
        _leave()


# Loading the program makes some 100,000 objects that stay: to look through them again and again took a tenth of its
# start.
_OBJECTS_BETWEEN_COLLECTIONS = 200_000


def _main() -> None:
    import gc
    import sys

    _leave_on_signals()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    from provision.cli import streams

    streams.open_all()
    from provision.cli.run import run
    from provision.common.interrupts import keep_awake

    keep_awake()
    code = run(sys.argv[1:])
    gc.freeze()  # or else the interpreter looks through all of them twice more before it ends: a fifth of a command
    _leave_on_signals()  # what libraries do at the end is not to be waited for
    sys.exit(code)


def _leave_on_signals() -> None:
    """End at once on a signal, without Python's traceback: nothing has begun yet, or everything is done."""
    import signal

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _leave)


def _leave(*_: object) -> None:
    import os

    os._exit(130)
