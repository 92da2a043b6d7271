"""The tables of the history, as migrations: each takes a file from one version (PRAGMA user_version) to the next.

Rules:
- A migration that was ever released is never changed; a new one is appended.
- Times are wall times, seconds since the epoch. Words are the contract's.
- Changes and outages of one run of the machine are told by one clock: `reckoning` says how far the wall clock was ahead
  of the machine's own, and which rows (numbers greater than these) are of this run; when the wall clock is set they are
  moved with it. Sessions keep the time by which they were told.
- Rows stand in the order in which they came to be (`number`), which no clock that is set turns round; lists go by it.
- A session is one small row for the whole retention. What a page shows of it is its record (zlib of the JSON object of
  report.record), kept less long for sessions that were fine.
- An outage is known by `first`, the session that it began with, and a change by the session that brought it: no clock
  and no process has a say in that. An endpoint has one outage at most that lasts.
- `seen` of a change is when the last session with that verdict was opened: an endpoint's latest one is when it was last
  judged. What lies between it and the next change, if that is long, is a time in which nobody looked.
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
    (
        "ALTER TABLE changes ADD COLUMN seen REAL NOT NULL DEFAULT 0",
        """UPDATE changes SET seen = max(at, coalesce((SELECT max(s.opened) FROM sessions s
            WHERE s.endpoint = changes.endpoint AND s.opened < coalesce((SELECT min(d.at) FROM changes d
            WHERE d.endpoint = changes.endpoint AND d.at > changes.at), 9e99)), at))""",
        "ALTER TABLE outages RENAME TO old_outages",
        """CREATE TABLE outages (
            number INTEGER PRIMARY KEY, endpoint INTEGER NOT NULL, first TEXT NOT NULL UNIQUE,
            began REAL NOT NULL, seen REAL NOT NULL, ended REAL, unwatched REAL NOT NULL, verdicts TEXT NOT NULL,
            session TEXT NOT NULL, masked_by TEXT, explanation TEXT NOT NULL, cause TEXT, hint TEXT NOT NULL)""",
        """INSERT INTO outages SELECT number, endpoint, 'outage-' || number, began, seen, ended, 0, verdicts, session,
            masked_by, explanation, cause, hint FROM old_outages""",
        "DROP TABLE old_outages",
        "CREATE UNIQUE INDEX outages_that_last ON outages (endpoint) WHERE ended IS NULL",
        "CREATE INDEX outages_by_end ON outages (ended)",
        "CREATE INDEX outages_by_begin ON outages (began)",
        "CREATE INDEX sessions_that_are_not_fine ON sessions (verdict, opened) WHERE verdict <> 'preserved'",
    ),
    (
        "DROP INDEX sessions_by_endpoint",
        "CREATE INDEX sessions_of_endpoint ON sessions (endpoint)",
        "DROP INDEX sessions_that_are_not_fine",
        "CREATE INDEX sessions_that_are_not_fine ON sessions (verdict) WHERE verdict <> 'preserved'",
        "DROP INDEX outages_by_begin",
        """CREATE TABLE reckoning (
            boot TEXT NOT NULL, ahead REAL NOT NULL, changes INTEGER NOT NULL, outages INTEGER NOT NULL)""",
    ),
)

VERSION = len(MIGRATIONS)
