"""Whether `history.size` has room for what the schedule makes, also in a fault that lasts (docs/history.md)."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from probe.settings.draft import Doubt, Draft, Finding

DAY = 86_400.0

ROW, RECORD = 150, 1_400
"""Bytes of a session, and of what a page shows of it (docs/bench-history.md), kept for a DAY if it was fine."""


def room(draft: Draft) -> Iterator[Finding]:
    if draft.history is None or draft.schedule is None:
        return
    kept, size, interval = draft.history.retention, draft.history.size, draft.schedule.interval
    each_second = len(draft.endpoints) / interval
    well, ill = (each_second * (kept * ROW + records * RECORD) for records in (min(kept, DAY), kept))
    if ill <= size:
        return
    made = f"{len(draft.endpoints)} endpoints with a session in {interval:g}s each make {each_second * kept:,.0f} of"
    needed = f"{ROW} bytes in {_time(kept)}, and {RECORD:,} more for each of the last day and each that is not fine"
    sums = f"{_size(well)} while all is well, {_size(ill)} where nothing is, for a fault or for lack of evidence"
    lost = f"beyond {_size(size)} what pages show of fine sessions goes after an hour, then the oldest sessions go"
    fits = int(kept * size / ill / DAY)
    remedy = f"size: {_size(ill)}" + (f", or retention: {fits}d," if fits > 0 else "")
    yield Doubt(("history", "size"), f"{made} {needed}: {sums}; {lost}: {remedy} holds all")


def _size(count: float) -> str:
    """As history.size is written, rounded up to two digits or more."""
    megabytes = ceil(count / 1e6)
    step = 10 ** max(0, len(str(megabytes)) - 2)
    rounded = -(-megabytes // step) * step
    return f"{rounded // 1000}GB" if rounded % 1000 == 0 else f"{rounded}MB"


def _time(seconds: float) -> str:
    """As history.retention is written."""
    return f"{seconds / DAY:g}d" if seconds >= DAY else f"{seconds / 3600:.3g}h"
