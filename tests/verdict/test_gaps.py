"""Knocks and sessions folded into gaps: what begins one, what ends it, and between which moments."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.model import Edge, Failure, Gap, GapKind, Knock, Span, Verdict
from probe.verdict.gaps import MOST_GAPS, Findings, Reach, after_one_another
from tests.watched import SMTP, gap, judgement, knocks, reach, sample


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
    ],
)
def test_where_a_gap_begins_and_ends(told: str, gaps: list[tuple[tuple[float, float], tuple[float, float]]]) -> None:
    found = reach(told).gaps
    assert [(one.began, one.ended) for one in found] == [(Edge(*began), Edge(*ended)) for began, ended in gaps]
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


@given(st.text("-xruv", min_size=1, max_size=60))
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
    assert folded.amid(1003.5, 1004.0) is None
    named = folded.named(gap, judgement(Verdict.SILENT_DROP))
    assert [one.judgement and one.judgement.verdict for one in named.gaps] == [Verdict.SILENT_DROP]


def findings(*samples: tuple[float, Verdict]) -> Findings:
    folded = Findings(endpoint=SMTP)
    for at, verdict in samples:
        folded = folded.after(sample(at, verdict))
    return folded


def test_sessions_make_gaps_of_their_own() -> None:
    folded = findings(
        (1000, Verdict.PRESERVED),
        (1010, Verdict.MASKED),
        (1020, Verdict.TLS_FAILED),
        (1030, Verdict.UNVERIFIED),
        (1040, Verdict.MASKED),
    )
    first, last = folded.gaps
    assert (first.began, first.ended, first.how) == (Edge(1000, 1010), Edge(1020, 1030), ("masked", "tls_failed"))
    assert (last.began, last.ended, last.kind) == (Edge(1030, 1040), None, GapKind.CRITICAL)
    assert last.judgement is not None


def test_a_session_that_waited_in_vain_has_seen_the_outage_until_it_closed() -> None:
    folded = findings((1000, Verdict.PRESERVED)).after(sample(1010, Verdict.NO_GREETING, closed=1040.0, failed=True))
    assert (folded.gap and folded.gap.seconds) == 30.0
    masked = findings((1000, Verdict.PRESERVED)).after(sample(1010, Verdict.MASKED, closed=1040.0))
    assert (masked.gap and masked.gap.seconds) == 0.0


def test_a_session_that_was_served_late_ends_an_outage_when_it_was_served() -> None:
    """A kernel accepts for a program that hangs, and the program serves what has waited."""
    folded = findings((1000, Verdict.PRESERVED)).after(sample(1010, Verdict.NO_GREETING, closed=1040.0, failed=True))
    folded = folded.after(sample(1040.0, answered=1062.0, closed=1062.5))
    assert [(gap.ended, gap.seconds) for gap in folded.gaps] == [(Edge(1061.0, 1062.0), 56.5)], "and hung until then"
    assert folded.after(sample(1070.0, Verdict.MASKED)).gaps[1].began == Edge(1062.0, 1070.0)


def test_what_sessions_find_after_a_gap_of_knocks_began_where_that_ended() -> None:
    refused = gap(1010.0, 1040.0, how=("refused",))
    mute = Gap(endpoint=SMTP, kind=GapKind.CRITICAL, began=Edge(1000.0, 1040.3), seen=1060.0, how=("no_greeting",))
    assert refused.ended is not None
    assert [one.began for one in after_one_another((refused, mute))] == [refused.began, refused.ended]
    shown = replace(mute, began=Edge(1040.1, 1050.0))
    assert after_one_another((refused, shown)) == (refused, shown), "somebody was served between them"
    amid = replace(mute, began=Edge(1000.0, 1030.0))
    assert after_one_another((refused, amid)) == (refused, amid)
    assert after_one_another((replace(refused, ended=None), mute)) == (replace(refused, ended=None), mute)


def test_a_session_set_aside_changes_nothing() -> None:
    folded = findings((1000, Verdict.PRESERVED))
    assert folded.after(sample(1010.0, Verdict.NO_GREETING, aside=True)) == folded


def test_gaps_of_sessions_are_bounded_too() -> None:
    turn = (Verdict.MASKED, Verdict.PRESERVED)
    folded = findings(*((1000 + number, verdict) for number in range(MOST_GAPS + 2) for verdict in turn))
    assert (len(folded.gaps), folded.untold) == (MOST_GAPS, 2)


def test_no_knock_at_all() -> None:
    assert Reach(endpoint=SMTP).finished(1e9) == Reach(endpoint=SMTP)
    assert Reach(endpoint=SMTP).finished(1009.0, since=1000.0).blind == (Span(1000.0, 1009.0),)


def test_a_session_that_connected_narrows_when_a_gap_began() -> None:
    refused = Knock(at=1010.0, left=1010.0, seconds=0.001, failure=Failure.REFUSED)
    assert reach("-").reached(1009.0).after(refused).gaps[0].began == Edge(1009.0, 1010.0)
    assert reach("-x").reached(1000.3).after(refused).gaps[0].began == Edge(1000.0, 1000.2), "not what is in doubt"


def test_a_session_after_a_gap_says_nothing_of_knocks_that_still_wait() -> None:
    """It is told before they are: an unanswered SYN is known a second after it left."""
    folded = reach("-").reached(1000.9)
    for knock in knocks("xxx---", start=1000.2):
        folded = folded.after(knock)
    assert [(gap.began, gap.ended) for gap in folded.gaps] == [(Edge(1000.0, 1000.2), Edge(1000.6, 1000.8))]


@given(st.text("-xru", min_size=1, max_size=40), st.lists(st.floats(1000.0, 1008.0), max_size=10))
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
