"""What is asked of SQLite. The order of values is that of rows.py; values are always bound, never written in."""

from __future__ import annotations

ENDPOINT = "(SELECT number FROM endpoints WHERE path = ? AND service = ? AND port = ?)"
ADD_ENDPOINT = "INSERT OR IGNORE INTO endpoints (path, service, port) VALUES (?, ?, ?)"
ADD_SESSION = f"""INSERT OR IGNORE INTO sessions (id, opened, endpoint, verdict, masked_by, seconds)
    VALUES (?, ?, {ENDPOINT}, ?, ?, ?)"""  # noqa: S608 - made of constants
ADD_RECORD = """INSERT OR IGNORE INTO records (number, opened, fine, record)
    SELECT number, ?2, ?3, ?4 FROM sessions WHERE id = ?1"""
PUT_CHANGE = f"""INSERT INTO changes (endpoint, at, seen, verdict, masked_by, session)
    VALUES ({ENDPOINT}, ?, ?, ?, ?, ?) ON CONFLICT (session) DO UPDATE SET (at, seen) = (excluded.at, excluded.seen)"""  # noqa: S608 - made of constants
LASTING = "SELECT first FROM outages WHERE ended IS NULL"
END_OUTAGE = "UPDATE outages SET ended = seen WHERE first = ? AND ended IS NULL"
END_OTHERS = f"UPDATE outages SET ended = seen WHERE endpoint = {ENDPOINT} AND ended IS NULL AND first <> ?"  # noqa: S608
PUT_OUTAGE = f"""INSERT INTO outages
    (endpoint, first, began, seen, ended, unwatched, verdicts, session, masked_by, explanation, cause, hint)
    VALUES ({ENDPOINT}, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (first) DO UPDATE
    SET (began, seen, ended, unwatched, verdicts, session) =
        (excluded.began, excluded.seen, excluded.ended, excluded.unwatched, excluded.verdicts, excluded.session),
        (masked_by, explanation, cause, hint) =
        (excluded.masked_by, excluded.explanation, excluded.cause, excluded.hint)"""  # noqa: S608 - made of constants

# Labels go with the order of rows but where the wall clock was set, so few of the rows that came later are looked at.
BEFORE = """+s.opened < ? AND s.number <= coalesce(
    (SELECT max(number) FROM sessions WHERE opened BETWEEN ? - 86400.0 AND ?), s.number)"""
AFTER = "s.number < coalesce((SELECT number FROM sessions WHERE id = ?), ?)"
OUTAGES_AFTER = "o.number < coalesce((SELECT number FROM outages WHERE first = ?), ?)"
NOWHERE, ABOVE_ALL = 0, 1 << 62
"""Where a list goes on after what the file does not hold: not at all, or at its top."""

SESSIONS = """SELECT s.id, s.opened, e.path, e.service, e.port, s.verdict, s.masked_by, s.seconds, r.record
    FROM sessions s JOIN endpoints e ON e.number = s.endpoint LEFT JOIN records r ON r.number = s.number"""
# Of each endpoint its own latest ones, from the one on that the time began with: two looks at changes_by_endpoint.
CHANGES = """SELECT e.path, e.service, e.port, c.at, c.seen, c.verdict, c.masked_by, c.session
    FROM endpoints e CROSS JOIN changes c WHERE c.number IN (SELECT d.number FROM changes d WHERE d.endpoint = e.number
    AND d.at >= coalesce((SELECT max(b.at) FROM changes b WHERE b.endpoint = e.number AND b.at < ?1), ?1)
    ORDER BY d.at DESC LIMIT 1 + ?2 / (SELECT max(1, count(*)) FROM endpoints)) ORDER BY c.number"""
OUTAGES = """SELECT e.path, e.service, e.port, o.first, o.began, o.seen, o.ended, o.unwatched, o.verdicts, o.session,
    o.masked_by, o.explanation, o.cause, o.hint FROM outages o JOIN endpoints e ON e.number = o.endpoint"""

TOLD = "SELECT s.id, s.opened FROM outages o JOIN sessions s ON s.id = o.first WHERE o.ended IS NULL"

RECKONING = "SELECT boot, ahead FROM reckoning"
IS_OF_EARLIER = """SELECT boot <> ? OR min(changes - (SELECT coalesce(max(number), 0) FROM changes),
    outages - (SELECT coalesce(max(number), 0) FROM outages)) >= 0 FROM reckoning"""
RECKON_ANEW = (
    "DELETE FROM reckoning",
    """INSERT INTO reckoning SELECT ?1, ?2, coalesce((SELECT max(number) FROM changes), 0),
    coalesce((SELECT max(number) FROM outages), 0)""",
)
SET_FORWARD = (
    "UPDATE changes SET at = at + ?1, seen = seen + ?1 WHERE number > (SELECT changes FROM reckoning)",
    """UPDATE outages SET began = began + ?1, seen = seen + ?1, ended = ended + ?1
    WHERE number > (SELECT outages FROM reckoning)""",
    "UPDATE reckoning SET ahead = ahead + ?1",
)

# What goes where there is no room: one step of the first of these that finds anything, before RECENT if it can be. What
# pages show of sessions that were fine, then whole sessions by age: rows of a month ago are worth less than the
# transcript of what fails now, and failures of a month ago less than how it was an hour ago.
RECENT = """SELECT coalesce(min(+number), 0) FROM sessions
    WHERE opened > (SELECT opened FROM sessions ORDER BY number DESC LIMIT 1) - 3600.0"""
OLDEST = (
    (
        """DELETE FROM records WHERE number IN
        (SELECT number FROM records WHERE fine AND number < ? ORDER BY opened LIMIT ?)""",
    ),
    (
        "DELETE FROM records WHERE number IN (SELECT number FROM sessions WHERE number < ? ORDER BY number LIMIT ?)",
        "DELETE FROM sessions WHERE number IN (SELECT number FROM sessions WHERE number < ? ORDER BY number LIMIT ?)",
    ),
)

# A change stays as long as it tells what the verdict was as the time that is kept began.
PRUNE = (
    """DELETE FROM records WHERE number IN
    (SELECT number FROM records WHERE fine AND opened < :fine ORDER BY opened LIMIT :step)""",
    """DELETE FROM records WHERE number IN
    (SELECT number FROM sessions WHERE opened < :all ORDER BY opened LIMIT :step)""",
    """DELETE FROM sessions WHERE number IN
    (SELECT number FROM sessions WHERE opened < :all ORDER BY opened LIMIT :step)""",
    """DELETE FROM changes WHERE number IN
    (SELECT c.number FROM changes c WHERE c.at < :changes AND c.at < (SELECT max(d.at) FROM changes d
    WHERE d.endpoint = c.endpoint AND d.at < :changes) LIMIT :step)""",
    "DELETE FROM outages WHERE number IN (SELECT number FROM outages WHERE ended < :all LIMIT :step)",
)
