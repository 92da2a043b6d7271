"""A watch as a whole -> where each endpoint stands, whether it may end, and what it comes to. Pure.

Rule 1: a gap that lasts is critical, whatever is tolerated; one that is over is tolerated up to `--max-outage`, and
        without that not at all. What was out before the watch began is held against nobody once it is over.
Rule 2: of verdicts the latest counts: what they were amid the change is told, what they came to is the result.
Rule 3: an endpoint is well only when a session showed so after its last gap: an answered SYN serves nobody.
Rule 4: to be well takes new good news, not the absence of bad: a watch is stable once every endpoint has had a session
        that was opened after the stretch that was asked for, and was good. A session that waits is no good news,
        and no outage either: what it will come to is not known until it has failed.
Rule 5: the worst row decides, in the contract's order: critical, warning, unknown, ok.
Rule 6: nobody waits for ever: where nobody goes or comes back any more and yet all do not become well, it ends and says
        what they are. An outage that is tolerated is given its time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from probe.model import Conclusion, Edge, Ending, Gap, GapKind, Severity, Verdict, Watched, WatchedEndpoint

LOSSY = 0.02
FEW_LOST = 5
"""SYNs that go unanswered one by one are told as loss above so many, and above this share of all."""

HANGS_TURNS = 2
HANGS_SECONDS = 8.0
"""A session that is not judged yet waits for something once it takes so many times what the others took, and so many
seconds more: postscreen lets a client that it does not know wait for 6."""

LEAST_PATIENCE = 300.0
OUTAGE_PATIENCE = 900.0
PATIENCE_TURNS = 5
"""Waiting for all to be well, or for the sessions that show so, goes on for so many seconds in which nobody goes or
comes back, and so many times --until-stable. Where somebody is not served, it goes on for the longer one, and so many
times --max-outage: Kubernetes takes a volume from a node that is gone after six minutes, and only then does the pod
start elsewhere."""

LATE_TURNS = 2
"""The sessions that the end waits for are waited for as long as LEAST_PATIENCE, and so many times their pace."""


def longest(watched: Watched) -> Gap | None:
    """The longest gap of all endpoints, of those that began while somebody watched or last."""
    return max(_charged(watched), key=lambda gap: gap.seconds, default=None)


def too_long(watched: Watched) -> Gap | None:
    """The gap that went past what is tolerated; one from the start counts from there while it lasts.

    What a session that failed has seen counts too, though its evidence is still looked for.
    """
    most = watched.wanted.max_outage
    failed = [gap for one in watched.endpoints if (gap := failed_in(one)) is not None]
    gap = max([*_charged(watched), *failed], key=lambda one: one.seconds, default=None)
    return gap if most is not None and gap is not None and gap.seconds > most else None


def is_good(verdict: Verdict, baseline: Verdict | None) -> bool:
    """Whether a session is as good as it must be: proven, or no less so than before anything was changed."""
    return verdict.severity is Severity.OK or (verdict is baseline is Verdict.UNVERIFIED)


def waits(endpoint: WatchedEndpoint, until: float) -> float | None:
    """For how many seconds the session under way has gone on, where it failed, or that is longer than it should be."""
    session = endpoint.under_way
    if session is None:
        return None
    seconds = until - session.opened
    is_long = seconds > HANGS_TURNS * endpoint.usual + HANGS_SECONDS
    return seconds if is_long or session.failed is not None else None


def failed_in(endpoint: WatchedEndpoint) -> Gap | None:
    """The gap that a session has certainly seen which failed, critically, and is not written down yet."""
    session, known = endpoint.under_way, endpoint.lasting
    if session is None or session.failed is None or session.verdict is None:
        return None
    unreachable = known is not None and known.kind is GapKind.UNREACHABLE
    if unreachable or session.verdict.severity is not Severity.CRITICAL:
        return None
    if known is not None:
        return replace(known, seen=max(known.seen, session.failed))
    good = max((one.shown for one in endpoint.samples if not one.aside), default=None)
    began, how = Edge(good, session.opened), (str(session.verdict),)
    return Gap(endpoint=endpoint.name, kind=GapKind.CRITICAL, began=began, seen=session.failed, how=how)


def as_ended(watched: Watched) -> Watched:
    """The same; where an outage was too long, what sessions have seen of one that failed is listed as such."""
    if watched.ending is not Ending.MAX_OUTAGE:
        return watched
    return replace(watched, endpoints=tuple(_with_what_failed(one) for one in watched.endpoints))


def _with_what_failed(endpoint: WatchedEndpoint) -> WatchedEndpoint:
    seen, known = failed_in(endpoint), endpoint.lasting
    if seen is None:
        return endpoint
    return replace(endpoint, gaps=(*(gap for gap in endpoint.gaps if gap is not known), seen))


def closing(watched: Watched) -> float | None:
    """The moment from which on one good session of each endpoint ends the watch; None where all are not well."""
    stable, wanted = stable_seconds(watched), watched.wanted.until_stable
    if stable is None or wanted is None or changes(watched):
        return None
    return max(watched.until - stable, watched.change_over or 0.0) + wanted


def changes(watched: Watched) -> bool:
    """Whether the process that makes the change is still at it."""
    return watched.wanted.process is not None and watched.change_over is None


def unshown_since(watched: Watched, moment: float) -> tuple[WatchedEndpoint, ...]:
    """Endpoints of which no session that was opened since then is judged yet, or one waits."""
    return tuple(
        one
        for one in watched.endpoints
        if one.latest is None or one.latest.at < moment or waits(one, watched.until) is not None
    )


def awaited(watched: Watched) -> tuple[WatchedEndpoint, ...]:
    """Endpoints whose last session is all that the end waits for."""
    moment = closing(watched)
    return () if moment is None or watched.until < moment else unshown_since(watched, moment)


def sessions_wanted(watched: Watched) -> tuple[WatchedEndpoint, ...]:
    """Endpoints of which a session is wanted now, ahead of its turn: to show what the end waits for, or that an outage
    lasts."""
    moment = closing(watched)
    return tuple(one for one in watched.endpoints if _is_wanted(one, watched, moment))


def _is_wanted(endpoint: WatchedEndpoint, watched: Watched, closing_at: float | None) -> bool:
    moments = [closing_at, _too_long_at(endpoint, watched)]
    due = max((moment for moment in moments if moment is not None and moment <= watched.until), default=None)
    if due is None:
        return False
    opened = [one.at for one in endpoint.samples[-1:]] + ([endpoint.under_way.opened] if endpoint.under_way else [])
    return max(opened, default=float("-inf")) < due


def _too_long_at(endpoint: WatchedEndpoint, watched: Watched) -> float | None:
    """When what only sessions see becomes too long, if it lasts."""
    gap, most = endpoint.lasting, watched.wanted.max_outage
    return None if gap is None or most is None or gap.kind is not GapKind.CRITICAL else gap.began.by + most


def well_since(endpoint: WatchedEndpoint) -> float | None:
    """Since when it was reachable and its sessions good; None where it is not, or no session has shown it yet."""
    if endpoint.lasting or endpoint.good_since is None or endpoint.awaits_session:
        return None
    return max(endpoint.good_since, endpoint.last_back or endpoint.good_since)


def stable_seconds(watched: Watched) -> float | None:
    """Seconds for which all endpoints have been well, since the baseline at most; None where one is not."""
    since = [well_since(endpoint) for endpoint in watched.endpoints]
    if watched.began is None or None in since:
        return None
    return watched.until - max(watched.began, *(moment for moment in since if moment is not None))


def calm_seconds(watched: Watched, began: float) -> float:
    """Seconds for which nobody has gone or come back, since the baseline and the end of the change at most."""
    gaps = [gap for endpoint in watched.endpoints for gap in endpoint.gaps]
    turns = (gap.began.by if gap.ended is None else gap.ended.moment for gap in gaps)
    return watched.until - max(began, watched.change_over or began, *turns)


def patience(watched: Watched, until_stable: float) -> float:
    """Seconds for which nobody goes or comes back until it ends, though not all are well."""
    least = max(LEAST_PATIENCE, PATIENCE_TURNS * until_stable)
    if not any(map(_is_unserved, watched.endpoints)):
        return least
    return max(least, OUTAGE_PATIENCE, PATIENCE_TURNS * (watched.wanted.max_outage or 0.0))


def _is_unserved(endpoint: WatchedEndpoint) -> bool:
    """Whether its clients get nothing: who is masked is out, and yet served."""
    gap, latest = endpoint.lasting, endpoint.latest
    if gap is None or gap.kind is GapKind.UNREACHABLE:
        return gap is not None
    return latest is None or latest.verdict is not Verdict.MASKED


def why_over(watched: Watched) -> Ending | None:
    """Why it ends by itself; None: it goes on."""
    wanted = watched.wanted
    if watched.began is None:
        return None
    if not wanted.from_broken and any(map(is_broken, watched.endpoints)):
        return Ending.BASELINE
    if too_long(watched) is not None:
        return Ending.MAX_OUTAGE
    if wanted.until_stable is None or changes(watched):
        return None
    moment = closing(watched)
    if moment is not None:
        return _last_shown(watched, moment)
    calm = calm_seconds(watched, watched.began)
    return Ending.UNPROVEN if calm >= patience(watched, wanted.until_stable) else None


def _last_shown(watched: Watched, moment: float) -> Ending | None:
    """Once all have been well until this moment: whether all have shown so since, or are not waited for any more."""
    if watched.until < moment:
        return None
    if not unshown_since(watched, moment) and not any(one.in_doubt for one in watched.endpoints):
        return Ending.STABLE
    pace = max((one.pace for one in watched.endpoints), default=0.0)
    late = watched.until - moment >= max(LEAST_PATIENCE, LATE_TURNS * pace)
    return Ending.UNPROVEN if late else None


def standing(endpoint: WatchedEndpoint, until: float | None = None) -> tuple[Severity, str]:
    """Where an endpoint stands at this moment, in a few words."""
    gap, latest = endpoint.lasting, endpoint.latest
    if gap is not None:
        return Severity.CRITICAL, how(gap)
    if latest is None:
        return Severity.UNKNOWN, "no session yet"
    if endpoint.awaits_session:
        return Severity.UNKNOWN, "back, no session yet"
    waiting = None if until is None else waits(endpoint, until)
    if waiting is not None and latest.verdict.severity in (Severity.OK, Severity.UNKNOWN):
        return Severity.UNKNOWN, f"a session waits: {waiting:.0f} s"
    masked = latest.judgement.masked_by
    return latest.verdict.severity, f"{latest.verdict} by {masked}" if masked else latest.verdict


def how(gap: Gap) -> str:
    """What a gap was, in a few words: the verdict of a session in it, or how its knocks failed."""
    judgement = gap.judgement
    if judgement is not None and judgement.verdict.severity is Severity.CRITICAL:
        masked = f" by {judgement.masked_by}" if judgement.masked_by else ""
        return f"{judgement.verdict}{masked}"
    return ", ".join(KNOCKS.get(one, one) for one in gap.how)


KNOCKS = {
    "timed_out": "no answer",
    "unreachable": "unreachable",
    "refused": "refused",
    "reset": "reset",
}
"""Failures of knocks, for people; a verdict is a session's to give."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: a name, and the sentence of what it found, or None."""

    name: str
    severity: Severity
    says: Callable[[Watched], str | None]


def _broken_before(watched: Watched) -> str | None:
    if watched.ending is not Ending.BASELINE:
        return None
    broken = [f"{one.name} {one.baseline.verdict}" for one in watched.endpoints if is_broken(one) and one.baseline]
    return f"broken before anything was changed: {', '.join(broken)}"


def is_broken(endpoint: WatchedEndpoint) -> bool:
    """Whether it was critical before anything was changed."""
    return endpoint.baseline is not None and endpoint.baseline.verdict.severity is Severity.CRITICAL


def _too_long(watched: Watched) -> str | None:
    gap, most = too_long(watched), watched.wanted.max_outage
    if gap is None:
        return None
    so_far = "" if gap.ended else ", and it lasts"
    return f"{gap.endpoint} was out for {_length(gap)} ({how(gap)}){so_far}; {most:g} s are tolerated"


def _lasts(watched: Watched) -> str | None:
    lasting = [f"{one.name} {how(one.lasting)}" for one in watched.endpoints if one.lasting]
    return f"out as the watch ended: {', '.join(lasting)}" if lasting else None


def _was_out(watched: Watched) -> str | None:
    gap = longest(watched)
    if watched.wanted.max_outage is not None or gap is None:
        return None
    out = {one.endpoint for one in _charged(watched)}
    rest = f" (the longest: {gap.endpoint}, {how(gap)})" if len(out) > 1 else f" ({how(gap)})"
    names = f"{len(out)} endpoints were" if len(out) > 1 else f"{gap.endpoint} was"
    return f"{names} out for {_length(gap)}{rest}; nothing is tolerated without --max-outage"


def _length(gap: Gap) -> str:
    if gap.ended is None or gap.from_the_start:
        return f"at least {gap.seconds:.1f} s"
    return f"{gap.seconds:.1f} s ± {max(gap.bound, 0.05):.1f}"


def _loses(watched: Watched) -> str | None:
    lossy = [
        f"{one.name} {one.cadence.lost} of {one.cadence.sent}"
        for one in watched.endpoints
        if one.cadence.lost >= FEW_LOST and one.cadence.lost > LOSSY * one.cadence.sent
    ]
    return f"SYNs were lost one by one: {', '.join(lossy)}" if lossy else None


def _latest(severity: Severity) -> Callable[[Watched], str | None]:
    def says(watched: Watched) -> str | None:
        found = [
            f"{one.name} {one.latest.verdict}"
            for one in watched.endpoints
            if one.latest is not None and one.latest.verdict.severity is severity
        ]
        return f"at the end {', '.join(found)}" if found else None

    return says


def _unshown(watched: Watched) -> str | None:
    late = awaited(watched) if watched.ending is Ending.UNPROVEN else ()
    names = [str(one.name) for one in watched.endpoints if one.awaits_session or one in late]
    if names:
        return f"no session has shown how {', '.join(names)} serves"
    waiting = [(one.name, seconds) for one in watched.endpoints if (seconds := waits(one, watched.until)) is not None]
    told = ", ".join(f"{name} for {seconds:.0f} s" for name, seconds in waiting)
    return f"a session has waited, and has shown nothing yet: {told}" if waiting else None


def _blind(watched: Watched) -> str | None:
    seconds = max((span.seconds for one in watched.endpoints for span in one.blind), default=0.0)
    untold = seconds > (watched.wanted.max_outage or 0.0)
    return f"nobody knocked for {seconds:.1f} s, and an outage may hide there" if untold else None


def _well(watched: Watched) -> str | None:
    gap = longest(watched)
    if gap is None:
        return _well_since_the_start(watched) if watched.began is not None else None
    return f"the longest outage was {_length(gap)} ({gap.endpoint}: {how(gap)}), which is tolerated, and all are back"


def _well_since_the_start(watched: Watched) -> str:
    before = [gap for endpoint in watched.endpoints for gap in endpoint.gaps if gap.from_the_start]
    if not before:
        return "nobody was out"
    gap = max(before, key=lambda one: one.seconds)
    longer = "longest " if len({one.endpoint for one in before}) > 1 else ""
    return f"what was out from the start is back ({longer}{gap.endpoint}: {_length(gap)}), and nobody was out since"


RULES: tuple[Rule, ...] = (
    Rule("baseline-broken", Severity.CRITICAL, _broken_before),
    Rule("outage-too-long", Severity.CRITICAL, _too_long),
    Rule("outage-lasts", Severity.CRITICAL, _lasts),
    Rule("outage-seen", Severity.CRITICAL, _was_out),
    Rule("verdict-critical", Severity.CRITICAL, _latest(Severity.CRITICAL)),
    Rule("verdict-warning", Severity.WARNING, _latest(Severity.WARNING)),
    Rule("syns-lost", Severity.WARNING, _loses),
    Rule("not-shown-after", Severity.UNKNOWN, _unshown),
    Rule("verdict-unknown", Severity.UNKNOWN, _latest(Severity.UNKNOWN)),
    Rule("blind", Severity.UNKNOWN, _blind),
    Rule("well", Severity.OK, _well),
)


def conclude(watched: Watched) -> Conclusion:
    """What it comes to: the first row that has something to say."""
    for rule in RULES:
        sentence = rule.says(watched)
        if sentence is not None:
            return Conclusion(severity=rule.severity, rule=rule.name, sentence=sentence)
    return Conclusion(severity=Severity.UNKNOWN, rule="nothing-seen", sentence="nothing was watched")


def _charged(watched: Watched) -> Iterable[Gap]:
    """Gaps that count: not those from the start that are over."""
    gaps = (gap for endpoint in watched.endpoints for gap in endpoint.gaps)
    return (gap for gap in gaps if gap.ended is None or not gap.from_the_start)
