"""A watch as one JSON object; docs/watch.md has its keys. Pure. Times are RFC 3339 in UTC, to the millisecond."""

from __future__ import annotations

import json

from probe.model import Edge, Gap, Moved, Sample, Standing, Watched, WatchedEndpoint
from probe.report.json import timestamp
from probe.verdict.ending import stable_seconds
from probe.verdict.shared import Shared, shared
from probe.verdict.shown import seconds_out, standing, waits
from probe.verdict.watched import conclude

SCHEMA = 1


def render(watched: Watched, *, shift: float = 0.0) -> str:
    """The object, indented. `shift`: seconds by which the wall clock was set since the probe's clock began."""
    return json.dumps(as_object(watched, shift=shift), indent=2, ensure_ascii=False)


def as_object(watched: Watched, *, shift: float = 0.0) -> dict[str, object]:
    """The object as plain values."""
    done, stable, wanted = conclude(watched), stable_seconds(watched), watched.wanted
    return {
        "schema": SCHEMA,
        "vantage": watched.vantage,
        "started": timestamp(watched.started + shift),
        "baseline_at": None if watched.began is None else timestamp(watched.began + shift),
        "ended": timestamp(watched.until + shift),
        "seconds": round(watched.until - watched.started, 3),
        "status": done.severity,
        "exit_code": done.severity.exit_code,
        "rule": done.rule,
        "sentence": done.sentence,
        "ended_by": watched.ending,
        "stable_seconds": _rounded(stable),
        "interval": wanted.interval,
        "until_stable": wanted.until_stable,
        "max_outage": wanted.max_outage,
        "while": wanted.process,
        "change_over": None if watched.change_over is None else timestamp(watched.change_over + shift),
        "from_broken": wanted.from_broken,
        "no_limit": wanted.no_limit,
        "endpoints": [_endpoint(endpoint, watched.until, shift) for endpoint in watched.endpoints],
        "paths": [_shared(one, shift) for one in shared(watched.endpoints)],
        "announcers": [_standing(one, shift) for one in watched.announcers],
        "nodes": [_standing(one, shift) for one in watched.nodes],
        "moves": [_moved(one, shift) for one in watched.moves],
        "clients": dict(watched.clients),
        "notes": list(watched.notes),
    }


def _endpoint(endpoint: WatchedEndpoint, until: float, shift: float) -> dict[str, object]:
    severity, state = standing(endpoint, until)
    wait = waits(endpoint, until)
    name, made = endpoint.name, endpoint.cadence
    return {
        "path": name.path,
        "service": name.service,
        "host": endpoint.host,
        "address": str(endpoint.address) if endpoint.address is not None else None,
        "port": name.port,
        "severity": severity,
        "state": state,
        "seconds_out": round(seconds_out(endpoint), 3),
        "cadence": {
            "asked": made.asked,
            "longest": round(made.longest, 3),
            "sent": made.sent,
            "answered": made.answered,
            "lost": made.lost,
            "counted": made.counted,
            "why": made.why or None,
        },
        "outages": [_gap(gap, shift) for gap in endpoint.gaps],
        "outages_not_listed": endpoint.untold,
        "sessions": [_sample(sample, shift) for sample in endpoint.samples],
        "waiting": None if wait is None else round(wait.seconds, 3),
        "waiting_for": None if wait is None else wait.lack,
        "blind": [{"from": timestamp(one.start + shift), "to": timestamp(one.end + shift)} for one in endpoint.blind],
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _gap(gap: Gap, shift: float) -> dict[str, object]:
    judgement = gap.judgement
    return {
        "kind": gap.kind,
        "began": _edge(gap.began, shift),
        "ended": _edge(gap.ended, shift) if gap.ended else None,
        "seen": timestamp(gap.seen + shift),
        "seconds": round(gap.seconds, 3),
        "bound": round(gap.bound, 3),
        "how": list(gap.how),
        "verdict": judgement.verdict if judgement else None,
        "masked_by": judgement.masked_by if judgement else None,
        "explanation": judgement.explanation if judgement else None,
        "cause": judgement.cause if judgement else None,
        "hint": judgement.hint if judgement else None,
    }


def _edge(edge: Edge, shift: float) -> dict[str, object]:
    return {
        "at": timestamp(edge.moment + shift),
        "after": None if edge.after is None else timestamp(edge.after + shift),
        "by": timestamp(edge.by + shift),
    }


def _shared(one: Shared, shift: float) -> dict[str, object]:
    seconds = one.seconds
    return {
        "path": one.path,
        "endpoints": one.endpoints,
        "began": _edge(one.began, shift),
        "ended": _edge(one.ended, shift) if one.ended else None,
        "seconds": _rounded(seconds),
        "bound": round(one.bound, 3),
    }


def _sample(sample: Sample, shift: float) -> dict[str, object]:
    return {
        "at": timestamp(sample.at + shift),
        "id": sample.session,
        "answered_after": round(sample.shown - sample.at, 3),
        "verdict": sample.verdict,
        "severity": sample.verdict.severity,
        "masked_by": sample.judgement.masked_by,
        "seen": [str(address) for address in sample.seen],
        "in_outage": sample.aside,
        "explanation": sample.judgement.explanation,
    }


def _moved(one: Moved, shift: float) -> dict[str, object]:
    return {
        "host": one.host,
        "before": None if one.before is None else str(one.before),
        "after": str(one.after),
        "since": _edge(one.edge, shift),
    }


def _standing(one: Standing, shift: float) -> dict[str, object]:
    return {
        "address": str(one.address) if one.address is not None else None,
        "node": one.node,
        "value": one.value,
        "since": _edge(one.edge, shift),
    }
