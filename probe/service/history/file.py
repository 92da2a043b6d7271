"""One open history file: batches in, rows out, old rows away. Errors are SQLite's and the system's.

- Two connections, each with its thread: one writes, one reads. With a write-ahead log neither waits for the other.
- A batch is one transaction: killed at any moment, the file holds all of it or nothing. The log is not synced at every
  commit (synchronous=NORMAL), so a machine that loses power may lose the last seconds; it never breaks the file.
- Whatever is written may be written again: nothing is doubled by it.
- Old rows go at most STEP at a time, and so do the pages they leave; sessions are written in between.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import aiosqlite

from probe.model import EndpointName
from probe.service.history import rows
from probe.service.history import statements as sql
from probe.service.history.opening import number, reading, transaction, writing
from probe.service.history.place import Lock
from probe.service.history.rows import Row, Rows

STEP = 500
PAGES_AT_ONCE = 256
FEW_PAGES = 256
"""Free pages that stay in the file, 1 MiB, for what comes next."""


class HistoryFile:
    """Open from `opened` to `close`."""

    def __init__(self, lock: Lock, writer: aiosqlite.Connection, reader: aiosqlite.Connection) -> None:
        self._lock = lock
        self._writer = writer
        self._reader = reader

    @classmethod
    async def opened(cls, file: Path) -> HistoryFile:
        """Open the file, or begin it. Raises HistoryTrouble, sqlite3.Error or OSError."""
        lock = await asyncio.to_thread(Lock, file)
        try:
            writer = await writing(file, lock)
            try:
                reader = await reading(file)
            except BaseException:
                await writer.close()
                raise
        except BaseException:
            lock.release(traceless=True)
            raise
        return cls(lock, writer, reader)

    async def close(self) -> None:
        """Close both connections, then let other probes have it."""
        for connection in (self._reader, self._writer):
            with suppress(sqlite3.Error, ValueError):
                await connection.close()
        self._lock.release()

    async def write(self, batch: Rows) -> None:
        """All of it, or nothing and an error."""
        async with transaction(self._writer):
            for statement, values in (
                (sql.ADD_ENDPOINT, batch.endpoints),
                (sql.ADD_SESSION, batch.sessions),
                (sql.ADD_RECORD, batch.records),
                (sql.ADD_CHANGE, batch.changes),
            ):
                if values:
                    await self._writer.executemany(statement, values)
            for row in batch.outages:
                await self._writer.execute_fetchall(sql.END_OTHERS, row[:4])
                await self._writer.execute_fetchall(sql.PUT_OUTAGE, row)

    async def end_outages(self) -> None:
        """No outage that an earlier process wrote down goes on: nothing is known of it after it was last seen."""
        await self._writer.execute_fetchall("UPDATE outages SET ended = seen WHERE ended IS NULL")

    async def set_marks(self, shift: float, now: float) -> None:
        """Outages that last are known from now on by this process's clock, which the wall clock is so far ahead of."""
        query = "UPDATE OR IGNORE outages SET mark = min(began - ?, ?) WHERE ended IS NULL"
        await self._writer.execute_fetchall(query, (shift, now))

    async def prune(self, *, fine: float, older: float, changes: float) -> bool:
        """One step: records of fine sessions before `fine`, all that is `older`. True if there is more to do."""
        bounds = {"fine": fine, "all": older, "changes": changes, "step": STEP}
        most = 0
        async with transaction(self._writer):
            for statement in sql.PRUNE:
                async with self._writer.execute(statement, bounds) as cursor:
                    most = max(most, cursor.rowcount)
        free = await number(self._writer, "PRAGMA freelist_count")
        if free > FEW_PAGES:
            await self._writer.execute_fetchall(f"PRAGMA incremental_vacuum({PAGES_AT_ONCE})")
        return most >= STEP or free > FEW_PAGES + PAGES_AT_ONCE

    async def session(self, identity: str) -> Mapping[str, object] | None:
        """The record of a session."""
        found = await self._read(f"{sql.SESSIONS} WHERE s.id = ?", (identity,))
        return next((rows.record_of(row) for row in found), None)

    async def sessions(
        self, endpoint: EndpointName | None, before: float | None, most: int
    ) -> Sequence[Mapping[str, object]]:
        """Records of sessions opened before a wall time, the latest first."""
        which, values = ["s.opened < ?"], [float("inf") if before is None else before]
        if endpoint is not None:
            which.append(f"s.endpoint = {sql.ENDPOINT}")
            values.extend(rows.endpoint_row(endpoint))
        query = f"{sql.SESSIONS} WHERE {' AND '.join(which)} ORDER BY s.opened DESC LIMIT ?"
        found = await self._read(query, (*values, most))
        return await asyncio.to_thread(lambda: [rows.record_of(row) for row in found])

    async def changes(self, since: float, most: int) -> Sequence[Row]:
        """The latest changes since then, and of each endpoint the last one before, in the order they were written."""
        return (await self._read(sql.CHANGES, (since, most)))[::-1]

    async def outages(self, since: float, most: int) -> Sequence[Row]:
        """Outages that last, and those that ended after a wall time, the latest first."""
        query = f"{sql.OUTAGES} WHERE o.ended IS NULL OR o.ended > ? ORDER BY o.began DESC LIMIT ?"
        return await self._read(query, (since, most))

    async def _read(self, query: str, values: Iterable[object]) -> list[Row]:
        return [tuple(row) for row in await self._reader.execute_fetchall(query, tuple(values))]
