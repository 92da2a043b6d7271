"""Grafana Loki: a tail brings lines soon, queries bring them surely, a ledger delivers each once.

Rules:
- The tail's websocket tells what comes in, but Loki may leave entries out without a word, and its look back is best
  effort. So queries sweep over the last minutes: beside a tail every `check` seconds, at once when a tail opens, ends
  or tells of entries it dropped, and every `poll` seconds while there is no tail. The sweep is what fills gaps.
- Only what Loki did not hold at the start is new (loki_sweep.py), and what either way told already is not (ledger).
- A sweep overlaps the one before by `near` seconds; after a gap, and every `every_deep` seconds, by `deep`. What comes
  later than that is brought by the tail alone.
- One page and one frame are held at most; who does not ask for lines makes Loki drop entries, which it tells of.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field

from probe.evidence import loki as wire
from probe.evidence.sources.backoff import Backoff
from probe.evidence.sources.loki_client import Access, LokiClient, Page
from probe.evidence.sources.loki_http import Bounds, Trouble
from probe.evidence.sources.loki_ledger import Ledger, Way
from probe.evidence.sources.loki_sweep import Sweeper
from probe.evidence.sources.loki_tail import Ended, Heard, Opened, Tail
from probe.evidence.sources.source import MAX_LINE, Health, Lines, State
from probe.evidence.sources.standing import Standing
from probe.model import Clock


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """All bounds of time, in seconds; the rules above tell what the first ones are for.

    `hurried` is `poll` while somebody is in a hurry, `start` the longest that `start` takes, `quiet` the time until a
    query that never matched anything is told of, `again` the first wait after a query that failed, `refused` until a
    tail that was refused is asked for again, `lived` how long a tail lasts that is no failure.
    """

    poll: float = 1.0
    hurried: float = 0.25
    check: float = 5.0
    every_deep: float = 30.0
    near: float = 10.0
    deep: float = 300.0
    start: float = 6.0
    quiet: float = 60.0
    again: float = 0.25
    refused: float = 30.0
    lived: float = 10.0
    bounds: Bounds = field(default_factory=Bounds)


PATIENCE = Patience()


class LokiSource:
    """Follows one query. See `Source` for the contract of its methods."""

    def __init__(self, access: Access, *, clock: Clock, patience: Patience = PATIENCE) -> None:
        self.name = access.name
        self.access = access
        self._clock = clock
        self._patience = patience
        self._client = LokiClient(access, clock, patience.bounds)
        self._ledger = Ledger()
        self._sweeper = Sweeper(self._client, self._ledger, near=patience.near, deep=patience.deep)
        self._tail = Tail(self._client, refused=patience.refused, lived=patience.lived)
        self._standing = Standing(self.name)
        self._backoff = Backoff(first=patience.again)
        self._ready: deque[Lines] = deque()
        self._asking: asyncio.Task[Page] | None = None
        self._hearing: asyncio.Task[Heard] | None = None
        self._wake: asyncio.Future[None] | None = None
        self._due = self._due_deep = self._hurried_until = 0.0
        self._started = 0.0
        self._closed = self._again = False

    @property
    def health(self) -> Health:
        """How it fares now."""
        return self._standing.health

    async def start(self) -> None:
        """Learn what Loki holds already."""
        self._started = self._clock()
        try:
            async with asyncio.timeout(self._patience.start):
                await self._sweeper.take_position()
        except Trouble as trouble:
            self._standing.tell(State.FAILED, trouble.reason, kind=trouble.kind)
        except TimeoutError:
            reason = "Loki did not answer in time: check the network and Loki's load"
            self._standing.tell(State.FAILED, reason, kind="timeout")
        else:
            self._standing.tell(State.FOLLOWING)

    async def follow(self) -> AsyncIterator[Lines]:
        """The lines since `start`, until `close`."""
        while not self._closed:
            while self._ready:
                yield self._ready.popleft()
            if not self._closed:
                await self._turn()

    def hurry(self, seconds: float) -> None:
        """While there is no tail, ask every `Patience.hurried` seconds."""
        now = _now()
        self._hurried_until = max(self._hurried_until, now + seconds)
        self._due = min(self._due, now + self._interval(now))
        self._rouse()

    async def close(self) -> None:
        """Close every connection."""
        self._closed = True
        self._rouse()
        tasks = [task for task in (self._asking, self._hearing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._tail.close()
        await self._client.close()

    # One turn: begin what is due, wait for what comes first, take it in.

    async def _turn(self) -> None:
        if self._asking is None and _now() >= self._due:
            self._asking = asyncio.create_task(self._ask())
        if self._hearing is None and self._sweeper.positioned:
            self._hearing = asyncio.create_task(self._tail.hear())
        self._wake = asyncio.get_running_loop().create_future()
        under_way = [one for one in (self._asking, self._hearing, self._wake) if one is not None]
        until = max(0.0, self._due - _now()) if self._asking is None else None
        await asyncio.wait(under_way, timeout=until, return_when=asyncio.FIRST_COMPLETED)
        if self._closed:
            return
        if self._hearing is not None and self._hearing.done():
            heard, self._hearing = self._hearing, None
            self._on_heard(heard.result())
        if self._asking is not None and self._asking.done():
            asked, self._asking = self._asking, None
            try:
                self._on_page(asked.result())
            except Trouble as trouble:
                self._on_trouble(trouble)

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    # Queries

    async def _ask(self) -> Page:
        if not self._sweeper.positioned:
            await self._sweeper.take_late_position(self._clock() - self._started)
            reason = "Loki did not answer at the start; lines of that time count by their time stamps alone"
            self._standing.gap(reason, "start the probe once Loki is ready")
        if not self._sweeper.is_sweeping:
            self._again = False
            if _now() >= self._due_deep:
                self._due_deep = _now() + self._patience.every_deep
                self._sweeper.deep_next = True
        return await self._sweeper.page()

    def _on_page(self, page: Page) -> None:
        self._backoff.succeeded()
        self._deliver(page.entries, Way.QUERY)
        sweep = self._sweeper.advance(page)
        if sweep.skipped:
            reason = "more lines have one and the same time stamp than a query may give"
            self._standing.gap(reason, "let the shipper stamp lines finer, or raise max_entries_limit_per_query")
        now = _now()
        self._due = now + self._interval(now) if sweep.done and not self._again else now
        if not sweep.done:
            return
        if self._ledger.newest is None and self._clock() - self._started > self._patience.quiet:
            reason = "`query` matches no line of the last hour: check it, `tenant` and whether the shipper runs"
            self._standing.tell(State.WAITING, reason)
        else:
            self._standing.tell(State.FOLLOWING)

    def _on_trouble(self, trouble: Trouble) -> None:
        self._due_deep = 0.0
        self._due = _now() + self._backoff.failed(at_least=trouble.wait)
        self._standing.tell(State.FAILED, trouble.reason, kind=trouble.kind)

    def _interval(self, now: float) -> float:
        if self._tail.is_open:
            return self._patience.check
        return self._patience.hurried if now < self._hurried_until else self._patience.poll

    # The tail

    def _on_heard(self, heard: Heard) -> None:
        match heard:
            case Opened():
                self._sweep_at_once()
            case wire.Frame(entries=entries, dropped=dropped):
                # What a tail looks back at is old where the ledger does not reach; what comes late lies below both.
                self._deliver([one for one in entries if not self._tail.since <= one.at < self._ledger.floor], Way.TAIL)
                if dropped:
                    self._sweep_at_once()
                    reason = "Loki's tail left out entries; they are asked for by a query"
                    self._standing.gap(reason, "where it stays: let `query` select the mail server's lines only")
            case Ended(reason=reason):
                self._sweep_at_once()
                if reason:
                    instead = f"meanwhile lines are asked for every {self._patience.poll:g} s"
                    self._standing.say(f"{reason}; {instead}", kind="tail")

    def _sweep_at_once(self) -> None:
        """A sweep that is under way looks at what was before; so another one follows it."""
        self._due_deep = 0.0
        self._again = True
        if not self._backoff.failures:
            self._due = min(self._due, _now())

    # What is delivered

    def _deliver(self, entries: Iterable[wire.Entry], way: Way) -> None:
        arrival = self._clock()
        for batch in _batches(self._ledger.fresh(entries, way)):
            text, stamps = b"".join(one.line for one in batch), tuple(wire.stamp_of(one.at) for one in batch)
            self._ready.append(self._standing.arrived(arrival, text, stamps))
            self._standing.cut(sum(one.cut for one in batch))


def _now() -> float:
    return asyncio.get_running_loop().time()


def _batches(entries: Iterable[wire.Entry]) -> Iterator[list[wire.Entry]]:
    """Entries in runs of at most MAX_LINE bytes."""
    batch: list[wire.Entry] = []
    room = MAX_LINE
    for entry in entries:
        if batch and len(entry.line) > room:
            yield batch
            batch, room = [], MAX_LINE
        batch.append(entry)
        room -= len(entry.line)
    if batch:
        yield batch
