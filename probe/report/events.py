"""Changes of verdicts, outages, and what stands, as JSON objects of their own, each whole without the others. Pure.

`at` is when it was: of a change the session that brought it, of an outage its begin or its end, of what stands the
session that showed it again. Times are wall times; `ahead` is what the wall clock is ahead of the probe's clock.
`began` of an outage is the wall time by which it was told first: readers know it by that, whatever the clock is set to.
"""

from __future__ import annotations

from dataclasses import replace

from probe.model import Ahead, Change, EndpointName, Outage, Result, Severity
from probe.report.json import timestamp

ABANDONED = "the endpoint left the configuration while it lasted, so nobody looks any more"
REPLACED = "the endpoint was configured differently while it lasted, so nobody looks at what failed any more"
JOINED = "it is no outage of its own but goes on from one that was known of only later, so its time is counted there"
LEFT = "it may last: verdicts of this vantage are told elsewhere, or by another name, since its configuration changed"


def change_object(change: Change, result: Result, *, vantage: str, ahead: Ahead) -> dict[str, object]:
    """An endpoint's verdict became another one."""
    judgement = result.judgement
    return {
        "event": "verdict",
        "at": timestamp(change.at + ahead(change.at)),
        **_place(change.endpoint, result.session.host, vantage),
        "verdict": change.verdict,
        "severity": change.verdict.severity,
        "masked_by": change.masked_by,
        "session": change.session,
        "explanation": judgement.explanation,
        "cause": judgement.cause,
        "hint": judgement.hint,
    }


def standing_object(
    change: Change, began: float | None, result: Result, *, vantage: str, ahead: Ahead
) -> dict[str, object]:
    """An endpoint's verdict is what it was: since when, and the outage that lasts; `result` shows it again."""
    told = replace(change, at=result.session.opened, session=result.session.id)
    return {
        **change_object(told, result, vantage=vantage, ahead=ahead),
        "event": "standing",
        "since": timestamp(change.at + ahead(change.at)),
        "outage_began": None if began is None else timestamp(began),
    }


def outage_object(
    outage: Outage, host: str | None, severity: Severity, *, vantage: str, began: float
) -> dict[str, object]:
    """An outage, by the wall clock, began, or ended if it has an end; `severity`: of the session that did that."""
    ended = None if outage.ended is None else timestamp(outage.ended)
    return {
        "event": "outage_began" if ended is None else "outage_ended",
        "at": ended or timestamp(began),
        **_place(outage.endpoint, host, vantage),
        "verdict": outage.verdict,
        "severity": severity,
        "masked_by": outage.masked_by,
        "session": outage.session,
        "explanation": outage.explanation,
        "cause": outage.cause,
        "hint": outage.hint,
        "verdicts": list(outage.verdicts),
        "began": timestamp(began),
        "seen": timestamp(outage.seen),
        "ended": ended,
        "seconds": round(outage.seconds, 3),
        "unwatched": round(outage.unwatched, 3),
    }


def _place(endpoint: EndpointName, host: str | None, vantage: str) -> dict[str, object]:
    return {
        "vantage": vantage,
        "path": endpoint.path,
        "service": endpoint.service,
        "host": host,
        "port": endpoint.port,
    }
