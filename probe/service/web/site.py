"""What the handlers of the web server share: the station that they show."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from aiohttp import web

from probe.service.station import Station
from probe.service.web.standing import Standing


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """What is shown."""

    station: Station
    standing: Standing
    reload_seconds: float
    """After which whoever asks for a reload hears that it is under way."""
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a thread writes metrics or the configuration: of many endpoints that takes a processor for seconds."""

    def now(self) -> float:
        """Wall time of this moment, as everything that is shown to people and programs."""
        return self.wall(self.station.clock())

    def wall(self, moment: float) -> float:
        """Wall time of a moment."""
        return self.station.clock.wall(moment)

    @property
    def shift(self) -> float:
        """What `record_object` adds to moments."""
        return self.station.clock.shift

    @property
    def own_troubles(self) -> tuple[str, ...]:
        """What is wrong with the web server, which the station does not know."""
        return (self.standing.trouble,) if self.standing.trouble else ()

    @property
    def troubles(self) -> tuple[str, ...]:
        """What is wrong with the daemon itself."""
        return (*self.station.troubles, *self.own_troubles)


SITE = web.AppKey("site", Site)

HISTORY_LIMIT = 10.0
"""Seconds within which the history answers, or is left out."""


def site_of(request: web.Request) -> Site:
    """The site that a request is about."""
    return request.app[SITE]


def history_limit() -> asyncio.Timeout:
    """A limit for one question to the history."""
    return asyncio.timeout(HISTORY_LIMIT)
