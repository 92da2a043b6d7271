"""The tables of the history, as migrations: each takes a file from one version (PRAGMA user_version) to the next.

Rules:
- A migration that was ever released is never changed; a new one is appended.
- Times are wall times, seconds since the epoch. Words are the contract's.
- A session is one small row for the whole retention. What a page shows of it is its record (zlib of the JSON object of
  report.record), kept less long for sessions that were fine.
- `mark` is when an outage began on the clock of the process that wrote it: what it is known by while the wall clock is
  set back and forth. An endpoint has one outage at most that lasts.
"""

from __future__ import annotations

APPLICATION = 0x6D70_7262
"""PRAGMA application_id, "mprb": what tells a history from any other SQLite database."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE endpoints (
            number INTEGER PRIMARY KEY, path TEXT NOT NULL, service TEXT NOT NULL, port INTEGER NOT NULL,
            UNIQUE (path, service, port))""",
        """CREATE TABLE sessions (
            number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, opened REAL NOT NULL,
            endpoint INTEGER NOT NULL, verdict TEXT NOT NULL, masked_by TEXT, seconds REAL NOT NULL)""",
        "CREATE INDEX sessions_by_time ON sessions (opened)",
        "CREATE INDEX sessions_by_endpoint ON sessions (endpoint, opened)",
        """CREATE TABLE records (
            number INTEGER PRIMARY KEY, opened REAL NOT NULL, fine INTEGER NOT NULL, record BLOB NOT NULL)""",
        "CREATE INDEX records_of_fine_sessions ON records (opened) WHERE fine",
        """CREATE TABLE changes (
            number INTEGER PRIMARY KEY, endpoint INTEGER NOT NULL, at REAL NOT NULL, verdict TEXT NOT NULL,
            masked_by TEXT, session TEXT NOT NULL UNIQUE)""",
        "CREATE INDEX changes_by_endpoint ON changes (endpoint, at)",
        """CREATE TABLE outages (
            number INTEGER PRIMARY KEY, endpoint INTEGER NOT NULL, mark REAL NOT NULL,
            began REAL NOT NULL, seen REAL NOT NULL, ended REAL, verdicts TEXT NOT NULL, session TEXT NOT NULL,
            masked_by TEXT, explanation TEXT NOT NULL, cause TEXT, hint TEXT NOT NULL, UNIQUE (endpoint, mark))""",
        "CREATE UNIQUE INDEX outages_that_last ON outages (endpoint) WHERE ended IS NULL",
        "CREATE INDEX outages_by_end ON outages (ended)",
    ),
)

VERSION = len(MIGRATIONS)
