"""A watch as a whole -> whether it may end, and what it comes to. Pure; what endpoints have shown is `shown`'s to say.

Rule 1: a gap that lasts is critical, whatever is tolerated; one that is over is tolerated up to `--max-outage`, and
        without that not at all. What was out before the watch began is held against nobody once it is over.
Rule 2: of verdicts the latest counts: what they were amid the change is told, what they came to is the result.
Rule 3: to be well takes new good news, not the absence of bad: a watch is stable once every endpoint has had a session
        that was opened after the stretch that was asked for, and was good; and at any end what lacks news is unknown.
Rule 4: the worst row decides, in the contract's order: critical, warning, unknown, ok.
Rule 5: nobody waits for ever: where nobody goes or comes back any more and yet all do not become well, it ends and says
        what they are. An outage that is tolerated is given its time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from probe.model import Conclusion, Ending, Gap, GapKind, Lack, Severity, Verdict, Watched, WatchedEndpoint
from probe.verdict.shown import failed_in, how, late, length, outages, waits, well_since

LOSSY = 0.02
FEW_LOST = 5
"""SYNs that go unanswered one by one are told as loss above so many, and above this share of all."""

LEAST_PATIENCE = 300.0
OUTAGE_PATIENCE = 900.0
PATIENCE_TURNS = 5
"""Waiting for all to be well, or for the sessions that show so, goes on for so many seconds in which nobody goes or
comes back, and so many times --until-stable. Where somebody is not served, it goes on for the longer one, and so many
times --max-outage: Kubernetes takes a volume from a node that is gone after six minutes, and only then does the pod
start elsewhere."""

QUIET = 60.0
"""Seconds in which nobody goes or comes back until the end that comes of that is told."""

LATE_TURNS = 2
"""The sessions that the end waits for are waited for as long as LEAST_PATIENCE, and so many times their pace."""


def longest(watched: Watched) -> Gap | None:
    """The longest outage of all endpoints, of those that began while somebody watched or last."""
    return max(_charged(watched.endpoints), key=lambda gap: gap.seconds, default=None)


def too_long(watched: Watched) -> Gap | None:
    """The outage that went past what is tolerated; one from the start counts from there while it lasts.

    What a session that failed has seen counts too, though its evidence is still looked for.
    """
    most = watched.wanted.max_outage
    failed = (_with_what_failed(one) for one in watched.endpoints)
    gap = max(_charged(failed), key=lambda one: one.seconds, default=None)
    return gap if most is not None and gap is not None and gap.seconds > most else None


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
    stable, wanted = stable_since(watched), watched.wanted.until_stable
    if stable is None or wanted is None or changes(watched):
        return None
    return max(stable, watched.change_over or stable) + wanted


def changes(watched: Watched) -> bool:
    """Whether the process that makes the change is still at it."""
    return watched.wanted.process is not None and watched.change_over is None


def unshown_since(watched: Watched, moment: float) -> tuple[WatchedEndpoint, ...]:
    """Endpoints of which no session that was opened since then is judged yet, or that lack another one."""
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
    if gap is None or most is None or gap.kind is not GapKind.CRITICAL:
        return None
    return outages(endpoint)[-1].began.by + most


def stable_since(watched: Watched) -> float | None:
    """Since when all endpoints have been well, since the baseline at most; None where one is not."""
    since = [well_since(endpoint) for endpoint in watched.endpoints]
    if watched.began is None or None in since:
        return None
    return max(watched.began, *(moment for moment in since if moment is not None))


def stable_seconds(watched: Watched) -> float | None:
    """Seconds for which all endpoints have been well."""
    since = stable_since(watched)
    return None if since is None else watched.until - since


def calm_since(watched: Watched, began: float) -> float:
    """Since when nobody has gone or come back, since the baseline and the end of the change at most."""
    gaps = [gap for endpoint in watched.endpoints for gap in endpoint.gaps]
    turns = (gap.began.by if gap.ended is None else gap.ended.moment for gap in gaps)
    return max(began, watched.change_over or began, *turns)


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
    if is_stable(watched):
        return Ending.STABLE
    given_up = given_up_at(watched)
    return Ending.UNPROVEN if given_up is not None and given_up <= watched.until else None


def is_stable(watched: Watched) -> bool:
    """Whether all have been well for as long as was asked for, and have shown so since."""
    moment = closing(watched)
    if moment is None or watched.until < moment:
        return False
    return not unshown_since(watched, moment) and not any(one.in_doubt for one in watched.endpoints)


def nears_its_end(watched: Watched) -> float | None:
    """When it ends though all are not well, once that has gone on for so long that it should be told; else None."""
    if watched.began is None or closing(watched) is not None:
        return None
    quiet = watched.until - calm_since(watched, watched.began)
    return given_up_at(watched) if quiet >= QUIET else None


def given_up_at(watched: Watched) -> float | None:
    """When it ends though not all have shown that they are well, if nobody goes or comes back any more."""
    wanted, moment = watched.wanted, closing(watched)
    if watched.began is None or wanted.until_stable is None or changes(watched):
        return None
    if moment is None:
        return calm_since(watched, watched.began) + patience(watched, wanted.until_stable)
    pace = max((one.pace for one in watched.endpoints), default=0.0)
    return moment + max(LEAST_PATIENCE, LATE_TURNS * pace)


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
    return f"{gap.endpoint} was out for {length(gap)} ({how(gap)}){so_far}; {most:g} s are tolerated"


def _lasts(watched: Watched) -> str | None:
    lasting = [f"{one.name} {how(one.lasting)}" for one in watched.endpoints if one.lasting]
    return f"out as the watch ended: {', '.join(lasting)}" if lasting else None


def _was_out(watched: Watched) -> str | None:
    gap = longest(watched)
    if watched.wanted.max_outage is not None or gap is None:
        return None
    out = {one.endpoint for one in _charged(watched.endpoints)}
    rest = f" (the longest: {gap.endpoint}, {how(gap)})" if len(out) > 1 else f" ({how(gap)})"
    names = f"{len(out)} endpoints were" if len(out) > 1 else f"{gap.endpoint} was"
    return f"{names} out for {length(gap)}{rest}; nothing is tolerated without --max-outage"


def _loses(watched: Watched) -> str | None:
    lossy = [
        f"{one.name} {one.cadence.lost} of {one.cadence.sent}"
        for one in watched.endpoints
        if one.cadence.lost >= FEW_LOST and one.cadence.lost > LOSSY * one.cadence.sent
    ]
    return f"SYNs were lost one by one: {', '.join(lossy)}" if lossy else None


def _late(watched: Watched) -> tuple[float, WatchedEndpoint] | None:
    waited = [(seconds, one) for one in watched.endpoints if (seconds := late(one)) is not None]
    return max(waited, key=lambda each: each[0], default=None)


def _answers_late(watched: Watched) -> str | None:
    found, most = _late(watched), watched.wanted.max_outage or 0.0
    if found is None or found[0] <= most:
        return None
    return f"{found[1].name} let a session wait for {found[0]:.1f} s until it answered; {most:g} s are tolerated"


def _latest(severity: Severity) -> Callable[[Watched], str | None]:
    def says(watched: Watched) -> str | None:
        found = [
            f"{one.name} {one.latest.verdict}"
            for one in watched.endpoints
            if one.latest is not None and one.latest.verdict.severity is severity
        ]
        return f"at the end {', '.join(found)}" if found else None

    return says


UNSHOWN = {
    Lack.SERVER: "a session has waited for its server, and has shown nothing yet",
    Lack.EVIDENCE: "a session has worked, and its evidence has not come yet (no line in a log)",
    Lack.VERDICT: "a session has failed, and is not judged yet",
    Lack.SESSION: "no session has come for long",
}


def _unshown(watched: Watched) -> str | None:
    late = awaited(watched) if watched.ending is Ending.UNPROVEN else ()
    never, told = list[str](), dict[str, list[str]]()
    for one in watched.endpoints:
        wait = None if one.awaits_session else waits(one, watched.until)
        if wait is not None:
            told.setdefault(UNSHOWN[wait.lack], []).append(f"{one.name} for {wait.seconds:.0f} s")
        elif one.awaits_session or one in late:
            never.append(str(one.name))
    parts = [f"no session has shown how {', '.join(never)} serves"] if never else []
    parts += [f"{what}: {', '.join(names)}" for what, names in told.items()]
    return "; ".join(parts) or None


def _blind(watched: Watched) -> str | None:
    seconds = max((span.seconds for one in watched.endpoints for span in one.blind), default=0.0)
    untold = seconds > (watched.wanted.max_outage or 0.0)
    return f"nobody knocked for {seconds:.1f} s, and an outage may hide there" if untold else None


def _well(watched: Watched) -> str | None:
    if watched.began is None:
        return None
    found = _late(watched)
    waited = f"; the longest wait for an answer was {found[0]:.1f} s ({found[1].name})" if found else ""
    return _best(watched) + waited


def _best(watched: Watched) -> str:
    gap = longest(watched)
    if gap is None:
        return _well_since_the_start(watched)
    return f"the longest outage was {length(gap)} ({gap.endpoint}: {how(gap)}), which is tolerated, and all are back"


def _well_since_the_start(watched: Watched) -> str:
    before = [gap for endpoint in watched.endpoints for gap in outages(endpoint) if gap.from_the_start]
    if not before:
        return "nobody was out"
    gap = max(before, key=lambda one: one.seconds)
    longer = "longest " if len({one.endpoint for one in before}) > 1 else ""
    return f"what was out from the start is back ({longer}{gap.endpoint}: {length(gap)}), and nobody was out since"


RULES: tuple[Rule, ...] = (
    Rule("baseline-broken", Severity.CRITICAL, _broken_before),
    Rule("outage-too-long", Severity.CRITICAL, _too_long),
    Rule("outage-lasts", Severity.CRITICAL, _lasts),
    Rule("outage-seen", Severity.CRITICAL, _was_out),
    Rule("verdict-critical", Severity.CRITICAL, _latest(Severity.CRITICAL)),
    Rule("verdict-warning", Severity.WARNING, _latest(Severity.WARNING)),
    Rule("answered-late", Severity.WARNING, _answers_late),
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


def _charged(endpoints: Iterable[WatchedEndpoint]) -> Iterable[Gap]:
    """Outages that count: not those from the start that are over."""
    known = (gap for endpoint in endpoints for gap in outages(endpoint))
    return (gap for gap in known if gap.ended is None or not gap.from_the_start)
