"""What sessions have shown of an endpoint: when one is slow, in what, and when the latest one is too old."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from probe.model import Lack, Severity, UnderWay, Verdict, Wait, Wanted, WatchedEndpoint
from probe.verdict.shown import STATES, is_good, standing, waits
from probe.verdict.watched import conclude
from tests.watched import endpoint, gap, sample, watched

UNTIL = 1090.0
NONE_YET = "back, no session yet"
NARROW = 13 - len("? ")


@pytest.mark.parametrize(
    ("verdict", "baseline", "good"),
    [
        (Verdict.PRESERVED, Verdict.PRESERVED, True),
        (Verdict.PRESERVED, Verdict.UNVERIFIED, True),
        (Verdict.UNVERIFIED, Verdict.UNVERIFIED, True),
        (Verdict.UNVERIFIED, Verdict.PRESERVED, False),
        (Verdict.MASKED, Verdict.MASKED, False),
        (Verdict.RATE_LIMITED, Verdict.RATE_LIMITED, False),
    ],
)
def test_a_session_must_be_no_worse_than_the_baseline(verdict: Verdict, baseline: Verdict, *, good: bool) -> None:
    assert is_good(verdict, baseline) is good


def after(talk: float, search: float, **more: Any) -> WatchedEndpoint:
    """An endpoint whose session of 1060 s took so long in its talk, and so long until it was judged."""
    worked = sample(1060.0, closed=1060.0 + talk, judged=1060.0 + talk + search)
    return endpoint(samples=(sample(1000.0), worked), **more)


TALKS, SEARCHES = UnderWay(opened=1080.0), UnderWay(opened=1079.9, closed=1080.0)


@pytest.mark.parametrize(
    ("talk", "search", "under_way", "lacks"),
    [
        (0.5, 0.1, TALKS, Lack.SERVER),
        (0.5, 15.0, TALKS, Lack.SERVER),
        (6.0, 0.1, TALKS, None),
        (0.5, 0.1, SEARCHES, Lack.EVIDENCE),
        (6.0, 0.1, SEARCHES, Lack.EVIDENCE),
        (0.5, 6.0, SEARCHES, None),
        (0.5, 0.1, UnderWay(opened=1082.5), None),
    ],
    ids=[
        "it hangs",
        "it hangs, and its log is always late",
        "it is always slow",
        "no line comes",
        "no line comes of a server that is slow",
        "lines are always late",
        "not for long yet",
    ],
)
def test_talk_is_compared_with_talk_and_the_search_with_the_search(
    talk: float, search: float, under_way: UnderWay, lacks: Lack | None
) -> None:
    seen = waits(after(talk, search, under_way=under_way), UNTIL)
    assert seen == (None if lacks is None else Wait(10.0, lacks))


def test_what_failed_or_could_not_be_opened_is_no_measure() -> None:
    hung = sample(1050.0, Verdict.NO_GREETING, closed=1080.0, judged=1080.0, failed=True)
    unable = sample(1050.0, Verdict.UNVERIFIED, closed=1080.0, judged=1080.0, took_place=False)
    for one in (hung, unable):
        assert waits(endpoint(samples=(sample(1000.0), one), under_way=TALKS), UNTIL) == Wait(10.0, Lack.SERVER)


def test_good_news_ages() -> None:
    once = endpoint(samples=(sample(1050.0),), pace=15.0)
    assert waits(once, 1088.0) is None
    assert waits(once, 1088.5) == Wait(38.5, Lack.SESSION)
    assert waits(endpoint(samples=(), baseline=None), UNTIL) is None, "that is another rule's to say"
    long = endpoint(samples=(sample(1050.0, closed=1051.0, judged=1066.0),), pace=1.0)
    assert waits(long, 1089.9) is None, "the next one may take as long"


@pytest.mark.parametrize(
    ("under_way", "state", "since_it_is_back"),
    [
        (TALKS, "waits 10 s", "waits 10 s"),
        (SEARCHES, "judging 10 s", "judging 10 s"),
        (UnderWay(opened=1059.0, closed=1089.0, failed=Verdict.SERVICE_ERROR), "service_error so far", NONE_YET),
        (None, "shown 40 s ago", NONE_YET),
    ],
)
def test_where_it_stands_that_lacks_something(under_way: UnderWay | None, state: str, since_it_is_back: str) -> None:
    old = endpoint(samples=(sample(1050.0),), pace=15.0, under_way=under_way)
    assert standing(old, UNTIL) == (Severity.UNKNOWN, state)
    back = replace(old, gaps=(gap(1060.0, 1078.0),))
    assert standing(back, UNTIL) == (Severity.UNKNOWN, since_it_is_back)
    done = conclude(watched(back, wanted=Wanted(max_outage=30.0)))
    hung = "a session has waited for its server, and has shown nothing yet: vip/smtp for 10 s"
    assert (done.rule, done.sentence == hung) == ("not-shown-after", under_way is TALKS)
    warned = endpoint(samples=(sample(1050.0, Verdict.RATE_LIMITED),), pace=15.0, under_way=under_way)
    assert standing(warned, UNTIL) == (Severity.WARNING, "rate_limited"), "it says more"


def test_who_waits_for_a_server_is_told_in_the_narrowest_row() -> None:
    assert len(STATES[Lack.SERVER].format(seconds=30.0)) <= NARROW
