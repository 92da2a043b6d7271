"""The fast reader says what the slow way says, for whole logs, broken logs and hostile ones."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.evidence.events import Event
from probe.evidence.line import LONGEST, parse_line
from probe.evidence.read import count_lines, count_overlong, event_of, events
from tests.evidence.expectations import NOW, samples

RAW = [sample.raw for sample in samples()]
CONNECT = b"Nov 22 18:29:06 mail postfix/smtpd[11186]: connect from unknown[192.168.1.10]"
PARTIAL = b"2026-11-22T18:29:06.1Z stdout P some program: "


Said = list[tuple[str, Event]]
"""Programs and what they said."""


def slowly(text: bytes) -> Said:
    """Line by line."""
    lines = [parse_line(raw, now=NOW) for raw in text.split(b"\n")]
    return [(line.program, event) for line in lines if line and (event := event_of(line, now=NOW))]


def fast(text: bytes) -> Said:
    return [(found.program, found.event) for found in events(text, now=NOW)]


def test_an_event_comes_with_its_line_and_raw_text() -> None:
    (found,) = events(CONNECT + b"\r\n", now=NOW)
    assert (found.program, found.event) == slowly(CONNECT)[0]
    assert found.line == parse_line(CONNECT, now=NOW)
    assert found.raw == CONNECT.decode()


mutated = st.builds(
    lambda raw, at, cut, put: raw[:at] + put + raw[at + cut :],
    st.sampled_from(RAW),
    st.integers(0, 300),
    st.integers(0, 20),
    st.one_of(st.binary(max_size=8), st.sampled_from(RAW), st.sampled_from([b"<", b"{", b": ", b"smtpd", b"[1]: "])),
)
crossed = st.builds(
    lambda one, other, at, to: one[:at] + other[to:],
    st.sampled_from(RAW),
    st.sampled_from(RAW),
    st.integers(0, 150),
    st.integers(0, 150),
)


def test_programs_of_one_shape_keep_their_names() -> None:
    ports = (b"465", b"587", b"465")
    lines = [CONNECT.replace(b"postfix/smtpd", b"postfix/smtpd-proxy%s/smtpd" % port) for port in ports]
    names = [f"postfix/smtpd-proxy{port.decode()}/smtpd" for port in ports]
    assert [program for program, _ in fast(b"\n".join(lines))] == names


@given(st.lists(st.one_of(st.sampled_from(RAW), mutated, crossed, st.binary(max_size=60)), max_size=12))
def test_the_fast_reader_says_what_the_slow_way_says(lines: list[bytes]) -> None:
    text = b"\n".join(line for line in lines if b" P" not in line)
    assert fast(text) == slowly(text)
    assert fast(text + b"\n") == slowly(text)


@given(st.sampled_from([raw for raw in RAW if b" P " not in raw]))
def test_json_around_a_line_changes_no_event(raw: bytes) -> None:
    wrapped = json.dumps({"log": raw.decode("utf-8", "replace") + "\n", "stream": "stdout"}).encode()
    assert fast(wrapped + b"\n") == fast(raw)


@given(st.sampled_from(RAW), st.integers(0, 60))
def test_headers_of_one_shape_are_told_apart_where_they_differ(raw: bytes, at: int) -> None:
    other = raw[:at] + (b"1" if raw[at : at + 1] != b"1" else b"2") + raw[at + 1 :]
    assert fast(raw + b"\n" + other) == slowly(raw + b"\n" + other) or b" P " in raw


@pytest.mark.parametrize("tail", [b"", b"\n"])
def test_the_rest_of_a_partial_line_is_no_line(tail: bytes) -> None:
    rest = b"2026-11-22T18:29:06.1Z stdout F " + CONNECT
    assert fast(rest + b"\n" + PARTIAL + b"\n" + rest + tail) == slowly(CONNECT)
    cut = json.dumps({"log": "x" * 16384, "stream": "stdout"}).encode()
    assert fast(cut + b"\n" + json.dumps({"log": CONNECT.decode() + "\n"}).encode() + tail) == []


def test_lines_are_counted() -> None:
    assert [count_lines(text) for text in (b"", b"a", b"a\n", b"a\nb", b"\n\n")] == [0, 1, 1, 2, 2]


def test_lines_of_a_mebibyte_are_counted_and_give_nothing() -> None:
    longest = CONNECT + b"x" * (LONGEST - len(CONNECT) - 1)
    overlong = CONNECT + b"x" * LONGEST
    text = b"\n".join([overlong, CONNECT, longest, overlong + overlong, CONNECT, overlong])
    assert count_overlong(text) == 3
    assert count_overlong(longest) == count_overlong(b"") == count_overlong(b"a\n" * LONGEST) == 0
    assert fast(text) == slowly(CONNECT) * 2


HEADS = (
    b"",
    b"Nov 22 18:29:06 mail postfix/smtpd[1]: NOQUEUE: reject: RCPT from unknown[1.2.3.4]: 5",
    b"Nov 22 18:29:06 imap-login: Info: ID sent: ",
    b"Nov 22 18:29:06 imap-login: Info: haproxy: Client disconnected: Failed to read ",
    b"<22>1 - - postfix/smtpd - - [a ",
)
UNITS = (
    b"smtpd",
    b"smtpd[1]: ",
    b" smtpd: connect from ",
    b"imap-login: Login: user=<",
    b", rip=1.2.3.4",
    b"Disconnected: ",
    b"; from=<",
    b" to=<",
    b"helo=<",
    b"A: client=",
    b"warning: a ",
    b'{"log": "',
    b'"MESSAGE":[',
    b"\x00",
    b"\xff",
    b"(rip=",
    b": ",
    b" ",
    b"0",
    b"#015",
)
LINES = (b"\n", b"smtpd\n")
"""Behind each a new line begins, to which it is all one what the first began with."""


@pytest.mark.parametrize(("head", "unit"), [*itertools.product(HEADS, UNITS), *itertools.product(HEADS[:2], LINES)])
def test_no_line_is_read_in_more_than_linear_time(head: bytes, unit: bytes) -> None:
    # A quadratic reader would need hours for this, so that no clock is needed to notice one.
    text = head + unit * ((LONGEST - len(head) - 9) // len(unit)) + b"x#015"
    list(events(text, now=NOW))
    parse = parse_line(text, now=NOW)
    if parse:
        event_of(parse, now=NOW)
