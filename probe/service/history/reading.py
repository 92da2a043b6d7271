"""What is asked of an open history: its last day, sessions, outages. Errors are SQLite's.

- Whatever a list is filtered by, SQLite filters, by an index: a list is full as long as there is something to fill it.
- Sessions of several endpoints are looked for one endpoint after the other, numbers first: each look stops at the
  limit, and records, which are large, are read of those that are told alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

import aiosqlite

from probe.model import Outage, Verdict
from probe.service.history import rows
from probe.service.history import statements as sql
from probe.service.history.opening import closed
from probe.service.history.rows import Row
from probe.service.wanted import Wanted

FINE = Verdict.PRESERVED.value


class Reader:
    """Questions to one connection."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def session(self, identity: str) -> Mapping[str, object] | None:
        """The record of a session."""
        found = await self._ask(f"{sql.SESSIONS} WHERE s.id = ?", (identity,))
        return next((rows.record_of(row) for row in found), None)

    async def sessions(self, wanted: Wanted, most: int) -> Sequence[Mapping[str, object]]:
        """Records of the latest sessions that are wanted, the latest first."""
        places = await self._endpoints(wanted)
        latest = [row for place in places for row in await self._latest(wanted, place, most)]
        latest.sort(key=lambda row: row[1], reverse=True)
        numbers = [number for number, _ in latest[:most]]
        which = f"s.number IN ({', '.join('?' * len(numbers))})"
        found = await self._ask(f"{sql.SESSIONS} WHERE {which} ORDER BY s.opened DESC", numbers)
        return await asyncio.to_thread(lambda: [rows.record_of(row) for row in found])

    async def outages(self, wanted: Wanted, most: int) -> Sequence[Outage]:
        """The latest outages that are wanted, the latest first; their times are wall times."""
        which, values = _which((("e.path = ?", wanted.path), ("e.service = ?", wanted.service)))
        if wanted.before is not None:
            which, values = [*which, "o.began < ?"], [*values, wanted.before]
        if wanted.verdict is not None:
            which, values = [*which, "instr(' ' || o.verdicts || ' ', ?)"], [*values, f" {wanted.verdict.value} "]
        where = f"WHERE {' AND '.join(which)}" if which else ""
        found = await self._ask(f"{sql.OUTAGES} {where} ORDER BY o.began DESC LIMIT ?", (*values, most))
        return rows.sound(rows.outage_of, found)

    async def last(self, since: float, most: int) -> tuple[Sequence[Row], Sequence[Row]]:
        """Changes since a wall time, with those before that still held, in order; outages that last or ended since."""
        changes = await self._ask(sql.CHANGES, (since, most))
        query = f"{sql.OUTAGES} WHERE o.ended IS NULL OR o.ended > ? ORDER BY o.began DESC LIMIT ?"
        return changes, (await self._ask(query, (since, most)))[::-1]

    async def has_lived(self, earliest: float, latest: float) -> bool:
        """Whether a session was opened between two wall times."""
        return bool(await self._ask("SELECT 1 FROM sessions WHERE opened BETWEEN ? AND ? LIMIT 1", (earliest, latest)))

    async def close(self) -> None:
        """No more questions."""
        await closed(self._connection)

    async def _endpoints(self, wanted: Wanted) -> Sequence[int | None]:
        """Their numbers; None is all of them at once."""
        which, values = _which((("path = ?", wanted.path), ("service = ?", wanted.service)))
        if not which:
            return (None,)
        found = await self._ask(f"SELECT number FROM endpoints WHERE {' AND '.join(which)}", values)  # noqa: S608
        return [number for (number,) in found]

    async def _latest(self, wanted: Wanted, endpoint: int | None, most: int) -> Sequence[Row]:
        """Number and time of an endpoint's latest sessions that are wanted."""
        which, values = _which((("s.endpoint = ?", endpoint), ("s.verdict = ?", wanted.verdict)))
        if wanted.verdict is not None and wanted.verdict.value != FINE:
            which.append(f"s.verdict <> '{FINE}'")  # what the index of the others says of itself
        which, values = [*which, "s.opened < ?"], [*values, float("inf") if wanted.before is None else wanted.before]
        query = f"SELECT s.number, s.opened FROM sessions s WHERE {' AND '.join(which)} ORDER BY s.opened DESC LIMIT ?"  # noqa: S608
        return await self._ask(query, (*values, most))

    async def _ask(self, query: str, values: Iterable[object]) -> list[Row]:
        return [tuple(row) for row in await self._connection.execute_fetchall(query, tuple(values))]


def _which(conditions: Iterable[tuple[str, object]]) -> tuple[list[str], list[object]]:
    """Those that somebody asks for, with their values."""
    asked = [(condition, value) for condition, value in conditions if value is not None]
    return [condition for condition, _ in asked], [value for _, value in asked]
