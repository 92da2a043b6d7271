"""The probe's clock: seconds since the epoch that never jump within a process.

Wall time may be set back and forth; sessions and log lines are compared with each other, so they need one clock
that only goes forward. It is labelled with the wall time at which the process took it up.
"""

from __future__ import annotations

import time

from probe.model import Clock


def steady_clock() -> Clock:
    """A clock that reads the wall time now and then goes on monotonically."""
    ahead = time.time() - time.monotonic()
    return lambda: time.monotonic() + ahead
