"""What waits to be written. Pure, bounded: a history that cannot be written costs sessions, never memory.

- In order: whatever is written, all that came before it is. Within a batch a change and an outage are written as they
  stand last.
- Sessions over the bound go, the oldest first, and are counted. What they changed is carried over to the next batch, so
  changes and outages outlast the sessions they come from.
- A batch that could not be written is given back and keeps its place. Until it is written, it waits as all the rest
  does: whoever asks for what the file does not have yet (`sessions`, `outages`) is told of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from probe.model import Change, Outage, Result

MOST_SESSIONS = 2_000
"""Some 20 MiB with their transcripts: a minute of 1,000 endpoints, hours of a few."""

MOST_CARRIED = 10_000
"""Changes, and outages, of sessions that are gone."""

AT_ONCE = 16
"""Sessions in one transaction: making their records takes 2 to 3 ms, in which nothing else of the probe goes on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class News:
    """What is to be written at once: a session, and what it changed."""

    session: Result | None = None
    changes: tuple[Change, ...] = ()
    outages: tuple[Outage, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What is written in one transaction."""

    sessions: tuple[Result, ...] = ()
    changes: tuple[Change, ...] = ()
    outages: tuple[Outage, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.sessions or self.changes or self.outages)


class Backlog:
    """What came and is not written yet. `dropped`: sessions that found no room, since the start."""

    def __init__(self, most: int = MOST_SESSIONS) -> None:
        self._most = most
        self._news: deque[News] = deque()
        self._changes: dict[str, Change] = {}
        self._outages: dict[str, Outage] = {}
        self._taken = Batch()
        self.dropped = 0

    def __bool__(self) -> bool:
        return bool(self._news or self._changes or self._outages)

    @property
    def is_enough(self) -> bool:
        """True if a whole batch waits."""
        return len(self._news) >= AT_ONCE

    def add(self, news: News) -> None:
        """Something came."""
        self._news.append(news)
        self._trim()

    def next(self) -> Batch:
        """Take what is to be written next, until `written` or `give_back`."""
        news = [self._news.popleft() for _ in range(min(AT_ONCE, len(self._news)))]
        for one in news:
            self._carry(one.changes, one.outages)
        batch = Batch(
            sessions=tuple(one.session for one in news if one.session is not None),
            changes=tuple(self._changes.values()),
            outages=tuple(self._outages.values()),
        )
        self._changes.clear()
        self._outages.clear()
        self._taken = batch
        return batch

    def written(self) -> None:
        """What was taken is in the file."""
        self._taken = Batch()

    @property
    def sessions(self) -> Iterator[Result]:
        """Those that wait, in order."""
        yield from self._taken.sessions
        yield from (one.session for one in self._news if one.session is not None)

    @property
    def outages(self) -> Iterator[Outage]:
        """Those that wait, as they stood at some time; the later, the truer."""
        yield from self._taken.outages
        yield from self._outages.values()
        for one in self._news:
            yield from one.outages

    def give_back(self, batch: Batch) -> None:
        """It could not be written; what came meanwhile is newer."""
        newer = self._changes.copy(), self._outages.copy()
        self._changes.clear()
        self._outages.clear()
        self._taken = Batch()
        self._carry(batch.changes, batch.outages)
        self._carry(newer[0].values(), newer[1].values())
        self._news.extendleft(News(session=session) for session in reversed(batch.sessions))
        self._trim()

    def give_up(self) -> tuple[int, int]:
        """What waits now is never written: how many sessions, and of how many outages the latest."""
        sessions, outages = len(list(self.sessions)), len({outage.first for outage in self.outages})
        self.dropped += sessions
        return sessions, outages

    def restate(self, changes: Sequence[Change], outages: Sequence[Outage]) -> None:
        """It has turned out otherwise what the sessions of these endpoints changed; the sessions themselves wait on."""
        known = {change.endpoint for change in changes}
        self._news = deque(
            replace(
                one,
                changes=tuple(change for change in one.changes if change.endpoint not in known),
                outages=tuple(outage for outage in one.outages if outage.endpoint not in known),
            )
            for one in self._news
        )
        self._changes = {key: change for key, change in self._changes.items() if change.endpoint not in known}
        self._outages = {key: outage for key, outage in self._outages.items() if outage.endpoint not in known}
        self._carry(changes, outages)

    def _carry(self, changes: Iterable[Change], outages: Iterable[Outage]) -> None:
        self._changes.update({change.session: change for change in changes})
        self._outages.update({outage.first: outage for outage in outages})
        for carried in (self._changes, self._outages):
            while len(carried) > MOST_CARRIED:
                carried.pop(next(iter(carried)))

    def _trim(self) -> None:
        while len(self._news) > self._most:
            oldest = self._news.popleft()
            self._carry(oldest.changes, oldest.outages)
            self.dropped += oldest.session is not None
