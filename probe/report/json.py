"""A round as the JSON object of contract section 5. Pure."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from probe.model import Result, Round, Sighting, plain_network

SCHEMA = 1


def render(done: Round) -> str:
    """The object, indented for people who pipe it through nothing."""
    return json.dumps(as_object(done), indent=2, ensure_ascii=False)


def as_object(done: Round) -> dict[str, object]:
    """The object as plain values."""
    return {
        "schema": SCHEMA,
        "vantage": done.vantage,
        "started": timestamp(done.started),
        "seconds": round(done.seconds, 3),
        "status": done.severity,
        "exit_code": done.severity.exit_code,
        "sessions": [session_object(result) for result in done.results],
    }


def session_object(result: Result, *, shift: float = 0.0) -> dict[str, object]:
    """One judged session. `shift`: seconds by which the wall clock was set since the probe's clock began."""
    session, judgement = result.session, result.judgement
    client = session.client
    return {
        "id": session.id,
        "path": session.path,
        "service": session.service,
        "host": session.host,
        "address": str(session.address) if session.address is not None else None,
        "port": session.port,
        "client": {"address": str(client.address), "port": client.port} if client else None,
        "expected": [plain_network(network) for network in session.expected],
        "phases": [{"phase": timing.phase, "seconds": round(timing.seconds, 6)} for timing in session.phases],
        "failed_phase": session.fault.phase if session.fault else None,
        "verdict": judgement.verdict,
        "severity": judgement.verdict.severity,
        "rule": judgement.rule,
        "masked_by": judgement.masked_by,
        "sightings": [_sighting_object(sighting, shift) for sighting in result.evidence.sightings],
        "explanation": judgement.explanation,
        "cause": judgement.cause,
        "hint": judgement.hint,
    }


def _sighting_object(sighting: Sighting, shift: float) -> dict[str, object]:
    return {
        "address": str(sighting.address),
        "port": sighting.port,
        "link": sighting.link,
        "source": sighting.source,
        "at": timestamp(sighting.at + shift),
        "line": sighting.line,
    }


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC with milliseconds.

    >>> timestamp(0.5)
    '1970-01-01T00:00:00.500Z'
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
