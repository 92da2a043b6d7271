"""What a source's habits say of a session that was not found: the right trouble, and no other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from probe.evidence.age import lateness
from probe.evidence.events import Connected, Disconnected, Observed, Stamp
from probe.evidence.health import LAG_BUCKETS, Heard, bucket, offset_of, to_mend, troubles
from probe.evidence.scene import Offset
from probe.model import IdMoment, Peer
from tests.builders import FINGERPRINT, NODE, OURS, imaps_session, login_line, observed, smtp_session, tally

FILE = "file:/log"
WELL = Heard(source=FILE, up=True, lines=50, events=10, last_line_at=101.5)
OTHERS = [observed(Disconnected(client=Peer(NODE), tally=tally(ehlo=1, quit=1)), pid=number) for number in range(3)]


def said(*heard: Heard, lines: list[Observed] | None = None) -> list[str]:
    return list(troubles(smtp_session(), heard, lines or [], patience=15.0))


def test_a_source_that_is_well_is_not_named() -> None:
    assert said(replace(WELL, late=(0.02,) * 20), lines=OTHERS[:2]) == []


ALONE = [
    (replace(WELL, up=False, reason="the journal may not be read"), "is not up (the journal may not be read)"),
    (replace(WELL, lines=0, last_line_at=None), "is up but has brought no line at all"),
    (replace(WELL, last_line_at=99.0), "is up but has brought no line since the session began"),
    (replace(WELL, events=0), "has brought 50 lines, and none is one of Postfix's or Dovecot's"),
]


@pytest.mark.parametrize(("heard", "clause"), ALONE)
def test_one_trouble_is_the_whole_story(heard: Heard, clause: str) -> None:
    (only,) = said(replace(heard, gaps=3, late=(90.0,) * 20))
    assert only.startswith(f"{FILE} {clause}")


def test_a_source_that_is_down_is_to_be_mended_unless_another_one_serves() -> None:
    down, login = replace(WELL, source="file:/imap", up=False, reason="may not be read"), login_line(5000.0, OURS)
    assert list(to_mend(imaps_session(), [WELL, down], OTHERS)) == ["file:/imap: may not be read"]
    where = replace(down, reason="/imap may not be read")
    assert list(to_mend(imaps_session(), [WELL, where], OTHERS)) == ["/imap may not be read"]
    assert list(to_mend(imaps_session(), [WELL, down], [observed(login)])) == []
    assert list(to_mend(imaps_session(), [WELL], OTHERS)) == []


BESIDE = [
    (replace(WELL, late=(40.0,) * 20), "brings lines 40 s after their time stamps, and the search ended after 15 s"),
    (replace(WELL, late=(-7200.0,) * 20), "is stamped by a clock 7200 s ahead of the probe's"),
    (replace(WELL, late=(0.1,) * 20, offset=-60.0), "is stamped by a clock 60 s behind the probe's"),
    (replace(WELL, late=tuple(float(number) for number in range(12))), "brings lines ever later, 8 s more"),
    (replace(WELL, gaps=2), "has lost lines, or may have, 2 times"),
]


@pytest.mark.parametrize("late", [-7200.0, 7200.0])
def test_a_probe_whose_clock_was_set_right_blames_no_other_clock(late: float) -> None:
    """Its own goes on from the wrong time; the server's was right all along."""
    assert said(replace(WELL, late=(late,) * 20, shift=-late), lines=OTHERS[:2]) == []
    agreed = replace(WELL, late=(late,) * 20, offset=-late, shift=-late)
    assert said(agreed, lines=OTHERS[:2]) == []
    assert (agreed.lag, agreed.clock_offset) == (0.0, 0.0)


@pytest.mark.parametrize(("heard", "clause"), BESIDE)
def test_troubles_of_lateness(heard: Heard, clause: str) -> None:
    assert [text for text in said(heard) if text.startswith(f"{FILE} {clause}")], said(heard)
    assert len(said(heard)) == 1


def test_a_known_clock_is_no_lag() -> None:
    """Sightings told that the server's clock is an hour behind: its lines come at once all the same."""
    behind = replace(WELL, late=(3600.1,) * 20, offset=-3600.0)
    assert behind.lag == pytest.approx(0.1)
    assert not [text for text in said(behind) if "search ended" in text]


def test_a_shipper_that_drops_lines() -> None:
    assert "how 3 other sessions ended" in said(WELL, lines=OTHERS)[0]
    assert said(WELL, lines=OTHERS[:2]) == []
    ours = observed(Disconnected(client=Peer(NODE), tally=FINGERPRINT))
    assert said(WELL, lines=[*OTHERS, ours]) == []


def test_our_connect_without_our_disconnect() -> None:
    for client in (OURS, Peer(OURS.address)):
        (only,) = said(WELL, lines=[observed(Connected(client=client))])
        assert "has a connect from our address and not our disconnect" in only
    for client in (Peer(OURS.address, 1), Peer(NODE, OURS.port)):
        assert said(WELL, lines=[observed(Connected(client=client))]) == []


def test_the_silence_of_the_other_server_s_log_is_not_named() -> None:
    quiet = replace(WELL, source="file:/dovecot.log", last_line_at=None, lines=0, events=0)
    assert said(WELL, quiet, lines=OTHERS[:1]) == []
    named = troubles(imaps_session(), [WELL, quiet], OTHERS[:1], patience=15.0)
    assert [text for text in named if text.startswith("file:/dovecot.log is up but")]
    login = observed(login_line(5000.0, Peer(NODE, 1)))
    assert list(troubles(imaps_session(), [WELL, quiet], [login], patience=15.0)) == []


def test_stamps_of_whole_seconds_put_no_clock_ahead_and_no_lag_below_zero() -> None:
    """Syslog's second is taken in its middle, so what is written in its beginning arrives before that."""
    whole = replace(WELL, late=(-0.49, -0.4, 0.2))
    assert (whole.clock_offset, whole.lag) == (None, 0.0)
    assert replace(whole, late=(-3.5, 0.2)).clock_offset == 3.5


def test_lateness_is_counted_from_the_middle_of_the_grain() -> None:
    assert lateness(101.0, Stamp(100.0, 1.0)) == 0.5
    assert lateness(101.0, Stamp(100.9, 1e-6)) == pytest.approx(0.1, abs=1e-5)
    assert [bucket(late) for late in (-5.0, 0.05, 0.06, 300.0, 301.0)] == [
        0,
        0,
        1,
        len(LAG_BUCKETS) - 1,
        len(LAG_BUCKETS),
    ]


def test_an_offset_counts_when_sightings_agree() -> None:
    clocks = {(FILE, IdMoment.ACCEPTED): Offset(1.0, 2.0), ("other", IdMoment.ACCEPTED): Offset(5.0, 5.0, 9)}
    assert offset_of(FILE, clocks) is None
    agreed = {(FILE, IdMoment.ACCEPTED): Offset(1.0, 2.0, 2)}
    assert offset_of(FILE, agreed) == 1.5
    assert Heard(source=FILE, up=True).lag is None
    assert Heard(source=FILE, up=True).clock_offset is None


def test_a_clock_is_what_sightings_told_or_what_lines_show_since() -> None:
    """A clock that was set so far ahead that no line counts gives no sighting any more; set right again, it does."""
    told = replace(WELL, late=(0.1,) * 20, offset=-0.1)
    assert told.clock_offset == -0.1
    assert replace(told, late=(*told.late, *(-1200.0,) * 3)).clock_offset == 1200.0
    assert replace(told, late=(*(-1200.0,) * 21, *(0.1,) * 9)).clock_offset == -0.1
    assert replace(WELL, late=(-1.5,) * 3).clock_offset == 1.5


def test_a_stamp_without_a_zone_tells_nothing_of_a_clock() -> None:
    """It is read as UTC, and may be of the server's own zone."""
    summer = replace(WELL, late=(-7200.0,) * 20, zoned=False)
    assert summer.clock_offset is None
    assert replace(summer, offset=0.2).clock_offset == 0.2
