"""The machine's clocks, also where tests of an application, beside which this runs, have replaced those of `time`."""

import sys
import time

if sys.platform == "win32":
    now_s, running_s = time.time, time.monotonic
else:

    def now_s() -> float:
        """The Unix time."""
        return time.clock_gettime(time.CLOCK_REALTIME)

    def running_s() -> float:
        """Seconds since some moment; nobody can set this clock."""
        return time.clock_gettime(time.CLOCK_MONOTONIC)
