"""Old lines that arrive anew prove nothing; a clock that is off, lag and a zone left out must not cost a proof."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.evidence.age import MINUTES, SAME, SLACK, STEADY, Pace, Paces, Stamper, may_be_since, pace_after, stamps_of
from probe.evidence.correlate import search
from probe.evidence.events import Connected, Observed, Stamp
from probe.evidence.scene import Scene
from probe.model import Link, Peer
from tests.builders import OURS, imaps_session, login_line, observed, smtp_session

HOUR = 3600.0
DAY = 24 * HOUR


def line(
    written: float,
    arrival: float,
    *,
    told: float | None = None,
    zoned: bool = True,
    grain: float = 1e-6,
    client: Peer | None = OURS,
) -> Observed:
    """Our own address and port in postscreen's line, stamped on the server's clock."""
    stamp = Stamp(written - written % grain, grain, zoned)
    seen = observed(Connected(client=client), arrival=arrival, stamp=stamp)
    return replace(seen, stamped=Stamp(told, 1e-6) if told is not None else None)


def paces(lines: Iterable[Observed]) -> Paces:
    known: dict[tuple[str, Stamper], Pace] = {}
    for seen in lines:
        for who, stamp in stamps_of(seen):
            known[seen.source, who] = pace_after(known.get((seen.source, who)), seen.arrival, stamp)
    return known


def links(*lines: Observed, zones: tuple[float, ...] = (0.0,), shift: float = 0.0) -> list[Link]:
    scene = Scene(observed=lines, paces=paces(lines), zones=zones, shift=shift, now=110.0)
    found = search(smtp_session(), scene)
    return [sighting.link for sighting in found.evidence.sightings]


def test_a_line_that_is_a_week_old_proves_nothing_whatever_it_says() -> None:
    old = line(100.5 - 7 * DAY, 100.5)
    scene = Scene(observed=[old], paces=paces([old]), now=110.0)
    evidence = search(smtp_session(), scene).evidence
    assert evidence.sightings == ()
    assert "1 of the lines that came since are older than the session by their time stamps" in evidence.reasons[-1]


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_clock_that_was_set_together_with_ours_is_believed_once_it_is_steady(jump: float) -> None:
    ours = line(100.5 + jump, 100.5)
    before = [line(at + jump, at, client=None) for at in (94.0, 97.0, 100.0)]
    assert links(*before, ours, shift=jump) == [Link.PORT]
    assert links(*before, ours) == []  # ours was not set: nobody knows what that log is
    assert links(*before, ours, shift=-jump) == []
    assert links(*before[1:], ours, shift=jump) == []  # not long enough: an old log may be read anew


@pytest.mark.parametrize("zoned", [True, False])
def test_a_log_read_anew_proves_nothing_once_its_newer_lines_are_there(*, zoned: bool) -> None:
    """Ours of three minutes ago, and after it the rest of the log up to now."""
    ours = line(100.5 - 180, 100.5, zoned=zoned)
    others = [line(100.5 - ago, 100.6, zoned=zoned, client=None) for ago in (120, 60, 0)]
    assert links(ours, *others) == []


@pytest.mark.parametrize("off", [0.0, 240.0, -240.0, MINUTES - 2, -MINUTES + 2])
def test_a_clock_that_is_off_by_minutes_costs_no_proof(off: float) -> None:
    assert links(line(100.5 + off, 100.6)) == [Link.PORT]
    earlier = [line(50.0 + off, 50.1, client=None)]
    assert links(*earlier, line(100.5 + off, 100.6)) == [Link.PORT]


@pytest.mark.parametrize("zone", [-12, -5, 2, 5.75, 14])
def test_a_stamp_without_its_zone_costs_no_proof_where_the_probe_s_is_the_same(zone: float) -> None:
    ours = line(100.5 + zone * HOUR, 100.6, zoned=False, grain=1.0)
    assert links(ours, zones=(0.0, -zone * HOUR)) == [Link.PORT]
    assert links(ours) == []  # three hours of zone or three hours of age: nothing tells


@pytest.mark.parametrize("zone", [-12, -5, 2, 5.75, 14])
def test_a_stamp_without_its_zone_costs_no_proof_in_a_live_log(zone: float) -> None:
    """Others' lines come all the time, always as late as each other."""
    others = [line(at + zone * HOUR, at, zoned=False, client=None) for at in (94.0, 97.0)]
    assert links(*others, line(100.5 + zone * HOUR, 100.6, zoned=False)) == [Link.PORT]


def test_an_old_log_without_zones_proves_nothing_whatever_its_pace() -> None:
    """Read within a second, as logs are that are piped in: of three hours ago."""
    read = [line(at - 3 * HOUR, 100.0 + at / 1000, zoned=False, grain=1.0) for at in range(1000)]
    assert links(*read) == []


def dated_from(*lines: Observed, shift: float = 0.0) -> float:
    scene = Scene(observed=lines, paces=paces(lines), shift=shift, now=110.0)
    found = search(smtp_session(), scene)
    assert found.evidence.sightings == ()
    return found.dated_from


def test_a_clock_that_is_not_known_yet_is_known_from_a_moment_on() -> None:
    """Of our own lines alone, as on a quiet server: the next session's will tell."""
    ours = line(100.5 + 3 * HOUR, 100.6, zoned=False)
    assert dated_from(ours) == 100.6 + STEADY
    assert dated_from(line(100.5 + 2 * HOUR, 100.6), shift=2 * HOUR) == 100.6 + STEADY  # set together with ours
    ours_again = line(106.5 + 3 * HOUR, 106.6, zoned=False)
    assert links(ours, ours_again) == [Link.PORT]


@pytest.mark.parametrize(("zoned", "back"), [(False, HOUR), (True, 2 * HOUR)])
def test_a_clock_that_is_set_back_is_known_from_a_moment_on(back: float, *, zoned: bool) -> None:
    """Summer time ends where stamps name no zone; or both clocks were set, the probe's and the log's."""
    shift = -back if zoned else 0.0
    before = line(60.0, 60.1, zoned=zoned, client=None)
    ours, again = line(100.5 - back, 100.6, zoned=zoned), line(106.5 - back, 106.6, zoned=zoned)
    assert dated_from(before, ours, shift=shift) == 100.6 + STEADY
    assert links(before, ours, again, shift=shift) == [Link.PORT]


def test_nothing_more_tells_of_what_is_simply_old() -> None:
    prompt = line(99.9, 100.0, client=None)
    assert dated_from(prompt) == -inf
    assert dated_from(prompt, line(100.5 - HOUR, 100.6)) == -inf
    assert dated_from(prompt, line(60.0, 100.6)) == -inf  # lag, or old
    assert dated_from(line(100.5 - DAY, 100.6, zoned=False)) == -inf  # no zone is so far off
    assert dated_from(line(100.5 - HOUR, 100.6)) == -inf  # it names its zone, and nobody set a clock
    earlier = line(98.9 - 3 * HOUR, 99.0, zoned=False, client=None)
    assert dated_from(earlier, line(60.0 - 3 * HOUR, 100.6, zoned=False)) == -inf  # by that clock it is older


def test_a_clock_with_its_zone_that_is_an_hour_off_is_taken_for_an_old_log() -> None:
    assert links(line(100.5 - HOUR, 100.6)) == []


@pytest.mark.parametrize("lag", [0.0, 3.0, 9.0])
def test_lag_costs_no_proof(lag: float) -> None:
    """Lines before came at once, ours was held up on the way."""
    before = line(99.0, 99.05, client=None)
    assert links(before, line(100.5, 100.5 + lag)) == [Link.PORT]


def test_whole_seconds_cost_no_proof() -> None:
    before = line(99.99, 99.99, grain=1.0, client=None)
    assert links(before, line(100.01, 100.02, grain=1.0)) == [Link.PORT]


def test_every_stamp_must_agree() -> None:
    """A shipper that reads an old file anew may stamp its lines with now; their headers know better."""
    assert links(line(100.5 - DAY, 100.6, told=100.6)) == []
    assert links(line(100.5, 100.6, told=100.6 - DAY)) == []
    assert links(line(100.5, 100.6, told=100.6)) == [Link.PORT]


def test_headers_with_and_without_a_zone_in_one_log_cost_no_proof() -> None:
    local = line(98.0 + HOUR, 98.1, zoned=False, grain=1.0, client=None)
    assert links(local, line(100.5, 100.6), zones=(0.0, -HOUR)) == [Link.PORT]


def test_a_session_id_of_yesterday_proves_nothing() -> None:
    yesterday = observed(login_line(100.12 - DAY, OURS), arrival=101.0)
    found = search(imaps_session(), Scene(observed=[yesterday], paces=paces([yesterday]), now=110.0))
    assert found.evidence.sightings == ()
    assert found.clocks == {}


def test_an_old_line_is_no_rival_of_ours() -> None:
    ours = line(100.5, 100.6)
    stranger = Peer(ip_address("10.0.20.102"), OURS.port)
    assert links(line(100.5 - HOUR, 100.55, client=stranger), ours) == [Link.PORT]


def test_a_clock_that_was_set_back_is_believed_after_a_while() -> None:
    pace = Pace(0.05, 0.05, 0.0)
    for second in range(4):
        pace = pace.after(100.0 + second, Stamp(100.0 + second - 600, 1e-6))
        assert pace.least == 0.05
    assert pace.after(100.0 + STEADY, Stamp(100.0 + STEADY - 600, 1e-6)).least == pytest.approx(600.0)


def test_late_lines_among_prompt_ones_are_old_and_no_clock_that_was_set_back() -> None:
    """However many come, and though they are late by the same: a shipper tries again after a constant time."""
    pace = Pace(0.05, 0.05, 0.0)
    for second in range(1000):
        pace = pace.after(second + 0.05, Stamp(second, 1e-6))
        if second % 100 == 0:
            pace = pace.after(second + 0.06, Stamp(second - 600.0, 1e-6))
    assert pace.least == pytest.approx(0.05, abs=0.01)


def test_hosts_whose_clocks_differ_by_seconds_may_share_a_log() -> None:
    before = line(99.0, 99.05, client=None)
    assert links(before, line(100.5 - 4.0, 100.6)) == [Link.PORT]


def test_a_backlog_that_is_worked_off_is_never_believed() -> None:
    """Its lateness falls all the time, so no two lines STEADY seconds apart are late by the same."""
    for speed in (1.5, 2.0, 3.0, 50.0):
        pace = Pace(0.05, 0.05, 0.0)
        for step in range(2000):
            written = min(step * speed, 900.0 + step)
            pace = pace.after(1000.0 + step, Stamp(100.0 + written, 1e-6))
            assert pace.least <= 0.05


@given(
    st.floats(-800, 800),
    st.lists(st.tuples(st.floats(0, 60), st.floats(0, 8)), min_size=1, max_size=20),
    st.floats(0, 8),
)
def test_no_line_of_ours_is_ever_taken_for_old(off: float, before: list[tuple[float, float]], lag: float) -> None:
    """Whatever the offset and the lags of the lines before: what was written after a moment may be since it."""
    told = [line(100.0 - ago + off, 100.0 - ago + delay) for ago, delay in before]
    ours = line(100.0 + off, 100.0 + lag)
    known = paces([*sorted(told, key=lambda seen: seen.arrival), ours])
    assert may_be_since(100.0, ours, known)


@given(st.floats(SAME + SLACK + 1, 500), st.lists(st.floats(0, 1.5), min_size=1, max_size=20), st.floats(0, 400))
def test_no_old_line_is_taken_for_ours_where_live_ones_came(age: float, lags: list[float], off: float) -> None:
    """Old is what is older than the slowest of the live lines could be."""
    told = [line(90.0 + off, 90.0 + lag) for lag in lags]
    old = line(100.0 - age - max(lags) + off, 100.1)
    assert not may_be_since(100.0, old, paces([*told, old]))
