"""What a sink has told of every endpoint, and what it therefore still has to tell. No I/O, no clock.

Rules:
- Whoever reads the sink alone must come to know what stands. Where a process begins, and where lines were lost, each
  endpoint's state is told again with its next session, as `standing`, unless that session brings it anyway.
- A sink that goes on losing one endpoint's lines is told no more often than each RETOLD seconds.
- An outage whose endpoint leaves the configuration, or is configured differently, ends where it was last seen: no
  session will ever end it. So does each for whoever reads a sink that is left for another one, or by another name:
  nobody tells its end there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import inf

from probe.model import Ahead, EndpointName, Outage
from probe.report.events import (
    ABANDONED,
    LEFT,
    REPLACED,
    abandoned_object,
    change_object,
    outage_object,
    standing_object,
)
from probe.service.ledger import Entry, Restored

RETOLD = 600.0

Told = tuple[float, dict[str, object]]
"""When it was, on the probe's clock, and the line."""


class Telling:
    """The state of every endpoint as the ledger has it, and which of them a sink knows."""

    def __init__(self, vantage: str, known: Restored | None = None) -> None:
        known = known or Restored()
        self._vantage = vantage
        self._lasting: dict[EndpointName, Outage] = {outage.endpoint: outage for outage in known.lasting}
        self._hosts: dict[EndpointName, str] = {}
        self._known_there: set[EndpointName] = set()
        self._retold: dict[EndpointName, float] = {}

    def of(self, entry: Entry, ahead: Ahead) -> Iterator[Told]:
        """The lines that an entry of the ledger makes, in order."""
        result, name, vantage = entry.result, entry.result.session.endpoint, self._vantage
        self._hosts[name] = result.session.host
        self._lasting.pop(name, None)
        if entry.lasting is not None:
            self._lasting[name] = entry.lasting
        if entry.change is not None:
            yield entry.change.at, change_object(entry.change, result, vantage=vantage, ahead=ahead)
        for outage in filter(None, (entry.ended, entry.began)):
            at = outage.began if outage.ended is None else outage.ended
            yield at, outage_object(outage, result, vantage=vantage, ahead=ahead)
        is_told = entry.change is not None and (entry.lasting is None or entry.began is not None)
        opened = result.session.opened
        if not is_told and name not in self._known_there and opened >= self._retold.get(name, -inf) + RETOLD:
            self._retold[name] = opened
            yield opened, standing_object(entry.stands, entry.lasting, result, vantage=vantage, ahead=ahead)
        self._known_there.add(name)

    def lost(self, endpoints: Iterable[EndpointName]) -> None:
        """Lines of these did not arrive."""
        self._known_there.difference_update(endpoints)

    def configure(
        self, lasting: Mapping[EndpointName, Outage | None], ahead: Ahead
    ) -> Iterator[tuple[EndpointName, Told]]:
        """Only these are told of from now on, and no other outages last: the ends of those that did, and why."""
        for name in [name for name in self._lasting if lasting.get(name) is None]:
            yield name, self._end(name, REPLACED if name in lasting else ABANDONED, ahead)
        for name in [name for name in self._hosts if name not in lasting]:
            self._known_there.discard(name)
            self._retold.pop(name, None)
            self._hosts.pop(name)

    def leave(self, ahead: Ahead) -> Iterator[tuple[EndpointName, Told]]:
        """Nothing is told any more: the ends of what lasts, as far as a reader will know."""
        for name in list(self._lasting):
            yield name, self._end(name, LEFT, ahead)

    def _end(self, name: EndpointName, why: str, ahead: Ahead) -> Told:
        outage, host = self._lasting.pop(name), self._hosts.get(name)
        return outage.seen, abandoned_object(outage, host, why, vantage=self._vantage, ahead=ahead)
