"""Every line in tests/logs gives what stands beside it, and every row of a PATTERNS table has such a line."""

from __future__ import annotations

import json

import pytest

from probe.evidence import dovecot, postfix
from probe.evidence.line import parse_line
from probe.evidence.pattern import Pattern
from probe.evidence.read import event_of, events
from tests.evidence.expectations import LOGS, NOW, Sample, pattern_of, plain, samples

SAMPLES = list(samples())


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_a_line_gives_what_is_expected_of_it(sample: Sample) -> None:
    line = parse_line(sample.raw, now=NOW)
    event = event_of(line, now=NOW) if line else None
    found = plain(event)
    if found is not None:
        pattern = pattern_of(sample.raw)
        found = {"pattern": pattern.name if pattern else None} | found
    assert found == sample.expected


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_the_fast_reader_finds_the_same(sample: Sample) -> None:
    line = parse_line(sample.raw, now=NOW)
    event = event_of(line, now=NOW) if line else None
    assert [found.event for found in events(sample.raw, now=NOW)] == ([event] if event else [])


@pytest.mark.parametrize("row", [*postfix.PATTERNS, *dovecot.PATTERNS], ids=lambda row: row.name)
def test_every_pattern_has_a_sample(row: Pattern) -> None:
    assert any(sample.expected and pattern_of(sample.raw) is row for sample in SAMPLES), f"no line in {LOGS} for {row}"


def test_no_hostile_line_lies_about_an_address() -> None:
    hostile = [sample for sample in SAMPLES if sample.file == "hostile.log"]
    clients = [str((sample.expected or {}).get("client", "")) for sample in hostile]
    assert hostile
    assert not [client for client in clients if client.startswith("192.0.2.")]


def test_a_file_of_all_samples_gives_all_their_events_in_order() -> None:
    wanted = [sample for sample in SAMPLES if sample.expected]
    found = list(events(b"\n".join(sample.raw for sample in SAMPLES), now=NOW))
    assert [plain(one.event) for one in found] == [without_pattern(sample) for sample in wanted]
    assert [one.raw for one in found] == [sample.raw.decode("utf-8", "replace").rstrip("\r") for sample in wanted]


def without_pattern(sample: Sample) -> dict[str, object]:
    """What is expected of the event alone."""
    return {name: value for name, value in json.loads(json.dumps(sample.expected)).items() if name != "pattern"}
