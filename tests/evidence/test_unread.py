"""Lines that say nothing to us, and the time that a log spans."""

from __future__ import annotations

import pytest

from probe.evidence.line import LONGEST
from probe.evidence.unread import puzzles, span
from tests.evidence.expectations import LOGS, NOW, Sample, samples

SOUND = b"Nov 22 18:29:06 mail postfix/smtpd[11186]: connect from unknown[192.168.1.10]"


def found(text: bytes) -> dict[str, tuple[int, str]]:
    return {puzzle.kind: (puzzle.count, puzzle.first) for puzzle in puzzles(text, now=NOW)}


@pytest.mark.parametrize("name", ["postfix-3.7.log", "postfix-3.10.log", "dovecot-2.3.log", "dovecot-2.4.log"])
def test_nothing_in_a_real_log_is_a_puzzle(name: str) -> None:
    assert found(b"\n".join(sample.raw for sample in samples() if sample.file == name)) == {}


HEADED = [sample for sample in samples() if sample.file == "headers.log" and sample.expected]


@pytest.mark.parametrize("sample", HEADED, ids=str)
def test_no_header_that_is_understood_is_a_puzzle(sample: Sample) -> None:
    assert found(SOUND + b"\n" + sample.raw) == {}
    assert found(sample.raw) == {}


@pytest.mark.parametrize(
    "line", [b'  File "x.py", line 3', b"\x00\x01\x02", b"just words", b"=====", b"\x1b[2J", b"99:99 x"]
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_line_without_a_header_is(line: bytes, place: int) -> None:
    lines = [SOUND, SOUND]
    lines.insert(place, line)
    assert found(b"\n".join(lines)) == {"no header of a log": (1, line.decode("utf-8", "replace"))}


def test_empty_lines_are_none() -> None:
    assert found(b"\n\n" + SOUND + b"\n\r\n\n" + SOUND + b"\n\n") == {}


@pytest.mark.parametrize("message", ["connect from x[192.0.2.1] unknown[198.51.100.7]", "connect from nobody"])
def test_a_client_s_line_that_no_postfix_writes_is(message: str) -> None:
    crooked = f"Nov 22 18:29:06 mail postfix/smtpd[11186]: {message}"
    assert found(SOUND + b"\n" + crooked.encode()) == {"a client's line that is not as Postfix writes it": (1, crooked)}


def test_what_a_client_says_in_a_sound_line_is_not() -> None:
    hostile = (LOGS / "hostile.log").read_bytes()
    rejects = b"\n".join(line for line in hostile.split(b"\n") if b"reject: RCPT" in line and line[:1] != b"#")
    assert found(rejects) == {}


def test_clients_of_other_logins_are_told_of_as_not_counted() -> None:
    line = (
        b"Nov 22 18:29:06 mail dovecot: pop3-login: Login: user=<x>, method=PLAIN, rip=198.51.100.7, lip=10.10.1.5, TLS"
    )
    assert found(line + b"\n" + SOUND + b"\n" + line) == {"clients of pop3-login are not counted": (2, line.decode())}


def test_a_line_that_is_too_long_is() -> None:
    assert found(SOUND + b"\n" + SOUND + b"x" * LONGEST + b"\n" + SOUND)["too long to be read"] == (1, "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", None),
        (b"no stamp at all\n" * 50, None),
        (b"2026-11-22T18:29:06Z mail a: x\nx\n2026-11-22T18:29:16Z mail a: x\n", (6.0, 16.0)),
        (b"x\n2026-11-22T18:29:16Z mail a: x\n2026-11-22T18:29:06Z mail a: x\nx", (6.0, 16.0)),
        (b"2026-11-22T18:29:06Z mail a: x", (6.0, 6.0)),
    ],
)
def test_the_span_is_that_of_the_ends(text: bytes, expected: tuple[float, float] | None) -> None:
    ends = span(text, now=NOW)
    minute = 1795372140.0
    assert (ends and tuple(end - minute for end in ends)) == expected
