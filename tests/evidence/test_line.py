"""Headers: what comes off, whose program and whose stamp counts."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.evidence import stamp
from probe.evidence.events import Line, Stamp
from probe.evidence.line import LONGEST, parse_line

NOW = datetime(2026, 11, 23, tzinfo=UTC).timestamp()
AT = datetime(2026, 11, 22, 18, 29, 6, tzinfo=UTC).timestamp()
SYSLOG = b"Nov 22 18:29:06 mail postfix/smtpd[11186]: connect from unknown[192.168.1.10]"


def parsed(raw: bytes) -> Line:
    line = parse_line(raw, now=NOW)
    assert line is not None
    return line


def test_a_syslog_line() -> None:
    assert parsed(SYSLOG) == Line(
        message="connect from unknown[192.168.1.10]",
        program="postfix/smtpd",
        pid=11186,
        stamp=Stamp(AT, 1.0, zoned=False),
    )


@pytest.mark.parametrize(
    ("raw", "seconds", "resolution"),
    [
        (b"2026-11-22T18:29:06Z mail a/smtpd: x", 0.0, 1.0),
        (b"2026-11-22T18:29:06.25+00:00 mail a/smtpd: x", 0.25, 0.01),
        (b"2026-11-22T20:29:06.123456+02:00 mail a/smtpd: x", 0.123456, 1e-6),
        (b"2026-11-22T18:29:06.123456789Z mail a/smtpd: x", 0.123456789, 1e-6),
        (b"Nov 22 18:29:06.5 imap-login: Info: x", 0.5, 0.1),
        (b"2026-11-22T18:29:07.5Z stdout F 2026-11-22T18:29:06.25Z mail a/smtpd: x", 0.25, 0.01),
        (b"2026-11-22T18:29:06.50Z stdout F Nov 22 19:29:06 mail a/smtpd: x", 0.5, 0.01),
        (b"2026-11-22T18:30:00.50Z relay docker/x[1]: Nov 22 18:29:06 mail a/smtpd: x", 0.0, 1.0),
        (b'{"line": "Nov 22 18:29:06 mail a/smtpd: x", "ts": "2026-11-22T18:29:09.25Z"}', 0.0, 1.0),
        (b'{"message": "x", "ident": "a/smtpd", "time": 1795372146}', 0.0, 1.0),
        (b'{"message": "x", "ident": "a/smtpd", "time": 1795372146250}', 0.25, 1e-3),
        (b'{"MESSAGE": "x", "SYSLOG_IDENTIFIER": "a/smtpd", "__REALTIME_TIMESTAMP": "1795372146000007"}', 7e-6, 1e-6),
    ],
)
def test_the_finest_stamp_of_the_server_wins(raw: bytes, seconds: float, resolution: float) -> None:
    line = parsed(raw)
    assert line.stamp is not None
    assert line.stamp.seconds - AT == pytest.approx(seconds, abs=1e-6)
    assert line.stamp.resolution == pytest.approx(resolution)


@pytest.mark.parametrize(
    ("clock", "now", "year"),
    [
        (b"Dec 31 23:59:59", datetime(2026, 1, 1, tzinfo=UTC), 2025),
        (b"Jan  1 00:00:01", datetime(2025, 12, 31, tzinfo=UTC), 2026),
        (b"Feb 29 12:00:00", datetime(2029, 1, 1, tzinfo=UTC), 2028),
        (b"Nov 22 18:29:06", datetime(2026, 11, 22, tzinfo=UTC), 2026),
    ],
)
def test_a_stamp_without_a_year_is_the_one_nearest_to_now(clock: bytes, now: datetime, year: int) -> None:
    found = stamp.written(clock, now=now.timestamp())
    assert found is not None
    assert datetime.fromtimestamp(found.seconds, UTC).year == year


@pytest.mark.parametrize("text", [b"Feb 31 10:00:00", b"Foo 10 10:00:00", b"Nov 22 25:00:00", b"2026-13-01T00:00:00Z"])
def test_what_is_no_time_is_no_stamp(text: bytes) -> None:
    assert stamp.written(text, now=NOW) is None


@pytest.mark.parametrize(
    ("raw", "program", "message"),
    [
        (b"imap(probe@lab.test)<17931><Xk+KWeRgDtTAqAEK>: Info: Disconnected", "imap", "Info: Disconnected"),
        (b"Nov 22 18:29:06 mail dovecot: imap(x)<1><y>: Disconnected", "imap", "Disconnected"),
        (b"Nov 22 18:29:06 mail dovecot: Info: x", "dovecot", "Info: x"),
        (b"Nov 22 18:29:06 mail app[1]: Nov 22 18:29:06 mail postfix/smtpd[1]: x", "app", None),
        (b"Nov 22 18:29:06 mail last message repeated 2 times", "", None),
        (b"Nov 22 18:29:06 mail postfix/smtpd[1]: a#011b#015#012", "postfix/smtpd", "a#011b"),
        (b"Nov 22 18:29:06 mail postfix/smtpd[1]: a\xff\x00b\r\n", "postfix/smtpd", "a\ufffd\x00b"),
    ],
)
def test_programs(raw: bytes, program: str, message: str | None) -> None:
    line = parsed(raw)
    assert line.program == program
    assert message in (None, line.message)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n",
        b"\x00\x00",
        b"2026-11-22T18:29:06.1Z stdout P " + SYSLOG,
        json.dumps({"log": "x" * 16384, "stream": "stdout", "time": "2026-11-22T18:29:06Z"}).encode(),
        SYSLOG + b"x" * LONGEST,
    ],
)
def test_half_a_line_is_none(raw: bytes) -> None:
    assert parse_line(raw, now=NOW) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"{" * 100_000,
        b'{"message": ' + b"[" * 100_000,
        b'{"message": {}}',
        b'{"message": [1, 2, 999]}',
        b'{"message": "x", "pid": true, "time": NaN}',
        b'{"message": "x", "time": 1e400}',
        b'{"message": "\\ud800"}',
        b'{"time": ' + b"9" * 5000 + b"}",
        b"<22>1 - - - - - " + b'[a b="' * 50_000,
        b"<22>1 - - - - - " + b"[a]" * 50_000,
        b"2026-11-22T18:29:06Z " + b":" * 900_000,
        b"a " * 500_000,
        b"Nov 22 18:29:06 " + b"(" * 900_000,
        b"x(" * 400_000,
        b"x<y>" * 250_000,
        b" |" * 500_000,
        b"0000-00-00T00:00:00Z x: y",
        b"<22>1 9999-99-99T99:99:99Z a b c - -",
    ],
)
def test_odd_lines_give_an_answer(raw: bytes) -> None:
    parse_line(raw, now=NOW)


@given(st.binary(max_size=300))
def test_any_bytes_give_an_answer(raw: bytes) -> None:
    parse_line(raw, now=NOW)


@given(st.text(max_size=80), st.sampled_from(["log", "MESSAGE", "message", "line"]))
def test_json_around_a_line_changes_neither_program_nor_message(text: str, key: str) -> None:
    raw = SYSLOG + b"|" + text.encode("utf-8", "replace") + b"|"
    inner = parsed(raw.replace(b"\n", b" "))
    wrapped = parsed(json.dumps({key: raw.replace(b"\n", b" ").decode()}).encode())
    assert (wrapped.message, wrapped.program, wrapped.pid) == (inner.message, inner.program, inner.pid)
