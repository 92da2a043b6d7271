"""Lists of what is in the file and of what waits for it, which is all there is: each row once, the latest first.

- What waits came after all that is written; where some of it was written while the file was asked, it is there already.
- An outage that lasts waits as it stands now while it is in the file as it stood: its place is that in the file.
- A list goes on after a name wherever that is; NotKept is raised where that is nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from probe.model import Ahead, Outage
from probe.report.record import record_object
from probe.service.history.backlog import Backlog
from probe.service.history.reading import Reader
from probe.service.wanted import NotKept, Wanted

MOST_READ = 1_000


async def sessions(
    reader: Reader, backlog: Backlog, wanted: Wanted, most: int, shift: float
) -> Sequence[Mapping[str, object]]:
    """Records of sessions, MOST_READ at most. `shift`: what the wall clock is ahead of moments."""
    most = max(0, min(most, MOST_READ))
    waiting = {one.session.id: one for one in reversed(list(backlog.sessions))}
    found = await reader.sessions(wanted, most, waits=wanted.after in waiting)
    written = {one["id"] for one in found}
    is_there = wanted.after is not None and wanted.after not in waiting
    if is_there and not found and await reader.session(str(wanted.after)) is None:
        raise NotKept(wanted.after)
    behind = [] if is_there else wanted.behind(waiting)
    newer = [one for one in behind if one.session.id not in written and wanted.session(one, shift)]
    return [*(record_object(one, shift=shift) for one in newer[:most]), *found][:most]


async def outages(reader: Reader, backlog: Backlog, wanted: Wanted, most: int, ahead: Ahead) -> Sequence[Outage]:
    """The same of outages; their times are wall times."""
    most = max(0, min(most, MOST_READ))
    waiting = {one.first: one.told(ahead) for one in backlog.outages}
    found = {one.first: one for one in await reader.outages(wanted, most, waits=wanted.after in waiting)}
    found |= {first: one for first, one in waiting.items() if wanted.outage(one)}
    names = list(dict.fromkeys([*found, *waiting, *filter(None, [wanted.after])]))
    numbers = await reader.numbers(names)
    place = {name: (numbers.get(name, inf), nth) for nth, name in enumerate([*waiting, *numbers])}
    listed = {name: found.get(name) for name in sorted(place, key=place.__getitem__, reverse=True)}
    return [one for one in wanted.behind(listed) if one is not None][:most]
