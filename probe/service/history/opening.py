"""Connections to a history file: whose it is, whether it is sound, brought up to this version's tables, or begun.

- Before anything is written the file is looked at through a connection that cannot write: what belongs to another
  program or to a newer mailprobe stays as it is.
- auto_vacuum comes before journal_mode, for it only holds for a file without a page.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiosqlite

from probe.service.history.faults import HistoryTrouble, Remedy, is_broken
from probe.service.history.place import Lock, create, look_at, was_history
from probe.service.history.schema import APPLICATION, MIGRATIONS, VERSION

SMALL = 64 << 20
"""Bytes of a file that is looked through as it is opened: half a second, docs/bench-history.md."""

_BUSY = 2.0
_CLOSING = 10.0
_LOG_LIMIT = 4 << 20
_FOREIGN = "it is no history of mailprobe: name another file, or move it away; it is left as it is"
_NEWER = (
    f"it is of a newer mailprobe (version {{}} of its tables, this one knows {VERSION}): update mailprobe, or name "
    "another file; it is left as it is"
)


async def writing(file: Path, lock: Lock, upgrading: Callable[[], None]) -> aiosqlite.Connection:
    """The connection that writes, to a file of this version's tables; `upgrading` hears if they were older."""
    if await asyncio.to_thread(_size, file):
        await _look(file, lock)
    await asyncio.to_thread(create, file)
    connection = await aiosqlite.connect(file, isolation_level=None, timeout=_BUSY)
    try:
        for pragma in (
            "auto_vacuum = INCREMENTAL",
            "journal_mode = WAL",
            "synchronous = NORMAL",
            f"journal_size_limit = {_LOG_LIMIT}",
        ):
            await connection.execute_fetchall(f"PRAGMA {pragma}")
        await _migrate(connection, upgrading)
    except BaseException:
        await closed(connection)
        raise
    return connection


async def closed(connection: aiosqlite.Connection) -> None:
    """Close it; one that hangs on its disk is left to its thread. (aiosqlite's own `close` outlasts a cancellation.)"""
    if stopping := connection.stop():
        await asyncio.wait([stopping], timeout=_CLOSING)
        if stopping.done():
            stopping.exception()


async def reading(file: Path) -> aiosqlite.Connection:
    """One that only reads."""
    connection = await aiosqlite.connect(file, isolation_level=None, timeout=_BUSY)
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    try:
        await connection.execute_fetchall("PRAGMA query_only = ON")
    except BaseException:
        await closed(connection)
        raise
    return connection


@asynccontextmanager
async def looking(file: Path) -> AsyncIterator[aiosqlite.Connection]:
    """One that can neither write nor be kept out, to a sound file of this version's tables. Raises as `writing` does.

    It asks for no lock, and on a full disk, where SQLite cannot even begin its index of the log, reads a file without a
    log as it stands.
    """
    await asyncio.to_thread(look_at, file)
    try:
        connection = await _read_only(file, "")
    except sqlite3.OperationalError:
        log = file.with_name(f"{file.name}-wal")
        if await asyncio.to_thread(_size, log):
            raise
        connection = await _read_only(file, "&immutable=1")
    try:
        yield connection
    finally:
        await closed(connection)


async def _read_only(file: Path, more: str) -> aiosqlite.Connection:
    place = f"{file.absolute().as_uri()}?mode=ro{more}"  # noqa: ASYNC240
    connection = await aiosqlite.connect(place, uri=True, timeout=_BUSY)
    try:
        application = await number(connection, "PRAGMA application_id")
        version = await number(connection, "PRAGMA user_version")
        if (application, version) != (APPLICATION, VERSION):
            raise HistoryTrouble("foreign", file, _FOREIGN)
    except BaseException:
        await closed(connection)
        raise
    return connection


async def _look(file: Path, lock: Lock) -> None:
    """Raise where the file is not for us; this changes nothing in it."""
    ours = await asyncio.to_thread(was_history, file, lock)
    connection = await aiosqlite.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY)  # noqa: ASYNC240
    try:
        application = await number(connection, "PRAGMA application_id")
        version = await number(connection, "PRAGMA user_version")
        tables = await number(connection, "SELECT count(*) FROM sqlite_schema")
        if application != APPLICATION and tables:
            raise HistoryTrouble("foreign", file, _FOREIGN)
        if version > VERSION:
            raise HistoryTrouble("newer", file, _NEWER.format(version))
        if await asyncio.to_thread(_size, file) <= SMALL:
            await _look_through(connection, file)
    except sqlite3.DatabaseError as error:
        if is_broken(error) and not ours:
            raise HistoryTrouble("foreign", file, _FOREIGN) from None
        raise
    finally:
        await closed(connection)


def _size(file: Path) -> int:
    """Bytes of a file, none where it is not there. Blocks."""
    return file.stat().st_size if file.exists() else 0


async def _look_through(connection: aiosqlite.Connection, file: Path) -> None:
    ((found,),) = await connection.execute_fetchall("PRAGMA quick_check(1)")
    if found != "ok":
        raise HistoryTrouble("broken", file, f"the file is broken ({found[:200]})", remedy=Remedy.BEGIN_ANEW)


async def number(connection: aiosqlite.Connection, query: str) -> int:
    """The one number a query gives."""
    ((number,),) = await connection.execute_fetchall(query)
    return int(number)


async def _migrate(connection: aiosqlite.Connection, upgrading: Callable[[], None]) -> None:
    version = await number(connection, "PRAGMA user_version")
    if 0 < version < VERSION:
        upgrading()
    for reached, statements in enumerate(MIGRATIONS[version:], version + 1):
        async with transaction(connection):
            for statement in statements:
                await connection.execute_fetchall(statement)
            await connection.execute_fetchall(f"PRAGMA application_id = {APPLICATION}")
            await connection.execute_fetchall(f"PRAGMA user_version = {reached}")


@asynccontextmanager
async def transaction(connection: aiosqlite.Connection) -> AsyncIterator[None]:
    """All that is done inside, or nothing."""
    await connection.execute_fetchall("BEGIN IMMEDIATE")
    try:
        yield
        await connection.execute_fetchall("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error, ValueError):
            await connection.rollback()
        raise
