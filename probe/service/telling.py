"""What a sink has told of every endpoint, and what it therefore still has to tell. No I/O, no clock.

Rules:
- Whoever reads the sink alone must come to know what stands. Where a process begins, and where lines were lost, each
  endpoint's state is told again with its next session, as `standing`, unless that session brings it anyway.
- A sink that goes on losing one endpoint's lines is told no more often than each RETOLD seconds.
- An outage that ends by no entry (`Ledger.farewells`) is told to have ended, and why. For whoever reads a sink that
  is left for another one, or by another name, each ends where it was last seen: nobody tells its end there.
- One whose begin was told, and that turns out to go on from one before this process, ends as it began: so no begin is
  without an end, and no second is counted twice.
- `began` stays what was told first, whatever the wall clock is set to until the end, and whichever process tells that:
  readers join by it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import replace
from math import inf

from probe.model import Ahead, EndpointName, Outage, Severity
from probe.report.events import (
    ABANDONED,
    JOINED,
    LEFT,
    REPLACED,
    change_object,
    outage_object,
    standing_object,
)
from probe.service.ledger import Account, Entry, Restored

RETOLD = 600.0

Told = tuple[float, dict[str, object]]
"""When it was, on the probe's clock, and the line."""


class Telling:
    """The state of every endpoint as the ledger has it, and which of them a sink knows."""

    def __init__(self, vantage: str, known: Restored | None = None) -> None:
        known = known or Restored()
        self._vantage = vantage
        self._lasting: dict[EndpointName, Outage] = {outage.endpoint: outage for outage in known.lasting}
        self._began = dict(known.told)
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
        severity = result.judgement.verdict.severity
        for outage in filter(None, (entry.ended, entry.began)):
            at = outage.began if outage.ended is None else outage.ended
            yield at, self._line(outage, result.session.host, severity, ahead)
        is_told = entry.change is not None and (entry.lasting is None or entry.began is not None)
        opened = result.session.opened
        if is_told:
            self._known_there.add(name)
        elif name not in self._known_there and opened >= self._retold.get(name, -inf) + RETOLD:
            self._known_there.add(name)
            self._retold[name] = opened
            began = None if entry.lasting is None else self._began_as_told(entry.lasting, ahead)
            yield opened, standing_object(entry.stands, began, result, vantage=vantage, ahead=ahead)

    def lost(self, endpoints: Iterable[EndpointName]) -> None:
        """Lines of these did not arrive."""
        self._known_there.difference_update(endpoints)

    def take_up(self, known: Restored, ahead: Ahead) -> Iterator[tuple[EndpointName, Told]]:
        """What an earlier process wrote down is found late, and this is what the ledger now knows: what stands is told
        again where that was not known."""
        self._began = {**known.told, **self._began}
        for outage in known.lasting:
            name, told = outage.endpoint, self._lasting.get(outage.endpoint)
            if told is not None and told.first == outage.first:
                continue
            if told is not None:
                yield name, self._end(replace(told, seen=told.began), JOINED, ahead)
            self._lasting[name] = outage
            self.lost([name])

    def part(self, outage: Outage, account: Account | None, ahead: Ahead) -> Told:
        """An outage that ended by no entry; `account`: its endpoint's, None if that left the configuration."""
        lasting = self._lasting.get(outage.endpoint)
        if lasting is not None and lasting.first == outage.first:
            del self._lasting[outage.endpoint]
        if account is None or outage.ended is None or outage.ended == outage.seen:
            return self._end(outage, ABANDONED if account is None else REPLACED, ahead)
        severity = account.stood(outage.ended)
        return outage.ended, self._line(outage, account.host, severity, ahead)

    def only(self, names: Container[EndpointName]) -> None:
        """No other endpoints are left."""
        for name in [name for name in self._hosts if name not in names]:
            self._known_there.discard(name)
            self._retold.pop(name, None)
            self._hosts.pop(name)

    def leave(self, ahead: Ahead) -> Iterator[tuple[EndpointName, Told]]:
        """Nothing is told any more: the ends of what lasts, as far as a reader will know."""
        for name, outage in self._lasting.items():
            yield name, self._end(outage, LEFT, ahead)
        self._lasting = {}

    def _end(self, outage: Outage, why: str, ahead: Ahead) -> Told:
        """Of one of which nobody will tell the end, and why: it ended as far as any reader will know."""
        over = replace(outage, ended=outage.seen, explanation=f"{why}; {outage.explanation}")
        return outage.seen, self._line(over, self._hosts.get(outage.endpoint), outage.verdict.severity, ahead)

    def _line(self, outage: Outage, host: str | None, severity: Severity, ahead: Ahead) -> dict[str, object]:
        began = self._began_as_told(outage, ahead)
        if outage.ended is not None:
            del self._began[outage.first]
        return outage_object(outage.told(ahead), host, severity, vantage=self._vantage, began=began)

    def _began_as_told(self, outage: Outage, ahead: Ahead) -> float:
        return self._began.setdefault(outage.first, outage.told(ahead).began)
