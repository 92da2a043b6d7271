"""What is asked of Loki and when it is complete: the position at the start, then one sweep after another.

Rules:
- At the start everything Loki holds is noted, newest first, as far down as later sweeps will look. Only what it holds
  later is new, so neither Loki's clock nor the shipper's has to agree with ours.
- A sweep walks over the stamps from a while before the last complete sweep to far after now, page by page. Stamps are
  the shipper's: its clock or a backlog may let them lag behind Loki's clock, so a sweep begins below the newest stamp
  too, but at most LOOKBACK below.
- Half a sweep is nothing: what broke in the middle goes on there, and the next sweep begins where a complete one began.
"""

from __future__ import annotations

from collections.abc import Sequence

from probe.evidence.loki import SECOND, Entry
from probe.evidence.sources.loki_client import LokiClient, Page
from probe.evidence.sources.loki_ledger import Ledger, Way

LOOKBACK = 3600 * SECOND
AHEAD = 900 * SECOND
"""How far after Loki's clock stamps are looked for; Loki takes none from more than ten minutes ahead."""

MOST_PAGES_AT_START = 10
"""Each of 5000 entries: what was logged before that is not told from what comes late, and left to the tail."""

CLOCK_WRONG = 60.0
"""Seconds between Loki's clock and ours above which the position is asked for again, by Loki's."""


class Sweep:
    """A walk over the stamps in [start, end), oldest first.

    A full page is followed by one that begins with its last stamp, for more entries may have it. A full page of one
    single stamp leads nowhere: what more has that stamp is `skipped`.
    """

    def __init__(self, start: int, end: int, *, began: int) -> None:
        self.start = start
        self.end = end
        self.began = began
        self.skipped = False
        self.done = False

    def advance(self, page: Sequence[Entry], *, full: bool) -> None:
        """Take note of a page; `full`: it has as many entries as were asked for."""
        last = page[-1].at if page else self.start
        self.done = not full
        self.skipped = full and last <= self.start
        self.start = last + self.skipped


class Horizon:
    """From where a sweep has to begin. `reached` is Loki's clock as the last complete sweep began.

    While no stamp is known all of LOOKBACK is looked through: it holds nothing.
    """

    def __init__(self, reached: int, newest: int | None = None) -> None:
        self.reached = reached
        self.newest = newest

    def start(self, overlap: float) -> int:
        """Where to begin, so many seconds below what was reached."""
        known = min(self.newest or 0, self.reached) - round(overlap * SECOND)
        return max(0, known, self.reached - LOOKBACK)


class Sweeper:
    """The queries to one Loki. `deep_next`: the next sweep goes as far back as is remembered."""

    def __init__(self, client: LokiClient, ledger: Ledger, *, near: float, deep: float) -> None:
        self._client = client
        self._ledger = ledger
        self._near = near
        self._deep = deep
        self._horizon: Horizon | None = None
        self._sweep: Sweep | None = None
        self._skipped = 0
        self.deep_next = True

    @property
    def positioned(self) -> bool:
        """True once it is known what is new."""
        return self._horizon is not None

    @property
    def is_sweeping(self) -> bool:
        """True while a sweep has begun and is not complete."""
        return self._sweep is not None

    async def take_position(self) -> None:
        """Note what Loki holds."""
        page = await self._latest()
        if abs(self._client.ahead) > CLOCK_WRONG:
            page = await self._latest()
        self._ledger.fresh(page.entries, Way.QUERY)
        horizon = Horizon(self._now(), self._ledger.newest)
        wanted = horizon.start(self._deep)
        for _ in range(MOST_PAGES_AT_START - 1):
            if not page.full or page.entries[0].at < wanted:
                break
            before = page.entries[0].at
            page = await self._client.page(wanted, before + 1, newest_first=True)
            self._ledger.fresh(page.entries, Way.QUERY)
            if page.full and page.entries[0].at == before:
                break
        self._ledger.forget(max(wanted, page.entries[0].at + 1) if page.full else wanted)
        self._horizon = horizon

    async def take_late_position(self, elapsed: float) -> None:
        """What Loki held so many seconds ago is not known: what is stamped later than that is new.

        A Date header counts whole seconds; the later end of its second is taken, for an old line must never be new.
        """
        now = self._now()
        await self._client.page(now - SECOND, now, newest_first=True)
        start = self._now() + SECOND - round(elapsed * SECOND)
        self._ledger.forget(start)
        self._horizon = Horizon(start)

    async def page(self) -> Page:
        """The next page of the sweep under way, or the first of the next one. Repeated until `advance` took it."""
        if self._sweep is None:
            self._sweep = self._next()
        return await self._client.page(self._sweep.start, self._sweep.end)

    def advance(self, page: Page) -> Sweep:
        """Take note of a page; the sweep it belongs to says whether that was all."""
        assert self._sweep is not None and self._horizon is not None  # noqa: S101, PT018 - of this sweep is the page
        sweep = self._sweep
        sweep.advance(page.entries, full=page.full)
        if sweep.skipped:
            # The next sweeps come by here again; it is one loss.
            sweep.skipped = sweep.start > self._skipped
            self._skipped = max(self._skipped, sweep.start)
        if sweep.done:
            self._sweep = None
            self._horizon.reached = max(self._horizon.reached, sweep.began)
            self._horizon.newest = self._ledger.newest
            self._ledger.forget(self._horizon.start(self._deep))
        return sweep

    def _next(self) -> Sweep:
        assert self._horizon is not None  # noqa: S101 - a position is taken before
        start = self._horizon.start(self._deep if self.deep_next else self._near)
        self.deep_next = False
        self._client.relax()
        began = self._now()
        end = max(began, self._ledger.newest or 0) + AHEAD
        return Sweep(max(start, self._ledger.floor), end, began=began)

    async def _latest(self) -> Page:
        now = self._now()
        return await self._client.page(max(0, now - LOOKBACK), now + AHEAD, newest_first=True)

    def _now(self) -> int:
        return round(self._client.now() * SECOND)
