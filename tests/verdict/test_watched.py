"""What a watch comes to: every rule has a row here, and the rows of docs/watch.md are these rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from probe.model import (
    Cadence,
    Edge,
    Ending,
    Gap,
    GapKind,
    Severity,
    Span,
    UnderWay,
    Verdict,
    Wanted,
    Watched,
    WatchedEndpoint,
)
from probe.verdict.shared import shared
from probe.verdict.shown import length, standing, well_since
from probe.verdict.watched import (
    RULES,
    as_ended,
    awaited,
    closing,
    conclude,
    given_up_at,
    sessions_wanted,
    stable_seconds,
    too_long,
    why_over,
)
from tests.watched import IMAPS, SMTP, drained, endpoint, gap, sample, watched

TOLERANT = Wanted(max_outage=30.0)


def one(verdict: Verdict, **more: Any) -> WatchedEndpoint:
    return endpoint(samples=(sample(1000.0), sample(1050.0, verdict)), **more)


def out(began: float, ended: float | None, **more: Any) -> WatchedEndpoint:
    return endpoint(gaps=(gap(began, ended),), **more)


ROWS = {
    "baseline-broken": watched(
        endpoint(samples=(sample(1000.0, Verdict.MASKED),), baseline=sample(1000.0, Verdict.MASKED)),
        ending=Ending.BASELINE,
    ),
    "outage-too-long": watched(out(1010.0, 1045.0), wanted=TOLERANT),
    "outage-lasts": watched(out(1080.0, None), wanted=TOLERANT),
    "outage-seen": watched(out(1010.0, 1011.0)),
    "verdict-critical": watched(one(Verdict.MASKED), wanted=TOLERANT),
    "verdict-warning": watched(one(Verdict.RATE_LIMITED)),
    "answered-late": watched(endpoint(samples=(sample(1000.0), sample(1050.0, answered=1077.0, closed=1077.5)))),
    "syns-lost": watched(endpoint(cadence=Cadence(asked=0.2, sent=100, answered=90, lost=10))),
    "not-shown-after": watched(out(1060.0, 1062.0), wanted=TOLERANT),
    "verdict-unknown": watched(one(Verdict.UNVERIFIED)),
    "blind": watched(endpoint(blind=(Span(1010.0, 1015.0),))),
    "well": watched(),
}


@pytest.mark.parametrize("rule", ROWS)
def test_every_rule_says_what_it_found(rule: str) -> None:
    done = conclude(ROWS[rule])
    assert (done.rule, done.severity) == (rule, next(one.severity for one in RULES if one.name == rule))
    assert done.sentence[0].isalpha()
    assert not done.sentence.endswith(".")


def test_every_rule_has_a_row() -> None:
    assert set(ROWS) == {rule.name for rule in RULES}


def test_the_worst_comes_first() -> None:
    order = [list(Severity).index(rule.severity) for rule in RULES]
    assert order == sorted(order)


def test_tolerated_outages_are_told_and_ok() -> None:
    well_again = out(1010.0, 1035.0)
    done = conclude(watched(well_again, wanted=TOLERANT))
    assert (done.severity, "25.0 s" in done.sentence) == (Severity.OK, True)


def test_a_hang_that_was_shorter_than_a_session_is_told() -> None:
    """No verdict was critical, and yet a client waited: it counts as little as what --max-outage tolerates."""
    hung = endpoint(samples=(sample(1000.0), sample(1050.0, answered=1077.0, closed=1077.5)))
    done = conclude(watched(hung, wanted=Wanted(max_outage=10.0)))
    told = "vip/smtp let a session wait for 27.0 s until it answered; 10 s are tolerated"
    assert (done.rule, done.sentence) == ("answered-late", told)
    done = conclude(watched(hung, wanted=TOLERANT))
    assert (done.rule, done.sentence) == (
        "well",
        "nobody was out; the longest wait for an answer was 27.0 s (vip/smtp)",
    )
    slow = tuple(sample(at, answered=at + 13.0, closed=at + 13.5) for at in (1000.0, 1050.0))
    assert conclude(watched(endpoint(samples=slow, baseline=slow[0]))).sentence == "nobody was out", (
        "it always takes so long"
    )
    first = tuple(sample(at, answered=at + wait, closed=at + 10) for at, wait in ((1000.0, 0.1), (1050.0, 6.0)))
    assert conclude(watched(endpoint(samples=first))).sentence == "nobody was out", "postscreen"


def test_what_was_out_before_counts_only_while_it_lasts() -> None:
    before = gap(1000.0, 1040.0)
    over = endpoint(gaps=(_from_start(before),))
    done = conclude(watched(over))
    back = "what was out from the start is back (vip/smtp: at least 39.9 s), and nobody was out since"
    assert (done.severity, done.sentence) == (Severity.OK, back)
    shorter = endpoint(IMAPS, gaps=(_from_start(gap(1000.0, 1030.0, endpoint=IMAPS)),))
    assert "(longest vip/smtp: at least 39.9 s)" in conclude(watched(shorter, over)).sentence
    lasting = endpoint(gaps=(_from_start(gap(1000.0, None, seen=1089.0)),))
    assert conclude(watched(lasting)).rule == "outage-lasts"
    assert conclude(watched(lasting, wanted=TOLERANT)).rule == "outage-too-long"


def _from_start(one: Gap) -> Gap:
    return replace(one, began=Edge(None, 1000.0))


def test_a_blind_stretch_that_would_be_tolerated_as_an_outage_is() -> None:
    blind = endpoint(blind=(Span(1010.0, 1015.0),))
    assert conclude(watched(blind, wanted=TOLERANT)).severity is Severity.OK


def test_nothing_at_all_is_unknown() -> None:
    nothing = Watched(vantage="v", wanted=Wanted(), started=1000.0, until=1000.0)
    assert conclude(nothing).severity is Severity.UNKNOWN


def test_stable_counts_from_the_last_return_once_a_session_has_shown_it() -> None:
    assert stable_seconds(watched()) == 89.0
    assert stable_seconds(watched(began=None)) is None
    back = out(1040.0, 1045.0)
    assert well_since(back) == 1045.0
    assert stable_seconds(watched(back, endpoint(IMAPS))) == 45.0
    unproven = out(1060.0, 1065.0)
    assert (well_since(unproven), stable_seconds(watched(unproven))) == (None, None)
    assert standing(unproven, 1090.0) == (Severity.UNKNOWN, "back, no session yet")
    resent = endpoint(gaps=(gap(1060.0, 1065.0),), samples=(sample(1060.5, answered=1065.3),))
    assert well_since(resent) == 1065.0, "a session that connected by a SYN sent again shows what is there now"


def test_an_outage_past_what_is_tolerated_is_found_while_it_lasts() -> None:
    assert (
        too_long(
            watched(
                out(
                    1050.0,
                    None,
                ),
                wanted=Wanted(max_outage=4.0),
            )
        )
        is not None
    )
    assert too_long(watched(out(1050.0, None), wanted=Wanted(max_outage=6.0))) is None
    assert too_long(watched(out(1050.0, None))) is None


def test_an_outage_that_changes_its_kind_is_one_outage() -> None:
    """Refused, and then not greeted: nobody was served for 40 s, of which 30 are tolerated."""
    refused = gap(1010.0, 1030.0, how=("refused",))
    mute = Gap(endpoint=SMTP, kind=GapKind.CRITICAL, began=Edge(1029.9, 1030.1), seen=1048.0, how=("no_greeting",))
    served = replace(mute, ended=Edge(1048.0, 1052.0))
    seen = watched(endpoint(gaps=(refused, served)), wanted=TOLERANT)
    told = "vip/smtp was out for 40.0 s ± 2.1 (refused, no_greeting); 30 s are tolerated"
    assert (conclude(seen).rule, conclude(seen).sentence) == ("outage-too-long", told)
    assert why_over(watched(endpoint(gaps=(refused, mute)), wanted=TOLERANT)) is Ending.MAX_OUTAGE
    failed = UnderWay(opened=1030.2, closed=1045.0, failed=Verdict.NO_GREETING)
    good = (sample(1000.0),)
    assert too_long(watched(endpoint(gaps=(refused,), samples=good, under_way=failed), wanted=TOLERANT)) is not None
    between = replace(served, began=Edge(1030.4, 1040.0))
    assert too_long(watched(endpoint(gaps=(refused, between)), wanted=TOLERANT)) is None, "somebody was served"
    masked = replace(served, began=Edge(1000.0, 1005.0), seen=1009.0, ended=Edge(1009.0, 1030.4), how=("masked",))
    one = too_long(watched(endpoint(gaps=(masked, gap(1010.0, 1030.0))), wanted=Wanted(max_outage=25.0)))
    assert one is not None
    assert (one.began, one.ended) == (masked.began, Edge(1029.9, 1030.4))
    before = replace(masked, ended=Edge(1005.5, 1006.0), seen=1005.5)
    assert too_long(watched(endpoint(gaps=(before, gap(1010.0, 1030.0))), wanted=Wanted(max_outage=25.0))) is None


STABLE = Wanted(until_stable=20.0, max_outage=30.0)


@pytest.mark.parametrize(
    ("seen", "ending"),
    [
        (watched(began=None, wanted=STABLE), None),
        (watched(wanted=STABLE), Ending.STABLE),
        (watched(wanted=Wanted()), None),
        (watched(wanted=Wanted(until_stable=100.0)), None),
        (ROWS["baseline-broken"], Ending.BASELINE),
        (replace(ROWS["baseline-broken"], wanted=Wanted(from_broken=True)), None),
        (watched(out(1010.0, 1045.0), wanted=STABLE), Ending.MAX_OUTAGE),
        (watched(out(1080.0, None), wanted=STABLE, until=1370.0), None),
        (watched(out(1080.0, None), wanted=Wanted(until_stable=20.0), until=1979.0), None),
        (watched(out(1080.0, None), wanted=Wanted(until_stable=20.0), until=1981.0), Ending.UNPROVEN),
        (watched(out(1080.0, None), wanted=Wanted(until_stable=20.0, max_outage=910.0), until=1981.0), None),
        (watched(out(1080.0, None), wanted=Wanted(), until=9000.0), None),
    ],
)
def test_when_it_ends_by_itself(seen: Watched, ending: Ending | None) -> None:
    assert why_over(seen) is ending


def test_it_is_stable_only_once_a_session_after_the_stretch_has_shown_so() -> None:
    """Whatever the pace of sessions is: none at all may have come since the baseline."""
    old, new = endpoint(samples=(sample(1000.0),)), endpoint(IMAPS, samples=(sample(1000.0), sample(1021.5)))
    seen = watched(old, new, wanted=STABLE)
    assert (closing(seen), why_over(seen), awaited(seen)) == (1021.0, None, (old,))
    assert sessions_wanted(seen) == (old,)
    asked = replace(old, under_way=UnderWay(opened=1089.0))
    assert sessions_wanted(watched(asked, new, wanted=STABLE)) == (), "it is under way"
    shown = replace(old, samples=(*old.samples, sample(1089.0)))
    assert why_over(watched(shown, new, wanted=STABLE)) is Ending.STABLE
    assert why_over(watched(shown, replace(new, in_doubt=True), wanted=STABLE)) is None
    assert why_over(watched(shown, replace(new, under_way=UnderWay(opened=1060.0)), wanted=STABLE)) is None
    assert why_over(watched(shown, replace(new, under_way=UnderWay(opened=1089.5)), wanted=STABLE)) is Ending.STABLE


def test_last_sessions_that_do_not_come_are_not_waited_for_for_ever() -> None:
    """Where the budget never has room for one: no endpoint is called well by what was seen before."""
    old, new = endpoint(samples=(sample(1000.0),)), endpoint(IMAPS, samples=(sample(1000.0), sample(1021.5)))
    assert why_over(watched(old, new, wanted=STABLE, until=1320.0)) is None
    seen = watched(old, new, wanted=STABLE, until=1322.0)
    assert (given_up_at(seen), why_over(seen)) == (1321.0, Ending.UNPROVEN)
    done = conclude(replace(seen, ending=Ending.UNPROVEN))
    assert (done.severity, done.rule) == (Severity.UNKNOWN, "not-shown-after")
    assert "no session has come for long: vip/smtp for 322 s" in done.sentence
    brief = replace(old, samples=(sample(1300.0),), in_doubt=True)
    seen = watched(brief, wanted=replace(STABLE, until_stable=310.0), until=1322.0, ending=Ending.UNPROVEN)
    assert conclude(seen).sentence == "no session has shown how vip/smtp serves"
    assert why_over(watched(replace(old, pace=400.0), new, wanted=STABLE, until=1822.0)) is Ending.UNPROVEN
    assert why_over(watched(replace(old, pace=400.0), new, wanted=STABLE, until=1820.0)) is None, "its turn is seldom"


def test_a_session_that_waits_makes_nobody_well_and_is_no_outage() -> None:
    """A server may be slow: what it will come to is not known before timeouts.session has passed."""
    waiting = endpoint(under_way=UnderWay(opened=1055.0))
    done = conclude(watched(waiting))
    told = "a session has waited for its server, and has shown nothing yet: vip/smtp for 35 s"
    assert (done.rule, done.severity, done.sentence) == ("not-shown-after", Severity.UNKNOWN, told)
    seen = watched(waiting, wanted=TOLERANT, ending=Ending.MAX_OUTAGE)
    assert (too_long(seen), why_over(seen)) == (None, None)
    assert [one.gaps for one in as_ended(seen).endpoints] == [()]


def test_each_endpoint_that_has_shown_nothing_is_told_with_what_it_lacks() -> None:
    late = endpoint(IMAPS, under_way=UnderWay(opened=1070.0, closed=1070.2))
    seldom = endpoint(replace(SMTP, port=2525), samples=(sample(1000.0),), pace=15.0)
    back = out(1060.0, 1062.0)
    done = conclude(watched(late, seldom, back, wanted=TOLERANT))
    assert (done.rule, done.sentence) == (
        "not-shown-after",
        "no session has shown how vip/smtp serves; "
        "a session has worked, and its evidence has not come yet (no line in a log): vip/imaps for 20 s; "
        "no session has come for long: vip/smtp:2525 for 90 s",
    )


def test_a_session_that_failed_counts_before_its_evidence_is_there() -> None:
    failed = endpoint(under_way=UnderWay(opened=1055.0, closed=1086.0, failed=Verdict.NO_GREETING))
    seen = watched(failed, wanted=TOLERANT)
    assert why_over(seen) is Ending.MAX_OUTAGE
    told = "vip/smtp was out for at least 31.0 s (no_greeting), and it lasts; 30 s are tolerated"
    assert conclude(seen).sentence == told
    assert [one.gaps for one in as_ended(seen).endpoints] == [()]
    (listed,) = as_ended(replace(seen, ending=Ending.MAX_OUTAGE)).endpoints
    assert [(one.began, one.ended, one.seconds) for one in listed.gaps] == [(Edge(1050.0, 1055.0), None, 31.0)]
    assert standing(listed, 1090.0) == (Severity.CRITICAL, "no_greeting")
    assert as_ended(replace(seen, endpoints=(listed,), ending=Ending.MAX_OUTAGE)).endpoints == (listed,)
    critical = gap(1020.0, None, kind=GapKind.CRITICAL, seen=1045.0)
    assert why_over(watched(replace(failed, gaps=(critical,)), wanted=Wanted(max_outage=60.0))) is Ending.MAX_OUTAGE


def test_a_failure_that_is_not_critical_is_no_outage_and_yet_no_good_news() -> None:
    refused = endpoint(under_way=UnderWay(opened=1088.0, closed=1089.0, failed=Verdict.SERVICE_ERROR))
    assert why_over(watched(refused, wanted=replace(STABLE, max_outage=0.5))) is None
    assert conclude(watched(refused)).rule == "not-shown-after", "however young it is"


def test_what_only_sessions_see_is_looked_at_when_it_becomes_too_long() -> None:
    critical = endpoint(gaps=(gap(1050.0, None, kind=GapKind.CRITICAL, seen=1050.1),), samples=(sample(1050.1),))
    wanted = Wanted(max_outage=35.0)
    assert sessions_wanted(watched(critical, wanted=wanted, until=1085.0)) == ()
    assert sessions_wanted(watched(critical, wanted=wanted, until=1085.2)) == (critical,)
    assert sessions_wanted(watched(critical, until=1085.2)) == ()


CHANGED = Wanted(until_stable=20.0, max_outage=30.0, process=7)


def test_as_long_as_the_change_goes_on_nothing_is_stable_and_nobody_is_given_up() -> None:
    never = one(Verdict.RATE_LIMITED, good_since=None)
    for seen in (watched(wanted=CHANGED), watched(never, wanted=CHANGED, until=2000.0)):
        assert (closing(seen), why_over(seen), awaited(seen)) == (None, None, ())
    assert why_over(watched(out(1010.0, 1045.0), wanted=CHANGED)) is Ending.MAX_OUTAGE
    over = watched(wanted=CHANGED, change_over=1025.0)
    assert (closing(over), why_over(over)) == (1045.0, Ending.STABLE)
    late = watched(wanted=CHANGED, change_over=1060.0)
    assert (closing(late), why_over(late), stable_seconds(late)) == (1080.0, None, 89.0)
    assert why_over(watched(never, wanted=CHANGED, change_over=1700.0, until=1999.0)) is None
    assert why_over(watched(never, wanted=CHANGED, change_over=1700.0, until=2001.0)) is Ending.UNPROVEN


@pytest.mark.parametrize("verdict", [Verdict.UNVERIFIED, Verdict.RATE_LIMITED])
def test_what_does_not_become_well_though_nobody_is_out_is_not_waited_for_for_ever(verdict: Verdict) -> None:
    never = one(verdict, gaps=(gap(1010.0, 1020.0),), good_since=None)
    assert why_over(watched(never, wanted=STABLE, until=1319.0)) is None
    seen = watched(never, wanted=STABLE, until=1321.0)
    assert why_over(seen) is Ending.UNPROVEN
    assert conclude(seen).severity is verdict.severity
    assert why_over(replace(seen, wanted=Wanted(until_stable=100.0))) is None, "who asks for much waits longer"
    assert why_over(replace(seen, wanted=Wanted())) is None
    at_last = replace(never, good_since=1315.0, samples=(*never.samples, sample(1315.0)))
    assert why_over(watched(at_last, wanted=STABLE, until=1321.0)) is None, "it is well now, and may stay so"


@pytest.mark.parametrize("verdict", [Verdict.NO_GREETING, Verdict.TLS_FAILED])
def test_who_is_answered_and_not_served_is_given_the_time_of_an_outage(verdict: Verdict) -> None:
    dead = gap(1010.0, None, kind=GapKind.CRITICAL, seen=1300.0)
    never = one(verdict, gaps=(dead,), good_since=None)
    wanted = Wanted(until_stable=20.0)
    assert why_over(watched(never, wanted=wanted, until=1909.0)) is None
    assert why_over(watched(never, wanted=wanted, until=1911.0)) is Ending.UNPROVEN


def test_what_stays_masked_is_not_waited_for_for_ever() -> None:
    """A change that was refused, watched with --from-broken."""
    masked = _from_start(gap(1000.0, None, kind=GapKind.CRITICAL, seen=1299.0))
    wanted = Wanted(until_stable=20.0, from_broken=True)
    never = one(Verdict.MASKED, gaps=(masked,), good_since=None)
    assert why_over(watched(never, wanted=wanted, until=1299.0)) is None
    seen = watched(never, wanted=wanted, until=1302.0)
    assert why_over(seen) is Ending.UNPROVEN
    assert conclude(seen).rule == "outage-lasts"
    elsewhere = endpoint(IMAPS, gaps=(gap(1200.0, 1201.0, endpoint=IMAPS),))
    assert why_over(watched(never, elsewhere, wanted=wanted, until=1302.0)) is None, "something changes"


def test_overlapping_gaps_count_once() -> None:
    both = endpoint(gaps=(gap(1010.0, 1020.0), gap(1015.0, 1030.0, kind=GapKind.CRITICAL)))
    assert both.seconds_out == pytest.approx(20.0)


def test_what_is_not_bounded_on_both_sides_has_the_seconds_that_are_certain() -> None:
    """Between two sessions 15 s apart the middle says nothing of an outage from the start."""
    before = Gap(
        endpoint=SMTP, kind=GapKind.CRITICAL, began=Edge(None, 1000.0), seen=1000.1, ended=Edge(1000.1, 1015.0)
    )
    assert (length(before), round(before.seconds, 3)) == ("at least 0.1 s", 0.1)
    lasting = Gap(endpoint=SMTP, kind=GapKind.CRITICAL, began=Edge(1000.0, 1015.0), seen=1025.0)
    assert (length(lasting), lasting.seconds) == ("at least 10.0 s", 10.0)
    assert [endpoint(gaps=(one,)).seconds_out for one in (before, lasting)] == [before.seconds, lasting.seconds]


def test_a_path_out_as_a_whole_narrows_its_edges() -> None:
    (together,) = shared(drained().endpoints)
    assert (together.path, together.endpoints) == ("vip", 2)
    assert (together.began.after, together.began.by) == pytest.approx((1037.95, 1038.1))
    assert together.seconds == pytest.approx(12.0)
    assert together.bound == pytest.approx(0.15)


def test_endpoints_that_did_not_go_together_share_nothing() -> None:
    apart = (endpoint(gaps=(gap(1010.0, 1012.0),)), endpoint(IMAPS, gaps=(gap(1020.0, 1022.0, endpoint=IMAPS),)))
    assert shared(apart) == ()
    assert shared((endpoint(gaps=(gap(1010.0, 1012.0),)),)) == ()
    lagging = (endpoint(gaps=(gap(1010.0, 1020.0),)), endpoint(IMAPS, gaps=(gap(1012.0, 1019.0, endpoint=IMAPS),)))
    (wide,) = shared(lagging)
    assert (wide.began.after, wide.began.by) == (1009.9, 1012.1)
    assert SMTP in {one.endpoint for one in wide.gaps}
