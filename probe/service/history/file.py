"""One open history file: batches in, old rows away; its `reader` answers. Errors are SQLite's and the system's.

- Two connections, each with its thread: one writes, one reads. With a write-ahead log neither waits for the other.
- A batch is one transaction: killed at any moment, the file holds all of it or nothing. The log is not synced at every
  commit (synchronous=NORMAL), so a machine that loses power may lose the last seconds; it never breaks the file.
- Whatever is written may be written again: nothing is doubled by it.
- Old rows go at most STEP at a time, and so do the pages they leave; sessions are written in between.
- Before anything is written the file must still be the one that was opened: SQLite goes on with one that is deleted,
  and all that is written then is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import aiosqlite

from probe.service.clock import Reckoning
from probe.service.history import statements as sql
from probe.service.history.opening import closed, number, reading, transaction, writing
from probe.service.history.place import Lock, Place
from probe.service.history.reading import Reader
from probe.service.history.rows import Rows, reckoning_of, sound

STEP = 500
PAGES_AT_ONCE = 256
FEW_PAGES = 256
"""Free pages that stay in the file, 1 MiB, for what comes next."""


class HistoryFile:
    """Open from `opened` to `close`."""

    def __init__(self, place: Place, lock: Lock, writer: aiosqlite.Connection, reader: Reader) -> None:
        self._place = place
        self._lock = lock
        self._writer = writer
        self.reader = reader

    @classmethod
    async def opened(cls, file: Path, upgrading: Callable[[], None]) -> HistoryFile:
        """Open the file, or begin it; `upgrading` hears that its tables are an older version's, which may take minutes.

        Raises HistoryTrouble, sqlite3.Error or OSError."""
        lock = await asyncio.to_thread(Lock, file)
        try:
            writer = await writing(file, lock, upgrading)
            try:
                reader = Reader(await reading(file))
                place = await asyncio.to_thread(Place, file)
            except BaseException:
                await closed(writer)
                raise
        except BaseException:
            lock.release(traceless=True)
            raise
        return cls(place, lock, writer, reader)

    async def close(self) -> None:
        """Close both connections, then let other probes have it, also where closing hangs and is given up."""
        try:
            await self.reader.close()  # the last to close clears the log away, and of two at once neither would
            await closed(self._writer)
        finally:
            self._lock.release()

    async def reckon(self, reckoning: Reckoning) -> None:
        """Changes and outages of this run of the machine are told by the wall clock as it is now."""
        async with transaction(self._writer):
            await self._reckon(reckoning)

    async def _reckon(self, reckoning: Reckoning) -> None:
        found = await self._writer.execute_fetchall(sql.RECKONING)
        before = sound(reckoning_of, [tuple(row) for row in found])
        if not before or before[0].boot != reckoning.boot:
            await self._writer.execute_fetchall(sql.RECKON_ANEW[0])
            await self._writer.execute_fetchall(sql.RECKON_ANEW[1], (reckoning.boot, reckoning.ahead))
        elif forward := reckoning.set_forward(before[0]):
            for statement in sql.SET_FORWARD:
                await self._writer.execute_fetchall(statement, (forward,))

    async def write(self, batch: Rows, reckoning: Reckoning) -> None:
        """All of it, or nothing and an error. `reckoning`: how its wall times are told."""
        await asyncio.to_thread(self._place.check)
        async with transaction(self._writer):
            await self._reckon(reckoning)
            for statement, values in (
                (sql.ADD_ENDPOINT, batch.endpoints),
                (sql.ADD_SESSION, batch.sessions),
                (sql.ADD_RECORD, batch.records),
                (sql.PUT_CHANGE, batch.changes),
            ):
                if values:
                    await self._writer.executemany(statement, values)
            for row in batch.outages:
                await self._writer.execute_fetchall(sql.END_OTHERS, row[:4])
                await self._writer.execute_fetchall(sql.PUT_OUTAGE, row)

    async def settle(self, lasting: Collection[str]) -> None:
        """Of the outages in the file only these go on; nothing is known of another one after it was last seen."""
        async with transaction(self._writer):
            found = await self._writer.execute_fetchall(sql.LASTING)
            ended = [(first,) for (first,) in found if first not in lasting]
            await self._writer.executemany(sql.END_OUTAGE, ended)

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

    async def shrink(self, size: float) -> bool:
        """One step, if the file holds more bytes: records of fine sessions, then whole sessions, the oldest first.

        Those of the last hour go after all else. True if there is more to do."""
        pages = await number(self._writer, "PRAGMA page_count") - await number(self._writer, "PRAGMA freelist_count")
        if pages * await number(self._writer, "PRAGMA page_size") <= size:
            return False
        async with transaction(self._writer):
            for before in (await number(self._writer, sql.RECENT), sql.ABOVE_ALL):
                for statements in sql.OLDEST:
                    if sum([await self._changed(statement, (before, STEP)) for statement in statements]):
                        return True
        return False

    async def _changed(self, statement: str, values: Iterable[object]) -> int:
        """How many rows a statement changes."""
        async with self._writer.execute(statement, tuple(values)) as cursor:
            return cursor.rowcount
