"""The history: takes what the ledger tells, writes it in order, and never stops probing, whatever becomes of the file.

    Ledger ──take──▶ Stands ──Writer──▶ HistoryFile      Past (sessions, session, outages), Restored ◀── Reader

Rules:
- `take` never waits and never raises. What it takes is written within `Patience.gather`, several sessions at once.
- The ledger goes on where an earlier process stopped (`restored`). Where a disk does not answer in time it begins
  without that, and takes it up when the file can be read (`when_found`).
- Whoever asks is told of what is in the file and of what waits for it, which is all there is; or an error is raised.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import TypeVar

from probe.model import EndpointName, Outage
from probe.notices import warn
from probe.report.record import record_object
from probe.service.clock import SteadyClock
from probe.service.history import lists
from probe.service.history.faults import UNUSABLE, HistoryTrouble, trouble_of
from probe.service.history.patience import PATIENCE, Patience
from probe.service.history.reading import Reader
from probe.service.history.stands import Stands
from probe.service.history.writer import Writer
from probe.service.ledger import Entry, Restored
from probe.service.wanted import Wanted
from probe.settings.parts import HistorySettings

_Found = TypeVar("_Found")


class History:
    """One history file, written while the context is open. Implements `station.Past`."""

    def __init__(
        self,
        settings: HistorySettings,
        clock: SteadyClock,
        *,
        warn: Callable[..., None] = warn,
        patience: Patience = PATIENCE,
    ) -> None:
        self._path = settings.file
        self._clock = clock
        self._stands = Stands()
        self._writer = Writer(settings, clock, self._stands, warn, patience)

    @property
    def usable(self) -> bool:
        """True if it can be read now."""
        return self._writer.file is not None

    @property
    def trouble(self) -> str | None:
        """What is wrong with the file, with the next step; None while it serves."""
        trouble, lost = self._writer.trouble, self._writer.lost
        if trouble is None:
            return None
        return trouble.reason + (f"; {lost} sessions are lost so far" if lost else "")

    @property
    def written(self) -> int:
        """Sessions that are in the file, since the start."""
        return self._writer.written

    @property
    def pruned(self) -> int:
        """Looks for what is too old."""
        return self._writer.pruned

    @property
    def dropped(self) -> int:
        """Sessions that were never written, since the start."""
        return self._stands.backlog.dropped

    @property
    def restored(self) -> Restored:
        """What earlier processes wrote down, on this process's clock; nothing where the file could not be read."""
        return self._stands.restored or Restored()

    def bound(self, settings: HistorySettings) -> None:
        """How long and how much is kept from now on, in the same file."""
        self._writer.bounds = settings

    def go_on(self, known: Restored) -> None:
        """Begin with what the ledger knows, and tell it nothing, for it is at work already. Before it is entered."""
        self._stands.go_on(known)

    def when_found(
        self, take_up: Callable[[Restored], Restored], tell: Callable[[Restored, Restored], None] | None = None
    ) -> None:
        """The ledger has begun. If what earlier processes wrote down is found only now, it takes that up, and gives all
        that it then knows; once that is done, `tell` hears both."""
        self._stands.ledger, self._stands.tell = take_up, tell

    async def __aenter__(self) -> History:
        await self._writer.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._writer.end()

    def take(self, entry: Entry) -> None:
        """Keep what the ledger tells. For Ledger.listeners."""
        self._stands.take(entry)
        self._writer.hear()

    def configure(self, lasting: Mapping[EndpointName, Outage | None]) -> None:
        """Only these endpoints are watched from now on, and no other outages last (Ledger.lasting)."""
        self._stands.configure(lasting)
        self._writer.hear()

    # Past: each raises HistoryTrouble where the file cannot be asked.

    async def session(self, identity: str) -> Mapping[str, object] | None:
        """The record of a session."""
        waiting = next((one for one in self._stands.backlog.sessions if one.session.id == identity), None)
        if waiting is not None:
            return record_object(waiting, shift=self._clock.shift)
        return await self._read(lambda reader: reader.session(identity))

    async def sessions(self, wanted: Wanted, most: int = 100) -> Sequence[Mapping[str, object]]:
        """Records of sessions, the latest first, MOST_READ at most."""
        waits, shift = self._stands.backlog, self._clock.shift
        return await self._read(lambda reader: lists.sessions(reader, waits, wanted, most, shift))

    async def outages(self, wanted: Wanted, most: int = 100) -> Sequence[Outage]:
        """Outages, the latest first, MOST_READ at most; their times are wall times."""
        waits, ahead = self._stands.backlog, self._clock.ahead
        return await self._read(lambda reader: lists.outages(reader, waits, wanted, most, ahead))

    async def _read(self, ask: Callable[[Reader], Awaitable[_Found]]) -> _Found:
        file = self._writer.file
        if file is None:
            raise self._writer.trouble or HistoryTrouble("closed", self._path, "it is not open")
        try:
            return await ask(file.reader)
        except UNUSABLE as error:
            trouble = trouble_of(error, self._path)
            if file is self._writer.file:
                self._writer.cannot_read(trouble)
            raise trouble from error
