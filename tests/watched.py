"""Values for tests of `probe watch`: knocks, sessions and whole watches, at times that are easy to read."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from probe.model import (
    Cadence,
    Edge,
    Ending,
    EndpointName,
    Failure,
    Gap,
    GapKind,
    Judgement,
    Knock,
    MaskedBy,
    Sample,
    Service,
    Standing,
    Verdict,
    Wanted,
    Watched,
    WatchedEndpoint,
)
from probe.verdict.gaps import Reach

SMTP = EndpointName("vip", Service.SMTP, 25)
IMAPS = EndpointName("vip", Service.IMAPS, 993)
VIP = ip_address("10.0.20.202")
OURS, NODE = ip_address("192.168.1.10"), ip_address("10.0.20.102")
FAILURES = {
    "-": None,
    "w": None,
    "x": Failure.TIMED_OUT,
    "r": Failure.REFUSED,
    "u": Failure.UNREACHABLE,
    "v": Failure.VANTAGE,
}


def knocks(told: str, *, start: float = 1000.0, every: float = 0.2) -> Iterable[Knock]:
    """A knock for each sign: `-` answered, `w` so but 0.7 s later, `x` silence, `r` refused, `u` unreachable, `v` not
    sent; blank none.
    """
    for number, sign in enumerate(told):
        if sign != " ":
            at = round(start + number * every, 3)
            seconds = 0.701 if sign == "w" else 0.001
            yield Knock(at=at, left=at, seconds=seconds, failure=FAILURES[sign], spacing=every)


def reach(told: str, **more: Any) -> Reach:
    """What so many knocks come to."""
    folded = Reach(endpoint=SMTP)
    for knock in knocks(told, **more):
        folded = folded.after(knock)
    return folded


def judgement(verdict: Verdict = Verdict.PRESERVED, **more: Any) -> Judgement:
    """A verdict with words that name it."""
    masked_by = MaskedBy.NODE if verdict is Verdict.MASKED else None
    told = {"rule": f"rule-of-{verdict}", "explanation": f"It is {verdict}.", "hint": "Look.", **more}
    return Judgement(verdict=verdict, masked_by=masked_by, **told)


def sample(at: float, verdict: Verdict = Verdict.PRESERVED, **more: Any) -> Sample:
    """A session of half a second."""
    seen = {Verdict.PRESERVED: (OURS,), Verdict.MASKED: (NODE,)}.get(verdict, ())
    told = {
        "closed": at + 0.5,
        "judged": at + 0.6,
        "session": f"s{at:.0f}",
        "seen": seen,
        "judgement": judgement(verdict),
        **more,
    }
    return Sample(at=at, **told)


def gap(began: float, ended: float | None, **more: Any) -> Gap:
    """A stretch without answers, its edges known to 0.2 s."""
    told: dict[str, Any] = {"endpoint": SMTP, "kind": GapKind.UNREACHABLE, "how": ("timed_out",), **more}
    seen = began + 5.0 if ended is None else ended - 0.1
    back = None if ended is None else Edge(ended - 0.1, ended + 0.1)
    return Gap(began=Edge(began - 0.1, began + 0.1), seen=told.pop("seen", seen), ended=back, **told)


def endpoint(name: EndpointName = SMTP, **more: Any) -> WatchedEndpoint:
    """An endpoint that was well all the time, from 1000 s on."""
    samples = (sample(1000.0), sample(1050.0))
    told: dict[str, Any] = {
        "cadence": Cadence(asked=0.2, longest=0.2, sent=300, answered=300),
        "samples": samples,
        "baseline": samples[0],
        "knocked_since": 1000.0,
        "good_since": 1000.0,
        "pace": 60.0,
        **more,
    }
    return WatchedEndpoint(name=name, host=str(VIP), address=VIP, **told)


def watched(*endpoints: WatchedEndpoint, wanted: Wanted | None = None, **more: Any) -> Watched:
    """A minute and a half of two endpoints that were well."""
    told: dict[str, Any] = {"ending": Ending.INTERRUPTED, "began": 1001.0, "until": 1090.0, **more}
    return Watched(
        vantage="lan-probe",
        wanted=wanted or Wanted(),
        started=1000.0,
        endpoints=endpoints or (endpoint(), endpoint(IMAPS)),
        **told,
    )


def drained(**more: Any) -> Watched:
    """A drain: out for 12 s, named by a session, the announcer changed, and a node's address seen ever after."""
    cause = "10.0.20.202 is announced by node1, which has no local endpoint; the pod runs on node2."
    words = judgement(Verdict.SILENT_DROP, explanation="smtp at 10.0.20.202:25 did not answer.", cause=cause)
    after = (sample(1050.2, Verdict.MASKED), sample(1065.2, Verdict.MASKED))
    masked = Gap(
        endpoint=SMTP,
        kind=GapKind.CRITICAL,
        began=Edge(1020.0, 1050.2),
        seen=1065.2,
        how=("masked",),
        judgement=judgement(Verdict.MASKED),
    )
    smtp = endpoint(
        gaps=(gap(1038.0, 1050.0, judgement=words), masked),
        samples=(sample(1000.0), sample(1020.0), sample(1038.6, Verdict.SILENT_DROP, aside=True), *after),
        good_since=None,
    )
    imaps = endpoint(
        IMAPS,
        gaps=(gap(1038.05, 1050.05, endpoint=IMAPS),),
        samples=(sample(1000.0), sample(1020.0), sample(1050.3)),
    )
    return watched(
        smtp,
        imaps,
        announcers=(
            Standing(edge=Edge(None, 1000.3), value="node1", address=VIP),
            Standing(edge=Edge(1049.5, 1050.5), value="node2", address=VIP),
        ),
        nodes=(
            Standing(edge=Edge(None, 1000.3), value="1", node="node1"),
            Standing(edge=Edge(1037.5, 1038.5), value="0", node="node1"),
        ),
        clients={"vantage": 8, "public": 41, "node": 12},
        **more,
    )
