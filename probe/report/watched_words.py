"""A watch in words and figures that all its reports share. Pure.

Every time is a wall time of the vantage's own zone, to 0.1 s; `Times` knows the zone, which every line, heading or page
names, and what the wall clock is ahead of the probe's clock.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from itertools import islice

from probe.model import (
    Edge,
    Ending,
    Gap,
    GapKind,
    MaskedBy,
    Moved,
    Sample,
    Severity,
    Span,
    Standing,
    Verdict,
    Watched,
    WatchedEndpoint,
)
from probe.report.text import counted
from probe.verdict import shown
from probe.verdict.ending import awaited, changes, closing, is_broken, nears_its_end, only_limited, tried_again
from probe.verdict.shown import how, turned_into, waits
from probe.verdict.watched import conclude

MARKS = {Severity.OK: "✓", Severity.WARNING: "!", Severity.CRITICAL: "✗", Severity.UNKNOWN: "?"}

MOST_BLINDS = 10
MOST_NAMED = 3
"""Paths that are well, as they are told where another is broken."""

ENDINGS = {
    Ending.STABLE: "it ended because all endpoints had been well for as long as was asked",
    Ending.UNPROVEN: "it ended because for minutes all had not become well, or had not stayed so",
    Ending.INTERRUPTED: "it was ended by a signal (Ctrl-C)",
    Ending.MAX_OUTAGE: "it ended at once, for an outage was longer than is tolerated",
    Ending.BASELINE: "it did not begin, for something was broken, or rate_limited, before anything was changed",
}


@dataclass(frozen=True, slots=True)
class Times:
    """How moments of the probe's clock are written."""

    zone: tzinfo
    shift: float = 0.0

    def clock(self, moment: float, digits: int = 1) -> str:
        """The time of day, to 0.1 s, or as many digits as are asked for."""
        shown = datetime.fromtimestamp(round(moment + self.shift, digits), self.zone)
        return f"{shown:%H:%M:%S}.{f'{shown.microsecond:06}'[:digits]}"

    def stamp(self, moment: float) -> str:
        """The time of day with its zone, for a line that stands alone."""
        return f"{self.clock(moment)} {self.offset(moment)}"

    def day(self, moment: float) -> str:
        """The date, the time to the second, and the zone."""
        shown = datetime.fromtimestamp(moment + self.shift, self.zone)
        return f"{shown:%Y-%m-%d %H:%M:%S} {self.offset(moment)}"

    def offset(self, moment: float) -> str:
        """The zone's offset, as in RFC 3339."""
        return datetime.fromtimestamp(moment + self.shift, self.zone).isoformat()[-6:].replace("+00:00", "UTC")


@dataclass(frozen=True, slots=True)
class Run:
    """Sessions in a row of which the server saw the same."""

    first: Sample
    last: Sample
    count: int


def runs(endpoint: WatchedEndpoint) -> tuple[Run, ...]:
    """What the sessions of an endpoint proved, in order; those that failed for want of an answer are left out."""
    found: list[Run] = []
    for sample in endpoint.samples:
        if sample.aside:
            continue
        if found and _alike(found[-1].last, sample):
            found[-1] = Run(found[-1].first, sample, found[-1].count + 1)
        else:
            found.append(Run(sample, sample, 1))
    return tuple(found)


def _alike(one: Sample, other: Sample) -> bool:
    return _proof(one) == _proof(other)


def _proof(sample: Sample) -> tuple[Verdict, MaskedBy | None, object]:
    return sample.verdict, sample.judgement.masked_by, sample.seen


def proved(sample: Sample) -> str:
    """What a session proved: `preserved (192.168.1.10)`."""
    masked = f" by {sample.judgement.masked_by}" if sample.judgement.masked_by else ""
    seen = f" ({', '.join(map(str, sample.seen))})" if sample.seen else ""
    return f"{sample.verdict}{masked}{seen}"


def addresses(endpoint: WatchedEndpoint) -> str:
    """What clients' addresses looked like over the watch: `preserved (192.168.1.10) → masked by node (10.0.20.102)`."""
    told = [proved(run.first) for run in runs(endpoint)]
    most = [*told[:2], "…", told[-1]] if len(told) > 4 else told
    return " → ".join(most) or "no session"


def when(edge: Edge, times: Times) -> str:
    """An edge: `17:00:01.3`, or `before 17:00:00.1`."""
    return f"before {times.clock(edge.by)}" if edge.after is None else times.clock(edge.moment)


def went(gap: Gap, times: Times) -> str:
    """When a gap began; of a session that waited it is known by when."""
    return f"by {times.clock(gap.began.by)}" if gap.kind is GapKind.WAITED else when(gap.began, times)


def over(gap: Gap, gaps: Sequence[Gap], times: Times) -> str:
    """When a gap came back; where it did not, when the one began that it turned into: `17:00:01.3, then no answer`."""
    if gap.ended is None:
        return "not yet"
    after = turned_into(gap, gaps)
    return f"{went(after, times)}, then {how(after)}" if after else when(gap.ended, times)


def exactly(edge: Edge, times: Times, digits: int = 1) -> str:
    """An edge with what bounds it."""
    if edge.after is None:
        return f"before {times.clock(edge.by, digits)}, when the watch began"
    return f"between {times.clock(edge.after, digits)} and {times.clock(edge.by, digits)}"


def length(gap: Gap) -> str:
    """How long a gap was: `39.9 s ± 0.2`, `at least 12.0 s, lasting`."""
    return shown.length(gap) + ("" if gap.ended else ", lasting")


def kind(gap: Gap) -> str:
    """What a gap was: unanswered SYNs by their verdict or failure, sessions by their verdict."""
    return KINDS.get(gap.kind, "{how}").format(how=how(gap))


KINDS = {GapKind.UNREACHABLE: "no connection: {how}", GapKind.TURNED_AWAY: "turned away: {how}"}
"""A critical verdict, or that a session was served late, says by itself what it was."""


def cadence(endpoint: WatchedEndpoint) -> str:
    """How often it was knocked at, and why no oftener."""
    made = endpoint.cadence
    if not made.sent:
        return "no knock was sent"
    seconds = max(made.longest, made.asked)
    counts = "none counted by the server" if not made.counted else f"{made.counted:,} counted by the server"
    lost = f"; {made.lost:,} lost one by one" if made.lost else ""
    why = f" ({made.why})" if made.why else ""
    spaced = f"up to {round(seconds, 1):g}" if seconds > made.asked + 0.001 else f"{seconds:g}"
    return f"{made.sent:,} knocks, one each {spaced} s, {counts}{lost}{why}"


def cadences(watched: Watched) -> tuple[tuple[str, str], ...]:
    """The same in one line for endpoints that had the same cadence: (whose, what)."""
    groups: dict[str, list[WatchedEndpoint]] = {}
    for endpoint in watched.endpoints:
        made = endpoint.cadence
        plain = bool(made.sent) and not made.counted and not made.lost and not made.why
        groups.setdefault("" if plain else str(endpoint.name), []).append(endpoint)
    told = []
    for name, endpoints in groups.items():
        if name:
            told.append((name, cadence(endpoints[0])))
        else:
            sent = sum(one.cadence.sent for one in endpoints)
            what = f"{sent:,} knocks, one each {endpoints[0].cadence.asked:g} s at each, none counted by the server"
            told.append((counted(len(endpoints), "endpoint"), what))
    return tuple(told)


def sessions(watched: Watched) -> str:
    """How many sessions there were, and what bounded them."""
    count = sum(len(one.samples) for one in watched.endpoints)
    bound = "without a limit (--no-limit)" if watched.wanted.no_limit else "as max_sessions_per_minute allows"
    return f"{counted(count, 'session')}, {bound}"


def ends(watched: Watched) -> str:
    """What an end by --until-stable waits for; empty where none is wanted. What changes comes first: it may be cut."""
    wanted, moment = watched.wanted, closing(watched)
    if wanted.until_stable is None:
        return ""
    if changes(watched):
        return f"ends {wanted.until_stable:g} s after process {wanted.process}, if all are ok"
    left, near = awaited(watched), nears_its_end(watched)
    if left:
        return f"{counted(len(left), 'last session')} {_last(left, watched.until)}; ok for {wanted.until_stable:g} s"
    stable = 0.0 if moment is None else watched.until - moment + wanted.until_stable
    gives_up = "" if near is None else f"; gives up in {near - watched.until:.0f} s"
    return f"ok for {stable:.0f} of {wanted.until_stable:g} s{gives_up}"


def _last(left: Sequence[WatchedEndpoint], until: float) -> str:
    """How far they are."""
    due = max(0.0 if one.under_way else (one.next_session or 0.0) - until for one in left)
    if due >= 1:
        return f"due in {due:.0f} s"
    waited = [wait.seconds for one in left if one.under_way and (wait := waits(one, until)) is not None]
    return f"waiting for {max(waited):.0f} s" if waited else "under way"


def announced(standing: Standing, times: Times) -> str:
    """`10.0.20.202 by node2 since 17:00:40.9`."""
    since = _since(standing, times)
    return f"{standing.address} announced by {standing.value}{since}"


def moved(move: Moved, times: Times) -> str:
    """`mx.example.org means 10.0.20.203 since 17:00:40.9 (± 5.0 s), before that 10.0.20.202`."""
    since = f"since {times.clock(move.edge.moment)} (± {max(move.edge.bound, 0.05):.1f} s)"
    return f"{move.host} means {move.after} {since}" + (f", before that {move.before}" if move.before else "")


def held(standing: Standing, times: Times) -> str:
    """`node2 has 1 local endpoint since …`."""
    count = "no local endpoint" if standing.value == "0" else counted(int(standing.value), "local endpoint")
    return f"{standing.node} has {count}{_since(standing, times)}"


def _since(standing: Standing, times: Times) -> str:
    edge = standing.edge
    if edge.after is None:
        return " at the start"
    return f" since {times.clock(edge.moment)} (± {max(edge.bound, 0.05):.1f} s)"


def clients(watched: Watched) -> str | None:
    """Everybody who came in meanwhile, by the servers' logs."""
    seen = {whose: count for whose, count in watched.clients.items() if count > 0}
    named = [f"{seen[whose]:,} from {place}" for whose, place in NAMED.items() if whose in seen]
    others = {whose: count for whose, count in seen.items() if whose not in NAMED}
    of_them = ", ".join(
        f"{count:,} {OTHERS.get(whose, whose)}" if len(others) > 1 else f"all {OTHERS.get(whose, whose)}"
        for whose, count in others.items()
    )
    told = [*named, f"{sum(others.values()):,} from other addresses ({of_them})"] if others else named
    return f"clients, this machine's sessions among them: {', '.join(told)}" if told else None


NAMED = {
    "node": "cluster nodes' addresses",
    "pod": "pods' addresses",
    "gateway": "gateways' addresses",
    "proxy": "proxies' addresses",
}
OTHERS = {"vantage": "this machine's"}
"""What `mailprobe_clients_total` has as `other` is named so here too, and then what it consists of."""


def total(watched: Watched, listed: Sequence[Gap]) -> str:
    """How many outages, where not all of them are listed."""
    untold = sum(one.untold for one in watched.endpoints)
    every = sum(len(one.gaps) for one in watched.endpoints)
    more = every - len(listed) + untold
    return f"and {counted(more, 'more outage')}" if more > 0 else ""


def blinds(watched: Watched, times: Times) -> tuple[str, ...]:
    """When nobody knocked: the latest such stretches, one of several endpoints once."""
    found: dict[tuple[int, int], tuple[Span, list[str]]] = {}
    for endpoint in watched.endpoints:
        for span in endpoint.blind:
            found.setdefault((round(span.start), round(span.end)), (span, []))[1].append(str(endpoint.name))
    latest = sorted(found.values(), key=lambda one: one[0].start)[-MOST_BLINDS:]
    return tuple(
        f"nobody knocked at {names[0] if len(names) == 1 else counted(len(names), 'endpoint')} from "
        f"{times.clock(span.start)} to {times.clock(span.end)} ({span.seconds:.1f} s): an outage may hide there"
        for span, names in latest
    )


LIMITED = (
    "the baseline is tried again at {at}, for {names} met a rate limit: most likely of this machine's own sessions, of "
    "which servers count a minute"
)
WAIT = (
    "most likely by this machine's own sessions. Nothing was touched. Wait a minute, with fewer checks beside it (a "
    "daemon, other --once: schedule.max_sessions_per_minute), or let the server exempt this machine (docs/drains.md)"
)


def limited(watched: Watched, times: Times) -> str | None:
    """What a baseline waits for that met a rate limit."""
    waiting = tried_again(watched)
    again = max((one.next_session or watched.until for one in waiting), default=None)
    names = ", ".join(str(one.name) for one in waiting)
    return None if again is None else LIMITED.format(names=names, at=times.clock(again))


def refusal(watched: Watched) -> str:
    """Why it did not begin, and what to do."""
    sentence = conclude(watched).sentence
    if only_limited(watched):
        return f"does not begin: {sentence}; {WAIT}"
    if not any(map(is_broken, watched.endpoints)):
        return f"does not begin after {watched.until - watched.started:.0f} s: {sentence}. Nothing was touched"
    return f"refuses to watch what is {sentence}; {ways_on(watched)}"


def ways_on(watched: Watched) -> str:
    """What to do where something was broken before; paths that are well may be watched alone."""
    broken = {one.name.path for one in watched.endpoints if is_broken(one)}
    well = dict.fromkeys(one.name.path for one in watched.endpoints if one.name.path not in broken)
    alone = " ".join(f"--path {shlex.quote(path)}" for path in islice(well, MOST_NAMED))
    more = " …" if len(well) > MOST_NAMED else ""
    leave_out = f", leave it out ({alone}{more})" if well else ""
    return f"mend it first{leave_out}, or watch it all the same with --from-broken"
