"""One line told more than once is one line, and two lines are never taken for one."""

from __future__ import annotations

from random import Random

import pytest

from probe.evidence.correlate import search
from probe.evidence.events import Disconnected, Observed, Stamp
from probe.evidence.repeats import without_repeats
from probe.evidence.scene import Scene
from probe.model import Beat, Link, Peer
from tests.builders import FINGERPRINT, NODE, id_moments, imaps_session, login_line, observed, smtp_session, tally

FILE, SYSLOG, JOURNAL = "file:/log", "syslog:udp://:5514", "journald"
OURS = Disconnected(client=Peer(NODE), tally=FINGERPRINT)
THEIRS = Disconnected(client=Peer(NODE), tally=tally(ehlo=1, noop=1, rset=3, quit=1))


def told(
    event: Disconnected, source: str, *, second: float = 100.0, grain: float = 1.0, pid: int | None = 7
) -> Observed:
    return observed(event, source=source, pid=pid, stamp=Stamp(second, grain))


SAME = [
    [told(OURS, FILE), told(OURS, SYSLOG)],
    [told(OURS, FILE), told(OURS, SYSLOG), told(OURS, JOURNAL, second=100.123456, grain=1e-6)],
    [told(OURS, FILE), told(OURS, SYSLOG, second=107.0)],  # a relay whose clock is wrong
    [told(OURS, FILE), told(OURS, SYSLOG, pid=None)],
    [told(OURS, FILE, second=100.123456, grain=1e-6)] * 2,
]
TWO = [
    [told(OURS, FILE, second=100.123456, grain=1e-6), told(OURS, SYSLOG)] * 2,
    [told(OURS, FILE)] * 2,
    [told(OURS, FILE), told(OURS, FILE, second=100.123456, grain=1e-6)],
    [told(OURS, FILE, second=100.1, grain=1e-6), told(OURS, FILE, second=100.2, grain=1e-6)],
    [told(OURS, FILE, second=100.123, grain=1e-3)] * 2,
    [told(OURS, FILE), told(OURS, SYSLOG), told(OURS, FILE), told(OURS, SYSLOG)],
    [told(OURS, FILE), told(OURS, FILE, pid=8)],
    [told(OURS, FILE), told(OURS, SYSLOG, pid=8)],
]


@pytest.mark.parametrize("lines", SAME)
def test_one_line_is_one_sighting(lines: list[Observed]) -> None:
    assert len(without_repeats(lines)) == 1
    evidence = search(smtp_session(), Scene(observed=lines, now=110.0)).evidence
    assert [sighting.link for sighting in evidence.sightings] == [Link.FINGERPRINT]


@pytest.mark.parametrize("lines", TWO)
def test_two_lines_prove_nothing(lines: list[Observed]) -> None:
    assert len(without_repeats(lines)) == 2
    evidence = search(smtp_session(), Scene(observed=lines, now=110.0)).evidence
    assert evidence.sightings == ()
    assert "fit equally well" in "; ".join(evidence.reasons)


def test_a_doubling_source_is_named_where_it_cannot_be_proven() -> None:
    (reason, *_) = [
        reason
        for reason in search(smtp_session(), Scene(observed=[told(OURS, FILE)] * 2, now=110.0)).evidence.reasons
        if "equally" in reason
    ]
    assert "file:/log may bring its lines twice" in reason
    assert "microseconds" in reason


def test_other_lines_are_not_named_as_doubled() -> None:
    lines = [told(OURS, FILE), told(OURS, FILE, pid=8)]
    assert "twice" not in "; ".join(search(smtp_session(), Scene(observed=lines, now=110.0)).evidence.reasons)


def test_strangers_are_not_counted_once_for_each_source() -> None:
    """With three sources the same strangers would be thrice as many, and the session unverified for it."""
    strangers = [
        told(drawn(number), source, pid=100 + number) for number in range(20) for source in (FILE, SYSLOG, JOURNAL)
    ]
    session = smtp_session()
    lines = [*strangers, *(told(OURS, source) for source in (FILE, SYSLOG, JOURNAL))]
    assert 21 * session.imprint.odds < 0.005 < 63 * session.imprint.odds
    assert search(session, Scene(observed=lines, now=110.0)).evidence.sightings


def drawn(number: int) -> Disconnected:
    return Disconnected(client=Peer(NODE), tally=tally(ehlo=1, noop=number % 5 + 5, rset=number // 5 + 1, quit=1))


@pytest.mark.parametrize("copies", [1, 2, 3])
def test_a_rhythm_told_by_several_sources_is_one(copies: int) -> None:
    random = Random(7)
    moments = [100.1]
    for _ in range(8):
        moments.append(moments[-1] + random.uniform(0.06, 0.25))
    session = imaps_session(beats=tuple(Beat(id_moments=id_moments(moment)) for moment in moments[1:]), closed=103.0)
    ours = [login_line(moment + 5000.01, Peer(NODE, 2000 + number)) for number, moment in enumerate(moments)]
    lines = [
        observed(event, source=source, arrival=moment + 0.04 + delay)
        for delay, source in enumerate((FILE, SYSLOG, JOURNAL)[:copies])
        for _ in range(2)  # and each source tells everything twice
        for event, moment in zip(ours, moments, strict=True)
    ]
    (sighting,) = search(session, Scene(observed=lines, now=120.0)).evidence.sightings
    assert (sighting.link, sighting.address) == (Link.RHYTHM, NODE)
