"""What outlives the process: the history, and the sink where one is configured. Both take every entry of the ledger.

Rules:
- A new configuration changes what it names and nothing else: what waits for a history in trouble goes on waiting,
  whatever becomes of the sink, and the other way round.
- Another login of the same sink loses nothing of what waits for it, which may have waited for just that login. Each
  reload logs in again, for its files may have been renewed in their places.
- Whoever reads a sink that is left hears that nobody tells there any more how an outage ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from probe.model import EndpointName, Outage
from probe.service.clock import SteadyClock
from probe.service.history import History
from probe.service.ledger import Account, Entry, Ledger, Restored
from probe.settings import Settings

if TYPE_CHECKING:
    from probe.service.sink import Sink


class Keeping:
    """History and sink of the configuration in force, open between `async with`."""

    def __init__(self, settings: Settings, clock: SteadyClock) -> None:
        self.history = History(settings.history, clock)
        self._sink = _sink(settings, clock)
        self._clock = clock
        self._settings = settings

    async def __aenter__(self) -> Keeping:
        try:
            await self.history.__aenter__()  # takes seconds on a slow disk, and may be broken off
            await self._begin_sink(self.history.restored)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Write down what waits, for a few seconds at most; neither waits for the other."""
        ends = [self.history.__aexit__(None, None, None)]
        ends += [self._sink.__aexit__(None, None, None)] if self._sink else []
        await asyncio.gather(*ends)

    async def change(self, settings: Settings, known: Restored) -> None:
        """Keep what these settings ask for from now on; another history, or sink, begins with what is known."""
        before, self._settings = self._settings, settings
        if settings.history.file == before.history.file:
            self.history.bound(settings.history)
        else:
            await self.history.__aexit__(None, None, None)
            self.history = History(settings.history, self._clock)
            self.history.go_on(known)
            await self.history.__aenter__()
        await self._change_sink(settings, before, known)

    async def _change_sink(self, settings: Settings, before: Settings, known: Restored) -> None:
        if _told_at(settings) != _told_at(before):
            if self._sink is not None:
                self._sink.leave()
                await self._sink.__aexit__(None, None, None)
            self._sink = _sink(settings, self._clock)
            await self._begin_sink(known)
        elif self._sink is not None and settings.sink is not None:
            await self._sink.log_in(settings.sink)

    async def _begin_sink(self, known: Restored) -> None:
        if self._sink is not None:
            self._sink.go_on(known)
            await self._sink.__aenter__()

    def follow(self, ledger: Ledger) -> None:
        """Keep what this ledger tells. It goes on where an earlier process stopped, however late that is found."""
        ledger.listeners.append(self._take)
        ledger.farewells.append(lambda outage: self._part(outage, ledger.accounts.get(outage.endpoint)))
        ledger.take_up(self.history.restored)
        ledger.part_with(self.history.restored)
        self.history.when_found(ledger.take_up, lambda found, known: self._tell_late(ledger, found, known))

    def _tell_late(self, ledger: Ledger, found: Restored, known: Restored) -> None:
        if self._sink is not None:
            self._sink.take_up(known)
        ledger.part_with(found)

    def _part(self, outage: Outage, account: Account | None) -> None:
        if self._sink is not None:
            self._sink.part(outage, account)

    def _take(self, entry: Entry) -> None:
        self.history.take(entry)
        if self._sink is not None:
            self._sink.take(entry)

    def configure(self, lasting: Mapping[EndpointName, Outage | None]) -> None:
        """Only these endpoints are probed from now on, and no other outages last (Ledger.lasting)."""
        self.history.configure(lasting)
        if self._sink is not None:
            self._sink.only(lasting)

    @property
    def troubles(self) -> tuple[str, ...]:
        """What is wrong, each with its next step."""
        said = (self.history.trouble, self._sink.trouble if self._sink else None)
        return tuple(trouble for trouble in said if trouble)


def _told_at(settings: Settings) -> tuple[object, ...] | None:
    """By what a reader finds the lines: another login is the same place, another label is not."""
    sink = settings.sink
    return None if sink is None else (settings.vantage.name, sink.url, sink.tenant, sink.labels)


def _sink(settings: Settings, clock: SteadyClock) -> Sink | None:
    if settings.sink is None:
        return None
    from probe.service.sink import Sink  # noqa: PLC0415 - few ask for it

    return Sink(settings.sink, settings.vantage.name, clock)
