"""What is asked of SQLite. The order of values is that of rows.py; values are always bound, never written in."""

from __future__ import annotations

ENDPOINT = "(SELECT number FROM endpoints WHERE path = ? AND service = ? AND port = ?)"
ADD_ENDPOINT = "INSERT OR IGNORE INTO endpoints (path, service, port) VALUES (?, ?, ?)"
ADD_SESSION = f"""INSERT OR IGNORE INTO sessions (id, opened, endpoint, verdict, masked_by, seconds)
    VALUES (?, ?, {ENDPOINT}, ?, ?, ?)"""  # noqa: S608 - made of constants
ADD_RECORD = """INSERT OR IGNORE INTO records (number, opened, fine, record)
    SELECT number, ?2, ?3, ?4 FROM sessions WHERE id = ?1"""
ADD_CHANGE = f"""INSERT OR IGNORE INTO changes (endpoint, at, verdict, masked_by, session)
    VALUES ({ENDPOINT}, ?, ?, ?, ?)"""  # noqa: S608 - made of constants
END_OTHERS = f"UPDATE outages SET ended = seen WHERE endpoint = {ENDPOINT} AND ended IS NULL AND mark <> ?"  # noqa: S608
PUT_OUTAGE = f"""INSERT INTO outages
    (endpoint, mark, began, seen, ended, verdicts, session, masked_by, explanation, cause, hint)
    VALUES ({ENDPOINT}, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (endpoint, mark) DO UPDATE
    SET (began, seen, ended, verdicts, session) =
        (excluded.began, excluded.seen, excluded.ended, excluded.verdicts, excluded.session),
        (masked_by, explanation, cause, hint) =
        (excluded.masked_by, excluded.explanation, excluded.cause, excluded.hint)"""  # noqa: S608 - made of constants

SESSIONS = """SELECT s.id, s.opened, e.path, e.service, e.port, s.verdict, s.masked_by, s.seconds, r.record
    FROM sessions s JOIN endpoints e ON e.number = s.endpoint LEFT JOIN records r ON r.number = s.number"""
CHANGES = """SELECT e.path, e.service, e.port, c.at, c.verdict, c.masked_by, c.session
    FROM changes c JOIN endpoints e ON e.number = c.endpoint
    WHERE c.at >= ?1 OR c.at = (SELECT max(d.at) FROM changes d WHERE d.endpoint = c.endpoint AND d.at < ?1)
    ORDER BY c.number DESC LIMIT ?2"""
OUTAGES = """SELECT e.path, e.service, e.port, o.began, o.seen, o.ended, o.verdicts, o.session, o.masked_by,
    o.explanation, o.cause, o.hint FROM outages o JOIN endpoints e ON e.number = o.endpoint"""

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
