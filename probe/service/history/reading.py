"""What is asked of an open history: its last day, sessions, outages. Errors are SQLite's.

- Whatever a list is filtered by, SQLite filters, by an index: a list is full as long as there is something to fill it.
- The latest is what was written last, whatever the wall clock says: lists go by the numbers of rows.
- Sessions of several endpoints are looked for one endpoint after the other, numbers first: each look stops at the
  limit, and records, which are large, are read of those that are told alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence

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
        return next(iter(rows.sound(rows.record_of, found)), None)

    async def sessions(self, wanted: Wanted, most: int, *, waits: bool = False) -> Sequence[Mapping[str, object]]:
        """Records of the latest sessions that are wanted, the latest first. `waits`: `wanted.after` may not be here
        yet, and all that is here is then after it."""
        places = await self._endpoints(wanted)
        latest = [number for place in places for number in await self._latest(wanted, place, most, _else(waits))]
        latest = sorted(latest, reverse=True)[:most]
        which = f"s.number IN ({', '.join('?' * len(latest))})"
        found = await self._ask(f"{sql.SESSIONS} WHERE {which} ORDER BY s.number DESC", latest)
        return await asyncio.to_thread(rows.sound, rows.record_of, found)

    async def outages(self, wanted: Wanted, most: int, *, waits: bool = False) -> Sequence[Outage]:
        """The same of outages; their times are wall times."""
        which, values = _which(
            ("e.path = ?", wanted.path), ("e.service = ?", wanted.service), ("o.began < ?", wanted.before)
        )
        if wanted.verdict is not None:
            which, values = [*which, "instr(' ' || o.verdicts || ' ', ?)"], [*values, f" {wanted.verdict.value} "]
        if wanted.after is not None:
            which, values = [*which, sql.OUTAGES_AFTER], [*values, wanted.after, _else(waits)]
        where = f"WHERE {' AND '.join(which)}" if which else ""
        found = await self._ask(f"{sql.OUTAGES} {where} ORDER BY o.number DESC LIMIT ?", (*values, most))
        return await asyncio.to_thread(rows.sound, rows.outage_of, found)

    async def is_of_earlier(self, boot: str) -> bool:
        """True if all that is here was told by the clocks of earlier runs of the machine."""
        found = await self._ask(sql.IS_OF_EARLIER, (boot,))
        return not found or bool(found[0][0])

    async def numbers(self, firsts: Collection[str]) -> Mapping[str, int]:
        """Of outages, known by their first sessions, where they stand; none of one that is not here."""
        which = ", ".join("?" * len(firsts))
        found = await self._ask(f"SELECT first, number FROM outages WHERE first IN ({which})", firsts)  # noqa: S608
        return {first: number for first, number in found}

    async def last(self, since: float, most: int) -> tuple[Sequence[Row], Sequence[Row]]:
        """Changes since a wall time, with those before that still held, in order; outages that last or ended since."""
        changes = await self._ask(sql.CHANGES, (since, most))
        query = f"{sql.OUTAGES} WHERE o.ended IS NULL OR o.ended > ? ORDER BY o.number DESC LIMIT ?"
        return changes, (await self._ask(query, (since, most)))[::-1]

    async def told(self) -> Mapping[str, float]:
        """When the first sessions of the outages that last were opened, by the wall clock of then."""
        return dict(rows.sound(rows.told_of, await self._ask(sql.TOLD, ())))

    async def has_lived(self, earliest: float, latest: float) -> bool:
        """Whether a session was opened between two wall times."""
        return bool(await self._ask("SELECT 1 FROM sessions WHERE opened BETWEEN ? AND ? LIMIT 1", (earliest, latest)))

    async def close(self) -> None:
        """No more questions."""
        await closed(self._connection)

    async def _endpoints(self, wanted: Wanted) -> Sequence[int | None]:
        """Their numbers; None is all of them at once."""
        which, values = _which(("path = ?", wanted.path), ("service = ?", wanted.service))
        if not which:
            return (None,)
        found = await self._ask(f"SELECT number FROM endpoints WHERE {' AND '.join(which)}", values)  # noqa: S608
        return [number for (number,) in found]

    async def _latest(self, wanted: Wanted, endpoint: int | None, most: int, unknown: int) -> Sequence[int]:
        """Numbers of an endpoint's latest sessions that are wanted; `unknown`: that of an `after` that is not here."""
        which, values = _which(("s.endpoint = ?", endpoint), ("s.verdict = ?", wanted.verdict))
        if wanted.verdict is not None and wanted.verdict.value != FINE:
            which.append(f"s.verdict <> '{FINE}'")  # what the index of the others says of itself
        if wanted.before is not None:
            which, values = [*which, sql.BEFORE], [*values, *3 * (wanted.before,)]
        if wanted.after is not None:
            which, values = [*which, sql.AFTER], [*values, wanted.after, unknown]
        where = f"WHERE {' AND '.join(which)}" if which else ""
        query = f"SELECT s.number FROM sessions s {where} ORDER BY s.number DESC LIMIT ?"  # noqa: S608
        return [number for (number,) in await self._ask(query, (*values, most))]

    async def _ask(self, query: str, values: Iterable[object]) -> list[Row]:
        return [tuple(row) for row in await self._connection.execute_fetchall(query, tuple(values))]


def _else(waits: bool) -> int:  # noqa: FBT001 - of a word that says what it is
    return sql.ABOVE_ALL if waits else sql.NOWHERE


def _which(*conditions: tuple[str, object]) -> tuple[list[str], list[object]]:
    """Those that somebody asks for, with their values."""
    asked = [(condition, value) for condition, value in conditions if value is not None]
    return [condition for condition, _ in asked], [value for _, value in asked]
