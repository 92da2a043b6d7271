"""A watch as a whole -> what it comes to: the table of docs/watch.md. Pure.

Rule 1: a gap that lasts is critical, whatever is tolerated; one that is over is tolerated up to `--max-outage`, and
        without that not at all. What was out before the watch began is held against nobody once it is over.
Rule 2: of verdicts the latest counts: what they were amid the change is told, what they came to is the result.
Rule 3: at any end what lacks news is unknown.
Rule 4: the worst row decides, in the contract's order: critical, warning, unknown, ok.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from probe.model import Conclusion, Ending, Gap, Lack, Severity, Watched, WatchedEndpoint
from probe.verdict.ending import LEAST_PATIENCE, awaited, charged, is_broken, longest, only_limited, too_long
from probe.verdict.served import TURNS_AWAY, is_certain
from probe.verdict.shown import how, lasting, length, real_outages, served_late, stalls, turned_away, unseen

OFTEN = 3
"""So many outages of an endpoint in LEAST_PATIENCE before the end, and it comes and goes still."""

TWO_IN_A_ROW = 2
"""The line of one session may be lost by chance."""

LOSSY = 0.02
FEW_LOST = 5
"""SYNs that go unanswered one by one are told as loss above so many, and above this share of all."""

BY_CHANCE = 2.5
"""Seconds without a knock after one that the server counted by chance: it waits for 2 s."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: a name, and the sentence of what it found, or None."""

    name: str
    severity: Severity
    says: Callable[[Watched], str | None]


def _broken_before(watched: Watched) -> str | None:
    if watched.ending is not Ending.BASELINE or only_limited(watched):
        return None
    broken = [f"{one.name} {one.baseline.verdict}" for one in watched.endpoints if is_broken(one) and one.baseline]
    return f"broken before anything was changed: {', '.join(broken)}" if broken else None


def _limited_before(watched: Watched) -> str | None:
    if watched.ending is not Ending.BASELINE or not only_limited(watched):
        return None
    limited = ", ".join(str(one.name) for one in watched.endpoints if is_broken(one))
    return f"rate_limited before anything was changed, and again a minute later: {limited}"


def _too_long(watched: Watched) -> str | None:
    gap, most = too_long(watched), watched.wanted.max_outage
    if gap is None:
        return None
    so_far = "" if gap.ended else ", and it lasts"
    return f"{gap.endpoint} was out for {length(gap)} ({how(gap)}){so_far}; {most:g} s are tolerated"


def _lasts(watched: Watched) -> str | None:
    still = [f"{one.name} {how(gap)}" for one in watched.endpoints if (gap := lasting(one))]
    return f"out as the watch ended: {', '.join(still)}" if still else None


def _was_out(watched: Watched) -> str | None:
    gap = longest(watched)
    if watched.wanted.max_outage is not None or gap is None:
        return None
    out = {one.endpoint for one in charged(watched.endpoints)}
    rest = f" (the longest: {gap.endpoint}, {how(gap)})" if len(out) > 1 else f" ({how(gap)})"
    names = f"{len(out)} endpoints were" if len(out) > 1 else f"{gap.endpoint} was"
    return f"{names} out for {length(gap)}{rest}; nothing is tolerated without --max-outage"


def _perhaps_too_long(watched: Watched) -> str | None:
    """Nobody looked closely enough to know; it is no reason to break off a change, and it is not well either."""
    gap, tolerated = max(charged(watched.endpoints), key=lambda one: one.most, default=None), watched.wanted.max_outage
    if gap is None or tolerated is None or gap.most <= tolerated:
        return None
    amid = sum(span.seconds for span in gap.unseen)
    unseen = f": how it was for {amid:.1f} s amid it, nobody knows" if amid else ""
    told = f"{gap.endpoint} was out for {length(gap)} ({how(gap)})"
    return f"{told}, perhaps for longer than the {tolerated:g} s tolerated{unseen}"


def _comes_and_goes(watched: Watched) -> str | None:
    """What was stable has come to rest."""
    if watched.ending is Ending.STABLE:
        return None
    since = watched.until - max(LEAST_PATIENCE, watched.wanted.until_stable or 0.0)
    most = 1 if watched.ending is Ending.UNPROVEN else OFTEN
    often = [
        (sum(span.end >= since for gap in real_outages(one) for span in gap.stretches), one)
        for one in watched.endpoints
    ]
    told = ", ".join(f"{one.name} {count} times" for count, one in often if count >= most)
    return f"nothing shows that it is over: out in the last {watched.until - since:.0f} s were {told}" if told else None


def _served_late(watched: Watched) -> str | None:
    """A session that waited, and worked, is no outage; but mail stood still, perhaps for longer than is known."""
    gap = _longest_wait(watched)
    if gap is None or gap.seconds <= (watched.wanted.max_outage or 0.0):
        return None
    return _waited(gap)


def _longest_wait(watched: Watched) -> Gap | None:
    late = [gap for one in watched.endpoints for gap in served_late(one)]
    return max(late, key=lambda one: one.seconds, default=None)


def _waited(gap: Gap) -> str:
    return f"{gap.endpoint} was served, but waited for {length(gap)} until its server answered"


def _turned_away(watched: Watched) -> str | None:
    """No outage by itself, and nobody was served: it is tolerated as an outage would be."""
    gap = _longest_turned_away(watched)
    if gap is None or gap.most <= (watched.wanted.max_outage or 0.0):
        return None
    return _turned(gap)


def _longest_turned_away(watched: Watched) -> Gap | None:
    turned = [gap for one in watched.endpoints for gap in turned_away(one)]
    return max((gap for gap in turned if not gap.from_the_start), key=lambda gap: gap.most, default=None)


def _turned(gap: Gap) -> str:
    then_out = any(one not in TURNS_AWAY for one in gap.how)
    what, whom = ("turned clients away and was then out", "at first ") if then_out else ("turned clients away", "")
    perhaps = "" if is_certain(gap) else f", {whom}perhaps this machine alone"
    return f"{gap.endpoint} {what} for {length(gap)} ({how(gap)}{perhaps})"


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


UNSHOWN = {
    Lack.OPENING: "a session waits to be opened (for the address of its host, or its place), and has shown nothing yet",
    Lack.SERVER: "a session has waited for its server, and has shown nothing yet",
    Lack.EVIDENCE: "a session has worked, and its evidence has not come yet (no line in a log)",
    Lack.VERDICT: "a session has failed, and is not judged yet",
    Lack.SESSION: "no session has come for long",
}


def _unshown(watched: Watched) -> str | None:
    late = awaited(watched) if watched.ending is Ending.UNPROVEN else ()
    never, told = list[str](), dict[str, list[str]]()
    for one in watched.endpoints:
        wait = stalls(one, watched.until)
        if wait is not None:
            told.setdefault(UNSHOWN[wait.lack], []).append(f"{one.name} for {wait.seconds:.0f} s")
        elif one.awaits_session or one.baseline is None or one in late:
            never.append(str(one.name))
    parts = [f"no session has shown how {', '.join(never)} serves"] if never else []
    parts += [f"{what}: {', '.join(names)}" for what, names in told.items()]
    return "; ".join(parts) or None


def _blind_seconds(watched: Watched) -> float:
    return max((span.seconds for one in watched.endpoints for span in one.blind), default=0.0)


def _blind(watched: Watched) -> str | None:
    seconds, most = _blind_seconds(watched), watched.wanted.max_outage
    if seconds > (0.0 if watched.ending is Ending.UNPROVEN else most or 0.0):
        return f"nobody knocked for {seconds:.1f} s, and an outage may hide there"
    apart = _seconds_apart(watched)
    return (
        f"{_apart(apart)}, and an outage may hide between two"
        if apart > (BY_CHANCE if most is None else most)
        else None
    )


def _seconds_apart(watched: Watched) -> float:
    """How long an outage may be that nobody saw, where the server counts knocks: they come as seldom as it allows."""
    held = (one for one in watched.endpoints if one.cadence.counted)
    return max((min(one.cadence.longest, _between_sessions(one, watched.until)) for one in held), default=0.0)


def _between_sessions(endpoint: WatchedEndpoint, until: float) -> float:
    """What lies between two of them at most: one may have been opened before it, and answered after it."""
    looked = [one for one in endpoint.samples if one.took_place]
    shown = (*(one.shown for one in looked), until)[1:]
    return max((end - one.at for one, end in zip(looked, shown, strict=True)), default=until)


def _apart(seconds: float) -> str:
    return f"knocks and sessions were up to {seconds:.0f} s apart, for the server counts both"


def _longest_unseen(watched: Watched, at_least: int = 1) -> tuple[float, str]:
    spans = [
        (span.seconds, str(one.name)) for one in watched.endpoints for span, count in unseen(one) if count >= at_least
    ]
    return max(spans, default=(0.0, ""))


def _unseen(watched: Watched) -> str | None:
    seconds, name = _longest_unseen(watched, TWO_IN_A_ROW)
    return _hidden(seconds, name) if seconds > (watched.wanted.max_outage or 0.0) else None


def _hidden(seconds: float, name: str) -> str:
    return f"nobody saw whose addresses the clients of {name} showed for {seconds:.1f} s, and they may have been masked"


def _not_stable(watched: Watched) -> str | None:
    untold = "it was given up: all were not well for as long as was asked for"
    return untold if watched.ending is Ending.UNPROVEN else None


def _well(watched: Watched) -> str | None:
    if watched.began is None:
        return None
    seconds = _blind_seconds(watched)
    blind = f"; nobody knocked for {seconds:.1f} s, and a shorter outage may hide there" if seconds else ""
    apart = _seconds_apart(watched)
    blind += f"; {_apart(apart)}, and a shorter outage may hide between two" if apart > BY_CHANCE else ""
    late, turned = _longest_wait(watched), _longest_turned_away(watched)
    beside = (f"; {_waited(late)}" if late else "") + (f"; {_turned(turned)}" if turned else "")
    hidden = _longest_unseen(watched)
    beside += f"; {_hidden(*hidden)}" if hidden[0] else ""
    return _best(watched) + beside + blind


def _best(watched: Watched) -> str:
    gap = longest(watched)
    if gap is None:
        return _well_since_the_start(watched)
    return f"the longest outage was {length(gap)} ({gap.endpoint}: {how(gap)}), which is tolerated, and all are back"


def _well_since_the_start(watched: Watched) -> str:
    before = [gap for endpoint in watched.endpoints for gap in real_outages(endpoint) if gap.from_the_start]
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
    Rule("baseline-limited", Severity.WARNING, _limited_before),
    Rule("outage-perhaps-too-long", Severity.WARNING, _perhaps_too_long),
    Rule("comes-and-goes", Severity.WARNING, _comes_and_goes),
    Rule("verdict-warning", Severity.WARNING, _latest(Severity.WARNING)),
    Rule("turned-away", Severity.WARNING, _turned_away),
    Rule("served-late", Severity.WARNING, _served_late),
    Rule("syns-lost", Severity.WARNING, _loses),
    Rule("not-shown-after", Severity.UNKNOWN, _unshown),
    Rule("verdict-unknown", Severity.UNKNOWN, _latest(Severity.UNKNOWN)),
    Rule("blind", Severity.UNKNOWN, _blind),
    Rule("addresses-unseen", Severity.UNKNOWN, _unseen),
    Rule("not-stable", Severity.UNKNOWN, _not_stable),
    Rule("well", Severity.OK, _well),
)


def conclude(watched: Watched) -> Conclusion:
    """What it comes to: the first row that has something to say."""
    for rule in RULES:
        sentence = rule.says(watched)
        if sentence is not None:
            return Conclusion(severity=rule.severity, rule=rule.name, sentence=sentence)
    return Conclusion(severity=Severity.UNKNOWN, rule="nothing-seen", sentence="nothing was watched")
