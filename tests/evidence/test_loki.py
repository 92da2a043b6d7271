"""Loki's wire format, as its documentation shows it."""

from __future__ import annotations

import doctest
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.evidence import loki
from probe.evidence.events import Stamp
from probe.evidence.line import LONGEST, parse_line
from probe.evidence.loki import Malformed, frame_of, page_of, retry_after, seconds_of, shown, stamp_of

DOCUMENTED = """
{"status": "success", "data": {"resultType": "streams", "result": [
  {"stream": {"filename": "/var/log/myproject.log", "job": "varlogs", "level": "info"},
   "values": [["1569266497240578000", "foo"], ["1569266492548155000", "bar"]]}], "stats": {}}}
"""
METADATA = """
{"streams": [{"stream": {"job": "a"}, "values": [["1", "x", {"structuredMetadata": {"trace_id": "1"}}]]}],
 "dropped_entries": [{"labels": {"job": "a"}, "timestamp": "7"}, {"timestamp": "5"}], "encodingFlags": ["x"]}
"""


def test_the_examples_hold() -> None:
    assert doctest.testmod(loki).failed == 0


def test_an_answer_as_documented_oldest_first() -> None:
    entries = page_of(DOCUMENTED.encode())
    assert [(entry.at, entry.line, entry.cut) for entry in entries] == [
        (1569266492548155000, b"bar\n", False),
        (1569266497240578000, b"foo\n", False),
    ]
    assert len({entry.stream for entry in entries}) == 1


def test_a_frame_with_structured_metadata_and_dropped_entries() -> None:
    frame = frame_of(METADATA)
    assert [(entry.at, entry.line) for entry in frame.entries] == [(1, b"x\n")]
    assert frame.dropped == (7, 5)


@pytest.mark.parametrize("text", ["{}", '{"streams": null}', '{"streams": []}'])
def test_an_empty_frame_is_a_frame(text: str) -> None:
    assert frame_of(text).entries == ()


def test_labels_in_another_order_are_the_same_stream() -> None:
    streams = [
        {"stream": labels, "values": [["1", "x"]]}
        for labels in ({"a": "1", "b": "2"}, {"b": "2", "a": "1"}, {"a": "1"})
    ]
    first, second, other = frame_of(json.dumps({"streams": streams})).entries
    assert first.stream == second.stream != other.stream


@given(st.lists(st.text(max_size=50)))
def test_every_entry_is_one_line_that_can_be_parsed(texts: list[str]) -> None:
    streams = [{"stream": {}, "values": [["1", text] for text in texts]}]
    entries = frame_of(json.dumps({"streams": streams})).entries
    assert len(entries) == len(texts)
    for entry in entries:
        assert entry.line.count(b"\n") == 1
        assert entry.line.endswith(b"\n")
        parse_line(entry.line, now=0.0)


def test_a_line_over_the_bound_is_cut_and_says_so() -> None:
    whole, cut = frame_of(
        json.dumps({"streams": [{"stream": {}, "values": [["1", "x" * LONGEST], ["2", "x" * (LONGEST + 1)]]}]})
    ).entries
    assert (len(whole.line), whole.cut, len(cut.line), cut.cut) == (LONGEST + 1, False, LONGEST + 1, True)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    ["data", "result", "resultType", "stream", "streams", "values", "dropped_entries", "timestamp"]
                ),
                inner,
            )
        ),
    )
)
def test_any_json_is_understood_or_malformed(value: object) -> None:
    text = json.dumps(value)
    for read in (lambda: page_of(text.encode()), lambda: frame_of(text)):
        with suppress(Malformed):
            read()


@given(st.binary(max_size=300))
def test_any_bytes_are_understood_or_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        page_of(body)


def test_how_exact_a_stamp_is() -> None:
    assert stamp_of(5_000_000_000) == Stamp(5.0, 1.0)
    assert stamp_of(5_250_000_000) == Stamp(5.25, 1e-3)
    assert stamp_of(5_250_000_001) == Stamp(5.250000001, 1e-6)


def test_how_long_a_server_asks_to_be_left_alone() -> None:
    now = 784111770.0
    rows = {
        None: 0.0,
        "7": 7.0,
        "Sun, 06 Nov 1994 08:49:37 GMT": 7.0,
        "Sun, 06 Nov 1994 08:49:00 GMT": 0.0,
        "soon": 0.0,
    }
    assert {text: retry_after(text, now=now) for text in rows} == rows


@pytest.mark.parametrize("text", [None, "", "soon", "Sun, 99 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 99999 08:49:37 GMT"])
def test_a_date_that_is_none(text: str | None) -> None:
    assert seconds_of(text) is None


def test_a_server_s_text_is_one_short_printable_line() -> None:
    assert shown("a\n\x1b[31mb\u202e  c") == "a [31mb c"
    assert len(shown("x" * 10_000)) == 200
