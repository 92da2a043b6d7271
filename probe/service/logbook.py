"""One canonical line per session in the daemon's log, and one for each outage that begins or ends.

Rules of this file:
- The line has all that is known of the session in fields, so that a search for one word finds it.
- The level is the verdict's severity.
- Of every outage whose begin was told the end is told, also where no session finds it over.
- A verdict that stays as it is repeats its line once in REPEAT seconds of an endpoint, with the number of sessions
  that were like it since. What changed is never held back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from probe.model import EndpointName, Outage, Result, Severity
from probe.service.ledger import Entry

REPEAT = 300.0

UNSEEN = "it was last seen then: its endpoint left the configuration or is configured differently"

LEVELS = {Severity.CRITICAL: "error", Severity.WARNING: "warning", Severity.UNKNOWN: "warning", Severity.OK: "info"}

Tell = Callable[..., None]
"""`notices.tell`: level, event, fields."""


class Logbook:
    """Tells of every entry that is news."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._told_at: dict[EndpointName, float] = {}
        self._alike: dict[EndpointName, int] = {}

    def only(self, names: Collection[EndpointName]) -> None:
        """No other endpoints are left."""
        self._told_at = {name: at for name, at in self._told_at.items() if name in names}
        self._alike = {name: count for name, count in self._alike.items() if name in names}

    def note(self, entry: Entry) -> None:
        """A session was judged."""
        session, judgement = entry.result.session, entry.result.judgement
        name = session.endpoint
        self._alike[name] = self._alike.get(name, 0) + 1
        told_at = self._told_at.get(name)
        is_news = entry.change is not None or entry.ended is not None
        if not is_news and told_at is not None and session.opened < told_at + REPEAT:
            return
        self._told_at[name] = session.opened
        level = LEVELS[judgement.verdict.severity]
        self._tell(level, "session", **fields(entry.result), sessions=self._alike.pop(name))
        if entry.ended is not None:
            self._end(entry.ended)
        elif entry.began is not None:
            self._tell("error", "outage began", **_outage(entry.began))

    def part(self, outage: Outage) -> None:
        """An outage is over, and no session just found it so (Ledger.farewells)."""
        self._end(outage, **({"reason": UNSEEN} if outage.ended == outage.seen else {}))

    def _end(self, outage: Outage, **fields: str) -> None:
        self._tell("info", "outage ended", **_outage(outage), seconds=round(outage.seconds, 1), **fields)


def _outage(outage: Outage) -> dict[str, Any]:
    name = outage.endpoint
    return {"path": name.path, "service": name.service.value, "verdict": outage.verdict.value}


def fields(result: Result) -> dict[str, Any]:
    """What is known of a session, by the contract's words; what there is not is left out."""
    session, judgement, evidence = result.session, result.judgement, result.evidence
    sighting = evidence.sightings[0] if evidence.sightings else None
    known = {
        "path": session.path,
        "service": session.service.value,
        "verdict": judgement.verdict.value,
        "masked_by": judgement.masked_by.value if judgement.masked_by else None,
        "rule": judgement.rule,
        "seen": ",".join(map(str, judgement.seen)) or None,
        "link": sighting.link.value if sighting else None,
        "source": sighting.source if sighting else None,
        "host": session.host,
        "port": session.port,
        "address": str(session.address) if session.address is not None else None,
        "client": str(session.client) if session.client else None,
        "seconds": round(session.seconds, 3),
        "failed_phase": session.fault.phase.value if session.fault else None,
        "fault": session.fault.detail if session.fault else None,
        "cause": judgement.cause,
        "id": session.id,
    }
    return {name: value for name, value in known.items() if value is not None}
