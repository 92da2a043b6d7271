"""Knocks and sessions folded into gaps: what begins one, what ends it, and between which moments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.model import Edge, Failure, GapKind, Knock, Span, Verdict
from probe.verdict.gaps import MOST_GAPS, Reach
from tests.watched import SMTP, judgement, knocks, reach


@pytest.mark.parametrize(
    ("told", "gaps"),
    [
        ("-----", []),
        ("--xx--", [((1000.2, 1000.4), (1000.6, 1000.8))]),
        ("-xxxxx--", [((1000.0, 1000.2), (1001.0, 1001.2))]),
        ("-r--", [((1000.0, 1000.2), (1000.2, 1000.4))]),
        ("-u--", [((1000.0, 1000.2), (1000.2, 1000.4))]),
        ("-xr--", [((1000.0, 1000.2), (1000.4, 1000.6))]),
        ("-xx-xx--", [((1000.0, 1000.2), (1001.0, 1001.2))]),
        ("-xx--xx--", [((1000.0, 1000.2), (1000.4, 1000.6)), ((1000.8, 1001.0), (1001.2, 1001.4))]),
        ("-vvxvx--", [((1000.0, 1000.6), (1001.0, 1001.2))]),
        ("-xxww--", [((1000.0, 1000.2), (1000.4, 1001.3))]),
        ("-xxw--", [((1000.0, 1000.2), (1000.4, 1000.8))]),
        ("-xxwwr----", [((1000.0, 1000.2), (1001.0, 1001.2))]),
    ],
)
def test_where_a_gap_begins_and_ends(told: str, gaps: list[tuple[tuple[float, float], tuple[float, float]]]) -> None:
    found = reach(told).gaps
    edges = [[one.began, one.ended or Edge(None, 0.0)] for one in found]
    assert [tuple((edge.after, round(edge.by, 3)) for edge in both) for both in edges] == gaps
    assert all(one.kind is GapKind.UNREACHABLE for one in found)


@pytest.mark.parametrize(("told", "lost"), [("-x-", 1), ("-x-x-x-", 3), ("-xx--", 0), ("-x", 0)])
def test_one_lost_syn_is_no_gap_and_is_counted(told: str, lost: int) -> None:
    folded = reach(told)
    assert (folded.lost, len(folded.gaps)) == (lost, int("xx" in told))


def test_a_gap_that_was_there_before_anybody_looked_has_no_beginning() -> None:
    began = reach("xx--").gaps[0]
    assert (began.from_the_start, began.began, began.began.bound) == (True, Edge(None, 1000.0), 0.0)
    assert began.seconds == pytest.approx(0.2), "up to the last SYN without an answer"


def test_a_gap_that_lasts_is_as_long_as_it_certainly_is() -> None:
    gap = reach("--xxxx").gap
    assert gap is not None
    assert gap.ended is None
    assert gap.seconds == pytest.approx(0.6)


def test_one_answer_does_not_end_a_gap_but_at_the_end_of_the_watch() -> None:
    folded = reach("-xx-")
    assert folded.gap is not None
    assert folded.finished(1e9).gaps[0].ended == Edge(1000.4, 1000.6)


def test_a_handshake_that_was_completed_ends_a_gap_by_itself() -> None:
    folded = reach("-xx").after(Knock(at=1000.6, left=1000.6, seconds=0.001, counted=True))
    assert (folded.gap, folded.counted) == (None, 1)


def test_a_pause_that_was_not_meant_is_blind() -> None:
    assert [(span.start, span.end) for span in reach("--       --").blind] == [(1000.2, 1001.8)]
    assert reach("-   -").blind == ()
    slow = Knock(at=1020.0, left=1020.0, seconds=0.001, spacing=20.0)
    assert reach("-").after(slow).blind == ()


STANDS, SLEEPS = 20, 27
"""Turns in which a machine stands still, and in which it is away."""


@pytest.mark.parametrize(
    ("told", "gaps", "lost"),
    [
        (f"-xx{' ' * SLEEPS}xx--", [(1000.4, 1006.0)], 0),
        (f"-xx-{' ' * (SLEEPS - 1)}xx--", [(1000.4, 1006.0)], 0),
        (f"-xx{'v' * SLEEPS}x--", [(1000.4, 1006.0)], 0),
        (f"-xx{' ' * STANDS}xx--", [None], 0),
        (f"-xx{' ' * SLEEPS}--", [None], 0),
        (f"-x{' ' * SLEEPS}x--", [], 2),
        (f"-x{' ' * SLEEPS}xx--", [None], 1),
        (f"-x{' ' * SLEEPS}r--", [None], 1),
        (f"-x{' ' * STANDS}x--", [None], 0),
    ],
)
def test_amid_a_gap_a_sleep_is_seen_by_nobody_and_parts_two_that_were_lost(
    told: str, gaps: list[tuple[float, float] | None], lost: int
) -> None:
    folded = reach(told)
    found = [[(round(one.start, 3), round(one.end, 3)) for one in gap.unseen] for gap in folded.gaps]
    assert found == [[] if one is None else [one] for one in gaps]
    assert folded.lost == lost


def test_a_pause_at_the_end_is_blind_too() -> None:
    """Whether nothing could be sent or nothing was: there is no next knock that would find it out."""
    for told in ("--", "--vvvvvvvvvv"):
        assert reach(told).finished(1003.0).blind == (Span(1000.2, 1003.0),)
    assert reach("--").finished(1001.0).blind == ()
    assert reach("--").finished(1003.0, spacing=20.0).blind == (), "it was held"


def test_what_this_machine_could_not_send_says_nothing() -> None:
    folded = reach("-vvvv-")
    assert (folded.unsent, folded.sent, folded.gaps, len(folded.blind)) == (4, 2, (), 0)


def test_gaps_without_number_are_counted_and_the_latest_kept() -> None:
    assert len(reach("-r-r-r-r--").gaps) == 1, "an answer between two refusals does not end it"
    folded = reach("r--" * (MOST_GAPS + 7))
    assert (len(folded.gaps), folded.untold) == (MOST_GAPS, 7)


@given(st.text("-wxruv", min_size=1, max_size=60))
def test_whatever_comes_gaps_are_in_order_and_hold_what_failed(told: str) -> None:
    folded = reach(told).finished(1e9)
    edges = [one for gap in folded.gaps for one in (gap.began.by, gap.seen, gap.ended.by if gap.ended else 1e9)]
    assert edges == sorted(edges)
    assert all(gap.ended is not None for gap in folded.gaps[:-1])
    assert folded.sent + folded.unsent == len(told)
    for knock in knocks(told):
        inside = any(gap.began.by <= knock.at <= gap.seen for gap in folded.gaps)
        if knock.failure in (Failure.REFUSED, Failure.UNREACHABLE):
            assert inside


def test_a_session_is_told_of_the_gap_that_it_fell_into() -> None:
    folded = reach("----------xxxxx-----")
    gap = folded.gaps[0]
    assert gap.began == Edge(1001.8, 1002.0)
    assert folded.amid(1002.5, 1007.0) is gap
    assert folded.amid(1000.1, 1002.5) is gap, "opened before, and ended in it"
    assert folded.amid(1000.1, 1001.85) is gap, "the connection broke between two SYNs, before the middle"
    assert folded.amid(1000.1, 1001.0) is gap, "a server that ends its connections before its listener"
    assert folded.amid(1000.1, 1000.7) is None
    assert folded.amid(1002.9, 1033.0, 1002.5) is gap, "it connected before it was over"
    assert folded.amid(1002.9, 1033.0, 1003.1) is None, "its SYN was answered once it was over"
    assert folded.amid(1003.5, 1004.0) is None
    named = folded.named(gap, judgement(Verdict.SILENT_DROP))
    assert [one.judgement and one.judgement.verdict for one in named.gaps] == [Verdict.SILENT_DROP]


def test_no_knock_at_all() -> None:
    assert Reach(endpoint=SMTP).finished(1e9) == Reach(endpoint=SMTP)
    assert Reach(endpoint=SMTP).finished(1009.0, since=1000.0).blind == (Span(1000.0, 1009.0),)


def test_a_session_that_connected_narrows_when_a_gap_began() -> None:
    refused = Knock(at=1010.0, left=1010.0, seconds=0.001, failure=Failure.REFUSED)
    assert reach("-").reached(1009.0).after(refused).gaps[0].began == Edge(1009.0, 1010.0)
    refused = Knock(at=1000.4, left=1000.4, seconds=0.001, failure=Failure.REFUSED)
    assert reach("-x").reached(1000.3).after(refused).gaps[0].began == Edge(1000.0, 1000.2), "not what is in doubt"


def test_a_session_after_a_gap_says_nothing_of_knocks_that_still_wait() -> None:
    """It is told before they are: an unanswered SYN is known a second after it left."""
    folded = reach("-").reached(1000.9)
    for knock in knocks("xxx---", start=1000.2):
        folded = folded.after(knock)
    assert [(gap.began, gap.ended) for gap in folded.gaps] == [(Edge(1000.0, 1000.2), Edge(1000.6, 1000.8))]


@given(st.text("-wxru", min_size=1, max_size=40), st.lists(st.floats(1000.0, 1008.0), max_size=10))
def test_no_edge_runs_backwards_whatever_sessions_say(told: str, moments: list[float]) -> None:
    folded = Reach(endpoint=SMTP)
    for number, knock in enumerate(knocks(told)):
        for moment in moments[number : number + 1]:
            folded = folded.reached(moment)
        folded = folded.after(knock)
    for one in folded.finished(1e9).gaps:
        for edge in (one.began, one.ended):
            assert edge is None or edge.after is None or edge.after < edge.by


def test_a_session_amid_silence_is_noticed() -> None:
    folded = reach("--xxxxxx--")
    assert folded.silent_at(1000.6, 1000.7)
    assert not folded.silent_at(1000.6, 1001.7), "it may have connected as the gap ended"
    assert not folded.silent_at(1000.1, 1000.6)


def test_a_syn_that_may_have_left_late_widens_the_edge() -> None:
    folded = reach("-").after(Knock(at=1000.2, left=1000.5, seconds=0.001, failure=Failure.REFUSED))
    folded = folded.after(Knock(at=1000.6, left=1000.9, seconds=0.001)).after(
        Knock(at=1001.0, left=1001.0, seconds=0.1)
    )
    assert (folded.gaps[0].began, folded.gaps[0].ended) == (Edge(1000.0, 1000.5), Edge(1000.2, 1000.9))
