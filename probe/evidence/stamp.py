"""Time stamps of log lines -> Stamp.

Rules of this file:
- RFC 3164 has no year: the one that puts the stamp nearest to `now`. No zone is read as UTC and said so:
  age.py learns by how much that is off.
- The resolution is that of the digits written, but never finer than a float's microsecond.
- Text that is no time (month 13, 31 February) gives None, never an exception.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from probe.evidence.events import Stamp

CLOCK = rb"[A-Z][a-z]{2} [ \d]?\d \d\d:\d\d:\d\d(?:\.\d{1,9})?"
"""RFC 3164 and Dovecot's log_timestamp: `Nov 22 18:29:06`, in 2.4 with a fraction."""

ISO = rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
"""RFC 3339 and its cousins."""

_CLOCK = re.compile(rb"(\w{3}) +(\d{1,2}) (\d\d):(\d\d):(\d\d)(?:\.(\d+))?")
_ISO = re.compile(rb"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):?(\d\d))?")
_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_UNITS = (1.0, 1e-3, 1e-6, 1e-9)
_FINEST = 1e-6


def written(text: bytes, *, now: float) -> Stamp | None:
    """The stamp of a text of the form CLOCK or ISO."""
    return _clock(text, now) if text[:1].isalpha() else _iso(text)


def counted(number: float) -> Stamp | None:
    """The stamp of a count since the epoch, in seconds, milli-, micro- or nanoseconds by its size."""
    unit = next((unit for unit in _UNITS if 1e8 <= number * unit < 1e11), None)
    if unit is None:
        return None
    whole = isinstance(number, int)
    return Stamp(number * unit, max(unit, _FINEST) if whole else _FINEST)


def _iso(text: bytes) -> Stamp | None:
    match = _ISO.fullmatch(text)
    if not match:
        return None
    *fields, fraction, sign, hours, minutes = match.groups()
    seconds = _seconds([int(field) for field in fields])
    if seconds is None:
        return None
    east = (int(hours) * 3600 + int(minutes) * 60) * (-1 if sign == b"-" else 1) if sign else 0
    return _with_fraction(seconds - east, fraction, zoned=text[-1:] == b"Z" or sign is not None)


def _clock(text: bytes, now: float) -> Stamp | None:
    match = _CLOCK.fullmatch(text)
    if not match or match[1] not in _MONTHS:
        return None
    month = _MONTHS.index(match[1]) + 1
    rest = [int(field) for field in match.groups()[1:5]]
    year = datetime.fromtimestamp(now, UTC).year
    near = [seconds for near in (year - 1, year, year + 1) if (seconds := _seconds([near, month, *rest])) is not None]
    return _with_fraction(min(near, key=lambda seconds: abs(seconds - now)), match[6], zoned=False) if near else None


def _seconds(fields: list[int]) -> float | None:
    """Seconds since the epoch of year, month, day, hour, minute, second; a leap second is the one after :59."""
    year, month, day, hour, minute, second = fields
    try:
        moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError:
        return None
    return moment.timestamp() + (second == 60)


def _with_fraction(seconds: float, fraction: bytes | None, *, zoned: bool) -> Stamp:
    if not fraction:
        return Stamp(seconds, 1.0, zoned)
    return Stamp(seconds + int(fraction) / 10 ** len(fraction), max(10.0 ** -len(fraction), _FINEST), zoned)
