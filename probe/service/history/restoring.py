"""What an earlier process wrote down -> where this one goes on: the last day, on this process's clock.

- Nothing that was written down lies ahead of now, whatever the wall clock said then; how long it lasted stays.
- What was told in another run of the machine stays as it was told, whatever the wall clock is set to in this one: a
  machine without a battery for its clock begins by the time at which it was switched off.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf

from probe.model import Change, Outage
from probe.service.clock import SteadyClock
from probe.service.history import rows
from probe.service.history.reading import Reader
from probe.service.ledger import DAY, Restored

MOST = 100_000


async def restored(reader: Reader, clock: SteadyClock) -> Restored:
    """Changes in order, with the one that the day began with; outages that last, and those that ended."""
    shift, now = clock.shift, clock()
    changes, held = await reader.last(now + shift - DAY, MOST)
    outages = [_on_clock(outage, shift, now) for outage in rows.sound(rows.outage_of, held)]
    found = [_change_on_clock(change, shift, now) for change in rows.sound(rows.change_of, changes)]
    if await reader.is_of_earlier(clock.reckoning.boot):
        clock.keep(max([-inf, *(one.seen for one in found), *(one.ended or one.seen for one in outages)]))
    return Restored(
        changes=tuple(found),
        lasting=tuple(outage for outage in outages if outage.ended is None),
        ended=tuple(outage for outage in outages if outage.ended is not None),
        told=await reader.told(),
    )


def _change_on_clock(change: Change, shift: float, now: float) -> Change:
    back = shift + _ahead(change.seen - shift, now)
    return replace(change, at=change.at - back, seen=change.seen - back)


def _on_clock(outage: Outage, shift: float, now: float) -> Outage:
    last = outage.seen if outage.ended is None else max(outage.seen, outage.ended)
    back = shift + _ahead(last - shift, now)
    ended = None if outage.ended is None else outage.ended - back
    return replace(outage, began=outage.began - back, seen=outage.seen - back, ended=ended)


def _ahead(last: float, now: float) -> float:
    """By how much all moments are moved, so that the last one is past and what is between them stays as long."""
    return max(0.0, last - now)
