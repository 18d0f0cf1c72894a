"""What client libraries leave open."""

import gc
import warnings


def sweep() -> None:
    """Let the garbage collector close what nobody uses any more, without a warning that blames the next test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
