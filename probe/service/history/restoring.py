"""What an earlier process wrote down -> where this one goes on: the last day, on this process's clock.

Nothing that was written down lies ahead of now, whatever the wall clock said then.
"""

from __future__ import annotations

from dataclasses import replace

from probe.model import Outage
from probe.service.clock import SteadyClock
from probe.service.history import rows
from probe.service.history.file import HistoryFile
from probe.service.ledger import DAY, Restored

MOST = 100_000


async def restored(file: HistoryFile, clock: SteadyClock) -> Restored:
    """Changes in order, with the one that the day began with; outages that last, and those that ended."""
    shift, now = clock.shift, clock()
    await file.set_marks(shift, now)
    since = now + shift - DAY
    outages = rows.sound(rows.outage_of, await file.outages(since, MOST))
    outages = [_on_clock(outage, shift, now) for outage in reversed(outages)]
    changes = rows.sound(rows.change_of, await file.changes(since, MOST))
    return Restored(
        changes=tuple(replace(change, at=min(change.at - shift, now)) for change in changes),
        lasting=tuple(outage for outage in outages if outage.ended is None),
        ended=tuple(outage for outage in outages if outage.ended is not None),
    )


def _on_clock(outage: Outage, shift: float, now: float) -> Outage:
    began, seen = (min(at - shift, now) for at in (outage.began, outage.seen))
    ended = None if outage.ended is None else min(outage.ended - shift, now)
    return replace(outage, began=began, seen=seen, ended=ended)
