"""What a watch comes to: every rule has a row here, and the rows of docs/watch.md are these rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from probe.model import (
    Cadence,
    Edge,
    Ending,
    EndpointName,
    Gap,
    GapKind,
    Sample,
    Service,
    Severity,
    Span,
    Verdict,
    Wanted,
    Watched,
    WatchedEndpoint,
)
from probe.verdict.ending import sessions_wanted, stable_seconds, too_long, why_over
from probe.verdict.served import SERVED, serves
from probe.verdict.shared import shared
from probe.verdict.shown import length, outages, real_outages, seconds_out, standing, well_since
from probe.verdict.watched import RULES, conclude
from tests.watched import IMAPS, SMTP, drained, endpoint, gap, judgement, sample, watched

TOLERANT = Wanted(max_outage=30.0)


def one(verdict: Verdict, **more: Any) -> WatchedEndpoint:
    return endpoint(samples=(sample(1000.0), sample(1050.0, verdict)), **more)


def out(began: float, ended: float | None, **more: Any) -> WatchedEndpoint:
    return endpoint(gaps=(gap(began, ended),), **more)


UNSEEN, LIMITED = Verdict.UNVERIFIED, Verdict.RATE_LIMITED
TURNED = gap(1015.0, 1030.0, kind=GapKind.TURNED_AWAY, how=(str(LIMITED),))


def sessions(*told: Verdict | float) -> tuple[Sample, ...]:
    """One each 15 s: preserved at that moment, or with this verdict."""
    verdicts = (one if isinstance(one, Verdict) else Verdict.PRESERVED for one in told)
    return tuple(sample(1000.0 + 15 * number, verdict) for number, verdict in enumerate(verdicts))


ROWS = {
    "baseline-broken": watched(
        endpoint(samples=(sample(1000.0, Verdict.MASKED),), baseline=sample(1000.0, Verdict.MASKED)),
        ending=Ending.BASELINE,
    ),
    "baseline-limited": watched(
        endpoint(samples=(sample(1000.0, Verdict.RATE_LIMITED),), baseline=sample(1000.0, Verdict.RATE_LIMITED)),
        ending=Ending.BASELINE,
    ),
    "outage-too-long": watched(out(1010.0, 1045.0), wanted=TOLERANT),
    "outage-lasts": watched(out(1080.0, None), wanted=TOLERANT),
    "outage-seen": watched(out(1010.0, 1011.0)),
    "verdict-critical": watched(one(Verdict.MASKED), wanted=TOLERANT),
    "outage-perhaps-too-long": watched(out(1010.0, 1040.0), wanted=TOLERANT),
    "comes-and-goes": watched(
        endpoint(gaps=(gap(1005.0, 1007.0), gap(1020.0, 1022.0, perhaps_from=1006.9), gap(1035.0, 1037.0))),
        wanted=TOLERANT,
    ),
    "verdict-warning": watched(one(Verdict.RATE_LIMITED)),
    "turned-away": watched(endpoint(gaps=(gap(1010.0, 1045.0, kind=GapKind.TURNED_AWAY),)), wanted=TOLERANT),
    "served-late": watched(endpoint(gaps=(gap(1010.0, 1045.0, kind=GapKind.WAITED),)), wanted=TOLERANT),
    "syns-lost": watched(endpoint(cadence=Cadence(asked=0.2, sent=100, answered=90, lost=10))),
    "not-shown-after": watched(out(1060.0, 1062.0), wanted=TOLERANT),
    "verdict-unknown": watched(one(Verdict.UNVERIFIED)),
    "blind": watched(endpoint(blind=(Span(1010.0, 1015.0),))),
    "addresses-unseen": watched(endpoint(samples=sessions(1000, UNSEEN, UNSEEN, 1045))),
    "not-stable": watched(ending=Ending.UNPROVEN),
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


def test_a_wait_counts_where_it_goes_on_from_an_outage() -> None:
    waited = gap(1025.0, 1045.0, kind=GapKind.WAITED)
    assert conclude(watched(endpoint(gaps=(waited,)), wanted=TOLERANT)).severity is Severity.OK
    refused = gap(1010.0, 1025.0)
    assert refused.ended is not None
    goes_on = replace(waited, began=refused.ended)
    done = conclude(watched(endpoint(gaps=(refused, goes_on)), wanted=TOLERANT))
    assert (done.rule, "out for 35.0 s" in done.sentence) == ("outage-too-long", True)


def test_a_wait_is_told_though_an_outage_that_may_go_on_from_it_follows() -> None:
    waited = gap(1010.0, 1045.0, kind=GapKind.WAITED)
    masked = replace(gap(1047.0, 1050.0, kind=GapKind.CRITICAL), began=Edge(waited.seen, 1047.0))
    assert conclude(watched(endpoint(gaps=(waited, masked)), wanted=TOLERANT)).rule == "served-late"


def test_tolerated_outages_are_told_and_ok() -> None:
    well_again = out(1010.0, 1035.0)
    done = conclude(watched(well_again, wanted=TOLERANT))
    assert (done.severity, "25.0 s" in done.sentence) == (Severity.OK, True)


def test_what_was_out_before_counts_only_while_it_lasts() -> None:
    before = gap(1000.0, 1040.0)
    over = endpoint(gaps=(from_start(before),))
    done = conclude(watched(over))
    back = "what was out from the start is back (vip/smtp: at least 39.9 s), and nobody was out since"
    assert (done.severity, done.sentence) == (Severity.OK, back)
    shorter = endpoint(IMAPS, gaps=(from_start(gap(1000.0, 1030.0, endpoint=IMAPS)),))
    assert "(longest vip/smtp: at least 39.9 s)" in conclude(watched(shorter, over)).sentence
    lasting = endpoint(gaps=(from_start(gap(1000.0, None, seen=1089.0)),))
    assert conclude(watched(lasting)).rule == "outage-lasts"
    assert conclude(watched(lasting, wanted=TOLERANT)).rule == "outage-too-long"


def test_what_serves_nobody_amid_what_was_masked_from_the_start_is_an_outage_of_its_own() -> None:
    """As a policy is flipped: clients were served before, and masked is how they were."""
    was = Gap(
        endpoint=SMTP,
        kind=GapKind.CRITICAL,
        began=Edge(None, 1000.0),
        seen=1045.0,
        how=("masked",),
        judgement=judgement(Verdict.MASKED),
    )
    masked = watched(endpoint(gaps=(was,), samples=(sample(1000.0, Verdict.MASKED),)), wanted=TOLERANT)
    assert (too_long(masked), sessions_wanted(masked), conclude(masked).rule) == (None, (), "outage-lasts")
    drop = gap(1010.0, 1050.0)
    flipped = watched(endpoint(gaps=(replace(was, seen=1005.0, ended=Edge(1005.0, 1010.1)), drop)))
    told = "vip/smtp was out for 40.0 s ± 0.2 (no answer); nothing is tolerated without --max-outage"
    assert conclude(flipped).sentence == told
    assert conclude(replace(flipped, wanted=TOLERANT)).rule == "outage-too-long"
    assert conclude(replace(flipped, wanted=Wanted(max_outage=60.0))).rule == "well"
    assert [one.from_the_start for one in real_outages(flipped.endpoints[0])] == [True, False]


def from_start(one: Gap) -> Gap:
    return replace(one, began=Edge(None, 1000.0))


def test_a_blind_stretch_that_would_be_tolerated_as_an_outage_is_and_is_told() -> None:
    blind = endpoint(blind=(Span(1010.0, 1015.0),))
    done = conclude(watched(blind, wanted=TOLERANT))
    told = "nobody was out; nobody knocked for 5.0 s, and a shorter outage may hide there"
    assert (done.severity, done.sentence) == (Severity.OK, told)
    assert stable_seconds(watched(blind)) == 75.0, "what is stable has been looked at"
    assert stable_seconds(watched(blind, wanted=TOLERANT)) == 89.0, "but for what is short, and tolerated"
    longer = endpoint(blind=(Span(1010.0, 1016.0), Span(1040.0, 1041.0)))
    assert stable_seconds(watched(longer, wanted=TOLERANT)) == 74.0
    assert conclude(watched(blind, wanted=TOLERANT, ending=Ending.UNPROVEN)).rule == "blind"


def test_where_knocks_are_counted_what_may_lie_between_two_looks_is_blind() -> None:
    """The sessions of 1000 and 1050 s are as far apart as that."""
    held = endpoint(cadence=Cadence(asked=0.2, longest=54.0, sent=4, answered=4, counted=4))
    apart = "knocks and sessions were up to 50 s apart, for the server counts both, and "
    for wanted in (TOLERANT, Wanted()):
        done = conclude(watched(held, wanted=wanted))
        assert (done.rule, done.sentence) == ("blind", f"{apart}an outage may hide between two")
    done = conclude(watched(held, wanted=Wanted(max_outage=60.0)))
    assert (done.rule, done.sentence) == ("well", f"nobody was out; {apart}a shorter outage may hide between two")
    often = replace(held, samples=tuple(sample(at) for at in (1000.0, 1025.0, 1050.0, 1070.0)))
    assert conclude(watched(often, wanted=TOLERANT)).rule == "well", "sessions would have seen it"
    chance = replace(held, cadence=replace(held.cadence, longest=2.0001, sent=400, answered=400, counted=1))
    assert conclude(watched(chance)).sentence == "nobody was out"


@pytest.mark.parametrize(
    ("samples", "gaps", "unseen"),
    [
        (sessions(1000, UNSEEN, 1030), (), 30.0),
        (sessions(1000, UNSEEN, UNSEEN, UNSEEN, 1060), (), 60.0),
        (sessions(UNSEEN, 1015), (), 15.0),
        (sessions(UNSEEN, UNSEEN, UNSEEN, 1045), (), 45.0),
        (sessions(UNSEEN, UNSEEN, Verdict.MASKED, 1045, UNSEEN), (), 0.0),
        (sessions(1000, LIMITED, UNSEEN, LIMITED, UNSEEN, LIMITED, 1090), (TURNED,), 90.0),
        (sessions(1000, Verdict.MASKED, UNSEEN, UNSEEN, 1060), (), 0.0),
        (sessions(1000, UNSEEN, UNSEEN, Verdict.MASKED, 1060), (), 0.0),
        (sessions(1000, Verdict.MASKED, UNSEEN, UNSEEN, 1060), (gap(1032.0, 1042.0),), 18.1),
        (sessions(1000, UNSEEN, UNSEEN, Verdict.TLS_FAILED, 1060), (), 45.0),
        (sessions(1000, UNSEEN, UNSEEN, 1045), (gap(1002.0, 1012.0),), 33.1),
    ],
    ids=[
        "a lost line",
        "more",
        "a lost line, the first one",
        "from the start",
        "from the start, then masked",
        "limited between",
        "masked",
        "then masked",
        "masked, refused",
        "then out",
        "since it came back",
    ],
)
def test_addresses_that_nobody_saw_for_longer_than_is_tolerated(
    samples: tuple[Sample, ...], gaps: tuple[Gap, ...], unseen: float
) -> None:
    seen = watched(endpoint(samples=samples, gaps=gaps), wanted=Wanted(max_outage=30.0))
    told = f"showed for {unseen:.1f} s, and they may have been masked"
    done = conclude(replace(seen, until=1110.0))
    assert (told in done.sentence) is (unseen > 0 and done.severity is not Severity.CRITICAL), done.sentence
    assert (done.rule == "addresses-unseen") is (unseen > 30.0)


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
    between = replace(served, began=Edge(1030.4, 1040.0))
    assert too_long(watched(endpoint(gaps=(refused, between)), wanted=TOLERANT)) is None, "somebody was served"
    masked = replace(served, began=Edge(1000.0, 1005.0), seen=1009.0, ended=Edge(1009.0, 1030.4), how=("masked",))
    whole = watched(endpoint(gaps=(masked, gap(1010.0, 1030.0))), wanted=Wanted(max_outage=19.7))
    one = too_long(whole)
    assert one is not None
    assert (one.began, one.ended) == (masked.began, Edge(1029.9, 1030.4))
    perhaps = conclude(replace(whole, wanted=Wanted(max_outage=25.0)))
    told = "vip/smtp was out for 25.1 s ± 5.3 (masked, no answer), perhaps for longer than the 25 s tolerated"
    amid = "how it was for 1.1 s amid it, nobody knows"
    assert (perhaps.rule, perhaps.sentence) == ("outage-perhaps-too-long", f"{told}: {amid}")
    before = replace(masked, ended=Edge(1005.5, 1006.0), seen=1005.5)
    assert too_long(watched(endpoint(gaps=(before, gap(1010.0, 1030.0))), wanted=Wanted(max_outage=25.0))) is None


def test_overlapping_gaps_count_once() -> None:
    both = endpoint(gaps=(gap(1010.0, 1020.0), gap(1015.0, 1030.0, kind=GapKind.CRITICAL)))
    assert seconds_out(both) == pytest.approx(20.0)


def test_who_was_served_late_was_not_out() -> None:
    late = endpoint(gaps=(gap(1025.0, 1045.0, kind=GapKind.WAITED),))
    assert (real_outages(late), seconds_out(late)) == ((), 0)
    done = conclude(watched(late, wanted=TOLERANT))
    told = "nobody was out; vip/smtp was served, but waited for at least 19.9 s until its server answered"
    assert (done.rule, done.sentence) == ("well", told)
    assert conclude(watched(late, wanted=TOLERANT, ending=Ending.UNPROVEN)).rule == "not-stable"


def test_what_nobody_saw_of_an_outage_is_in_its_bound() -> None:
    """It was out for 10 s twice; the 10 s between nobody looked, and they may have been two outages."""
    first = Gap(
        endpoint=SMTP, kind=GapKind.CRITICAL, began=Edge(999.9, 1000.1), seen=1010.0, ended=Edge(1010.0, 1031.0)
    )
    (joined,) = outages(endpoint(gaps=(first, gap(1020.0, 1030.0))))
    assert (length(joined), round(joined.certain, 3)) == ("20.5 s ± 10.6", 9.9)
    seen = watched(endpoint(gaps=(first, gap(1020.0, 1030.0))), wanted=Wanted(max_outage=15.0))
    assert (too_long(seen), conclude(seen).rule) == (None, "outage-perhaps-too-long")
    lasting = replace(first, ended=None)
    (joined,) = outages(endpoint(gaps=(lasting, gap(1020.0, None, seen=1032.0))))
    assert length(joined) == "at least 11.9 s"


def turned_away(began: float, ended: float | None, **more: Any) -> Gap:
    return gap(began, ended, kind=GapKind.TURNED_AWAY, **{"how": ("service_error",), **more})


def test_who_is_turned_away_after_an_outage_is_still_out() -> None:
    refused, error = gap(1010.0, 1028.0), sample(1075.0, Verdict.SERVICE_ERROR)
    assert refused.ended is not None
    goes_on = replace(turned_away(1028.0, 1075.0), began=refused.ended)
    done = conclude(watched(endpoint(gaps=(refused, goes_on)), wanted=TOLERANT))
    assert (done.rule, "out for 65.0 s ± 0.2 (no answer, service_error)" in done.sentence) == ("outage-too-long", True)
    lasts = endpoint(gaps=(refused, replace(goes_on, ended=None, seen=1075.0)), samples=(sample(1000.0), error))
    seen = watched(lasts, wanted=Wanted(max_outage=100.0))
    assert (conclude(seen).rule, standing(lasts, 1090.0)) == ("outage-lasts", (Severity.CRITICAL, "service_error"))
    assert why_over(replace(seen, wanted=TOLERANT)) is Ending.MAX_OUTAGE
    limited = replace(goes_on, how=("rate_limited",))
    perhaps = conclude(watched(endpoint(gaps=(refused, limited)), wanted=TOLERANT))
    assert perhaps.rule == "outage-perhaps-too-long", "others may have been served"
    still = endpoint(
        gaps=(refused, replace(limited, ended=None)), samples=(sample(1000.0), sample(1075.0, Verdict.RATE_LIMITED))
    )
    assert conclude(watched(still, wanted=TOLERANT)).rule == "verdict-warning"
    assert too_long(watched(still, wanted=TOLERANT)) is None


def test_an_outage_that_ends_in_a_rate_limit_is_named_and_lasts() -> None:
    masked = gap(1010.0, None, kind=GapKind.CRITICAL, seen=1060.0, how=("masked",))
    limited = watched(one(Verdict.RATE_LIMITED, gaps=(masked,)), wanted=Wanted(max_outage=80.0))
    assert conclude(limited).sentence == "out as the watch ended: vip/smtp masked"
    assert seconds_out(limited.endpoints[0]) == pytest.approx(49.9), "the edge of its begin is off by 0.1 s"


def test_who_is_turned_away_by_that_alone_was_not_out_and_is_told() -> None:
    seen = watched(endpoint(gaps=(turned_away(1010.0, 1045.0),)))
    told = "vip/smtp turned clients away for 35.0 s ± 0.2 (service_error)"
    assert (conclude(seen).sentence, seconds_out(seen.endpoints[0])) == (told, 0)
    tolerated = conclude(replace(seen, wanted=Wanted(max_outage=40.0)))
    assert (tolerated.rule, tolerated.sentence) == ("well", f"nobody was out; {told}")
    before = endpoint(gaps=(turned_away(1010.0, 1045.0), gap(1030.0, 1040.0)))
    assert conclude(watched(before, wanted=Wanted(max_outage=20.0))).rule == "turned-away"
    (whole,) = real_outages(before)
    assert whole.began == Edge(1029.9, 1030.1), "an outage begins when a verdict is critical"
    started = replace(turned_away(1000.0, 1045.0), began=Edge(None, 1000.0))
    assert conclude(watched(endpoint(gaps=(started,)))).sentence == "nobody was out", "from the start"
    limited = conclude(watched(endpoint(gaps=(turned_away(1010.0, 1045.0, how=("rate_limited",)),))))
    assert limited.sentence.endswith("(rate_limited, perhaps this machine alone)")
    still = watched(one(Verdict.SERVICE_ERROR, gaps=(turned_away(1010.0, None),)), wanted=TOLERANT)
    assert (conclude(still).rule, stable_seconds(still)) == ("verdict-warning", None)


def test_who_is_turned_away_and_then_out_was_served_by_nobody_all_the_time() -> None:
    """Neither is too long by itself; what came before an outage does not name it."""
    turned, refused = turned_away(1010.0, 1030.0, seen=1025.0), gap(1030.0, 1055.0, how=("refused",))
    served = (sample(1000.0), sample(1060.0))
    both = watched(endpoint(gaps=(turned, refused), samples=served), wanted=TOLERANT)
    told = "vip/smtp turned clients away and was then out for 35.1 s ± 10.1 (service_error, refused)"
    assert (conclude(both).rule, conclude(both).sentence) == ("turned-away", told)
    tolerated = conclude(replace(both, wanted=Wanted(max_outage=50.0))).sentence
    assert tolerated.startswith("the longest outage was 25.0 s ± 0.2 (vip/smtp: refused), which is tolerated")
    limited = endpoint(gaps=(replace(turned, how=("rate_limited",)), refused))
    sentence = conclude(watched(limited, wanted=TOLERANT)).sentence
    assert sentence.endswith("35.0 s ± 10.2 (rate_limited, refused, at first perhaps this machine alone)")


@pytest.mark.parametrize("verdict", [Verdict.SERVICE_ERROR, Verdict.RATE_LIMITED])
def test_a_path_that_turns_clients_away_is_broken_before_anything_is_changed(verdict: Verdict) -> None:
    seen = watched(endpoint(samples=(sample(1000.0, verdict),), baseline=sample(1000.0, verdict)))
    told = {
        Verdict.SERVICE_ERROR: "broken before anything was changed: vip/smtp service_error",
        Verdict.RATE_LIMITED: "rate_limited before anything was changed, and again a minute later: vip/smtp",
    }
    assert conclude(replace(seen, ending=Ending.BASELINE)).sentence == told[verdict]


def test_of_every_verdict_it_is_said_whether_clients_are_served() -> None:
    assert set(SERVED) == set(Verdict)
    assert all(one.severity is not Severity.WARNING for one in SERVED if serves(one))


def test_what_is_not_bounded_on_both_sides_has_the_seconds_that_are_certain() -> None:
    """Between two sessions 15 s apart the middle says nothing of an outage from the start."""
    before = Gap(
        endpoint=SMTP, kind=GapKind.CRITICAL, began=Edge(None, 1000.0), seen=1000.1, ended=Edge(1000.1, 1015.0)
    )
    assert (length(before), round(before.seconds, 3)) == ("at least 0.1 s", 0.1)
    lasting = Gap(endpoint=SMTP, kind=GapKind.CRITICAL, began=Edge(1000.0, 1015.0), seen=1025.0)
    assert (length(lasting), lasting.seconds) == ("at least 10.0 s", 10.0)
    assert [seconds_out(endpoint(gaps=(one,))) for one in (before, lasting)] == [before.seconds, lasting.seconds]


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
    unseen = (Span(1012.0, 1018.0),)
    slept = [endpoint(name, gaps=(gap(1010.0, 1020.0, endpoint=name, unseen=unseen),)) for name in (SMTP, IMAPS)]
    assert shared(slept) == (), "nobody knows whether it was once or twice"
    lagging = (endpoint(gaps=(gap(1010.0, 1020.0),)), endpoint(IMAPS, gaps=(gap(1012.0, 1019.0, endpoint=IMAPS),)))
    (wide,) = shared(lagging)
    assert (wide.began.after, wide.began.by) == (1009.9, 1012.1)
    assert SMTP in {one.endpoint for one in wide.gaps}
    submission = EndpointName("vip", Service.SUBMISSION, 587)
    early, late = (gap(1010.0 + after, 1014.0 + after, endpoint=submission) for after in (0.0, 15.0))
    rolled = endpoint(gaps=(gap(1010.0, 1030.0),)), endpoint(IMAPS, gaps=(gap(1026.0, 1029.0, endpoint=IMAPS),))
    assert shared((*rolled, endpoint(submission, gaps=(early,)))) == (), "each beside the first, never all at once"
    (together,) = shared((*rolled, endpoint(submission, gaps=(early, late))))
    assert late in together.gaps
