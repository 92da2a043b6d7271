"""Dovecot's count of logins around the sessions of a round: scraped before, and again after one that it concerns.

Rule 1: a session never waits for a scrape; a verdict waits for one at most BOUND seconds, and only where it tells
        something: our session was dropped, or it logged in.
Rule 2: sessions that end together share one scrape; one that began before the session's end is not taken.
Rule 3: a count that stands still after a login of ours is asked again until LAG has passed since the session.
Rule 4: what cannot be read is unknown; each kind of trouble is said once in a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from probe.model import Clock, Endpoint, Judgement, Logins, Phase, Session, as_written, unexpanded
from probe.notices import Once
from probe.settings import Settings
from probe.verdict.case import BROKEN
from probe.verdict.logins import logged_in

if TYPE_CHECKING:
    from probe.evidence.dovecot_metrics import Reading, Selector
    from probe.service.login_page import Page

BOUND = 3.0
"""Seconds for one scrape, and for all that a verdict may wait for."""

LAG = 1.0
"""Seconds after which a login is counted for certain (measured: 5 ms, on the old statistics within 30 ms)."""

AGAIN = 0.1
"""Seconds between two scrapes while the count stands still."""


@dataclass(frozen=True, slots=True)
class Scrape:
    """One reading: when it was asked for, when it was there, and how many logins of ours were over before."""

    asked: float
    answered: float
    ended: int
    reading: Reading


def login_count(settings: Settings, clock: Clock) -> LoginCount:
    """The count of a configuration; one that never tells anything where no page is named."""
    told = settings.dovecot_metrics
    if told is None:
        return LoginCount()
    from probe.evidence.dovecot_metrics import selector  # noqa: PLC0415 - only where a page is named
    from probe.service.login_page import Page  # noqa: PLC0415

    return LoginCount(Page(told.url, selector(told.counter) if told.counter else None, clock))


class LoginCount:
    """Follows one counter; lives as long as its workshop. `latest` is the last count that could be read."""

    def __init__(self, page: Page | None = None, bound: float = BOUND, once: Once | None = None) -> None:
        self.latest: float | None = None
        self._page = page
        self._bound = bound
        self._first: asyncio.Task[Scrape | None] | None = None
        self._next: asyncio.Task[Scrape | None] | None = None
        self._next_asked = -math.inf
        self._begun = 0
        self._ended = 0
        self._once = once or Once()

    async def __aenter__(self) -> LoginCount:
        return self

    async def __aexit__(self, *_: object) -> None:
        """End what nobody waits for any more; a bug is raised here."""
        for task in (self._first, self._next):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    def begin(self) -> None:
        """A round begins: scrape beside its sessions."""
        if self._page is not None:
            self._first = asyncio.create_task(self._scrape(self._page, None))

    @contextlib.contextmanager
    def expecting(self, endpoint: Endpoint) -> Iterator[list[Session]]:
        """A session to this endpoint is opened, and its delivery read back: the logins of both are ours.

        The session goes into the list; one that did not come as far as a login is none of ours any more.
        """
        opened: list[Session] = []
        logins = int(endpoint.login is not None) + int(endpoint.mailbox is not None)
        self._begun += logins
        try:
            yield opened
        finally:
            if opened and not any(map(_may_have_logged_in, opened)):
                self._begun -= logins
            else:
                self._ended += logins

    async def around(self, session: Session, judgement: Judgement) -> Logins | None:
        """What was counted around this session; None where it is unknown, or tells nothing of this session."""
        if self._page is None or self._first is None:
            return None
        if judgement.verdict not in BROKEN and not logged_in(session):
            return None
        try:
            async with asyncio.timeout(self._bound):
                before = await asyncio.shield(self._first)
                return await self._counted(self._page, before, session) if before else None
        except TimeoutError:
            return None

    async def _counted(self, page: Page, before: Scrape, session: Session) -> Logins | None:
        moment = session.closed
        while after := await self._younger_than(moment, page, before.reading.counter):
            growth = after.reading.grown_since(before.reading)
            if growth is None:
                return None
            if growth or not logged_in(session) or after.asked >= session.closed + LAG:
                self._say_if_it_never_counts(page, after.reading, session)
                return Logins(
                    where=urlsplit(as_written(page.url)).netloc or as_written(page.url),
                    count=after.reading.count,
                    grown=growth,
                    own=self._begun - before.ended,
                    since=before.answered,
                    until=after.answered,
                    usual=_usual(before, after),
                )
            await asyncio.sleep(AGAIN)
            moment = page.clock()
        return None

    async def _younger_than(self, moment: float, page: Page, counter: Selector) -> Scrape | None:
        """A scrape that was asked for after this moment: one that is there, one under way, or a new one."""
        if self._next is None or self._next_asked < moment:
            self._next_asked = page.clock()
            self._next = asyncio.create_task(self._scrape(page, counter))
        return await asyncio.shield(self._next)

    async def _scrape(self, page: Page, counter: Selector | None) -> Scrape | None:
        from probe.service.login_page import Unread  # noqa: PLC0415 - only where a page is named

        asked, ended = page.clock(), self._ended
        found = await page.read(counter, self._bound)
        if isinstance(found, Unread):
            what = "dovecot_metrics: the count of logins is unknown"
            self._once.warn(
                what, kind=found.kind, url=as_written(page.url), reason=unexpanded(found.reason, page.url)[:500]
            )
            return None
        self.latest = found.count
        return Scrape(asked, page.clock(), ended, found)

    def _say_if_it_never_counts(self, page: Page, reading: Reading, session: Session) -> None:
        if not logged_in(session) or reading.count:
            return
        doubt = "the page is another server's, or Dovecot writes no statistics (stats_writer_socket_path is empty)"
        what = f"dovecot_metrics: {reading.counter} is still 0 after a login of ours: {doubt}"
        self._once.warn(what, kind="still 0", url=as_written(page.url))


def _may_have_logged_in(session: Session) -> bool:
    """It logged in itself, or its mailbox was looked at after a delivery or the attempt at one."""
    return any(timing.phase in (Phase.LOGIN, Phase.DELIVERY) for timing in session.phases)


def _usual(before: Scrape, after: Scrape) -> float | None:
    """How many logins are counted in so long a time on average, since the server began to count."""
    since, reading = after.reading.since, after.reading
    age = after.answered - since if since is not None else 0.0
    return reading.count / age * (after.answered - before.answered) if age > 0 else None
