"""Changes of verdicts and outages as JSON objects of their own, each whole without the ones before it. Pure.

`at` is when it was: of a change the session that brought it, of an outage its begin or its end. Times are wall times;
`shift` is what the wall clock is ahead of the probe's clock.
"""

from __future__ import annotations

from probe.model import Change, Outage, Result
from probe.report.json import timestamp


def change_object(change: Change, result: Result, *, vantage: str, shift: float) -> dict[str, object]:
    """An endpoint's verdict became another one."""
    judgement = result.judgement
    return {
        "event": "verdict",
        "at": timestamp(change.at + shift),
        **_place(result, vantage),
        "verdict": change.verdict,
        "severity": change.verdict.severity,
        "masked_by": change.masked_by,
        "session": change.session,
        "explanation": judgement.explanation,
        "cause": judgement.cause,
        "hint": judgement.hint,
    }


def outage_object(outage: Outage, result: Result, *, vantage: str, shift: float) -> dict[str, object]:
    """An outage began, or ended if it has an end; `result` is of the session that began or ended it."""
    ended = None if outage.ended is None else timestamp(outage.ended + shift)
    began = timestamp(outage.began + shift)
    return {
        "event": "outage_began" if ended is None else "outage_ended",
        "at": ended or began,
        **_place(result, vantage),
        "verdict": outage.verdict,
        "severity": result.judgement.verdict.severity,
        "masked_by": outage.masked_by,
        "session": outage.session,
        "explanation": outage.explanation,
        "cause": outage.cause,
        "hint": outage.hint,
        "verdicts": list(outage.verdicts),
        "began": began,
        "seen": timestamp(outage.seen + shift),
        "ended": ended,
        "seconds": round(outage.seconds, 3),
        "unwatched": round(outage.unwatched, 3),
    }


def _place(result: Result, vantage: str) -> dict[str, object]:
    session = result.session
    return {
        "vantage": vantage,
        "path": session.path,
        "service": session.service,
        "host": session.host,
        "port": session.port,
    }
