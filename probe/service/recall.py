"""What an earlier process spent of the budgets, out of the history: a restart is no new minute, and pays no debt.

Servers count on whoever restarts. Sessions that were not written down any more, as the process died, stay unknown, and
so do forged ones: there is at most one in an interval of trust checks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from probe.model import Endpoint, EndpointName
from probe.service.budget import WINDOW, Budgets
from probe.service.clock import SteadyClock
from probe.service.history.faults import HistoryTrouble
from probe.service.station import Past
from probe.service.wanted import Wanted

PAGE = 500
PAGES = 10
"""Sessions that are looked at: more than a daemon with a thousand endpoints has in the time that counts."""

PATIENCE = 2.0
"""Seconds that this may hold up the start."""


NOT_OURS = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What a row that somebody else wrote may lead to."""


async def recall(past: Past, budgets: Budgets, endpoints: Sequence[Endpoint], clock: SteadyClock) -> None:
    """Count the connections that count still; none where the history does not answer, or not in time."""
    try:
        async with asyncio.timeout(PATIENCE):
            records = await _latest(past, clock, budgets.memory)
        known = {endpoint.name: endpoint for endpoint in endpoints}
        spent = [one for record in records for one in _connections(record, known, clock.moment(_opened(record)))]
        beats = [one for record in records for one in _beats(record, known, clock.moment(_opened(record)))]
    except (TimeoutError, HistoryTrouble, *NOT_OURS):
        return
    for to, at in sorted(spent, key=lambda one: one[1]):
        budgets.opened(to, at, by=to)
    for to, at, count in sorted(beats, key=lambda one: one[1]):
        budgets.opened_beats(to, at, count)


async def _latest(past: Past, clock: SteadyClock, seconds: float) -> list[Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    now, after = clock.wall(clock()), None
    since = now - seconds
    for _ in range(PAGES):
        page = await past.sessions(Wanted(after=after, limit=PAGE), PAGE)
        found.update({str(record["id"]): record for record in page if since < _opened(record) <= now})
        if len(page) < PAGE or _opened(page[-1]) <= since - WINDOW:  # they come as they were judged, not as they began
            break
        after = str(page[-1]["id"])
    return list(found.values())


def _connections(
    record: Mapping[str, Any], known: Mapping[EndpointName, Endpoint], at: float
) -> Iterator[tuple[EndpointName, float]]:
    """A session, its control connections, those given up before it, and the mailbox that it read back: what the server
    counted.
    """
    name = _name(record)
    if name not in known:
        return
    for _ in range(1 + len(record["controls"]) + _besides(record, "connections")):
        yield name, at
    mailbox = known[name].mailbox
    if mailbox is not None:
        yield mailbox.reader.name, at


def _beats(
    record: Mapping[str, Any], known: Mapping[EndpointName, Endpoint], at: float
) -> Iterator[tuple[EndpointName, float, int]]:
    if (name := _name(record)) in known:
        yield name, at, _besides(record, "beats")


def _name(record: Mapping[str, Any]) -> EndpointName:
    return EndpointName(record["path"], record["service"], record["port"])


def _besides(record: Mapping[str, Any], what: str) -> int:
    """Earlier versions wrote nothing of it."""
    return int(record.get("opened_besides", {}).get(what, 0))


def _opened(record: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(record["opened"]).timestamp()
