"""When a watch ends by itself: stable, too long, given up; which sessions it wants for that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from probe.model import (
    Edge,
    Ending,
    GapKind,
    Severity,
    UnderWay,
    Verdict,
    Wanted,
    Watched,
)
from probe.verdict.ending import (
    as_ended,
    awaited,
    closing,
    given_up_at,
    sessions_wanted,
    stable_seconds,
    too_long,
    why_over,
)
from probe.verdict.shown import standing
from probe.verdict.watched import conclude
from tests.verdict.test_watched import TOLERANT, from_start, one, out
from tests.watched import IMAPS, SMTP, endpoint, gap, sample, watched

STABLE = Wanted(until_stable=20.0, max_outage=30.0)


@pytest.mark.parametrize(
    ("seen", "ending"),
    [
        (watched(began=None, wanted=STABLE), None),
        (watched(wanted=STABLE), Ending.STABLE),
        (watched(wanted=Wanted()), None),
        (watched(wanted=Wanted(until_stable=100.0)), None),
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
    unopened = conclude(watched(endpoint(under_way=UnderWay(opened=1055.0, begun=False))))
    assert unopened.sentence.startswith("a session waits to be opened (for the address of its host"), "a dead resolver"
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
    under_way = UnderWay(opened=1055.0, closed=1086.0, failed=Verdict.NO_GREETING)
    feared = gap(1052.5, None, kind=GapKind.CRITICAL, seen=1086.0, how=("no_greeting",))
    failed = endpoint(under_way=under_way, feared=(replace(feared, began=Edge(1050.0, 1055.0)),))
    seen = watched(failed, wanted=TOLERANT)
    assert why_over(seen) is Ending.MAX_OUTAGE
    told = "vip/smtp was out for at least 31.0 s (no_greeting), and it lasts; 30 s are tolerated"
    assert conclude(seen).sentence == told
    assert [one.gaps for one in as_ended(seen).endpoints] == [()]
    (listed,) = as_ended(replace(seen, ending=Ending.MAX_OUTAGE)).endpoints
    assert [(one.began, one.ended, one.seconds) for one in listed.gaps] == [(Edge(1050.0, 1055.0), None, 31.0)]
    assert standing(listed, 1090.0) == (Severity.CRITICAL, "no_greeting")
    assert as_ended(replace(seen, endpoints=(listed,), ending=Ending.MAX_OUTAGE)).endpoints == (listed,)


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


def test_an_outage_goes_on_while_clients_are_turned_away() -> None:
    """What that becomes is looked at when it is too long, and a session that fails worse is more of the same outage."""
    refused = gap(1010.0, 1030.0)
    assert refused.ended is not None
    turned = gap(1030.0, None, kind=GapKind.TURNED_AWAY, seen=1045.0, how=("service_error",))
    samples = (sample(1000.0), sample(1045.0, Verdict.SERVICE_ERROR))
    out_still = endpoint(gaps=(refused, replace(turned, began=refused.ended)), samples=samples, good_since=None)
    wanted = Wanted(max_outage=40.0, until_stable=20.0)
    assert sessions_wanted(watched(out_still, wanted=wanted, until=1050.0)) == ()
    assert sessions_wanted(watched(out_still, wanted=wanted, until=1050.2)) == (out_still,)
    edge = Edge(1045.0, 1046.0)
    critical = replace(gap(1046.0, None, kind=GapKind.CRITICAL, seen=1051.0), began=edge)
    feared = (refused, replace(out_still.gaps[1], ended=edge), critical)
    assert why_over(watched(replace(out_still, feared=feared), wanted=wanted, until=1052.0)) is Ending.MAX_OUTAGE
    assert why_over(watched(out_still, wanted=replace(wanted, max_outage=60.0), until=1900.0)) is None
    limited = replace(out_still.gaps[1], how=("rate_limited",))
    unsure = replace(out_still, gaps=(refused, limited))
    assert sessions_wanted(watched(unsure, wanted=wanted, until=1089.0)) == (), "it becomes certain of nothing"


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


@pytest.mark.parametrize("latest", [Verdict.MASKED, Verdict.UNVERIFIED])
def test_what_stays_masked_is_not_waited_for_for_ever(latest: Verdict) -> None:
    """A change that was refused, watched with --from-broken; the latest line may be lost."""
    masked = from_start(gap(1000.0, None, kind=GapKind.CRITICAL, seen=1299.0))
    wanted = Wanted(until_stable=20.0, from_broken=True)
    never = one(latest, gaps=(masked,), good_since=None)
    assert why_over(watched(never, wanted=wanted, until=1299.0)) is None
    seen = watched(never, wanted=wanted, until=1302.0)
    assert why_over(seen) is Ending.UNPROVEN
    assert conclude(seen).rule == "outage-lasts"
    elsewhere = endpoint(IMAPS, gaps=(gap(1200.0, 1201.0, endpoint=IMAPS),))
    assert why_over(watched(never, elsewhere, wanted=wanted, until=1302.0)) is None, "something changes"


def test_who_comes_and_goes_all_the_time_is_not_waited_for_for_ever() -> None:
    """Each outage is tolerated, all are ok between them, and nobody is calm."""
    flaps = tuple(gap(at, at + 2.0) for at in range(1010, 6000, 40))
    samples = (sample(1000.0), sample(5995.0))
    wanted = Wanted(until_stable=45.0, max_outage=120.0)

    def at(until: float, **more: Any) -> Watched:
        seen = endpoint(gaps=tuple(one for one in flaps if one.began.by < until), samples=samples)
        return watched(seen, wanted=wanted, until=until, **more)

    assert why_over(at(4590.0)) is None
    assert why_over(at(4602.0)) is Ending.UNPROVEN, "an hour"
    known = at(2012.0, change_over=1100.0)
    assert why_over(replace(known, until=1990.0)) is None
    assert why_over(known) is Ending.UNPROVEN, "a quarter of an hour, where the end of the change is known"
    done = conclude(replace(known, ending=Ending.UNPROVEN))
    assert (done.severity, done.rule) == (Severity.WARNING, "comes-and-goes")
    assert conclude(replace(known, ending=Ending.INTERRUPTED)).rule == "comes-and-goes"
    twice = watched(endpoint(gaps=flaps[:2], samples=(sample(1000.0), sample(1055.0))), wanted=wanted)
    assert conclude(twice).rule == "well"
    assert conclude(replace(twice, ending=Ending.UNPROVEN)).rule == "comes-and-goes"
    assert conclude(replace(known, ending=Ending.STABLE)).rule == "well", "it has shown that it is over"
