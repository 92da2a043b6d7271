"""One endpoint of a watch -> what its sessions have shown of it, and what they have not shown yet. Pure.

Rule 1: an endpoint is well only when a session showed so after its last gap: an answered SYN serves nobody.
Rule 2: a session is slow by what those before it took: its talk by their talk, the search for its evidence by theirs. A
        server that has answered long ago does not wait, and a log that is late says nothing of the server.
Rule 3: a session that waits is no good news, and no outage either: what it will come to is not known until it has
        failed, or was served late (`timeline`).
Rule 4: one session whose line is lost is chance; whose addresses clients showed for two in a row, nobody has seen. One
        that met a rate limit tells nothing of addresses, and parts no row.
Rule 5: good news ages: where no session has come for longer than two of them should take, nothing is shown any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from probe.model import Edge, Gap, GapKind, Lack, Sample, Severity, Span, UnderWay, Verdict, Wait, WatchedEndpoint
from probe.verdict import timeline
from probe.verdict.gaps import STILL
from probe.verdict.served import MILD, UNSURE, is_certain, is_served, serves

LATEST = 20
"""Sessions that the one under way is compared with."""

SLOW_TURNS = 2
SLOW_SECONDS = 8.0
"""A session is slow once it takes so many times what the others took, and so many seconds more: postscreen lets a
client that it does not know wait for 6. So is the next one, once there has been none for so long."""


def is_good(verdict: Verdict, baseline: Verdict | None) -> bool:
    """Whether a session is as good as it must be: proven, or no less so than before anything was changed."""
    return verdict.severity is Severity.OK or (verdict is baseline is Verdict.UNVERIFIED)


def waits(endpoint: WatchedEndpoint, until: float) -> Wait | None:
    """What it lacks until it shows anew how it serves, if a session has failed, or for longer than it should."""
    session = endpoint.under_way
    if session is not None and session.closed is not None and session.failed is not None:
        return Wait(until - session.closed, Lack.VERDICT)
    return (_slow(session, endpoint, until) if session else None) or _seldom(endpoint, until)


def stalls(endpoint: WatchedEndpoint, until: float) -> Wait | None:
    """The same; where none has shown it since it came back, only what the session lacks that is to."""
    wait = waits(endpoint, until)
    if wait is None or not endpoint.awaits_session:
        return wait
    return None if endpoint.latest is None or wait.lack in (Lack.SESSION, Lack.VERDICT) else wait


def _slow(session: UnderWay, endpoint: WatchedEndpoint, until: float) -> Wait | None:
    worked = [one for one in endpoint.samples[-LATEST:] if one.took_place and not one.failed]
    if session.closed is None:
        usual, wait = (
            [one.closed - one.at for one in worked],
            Wait(until - session.opened, Lack.SERVER if session.begun else Lack.OPENING),
        )
    else:
        usual, wait = [one.judged - one.closed for one in worked], Wait(until - session.closed, Lack.EVIDENCE)
    return wait if _is_long(wait.seconds, max(usual, default=0.0)) else None


def _seldom(endpoint: WatchedEndpoint, until: float) -> Wait | None:
    latest = endpoint.latest
    if latest is None:
        return None
    ago = until - latest.shown
    return Wait(ago, Lack.SESSION) if _is_long(ago, max(endpoint.pace, latest.judged - latest.at)) else None


def _is_long(seconds: float, usual: float) -> bool:
    return seconds > SLOW_TURNS * usual + SLOW_SECONDS


def well_since(endpoint: WatchedEndpoint, tolerated: float = 0.0) -> float | None:
    """Since when it was reachable and its sessions good, and somebody looked; None where it is not, or not shown.

    `tolerated`: seconds for which nobody need have looked, up to STILL.
    """
    if endpoint.lasting or endpoint.good_since is None or endpoint.awaits_session:
        return None
    looked = [span.end for span in endpoint.blind if span.seconds > min(tolerated, STILL)]
    return max(endpoint.good_since, endpoint.last_back or endpoint.good_since, *looked)


def unseen(endpoint: WatchedEndpoint) -> list[tuple[Span, int]]:
    """When nobody saw whose address the server sees, until a session that tells, and how many were served amid that.

    Where one of those was masked it is told with that.
    """
    told, spans = [one for one in endpoint.samples if not one.aside and one.verdict not in UNSURE], []
    runs = [(hidden, [*run]) for hidden, run in groupby(told, lambda one: one.verdict is Verdict.UNVERIFIED)]
    befores = [None, *(run[-1] for _, run in runs)]
    for before, (hidden, run), (_, (after, *_rest)) in zip(befores, runs, runs[1:], strict=False):
        since = _seen_before(endpoint, before, run)
        masked = after.verdict.severity is Severity.CRITICAL and serves(after.verdict)
        if hidden and since is not None and not masked:
            spans.append((Span(since, after.at), len(run)))
    return spans


def _seen_before(endpoint: WatchedEndpoint, sample: Sample | None, run: Sequence[Sample]) -> float | None:
    """When it was last known how clients are seen: by the session before these, or because nobody was served.

    Where there was none before, nobody has known since the first of these.
    """
    if sample is None:
        return run[0].at
    proven = sample.verdict.severity is Severity.OK
    until = (run[0] if proven else run[-1]).shown
    out = (gap.ended for gap in endpoint.gaps if gap.ended is not None and is_certain(gap))
    ends = (edge for edge in out if sample.at < edge.by <= until)
    return max([edge.earliest for edge in ends] + [sample.shown] * proven, default=None)


def outages(endpoint: WatchedEndpoint) -> tuple[Gap, ...]:
    """Its outages, each as one gap: what changes its kind meanwhile, from refused to not greeted, is still the same.

    What is none, for everybody was served late or turned away with a warning, is among them, and has that kind.
    """
    return tuple(_as_one(parts, _first(parts)) for parts in timeline.outages(endpoint.gaps))


def _first(parts: Sequence[Gap]) -> Gap:
    """The part that an outage is told from on."""
    return next((part for part in parts if part.kind not in MILD), parts[0])


def _as_one(parts: Sequence[Gap], first: Gap) -> Gap:
    """From this part on; it is over only when the last of its parts is. What was not seen since does not name it."""
    if len(parts) == 1:
        return first
    of_it = [part for part in parts if part is first or part.ended is None or part.ended.by > first.began.by]
    certain = [part for part in of_it if is_certain(part)] or of_it
    ends, seen = [part.ended.by for part in of_it if part.ended is not None], max(part.seen for part in certain)
    return replace(
        first,
        seen=seen,
        ended=Edge(seen, max(ends)) if len(ends) == len(of_it) else None,
        how=tuple(dict.fromkeys(how(part) for part in of_it if part is first or part.seen > first.began.by)),
        judgement=of_it[-1].judgement if all(map(is_served, of_it)) else None,
        unseen=timeline.unseen([Span(first.began.by, first.began.by), *timeline.seen_in(certain, first)]),
    )


def real_outages(endpoint: WatchedEndpoint) -> tuple[Gap, ...]:
    """Its outages but for what is none by itself: clients were served late then, or turned away."""
    return tuple(gap for gap in outages(endpoint) if gap.kind not in MILD)


def turned_into(gap: Gap, gaps: Sequence[Gap]) -> Gap | None:
    """What it was from its end on, if that was no return: the part of its outage that began there.

    Where somebody answers knocks again, that is told as a return.
    """
    if gap.ended is None or gap.kind is GapKind.UNREACHABLE:
        return None
    parts = (one for one in gaps if one.endpoint == gap.endpoint and one is not gap)
    return next((one for one in parts if one.began.by == gap.ended.by), None)


def served_late(endpoint: WatchedEndpoint) -> tuple[Gap, ...]:
    """What sessions waited that is of no outage: also what was over before the outage that it is told with."""
    told = [gap for gap in outages(endpoint) if gap.kind is GapKind.WAITED]
    for parts in timeline.outages(endpoint.gaps):
        began = _first(parts).began.by
        told += [part for part in parts if part.kind is GapKind.WAITED and part.ended and part.ended.by <= began]
    return tuple(told)


def turned_away(endpoint: WatchedEndpoint) -> tuple[Gap, ...]:
    """When nobody was served, from when clients were turned away and that was no outage: with one that followed."""
    stretches = timeline.outages(endpoint.gaps)
    return tuple(_as_one(parts, parts[0]) for parts in stretches if _is_turned_away(parts[0]))


def _is_turned_away(gap: Gap) -> bool:
    return gap.kind is GapKind.TURNED_AWAY


def lasting(endpoint: WatchedEndpoint) -> Gap | None:
    """What it is now, where an outage lasts: sessions that are turned away only where they certainly go on from one."""
    gap = endpoint.lasting
    if gap is None or not _is_turned_away(gap):
        return gap
    return gap if is_certain(gap) and outages(endpoint)[-1].kind not in MILD else None


def seconds_out(endpoint: WatchedEndpoint) -> float:
    """Seconds in which it was out, as its outages are told."""
    return sum(gap.seconds for gap in real_outages(endpoint))


STATES = {
    Lack.OPENING: "opens {seconds:.0f} s",
    Lack.SERVER: "waits {seconds:.0f} s",
    Lack.EVIDENCE: "judging {seconds:.0f} s",
    Lack.VERDICT: "{failed} so far",
    Lack.SESSION: "shown {seconds:.0f} s ago",
}
"""Where an endpoint stands that lacks this: the board has 13 columns for it where there is least room."""


def standing(endpoint: WatchedEndpoint, until: float) -> tuple[Severity, str]:
    """Where an endpoint stands at this moment, in a few words."""
    gap, latest = lasting(endpoint), endpoint.latest
    if gap is not None:
        return Severity.CRITICAL, how(gap)
    if latest is None:
        return Severity.UNKNOWN, "no session yet"
    wait = stalls(endpoint, until)
    if endpoint.awaits_session and wait is None:
        return Severity.UNKNOWN, "back, no session yet"
    mild = latest.verdict.severity in (Severity.OK, Severity.UNKNOWN)
    if wait is not None and (mild or endpoint.awaits_session):
        failed = endpoint.under_way.failed if endpoint.under_way else None
        return Severity.UNKNOWN, STATES[wait.lack].format(seconds=wait.seconds, failed=failed)
    masked = latest.judgement.masked_by
    return latest.verdict.severity, f"{latest.verdict} by {masked}" if masked else latest.verdict


def how(gap: Gap) -> str:
    """What a gap was, in a few words: the verdict of a session in it, or how its knocks failed."""
    judgement = gap.judgement
    if judgement is not None and judgement.verdict.severity is Severity.CRITICAL:
        masked = f" by {judgement.masked_by}" if judgement.masked_by else ""
        return f"{judgement.verdict}{masked}"
    return ", ".join(WORDS.get(one, one) for one in gap.how)


WORDS = {
    "timed_out": "no answer",
    "unreachable": "unreachable",
    "refused": "refused",
    "reset": "reset",
    "waited": "served late",
}
"""Failures of knocks, and a session that waited, for people; a verdict is a session's to give."""


def length(gap: Gap) -> str:
    """How long a gap was: `39.9 s ± 0.2`, `at least 12.0 s`."""
    if gap.is_at_least:
        return f"at least {gap.seconds:.1f} s"
    return f"{gap.seconds:.1f} s ± {max(gap.bound, 0.05):.1f}"
