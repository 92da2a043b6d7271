"""Knocks and sessions in, gaps and outages out: tables of what came when, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from probe.model import Edge, Gap, GapKind, Sample, Verdict
from probe.verdict.gaps import MOST_GAPS, Reach
from probe.verdict.shown import outages
from probe.verdict.timeline import Timeline
from tests.watched import SMTP, endpoint, knocks, sample

MUTE, MASKED = Verdict.NO_GREETING, Verdict.MASKED
ERROR, LIMITED = Verdict.SERVICE_ERROR, Verdict.RATE_LIMITED
NOBODY = Timeline(reach=Reach(endpoint=SMTP))


def timeline(*samples: Sample, told: str = "") -> Timeline:
    """What so many knocks, one each 0.2 s from 1000 on, and these sessions come to."""
    folded = NOBODY
    for knock in knocks(told):
        folded = folded.knocked(knock)
    for one in samples:
        folded = folded.after(one)
    return folded


def served(at: float, waited: float = 0.1, **more: Any) -> Sample:
    """A session that worked, greeted after so many seconds."""
    moment = at + waited
    return sample(at, **{"answered": moment, "waited": waited, "closed": moment + 0.3, "judged": moment + 0.4, **more})


def hung(at: float, seconds: float = 30.0, **more: Any) -> Sample:
    """A session that connected, and was not greeted."""
    return sample(at, MUTE, answered=at, closed=at + seconds, judged=at + seconds, failed=True, **more)


def closed(at: float) -> Sample:
    """A session whose connection the server closed at once, and did not greet."""
    return sample(at, MUTE, answered=at, closed=at + 0.1, judged=at + 0.2, failed=True, broke=True)


def turned(at: float, verdict: Verdict = ERROR, waited: float = 0.1, **more: Any) -> Sample:
    """A session that got a 421 after so many seconds."""
    moment = at + waited
    told = {"answered": moment, "waited": waited, "closed": moment, "judged": moment + 0.1, "failed": True, **more}
    return sample(at, verdict, **told)


def unseen(at: float) -> Sample:
    """A session that worked, and whose line nobody found."""
    return served(at, verdict=Verdict.UNVERIFIED)


def whole(folded: Timeline) -> list[Gap]:
    """The outages, each as one."""
    return list(outages(endpoint(gaps=folded.gaps)))


def told(gap: Gap) -> tuple[float, float]:
    """How long it was, and what that may be off by."""
    return round(gap.seconds, 3), round(gap.bound, 3)


def test_a_session_that_was_slow_after_a_gap_does_not_make_one_of_it_and_the_next() -> None:
    folded = timeline(served(1000.0), served(1001.1, 5.0), told="--rrr" + "-" * 24)
    assert folded.gaps[0].ended == Edge(1000.8, 1006.1)
    for knock in knocks("xx", start=1005.8):
        folded = folded.knocked(knock)
    assert len(folded.gaps) == 2, "knocks were answered between them"


def test_sessions_make_gaps_of_their_own() -> None:
    folded = timeline(
        sample(1000),
        sample(1010, MASKED),
        sample(1020, Verdict.TLS_FAILED),
        sample(1030, Verdict.UNVERIFIED),
        sample(1040, MASKED),
    )
    assert [(gap.began, gap.ended, gap.how) for gap in folded.gaps] == [
        (Edge(1000, 1010), Edge(1010, 1020), ("masked",)),
        (Edge(1010, 1020), Edge(1020, 1030), ("tls_failed",)),
        (Edge(1020, 1040), None, ("masked",)),
    ]
    assert {gap.kind for gap in folded.gaps} == {GapKind.CRITICAL}
    assert None not in {gap.judgement for gap in folded.gaps}


def test_a_session_that_waited_in_vain_has_seen_the_outage_until_it_closed() -> None:
    assert timeline(sample(1000), hung(1010)).gaps[0].seconds == 30.0
    assert timeline(sample(1000), sample(1010, MASKED, closed=1040.0)).gaps[0].seconds == 0.0


def test_a_session_set_aside_changes_nothing() -> None:
    folded = timeline(sample(1000))
    assert folded.after(sample(1010.0, MUTE, aside=True)) == folded
    assert folded.after(sample(1010.0, MUTE, took_place=False)) == folded


def test_gaps_of_sessions_are_bounded_too() -> None:
    turn = (MASKED, Verdict.PRESERVED)
    folded = timeline(*(sample(1000 + number, verdict) for number in range(MOST_GAPS + 2) for verdict in turn))
    assert (len(folded.found), folded.untold) == (MOST_GAPS, 2)


@dataclass(frozen=True, kw_only=True)
class Case:
    """`knocks`: one each 0.2 s from 1000 on. `outages`: (seconds, bound) of each, and `how` the kinds in it."""

    knocks: str = ""
    samples: tuple[Sample, ...]
    outages: list[tuple[float, float]]
    kinds: list[str] = field(default_factory=list)


REFUSED_10 = "-" * 50 + "r" * 50 + "-" * 200
"""Refused from 1010 to 1020; edges are known to 0.2 s."""

TWICE_REFUSED = "-" * 50 + "r" * 50 + "-" * 11 + "r" * 40 + "-" * 10
"""And again from 1022.2 to 1030.2."""

SLEPT = "-" * 60 + " " * 190 + "-" * 75
"""Nobody knocked from 1011.8 to 1050."""

CASES = {
    "hung for a while, and served what waited": Case(
        samples=(served(1000), served(1015), served(1030.0, 22.0), served(1060)),
        outages=[(21.45, 15.45)],
        kinds=["waited"],
    ),
    "hung past a session's time, and served the next one late": Case(
        samples=(served(1000), hung(1010), served(1040.0, 22.0)), outages=[(56.4, 5.5)], kinds=["critical"]
    ),
    "slow once": Case(samples=(served(1000), served(1015, 13.0)), outages=[(12.45, 15.45)], kinds=["waited"]),
    "slow from now on: told once": Case(
        samples=(served(1000), served(1015, 13.0), served(1030, 12.0), served(1045, 13.0)), outages=[(12.45, 15.45)]
    ),
    "slow, prompt, slow: told twice": Case(
        samples=(served(1000), served(1015, 13.0), served(1030), served(1045, 13.0)),
        outages=[(12.45, 15.45), (12.45, 15.45)],
    ),
    "slow before anything was changed": Case(
        samples=(served(1000, 13.0), served(1030), served(1045, 13.0)), outages=[]
    ),
    "postscreen lets a client wait that it does not know": Case(
        samples=(served(1000), served(1015, 6.1), served(1030, 6.1)), outages=[]
    ),
    "postscreen always, and a hang": Case(
        samples=(served(1000, 6.0), served(1015, 6.0), served(1030, 20.0)), outages=[(16.5, 12.5)]
    ),
    "refused, then not greeted, then served": Case(
        knocks=REFUSED_10,
        samples=(served(1005), sample(1020.3, MUTE, closed=1020.4, failed=True, broke=True), served(1040)),
        outages=[(20.35, 9.95)],
        kinds=["unreachable", "critical"],
    ),
    "refused, then closed on a session that connected right before a knock was answered": Case(
        knocks=REFUSED_10,
        samples=(
            served(1005),
            sample(1016.9, MUTE, answered=1019.9, closed=1019.9, failed=True, broke=True),
            closed(1035),
            served(1050),
        ),
        outages=[(32.7, 7.6)],
        kinds=["unreachable", "critical"],
    ),
    "refused, and served at once": Case(
        knocks=REFUSED_10, samples=(served(1005), served(1020.3)), outages=[(10.0, 0.2)]
    ),
    "refused, and served late": Case(
        knocks=REFUSED_10,
        samples=(served(1005), served(1020.3, 20.0)),
        outages=[(29.85, 0.65)],
        kinds=["unreachable", "waited"],
    ),
    "refused, served, and not greeted later": Case(
        knocks=REFUSED_10,
        samples=(served(1005), served(1020.3), hung(1021), served(1052)),
        outages=[(10.0, 0.2), (30.85, 0.85)],
    ),
    "not greeted, then refused, then served": Case(
        knocks=REFUSED_10, samples=(served(1000), hung(1002, 6.0), served(1020.3)), outages=[(15.05, 5.25)]
    ),
    "refused, closed, and then somewhat slow: nobody saw when it ended": Case(
        knocks=REFUSED_10, samples=(served(1005), closed(1020.3), served(1035, 2.5)), outages=[(19.05, 8.65)]
    ),
    "one connection closed, and then somewhat slow": Case(
        samples=(served(1000), closed(1010), served(1024.0, 2.0)), outages=[(12.95, 12.95)]
    ),
    "closed, and then late: perhaps out all the time": Case(
        samples=(served(1000), closed(1010), served(1025.0, 12.0)), outages=[(18.45, 18.45)]
    ),
    "timed out, and then somewhat slow": Case(
        samples=(served(1000), hung(1010, 8.0), served(1025.0, 2.5)), outages=[(17.7, 9.7)]
    ),
    "closed, refused all the time until it came back late": Case(
        knocks="-" * 50 + "r" * 150 + "-" * 200,
        samples=(served(1000), closed(1009), served(1040.3, 12.0)),
        outages=[(46.7, 5.5)],
    ),
    "refused, and served late by a session that came a little later: perhaps since it came back": Case(
        knocks=REFUSED_10, samples=(served(1005), served(1021.3, 20.0)), outages=[(20.65, 10.85)]
    ),
    "refused, and turned away by a session that came later: perhaps since it came back": Case(
        knocks=REFUSED_10,
        samples=(served(1005), turned(1025), turned(1040), served(1055)),
        outages=[(30.2, 15.1)],
        kinds=["unreachable", "turned_away"],
    ),
    "refused, hung later until it was refused again, and served: refused twice, perhaps once": Case(
        knocks="-" * 50 + "r" * 20 + "-" * 100 + "r" * 10 + "-" * 50,
        samples=(served(1005), served(1022.0, 15.0)),
        outages=[(15.0, 11.2)],
        kinds=["unreachable", "waited", "unreachable"],
    ),
    "refused, and much later served late: nobody saw whether it went on": Case(
        knocks=REFUSED_10,
        samples=(served(1005), served(1045.0, 9.0)),
        outages=[(27.0, 17.2)],
        kinds=["unreachable", "waited"],
    ),
    "refused, served, and later served late: a wait by itself": Case(
        knocks=REFUSED_10,
        samples=(served(1005), served(1020.3), served(1035.0, 9.0)),
        outages=[(10.0, 0.2), (8.45, 15.15)],
    ),
    "refused, and much later not greeted: nobody saw whether it went on": Case(
        knocks=REFUSED_10, samples=(served(1005), hung(1045.0, 10.0), served(1060.0)), outages=[(30.15, 20.15)]
    ),
    "refused, and served at once, though somewhat slow: it may have hung": Case(
        knocks=REFUSED_10, samples=(served(1005), served(1020.3, 7.5)), outages=[(13.9, 4.1)], kinds=["unreachable"]
    ),
    "refused, and hung as long as it once was late": Case(
        knocks="-" * 150 + "r" * 50 + "-" * 200,
        samples=(served(1000), served(1005.0, 20.0), served(1040.3, 25.0)),
        outages=[(19.45, 5.45), (22.65, 12.85)],
    ),
    "hung, hung again until it was refused, and served: out all the time": Case(
        knocks="-" * 300 + "r" * 50 + "-" * 20,
        samples=(served(1000), hung(1010), hung(1041, 26.0, aside=True), served(1070.3)),
        outages=[(64.85, 5.05)],
        kinds=["critical", "unreachable"],
    ),
    "hung, nobody looked, and then refused": Case(
        knocks="-" * 100 + "r" * 5 + "-" * 50,
        samples=(served(1000), hung(1001, 4.0), served(1021.3)),
        outages=[(12.65, 8.65)],
    ),
    "served amid silence by a connection from before": Case(
        knocks="-" * 50 + "x" * 50 + "-" * 50, samples=(served(1000), served(1009.0, 16.0)), outages=[(10.0, 0.2)]
    ),
    "hung, and then refused": Case(
        knocks="-" * 100 + "r" * 50 + "-" * 50,
        samples=(served(1000), hung(1005, 15.0, aside=True), served(1030.3)),
        outages=[(27.35, 2.55)],
        kinds=["critical", "unreachable"],
    ),
    "refused, not greeted, and refused again": Case(
        knocks="-" * 50 + "r" * 50 + "-" * 10 + "r" * 40 + "-" * 10,
        samples=(served(1005), sample(1020.5, MUTE, answered=1020.5, closed=1020.6, aside=True), served(1030.3)),
        outages=[(20.0, 0.2)],
        kinds=["unreachable", "critical", "unreachable"],
    ),
    "refused, hung, refused again, and then served what had waited in all of that": Case(
        knocks="-" * 50 + "r" * 50 + "-" * 10 + "r" * 40 + "-" * 10,
        samples=(served(1005), served(1020.5, 9.7)),
        outages=[(20.0, 0.2)],
        kinds=["unreachable", "waited", "unreachable"],
    ),
    "refused, hung on a session that connected right before a knock was answered, and refused again": Case(
        knocks="-" * 50 + "r" * 50 + "-" * 10 + "r" * 40 + "-" * 10,
        samples=(served(1005), sample(1016.9, MUTE, answered=1019.9, closed=1022.2, aside=True), served(1030.3)),
        outages=[(20.0, 0.2)],
        kinds=["unreachable", "critical", "unreachable"],
    ),
    "refused, and closed after a return whose first knock had waited on its way: out all the time": Case(
        knocks="-" * 50 + "r" * 50 + " " * 5 + "-" * 50,
        samples=(served(1005), closed(1021.4), served(1025)),
        outages=[(13.4, 1.9)],
        kinds=["unreachable", "critical"],
    ),
    "refused, and closed amid the time between two knocks that are far apart: perhaps since it came back": Case(
        knocks="-" * 50 + "r" * 50 + " " * 20 + "-" * 50,
        samples=(served(1005), closed(1023.5), served(1025)),
        outages=[(12.55, 2.75)],
        kinds=["unreachable", "critical"],
    ),
    "refused, served, and refused again right as it was": Case(
        knocks="-" * 50 + "r" * 50 + "-" * 10 + "r" * 40 + "-" * 10,
        samples=(served(1005), served(1020.3, 1.65)),
        outages=[(10.0, 0.2), (8.0, 0.2)],
    ),
    "in flight as it was refused": Case(
        knocks="-" * 100 + "r" * 50 + "-" * 50,
        samples=(served(1000), hung(1014, 6.0, aside=True), served(1030.3)),
        outages=[(10.0, 0.2)],
    ),
    "this machine stood still": Case(
        knocks="-" * 50 + " " * 60 + "-" * 20, samples=(served(1000), served(1009.0, 14.0)), outages=[]
    ),
    "and has not knocked since": Case(knocks="-" * 50, samples=(served(1000), served(1009.0, 14.0)), outages=[]),
    "refused, then turned away, then served: nobody was served meanwhile": Case(
        knocks=REFUSED_10,
        samples=(served(1005), turned(1020.3), turned(1035), turned(1050), served(1065)),
        outages=[(47.7, 7.6)],
        kinds=["unreachable", "turned_away"],
    ),
    "refused, then turned away for a rate limit: perhaps of this machine alone": Case(
        knocks=REFUSED_10,
        samples=(served(1005), turned(1020.3, LIMITED), turned(1035, LIMITED), served(1050)),
        outages=[(25.05, 15.25)],
        kinds=["unreachable", "turned_away"],
    ),
    "hung, turned away, and hung again": Case(
        samples=(served(1000), hung(1010), turned(1041), hung(1056), served(1090)),
        outages=[(83.0, 7.0)],
        kinds=["critical", "turned_away", "critical"],
    ),
    "hung, for this machine alone turned away, and hung again: as if that had been no session": Case(
        samples=(served(1000), hung(1010), turned(1041, LIMITED), hung(1056), served(1090)),
        outages=[(83.0, 7.0)],
        kinds=["critical"],
    ),
    "masked, with a rate limit each time between: out all the time": Case(
        samples=(
            served(1000),
            *(one for at in range(1010, 1130, 20) for one in (sample(at, MASKED), turned(at + 10, LIMITED))),
        ),
        outages=[(100.0, 4.95)],
        kinds=["critical"],
    ),
    "masked, and each third line lost: out all the time, until somebody was seen": Case(
        samples=(
            served(1000),
            *(one for at in (1010, 1055) for one in (sample(at, MASKED), sample(at + 15, MASKED), unseen(at + 30))),
            served(1100),
        ),
        outages=[(80.0, 20.0)],
        kinds=["critical"],
    ),
    "masked from the start, a line lost, masked, and mended: it was all there from the start": Case(
        samples=(sample(1000, MASKED), unseen(1015), sample(1030, MASKED), served(1045)),
        outages=[(30.0, 7.55)],
        kinds=["critical"],
    ),
    "a line lost, and then masked: it may have been so before": Case(
        samples=(served(1000), unseen(1015), sample(1030, MASKED), served(1045)), outages=[(22.5, 22.5)]
    ),
    "masked, refused, served as nobody knows, and masked: once out": Case(
        knocks="-" * 75 + "r" * 25 + "-" * 200,
        samples=(served(1000), sample(1010, MASKED), unseen(1020.3), sample(1035, MASKED), served(1050)),
        outages=[(27.4, 22.6)],
    ),
    "not greeted, and served as nobody knows: it is over": Case(
        samples=(served(1000), hung(1010), unseen(1041), unseen(1056)), outages=[(35.5, 5.5)]
    ),
    "not greeted, served as nobody knows, and masked: since any time after that": Case(
        samples=(served(1000), hung(1010), unseen(1041), sample(1056, MASKED), served(1070)), outages=[(50.0, 20.0)]
    ),
    "masked, turned away, and served as nobody knows: a 421 is over": Case(
        samples=(served(1000), sample(1010, MASKED), turned(1025), unseen(1040)), outages=[(27.55, 12.45)]
    ),
    "hung, and turned away for a rate limit until it was served: it may have ended any time since": Case(
        samples=(served(1000), hung(1010), turned(1041, LIMITED), turned(1056, LIMITED), served(1070)),
        outages=[(50.0, 20.0)],
        kinds=["critical"],
    ),
    "refused, turned away for all, for a rate limit, and for all again: one part": Case(
        knocks=REFUSED_10,
        samples=(served(1005), turned(1020.3), turned(1035, LIMITED), turned(1050), served(1065)),
        outages=[(47.7, 7.6)],
        kinds=["unreachable", "turned_away"],
    ),
    "turned away, refused, and turned away: out from when it was refused": Case(
        knocks=REFUSED_10,
        samples=(served(1000), turned(1005), turned(1020.3), turned(1035), served(1050)),
        outages=[(32.7, 7.6)],
        kinds=["turned_away", "unreachable"],
    ),
    "turned away, and then not greeted: out from when it was not": Case(
        samples=(served(1000), turned(1010), hung(1025), served(1060)), outages=[(40.0, 10.0)]
    ),
    "turned away by itself": Case(
        samples=(served(1000), turned(1010), turned(1025, LIMITED), turned(1040), served(1055)),
        outages=[(42.55, 12.45)],
        kinds=["turned_away"],
    ),
    "turned away, for a rate limit first and last: perhaps this machine alone": Case(
        samples=(served(1000), turned(1010, LIMITED), turned(1025), turned(1040, LIMITED), served(1055)),
        outages=[(27.55, 27.45)],
        kinds=["turned_away", "turned_away"],
    ),
    "refused, served, and turned away later: two things": Case(
        knocks=REFUSED_10,
        samples=(served(1005), served(1020.3), turned(1035), served(1050)),
        outages=[(10.0, 0.2), (14.9, 14.8)],
    ),
    "turned away after 5 s, and then served at once: nothing was slow": Case(
        samples=(served(1000), turned(1015, waited=5.0), served(1030), turned(1045), served(1060, 8.5)),
        outages=[(17.5, 12.5), (19.25, 19.15)],
    ),
    "refused, served with a line that nobody found, and masked later: since any time after that": Case(
        knocks=REFUSED_10,
        samples=(served(1005), unseen(1020.3), unseen(1035), sample(1050, MASKED), served(1060)),
        outages=[(30.05, 20.25)],
    ),
    "masked, served as nobody knows, and not greeted: nobody saw when one became the other": Case(
        samples=(served(1000), sample(1010, MASKED), unseen(1025), hung(1040, 8.0), served(1055)),
        outages=[(31.5, 23.5)],
    ),
    "masked, refused, and served as nobody knows: it is over": Case(
        knocks="-" * 75 + "r" * 25 + "-" * 200,
        samples=(served(1000), sample(1010, MASKED), unseen(1020.3), turned(1035), served(1050)),
        outages=[(12.35, 7.55), (14.9, 14.8)],
        kinds=["critical", "unreachable", "turned_away"],
    ),
    "masked from the start, refused, and masked until it was mended: what serves nobody is an outage of its own": Case(
        knocks=REFUSED_10,
        samples=(sample(1005, MASKED), sample(1020.3, MASKED), sample(1035, MASKED), served(1050)),
        outages=[(15.0, 22.55), (10.0, 0.2)],
        kinds=["critical", "unreachable", "critical"],
    ),
    "masked from the start, not greeted, and masked until it was mended": Case(
        samples=(sample(1000, MASKED), hung(1010), sample(1041, MASKED), served(1050)),
        outages=[(0.0, 45.55), (35.5, 5.5)],
        kinds=["critical", "critical", "critical"],
    ),
    "masked from the start, and hung until it was mended": Case(
        samples=(served(1000, verdict=MASKED), served(1010, 20.0), served(1035)),
        outages=[(0.0, 15.0), (19.45, 10.55)],
        kinds=["critical", "waited"],
    ),
    "masked from the start, and hung until it was masked again": Case(
        samples=(served(1000, verdict=MASKED), served(1015, 20.0, verdict=MASKED), served(1045)),
        outages=[(15.0, 15.05), (19.45, 15.55)],
        kinds=["critical", "waited"],
    ),
    "masked from the start, and hung until it was served as nobody saw": Case(
        samples=(served(1000, verdict=MASKED), served(1015, 20.0, verdict=Verdict.UNVERIFIED), served(1045)),
        outages=[(0.0, 22.55), (19.45, 15.55)],
        kinds=["critical", "waited"],
    ),
    "masked from the start, refused, and hung until it was masked again: refused and hung are one": Case(
        knocks=REFUSED_10,
        samples=(served(1005, verdict=MASKED), served(1020.3, 20.0, verdict=MASKED), served(1055)),
        outages=[(0.3, 32.4), (29.85, 0.65)],
        kinds=["critical", "unreachable", "waited", "critical"],
    ),
    "refused twice, and nobody was served between: perhaps once": Case(
        knocks=TWICE_REFUSED, samples=(served(1005), served(1030.3)), outages=[(15.1, 5.3)]
    ),
    "refused twice, and what came between was over as that was refused again: perhaps once": Case(
        knocks=TWICE_REFUSED,
        samples=(served(1005), served(1021.5, 0.3, aside=True, failed=True), served(1030.3)),
        outages=[(15.1, 5.3)],
    ),
    "refused from the start, and again, and nobody was served between: what came later is held against it": Case(
        knocks=TWICE_REFUSED[50:], samples=(served(1020.3),), outages=[(9.8, 0.101), (8.0, 0.2)]
    ),
    "refused three times, and served after the second: the first two are perhaps one": Case(
        knocks=TWICE_REFUSED + "r" * 10 + "-" * 10,
        samples=(served(1005), served(1030.3), served(1035)),
        outages=[(15.1, 5.3), (2.0, 0.2)],
    ),
    "refused, and nobody knocked for a while amid it: that is in its bound": Case(
        knocks="-" * 50 + "r" * 50 + " " * 50 + "r" * 50 + "-" * 10,
        samples=(served(1005), served(1040.3)),
        outages=[(20.0, 10.2)],
    ),
    "one SYN was lost before a while without knocks, and one after it: each by chance": Case(
        knocks="-" * 50 + "x" + " " * 200 + "x" + "-" * 10, samples=(served(1005), served(1051)), outages=[]
    ),
    "refused, and this machine stood still for 2 s amid it": Case(
        knocks="-" * 50 + "r" * 50 + " " * 10 + "r" * 50 + "-" * 10,
        samples=(served(1005), served(1032.3)),
        outages=[(22.0, 0.2)],
    ),
    "hung, and this machine stood still for 2 s amid it, and refused then": Case(
        knocks="-" * 100 + " " * 10 + "-" * 90 + "r" * 50 + "-" * 10,
        samples=(served(1000), served(1005), hung(1010, 30.2, aside=True), served(1050.3)),
        outages=[(42.35, 2.55)],
    ),
    "refused, and served late as it came back, and this machine stood still for 2 s of that": Case(
        knocks="-" * 50 + "r" * 50 + "-" * 20 + " " * 10 + "-" * 40,
        samples=(served(1005), served(1020.3, 12.0)),
        outages=[(21.85, 0.65)],
    ),
    "masked, and this machine stood still between two sessions that are close together": Case(
        knocks="-" * 60 + " " * 10 + "-" * 20,
        samples=(served(1000), sample(1011, MASKED), sample(1015, MASKED), served(1016)),
        outages=[(10.0, 6.0)],
    ),
    "served late, and this machine stood still for 2 s of that": Case(
        knocks="-" * 100 + " " * 10 + "-" * 90, samples=(served(1000), served(1015, 20.0)), outages=[(17.25, 17.65)]
    ),
    "masked, and again after this machine slept": Case(
        knocks=SLEPT, samples=(served(1000), sample(1010, MASKED), sample(1055, MASKED)), outages=[(0.0, 49.95)]
    ),
    "masked, and not greeted after this machine slept": Case(
        knocks=SLEPT,
        samples=(served(1000), sample(1010, MASKED), hung(1055, 5.0), served(1062)),
        outages=[(33.5, 28.5)],
    ),
    "not greeted, for this machine slept meanwhile: nobody knows since when": Case(
        knocks=SLEPT, samples=(served(1000), hung(1010, 45.0), served(1060)), outages=[(30.0, 30.0)]
    ),
    "waited as this machine slept, and its way had gone after that": Case(
        knocks=SLEPT[:-25] + "r" * 10 + "-" * 15,
        samples=(served(1000), hung(1002, 50.0, aside=True), served(1060)),
        outages=[(2.0, 0.2)],
    ),
    "masked since it came back": Case(
        knocks=REFUSED_10,
        samples=(served(1005), sample(1020.3, MASKED), sample(1035, MASKED)),
        outages=[(25.0, 0.1)],
        kinds=["unreachable", "critical"],
    ),
    "masked since it came back, by a session whose SYN was sent again": Case(
        knocks=REFUSED_10,
        samples=(served(1005), sample(1019.0, MASKED, answered=1020.1), sample(1035, MASKED)),
        outages=[(25.0, 0.1)],
        kinds=["unreachable", "critical"],
    ),
    "down from the start, and masked since": Case(
        knocks="r" * 50 + "-" * 80, samples=(sample(1010.3, MASKED), sample(1025, MASKED)), outages=[(25.0, 0.0)]
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_knocks_and_sessions_come_to(case: Case) -> None:
    folded = timeline(*case.samples, told=case.knocks)
    assert [told(one) for one in whole(folded)] == case.outages
    assert not case.kinds or [gap.kind for gap in folded.gaps] == case.kinds


def test_what_a_session_found_goes_on_from_where_knocks_say_that_somebody_answered() -> None:
    refused, mute = timeline(served(1005), hung(1020.3, 10.0), told=REFUSED_10).gaps
    assert refused.ended == mute.began == Edge(1019.8, 1020.0)


def test_a_connection_may_have_been_well_until_it_broke() -> None:
    """Clients that postscreen keeps waiting are served until their connection ends."""
    broke = sample(1015, MUTE, answered=1015.0, closed=1019.0, failed=True, broke=True)
    assert timeline(served(1000), broke).gaps[0].began == Edge(1000.1, 1019.0)
    assert timeline(served(1000), hung(1015)).gaps[0].began == Edge(1000.1, 1015.0)


def test_one_that_waited_shows_the_server_well_when_it_was_served() -> None:
    folded = timeline(served(1000), hung(1010), served(1040.0, 22.0), sample(1070.0, MASKED))
    assert [(gap.began, gap.ended) for gap in folded.gaps] == [
        (Edge(1000.1, 1010.0), Edge(1060.9, 1062.0)),
        (Edge(1062.0, 1070.0), None),
    ]
