"""Values <-> rows of the history. Pure; `ahead`, `shift`: what the wall clock of today is ahead of the probe's clock.

- Text is stored as UTF-8; what cannot be (halves of surrogate pairs out of a server's reply) becomes a question mark.
- A record that cannot be read any more, or is no longer kept, is given in the same form with what the row knows.
- What is read is what was written: SQLite keeps whatever somebody else puts into a column; such rows are passed over.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from probe.model import Ahead, Change, EndpointName, MaskedBy, Outage, Result, Service, Severity, Verdict
from probe.report.json import timestamp
from probe.report.record import record_object
from probe.service.clock import Reckoning
from probe.service.history.backlog import Batch

Row = tuple[Any, ...]
_Read = TypeVar("_Read")

_NO_RECORD = "Only this much is kept of the session."
_LARGEST_RECORD = 16 << 20
_EVER = 6e10
"""Seconds, before 1970 or after it: 1,900 years, so that every sum of two is a date."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """A batch as rows."""

    endpoints: Sequence[Row]
    sessions: Sequence[Row]
    records: Sequence[Row]
    changes: Sequence[Row]
    outages: Sequence[Row]


def rows_of(batch: Batch, ahead: Ahead, unfit: Callable[[Result, Exception], None]) -> Rows:
    """A batch as rows; `unfit` hears of a session that cannot be written down."""
    sessions, records = [], []
    for result in batch.sessions:
        try:
            shift = ahead(result.session.opened)
            pair = session_row(result, shift), record_row(result, shift)
        except (ValueError, TypeError, OverflowError) as error:
            unfit(result, error)
            continue
        sessions.append(pair[0])
        records.append(pair[1])
    places = [one.session.endpoint for one in batch.sessions]
    places += [change.endpoint for change in batch.changes] + [outage.endpoint for outage in batch.outages]
    return Rows(
        endpoints=[endpoint_row(name) for name in dict.fromkeys(places)],
        sessions=sessions,
        records=records,
        changes=[change_row(change.told(ahead)) for change in batch.changes],
        outages=[outage_row(outage.told(ahead)) for outage in batch.outages],
    )


def endpoint_row(name: EndpointName) -> Row:
    """path, service, port."""
    return (_utf8(name.path), name.service.value, name.port)


def session_row(result: Result, shift: float) -> Row:
    """id, opened, path, service, port, verdict, masked_by, seconds."""
    session, judgement = result.session, result.judgement
    return (
        session.id,
        session.opened + shift,
        *endpoint_row(session.endpoint),
        judgement.verdict.value,
        judgement.masked_by,
        round(session.seconds, 6),
    )


def record_row(result: Result, shift: float) -> Row:
    """id, opened, fine, record."""
    fine = result.judgement.verdict.severity is Severity.OK
    text = json.dumps(record_object(result, shift=shift), separators=(",", ":"))
    return (result.session.id, result.session.opened + shift, fine, zlib.compress(text.encode()))


def change_row(change: Change) -> Row:
    """path, service, port, at, seen, verdict, masked_by, session; its times are wall times."""
    times = (change.at, change.seen)
    return (*endpoint_row(change.endpoint), *times, change.verdict.value, change.masked_by, change.session)


def outage_row(outage: Outage) -> Row:
    """path, service, port, first, began, seen, ended, unwatched, verdicts, session, masked_by, explanation, cause,
    hint; its times are wall times."""
    return (
        *endpoint_row(outage.endpoint),
        outage.first,
        outage.began,
        outage.seen,
        outage.ended,
        outage.unwatched,
        " ".join(outage.verdicts),
        outage.session,
        outage.masked_by,
        _utf8(outage.explanation),
        None if outage.cause is None else _utf8(outage.cause),
        _utf8(outage.hint),
    )


def change_of(row: Row) -> Change:
    """From what change_row gives. Raises ValueError for what is not ours."""
    path, service, port, at, seen, verdict, masked_by, session = row
    return Change(
        endpoint=_endpoint_of(path, service, port),
        at=_number(at),
        seen=_number(seen),
        verdict=Verdict(verdict),
        session=_text(session),
        masked_by=MaskedBy(masked_by) if masked_by else None,
    )


def outage_of(row: Row) -> Outage:
    """From what outage_row gives. Raises ValueError for what is not ours."""
    path, service, port, first, began, seen, ended, unwatched, verdicts, session, masked_by, *words = row
    explanation, cause, hint = words
    return Outage(
        endpoint=_endpoint_of(path, service, port),
        began=_number(began),
        seen=_number(seen),
        ended=None if ended is None else _number(ended),
        unwatched=_number(unwatched),
        first=_text(first),
        verdicts=tuple(Verdict(word) for word in _text(verdicts).split(" ")),
        session=_text(session),
        masked_by=MaskedBy(masked_by) if masked_by else None,
        explanation=_text(explanation),
        cause=None if cause is None else _text(cause),
        hint=_text(hint),
    )


def told_of(row: Row) -> tuple[str, float]:
    """From id and opened of a session. Raises ValueError for what is not ours."""
    identity, opened = row
    return _text(identity), _number(opened)


def reckoning_of(row: Row) -> Reckoning:
    """From boot and ahead. Raises ValueError for what is not ours."""
    boot, ahead = row
    return Reckoning(_text(boot), _number(ahead))


def record_of(row: Row) -> Mapping[str, object]:
    """From id, opened, path, service, port, verdict, masked_by, seconds, record: the record, or what the row knows."""
    *known, packed = row
    unpacked = _unpacked(packed) if packed is not None else None
    return unpacked if unpacked is not None else _rest(*known)


def sound(read: Callable[[Row], _Read], found: Iterable[Row]) -> list[_Read]:
    """The rows that make sense."""
    read_rows = []
    for row in found:
        with suppress(ValueError, TypeError, AttributeError):
            read_rows.append(read(row))
    return read_rows


def _unpacked(packed: bytes) -> Mapping[str, object] | None:
    try:
        text = zlib.decompressobj().decompress(packed, _LARGEST_RECORD)
        record = json.loads(text)
    except (zlib.error, ValueError, RecursionError, TypeError):
        return None
    return record if isinstance(record, dict) else None


def _rest(*row: Any) -> Mapping[str, object]:
    identity, opened, path, service, port, verdict, masked_by, seconds = row
    opened, seconds = _number(opened), _number(seconds)
    return {
        "id": identity,
        "path": path,
        "service": service,
        "host": None,
        "address": None,
        "port": port,
        "client": None,
        "expected": [],
        "phases": [],
        "failed_phase": None,
        "verdict": verdict,
        "severity": Verdict(verdict).severity if verdict in set(Verdict) else None,
        "rule": None,
        "masked_by": masked_by,
        "sightings": [],
        "explanation": _NO_RECORD,
        "cause": None,
        "hint": "",
        "opened": timestamp(opened),
        "closed": timestamp(opened + seconds),
        "seconds": seconds,
        "fault": None,
        "doubt": None,
        "seen": [],
        "reasons": [],
        "signs": [],
        "controls": [],
        "beats": 0,
        "opened_besides": {"connections": 0, "beats": 0},
        "certificate_expiry": None,
        "transcript": [],
    }


def _endpoint_of(path: Any, service: Any, port: Any) -> EndpointName:
    return EndpointName(_text(path), Service(service), int(_number(port)))


def _number(value: Any) -> float:
    if not isinstance(value, float | int) or not abs(value) < _EVER:
        raise ValueError(value)
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(value)
    return value


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
