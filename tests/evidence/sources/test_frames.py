"""Framing of syslog streams: mixed, cut anywhere, hostile."""

from __future__ import annotations

import doctest
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.evidence.sources import frames
from probe.evidence.sources.frames import LONGEST, Frames, line_of

MESSAGES = st.lists(
    st.binary(min_size=1, max_size=60).filter(lambda text: b"\n" not in text and b"\0" not in text), max_size=12
)


def test_examples() -> None:
    assert doctest.testmod(frames).failed == 0


def counted(message: bytes) -> bytes:
    return b"%d %s" % (len(message), message)


@given(MESSAGES, st.lists(st.booleans(), min_size=12, max_size=12), st.integers(min_value=1, max_value=40))
def test_mixed_framing_cut_anywhere(bodies: list[bytes], octets: list[bool], size: int) -> None:
    messages = [b"<22>" + body for body in bodies]
    framed = (counted(one) if octet else one + b"\n" for one, octet in zip(messages, octets, strict=False))
    stream = b"".join(framed)
    reader = Frames()
    found = [one for at in range(0, len(stream), size) for one in reader.feed(stream[at : at + size])]
    assert found == messages
    assert not reader.incomplete
    assert reader.dropped == 0


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_garbage_is_survived_and_what_comes_after_a_newline_is_read(chunks: list[bytes]) -> None:
    reader = Frames()
    for chunk in chunks:
        reader.feed(chunk)
    reader.feed(b"\n" * 2)
    for _ in range(2 * LONGEST // 1000):  # a count in the garbage may ask for so much
        reader.feed(b"x" * 999 + b"\n")
    assert reader.feed(b"\n<22>good\n")[-1] == b"<22>good"


@pytest.mark.parametrize(
    ("stream", "messages"),
    [
        (b"2026-11-22T18:29:06Z mail a: b\n", [b"2026-11-22T18:29:06Z mail a: b"]),
        (b"12 monkeys\n", [b"12 monkeys"]),
        (b"0 <22>\n", [b"0 <22>"]),
        (b"2026 <mail> a: b\n<22>next\n", [b"2026 <mail> a: b", b"<22>next"]),
        (b"20261125 <22>a: b\n<22>next\n", [b"20261125 <22>a: b", b"<22>next"]),
        (b"<22>a\0<22>b\0", [b"<22>a", b"<22>b"]),
        (b"\n\n\0\n<22>a\n", [b"<22>a"]),
        (b"10 <22>a\n<22>b\n", [b"<22>a\n<22>", b"b"]),
    ],
)
def test_what_is_a_frame(stream: bytes, messages: list[bytes]) -> None:
    assert Frames().feed(stream) == messages


@pytest.mark.parametrize("framed", [lambda text: text + b"\n", counted], ids=["newline", "counted"])
@pytest.mark.parametrize("size", [1000, LONGEST])
def test_too_long_is_dropped_counted_and_the_next_one_read(framed: object, size: int) -> None:
    assert callable(framed)
    stream = framed(b"<22>" + b"x" * (3 * LONGEST)) + framed(b"<22>next")
    reader = Frames()
    found = [one for at in range(0, len(stream), size) for one in reader.feed(stream[at : at + size])]
    assert found == [b"<22>next"]
    assert reader.dropped == 1


def test_a_megabyte_of_short_messages_takes_no_quadratic_time() -> None:
    begun = time.process_time()
    reader = Frames()
    chunk = b"<22>a\n" * 10_000
    assert sum(len(reader.feed(chunk)) for _ in range(20)) == 200_000
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (b"<22>Nov 23 19:51:44 mail a[1]: b", b"Nov 23 19:51:44 mail a[1]: b\n"),
        (b"<22>1 2026-11-23T19:51:44Z mail a 1 - - b", b"<22>1 2026-11-23T19:51:44Z mail a 1 - - b\n"),
        (b"<22>1 - - a 1 - - see <34>b", b"<22>1 - - a 1 - - see <34>b\n"),
        (b"<22>two\nlines\r\n", b"two#012lines\n"),
        (b"no header", b"no header\n"),
        (b"<22>", b""),
        (b"\0\n", b""),
    ],
)
def test_a_message_is_one_line(message: bytes, line: bytes) -> None:
    assert line_of(message) == line
