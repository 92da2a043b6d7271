"""What outlives the process: the history, and the sink where one is configured. Both take every entry of the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from probe.model import EndpointName
from probe.service.clock import SteadyClock
from probe.service.history import History
from probe.service.ledger import Entry, Restored
from probe.settings import Settings

if TYPE_CHECKING:
    from probe.service.sink import Sink


class Keeping:
    """History and sink of one configuration, open between `async with`."""

    def __init__(self, settings: Settings, clock: SteadyClock, known: Restored | None = None) -> None:
        """`known`: what the ledger knows, where the daemon is at work already."""
        self.history = History(settings.history, clock)
        if known is not None:
            self.history.go_on(known)
        self._sink = _sink(settings, clock)
        self._serves = _asked_for(settings)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Keeping:
        self._stack.push_async_exit(self.history)  # its begin takes seconds on a slow disk, and may be broken off
        try:
            await self.history.__aenter__()
            if self._sink is not None:
                await self._stack.enter_async_context(self._sink)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Write down what waits, for a few seconds at most."""
        await self._stack.aclose()

    def take(self, entry: Entry) -> None:
        """Keep what one session changed in the books."""
        self.history.take(entry)
        if self._sink is not None:
            self._sink.take(entry)

    def configure(self, endpoints: Sequence[EndpointName]) -> None:
        """Only these endpoints are probed from now on."""
        self.history.configure(endpoints)

    def serves(self, settings: Settings) -> bool:
        """Whether these settings ask for the same as those it was made of."""
        return self._serves == _asked_for(settings)

    @property
    def troubles(self) -> tuple[str, ...]:
        """What is wrong, each with its next step."""
        said = (self.history.trouble, self._sink.trouble if self._sink else None)
        return tuple(trouble for trouble in said if trouble)


def _asked_for(settings: Settings) -> tuple[object, ...]:
    return settings.history, settings.sink, settings.vantage.name


def _sink(settings: Settings, clock: SteadyClock) -> Sink | None:
    if settings.sink is None:
        return None
    from probe.service.sink import Sink  # noqa: PLC0415 - few ask for it

    return Sink(settings.sink, settings.vantage.name, clock)
