"""Servers that come and go as chance has it, knocked at and visited in no real time: no edge that is told is false.

A server is well, refuses, drops, closes, hangs and serves what waited when it is well again, serves everybody under one
address, turns everybody away with a 421, or this machine alone; the line of every third session that it serves is lost.
Sessions come each 15 s, and at once when the way is back, as those of a watch do, while there is room for them: two
connections of a minute are kept for such moments, and the first session that fails spends two more.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from itertools import pairwise

import pytest

from probe.model import Edge, Endpoint, Failure, Gap, GapKind, Knock, Phase, PhaseTiming, Result, Service, Verdict
from probe.service.vigil.post import Post, Turn
from probe.verdict.served import is_served
from probe.verdict.shown import how, outages
from tests.builders import failed, result

SMTP = Endpoint(path="vip", service=Service.SMTP, host="10.0.20.202", port=25)
KNOCKS, PATIENCE, CONNECT = 0.2, 30.0, 5.0
"""Seconds between knocks, and for which a session waits: for its greeting, and to connect."""

MINUTE, KEPT, CONTROLS = 60.0, 2, 2
NO_LIMIT = 1_000
BUDGETS = (6, 3, NO_LIMIT)
"""Connections a minute."""

UNTOLD = 8.4
"""A hang that sessions waited for no longer than this is not told."""


class State(Enum):
    WELL = auto()
    REFUSES = auto()
    DROPS = auto()
    CLOSES = auto()
    HANGS = auto()
    MASKS = auto()
    TURNS_AWAY = auto()
    LIMITS = auto()


SERVES = (State.WELL, State.LIMITS)
"""States in which clients are served: who is over a limit is this machine."""

AS_SEEN = {State.WELL: Verdict.PRESERVED, State.MASKS: Verdict.MASKED}
TURNED = {State.TURNS_AWAY: Verdict.SERVICE_ERROR, State.LIMITS: Verdict.RATE_LIMITED}
KNOCKED = {State.REFUSES: Failure.REFUSED, State.DROPS: Failure.TIMED_OUT}


@dataclass(frozen=True)
class Stretch:
    state: State
    start: float
    end: float


@dataclass(frozen=True)
class Truth:
    """What the server did, from 1000 s on."""

    stretches: tuple[Stretch, ...]

    def at(self, moment: float) -> Stretch:
        return next(one for one in self.stretches if one.start <= moment < one.end)

    def is_out(self, moment: float) -> bool:
        """Whether it was, or began or ceased to be so right then."""
        return any(self.at(moment + by).state not in SERVES for by in (-0.06, 0.0, 0.06))

    def is_unserved(self, start: float, end: float) -> bool:
        """Whether nobody was served in all of this time."""
        amid = [one.state for one in self.stretches if one.start < end and start < one.end]
        return not any(state in (*SERVES, State.MASKS) for state in amid)

    def is_over_about(self, moment: float, gap: Gap) -> bool:
        """Whether it was over then, or right before: who is masked is served, which ends all but being masked."""
        ends = SERVES if gap.how[-1].startswith(Verdict.MASKED) else (*SERVES, State.MASKS)
        return self.at(moment).state in ends or self.at(moment - 0.06).state in ends

    def out_in(self, start: float, end: float, sessions: Sequence[Result]) -> float:
        """Seconds of this time in which it was, on end, for all that sessions could know (docs/watch.md)."""
        longest = seconds = 0.0
        for before, one in zip((self.stretches[0], *self.stretches), self.stretches, strict=False):
            if one.state in SERVES and (before.state in KNOCKED or self._is_seen(one, sessions)):
                seconds = 0.0
            else:
                seconds += max(0.0, min(one.end, end) - max(one.start, start))
            longest = max(longest, seconds)
        return longest

    def _is_seen(self, stretch: Stretch, sessions: Sequence[Result]) -> bool:
        """Whether more than two sessions lie around it: it is unseen only between two that were alike."""
        after = self.stretches[self.stretches.index(stretch) + 1 :][:1]
        unsure = (Verdict.RATE_LIMITED, Verdict.UNVERIFIED)
        told = [one for one in sessions if one.judgement.verdict not in unsure]
        around = [one for one in told if one.session.opened < stretch.start][-1:]
        around += [one for one in told if one.session.opened >= stretch.end][:1]
        if [one.judgement.verdict for one in around] != [Verdict.MASKED] * 2:  # amid that a lost line is no session
            told += [one for one in sessions if one.judgement.verdict is Verdict.UNVERIFIED]
        spans = [(one.session.opened, one.session.answered or one.session.closed) for one in told]
        met = any(opened < stretch.end and answered > stretch.start for opened, answered in spans)
        return met or not after or after[0].state in KNOCKED

    def session(self, opened: float) -> Result:
        match self.at(opened).state:
            case State.WELL | State.MASKS as state:
                return _served(opened, 0.05, AS_SEEN[state])
            case State.REFUSES:
                return _failed(Verdict.REFUSED, opened, None, opened, Failure.REFUSED)
            case State.CLOSES:
                return _failed(Verdict.NO_GREETING, opened, opened, opened, Failure.CLOSED)
            case State.HANGS:
                return self._hung(opened)
            case State.TURNS_AWAY | State.LIMITS as state:
                return _turned_away(TURNED[state], opened, 0.05)
            case _:
                return self._dropped(opened)

    def _dropped(self, opened: float) -> Result:
        again = (opened + after for after in (1.0, 3.0) if self.at(opened + after).state is not State.DROPS)
        sent = next(again, None)
        if sent is None:
            return _failed(Verdict.SILENT_DROP, opened, None, opened + CONNECT, Failure.TIMED_OUT)
        resent = self.session(sent)
        return replace(resent, session=replace(resent.session, opened=opened))

    def _hung(self, opened: float) -> Result:
        moment = opened
        while self.at(moment).state in (State.HANGS, State.DROPS):
            moment = self.at(moment).end
        if moment > opened + PATIENCE:
            return _failed(Verdict.NO_GREETING, opened, opened, opened + PATIENCE, Failure.TIMED_OUT)
        if self.at(moment).state in AS_SEEN:
            return _served(opened, moment - opened + 0.05, AS_SEEN[self.at(moment).state])
        if self.at(moment).state in TURNED:
            return _turned_away(TURNED[self.at(moment).state], opened, moment - opened + 0.05)
        return _failed(Verdict.NO_GREETING, opened, opened, moment, Failure.CLOSED)


def _served(opened: float, waited: float, verdict: Verdict) -> Result:
    served = result(verdict, opened=opened, connected=opened, closed=opened + waited + 0.3)
    phases = (PhaseTiming(phase=Phase.FIRST_BYTE, seconds=waited),)
    return replace(served, session=replace(served.session, phases=phases))


def _turned_away(verdict: Verdict, opened: float, waited: float) -> Result:
    """A 421 in the place of a greeting."""
    turned = _failed(verdict, opened, opened, opened + waited, Failure.REJECTED)
    phases = (PhaseTiming(phase=Phase.FIRST_BYTE, seconds=waited),)
    return replace(turned, session=replace(turned.session, phases=phases))


def _failed(verdict: Verdict, opened: float, connected: float | None, closed: float, failure: Failure) -> Result:
    fault = failed(Phase.CONNECT if connected is None else Phase.FIRST_BYTE, failure)
    return result(verdict, opened=opened, connected=connected, closed=closed, fault=fault)


def _given_up(one: Result, now: float) -> Result:
    """A session as it was when it was not waited for any longer."""
    session = one.session
    if session.waited is not None and session.connected is not None and session.connected + session.waited <= now:
        return one
    connected = None if session.connected is None or session.connected > now else session.connected
    return _failed(Verdict.NO_GREETING, session.opened, connected, now, Failure.TIMED_OUT)


def in_order(*states: tuple[State, float]) -> Truth:
    """A server that does these, each for so many seconds, between a well start and a well end."""
    told, now = [Stretch(State.WELL, 1000.0, 1020.0)], 1020.0
    for state, seconds in (*states, (State.WELL, 160.0)):
        told.append(Stretch(state, now, now + seconds))
        now += seconds
    return Truth(tuple(told))


def by_chance(chance: random.Random) -> Truth:
    told = list[tuple[State, float]]()
    bad = [state for state in State if state is not State.WELL] + [State.REFUSES]
    for _ in range(chance.randint(1, 4)):
        states = [chance.choice(bad) for _ in range(chance.choice((1, 1, 2, 3)))]
        for state in [*states, State.WELL]:
            told.append((state, chance.uniform(1.0, 60.0 if state is State.HANGS else 30.0)))
    return in_order(*told)


@dataclass
class Watching:
    """Knocks, in the order in which they left, and sessions as they come.

    `due`: when the next session is; `under_way`: it, and what it waited. `amid`: what was told of an outage before a
    session that failed was written down, and when. `spent`: when connections of the last minute were opened.
    """

    truth: Truth
    budget: int = NO_LIMIT
    post: Post = field(default_factory=lambda: Post(SMTP))
    due: float = 1000.05
    under_way: Result | None = None
    sessions: list[Result] = field(default_factory=list)
    amid: list[tuple[Gap, float]] = field(default_factory=list)
    spent: deque[float] = field(default_factory=deque)

    def run(self) -> None:
        waiting: deque[tuple[float, Knock]] = deque()
        for number in range(round((self.truth.stretches[-1].end - 1030.0) / KNOCKS)):
            now = round(1000.0 + number * KNOCKS, 3)
            failure = KNOCKED.get(self.truth.at(now).state)
            heard = now + (0.9 if failure is Failure.TIMED_OUT else 0.001)
            waiting.append((heard, Knock(at=now, left=now, seconds=0.001, failure=failure)))
            while waiting and waiting[0][0] <= now:
                self._turned(self.post.knocked(waiting.popleft()[1]), now)
            self._walk(now)

    def _turned(self, turn: Turn | None, now: float) -> None:
        if turn is Turn.WENT:
            self.due = min(self.due, now + 0.5)
        elif turn is Turn.CAME_BACK:
            self.due = min(self.due, now)
            one = self.under_way
            if one is not None and one.session.opened <= self.post.silent_until and now < one.session.closed:
                self.under_way, given_up = None, _given_up(one, now)
                if self.post.has_hung(given_up.session):
                    self._written_down(given_up, now)

    def _written_down(self, one: Result, now: float) -> None:
        told = self.post.told(KNOCKS, failed=None if one.session.fault is None else one)
        self.amid += [(gap, now) for gap in outages(replace(told, gaps=told.feared or told.gaps))]
        self.post.recorded(one, now)
        self.sessions.append(one)

    def _walk(self, now: float) -> None:
        if self.under_way is not None and now >= self.under_way.session.closed + 1.5:
            self._written_down(self.under_way, now)
            self.under_way = None
        while self.spent and self.spent[0] <= now - MINUTE:
            self.spent.popleft()
        if self.under_way is None and now >= self.due and len(self.spent) < self.budget:
            self.under_way, self.due = self._as_logged(self.truth.session(now + 0.05)), now + self.pace
            self.spent += [now] * (1 + CONTROLS * self._fails_anew(self.under_way))

    @property
    def pace(self) -> float:
        return max(MINUTE / (self.budget - KEPT), 15.0)

    def _fails_anew(self, one: Result) -> bool:
        before = self.sessions[-1].judgement.verdict if self.sessions else None
        return one.session.fault is not None and one.judgement.verdict is not before

    def _as_logged(self, one: Result) -> Result:
        """With what its line shows, or without: every third is lost."""
        lost = len(self.sessions) % 3 == 2 and one.judgement.verdict in AS_SEEN.values()
        return replace(one, judgement=result(Verdict.UNVERIFIED).judgement) if lost else one


def falsehoods(truth: Truth, watching: Watching) -> Iterator[tuple[str, Gap]]:
    """What is told and was not so: edges, lengths, and what is two outages."""
    told = outages(watching.post.told(KNOCKS))
    for gap, after in pairwise(told):
        if truth.is_unserved(gap.seen, after.began.by):
            yield "it went on", gap
    for gap, now in watching.amid:
        if not _is_limited(gap) and _is_too_much(gap, gap.ended.by if gap.ended else now, truth, watching.sessions):
            yield "it had not been that long", gap
    for part in watching.post.told(KNOCKS).gaps:
        if is_served(part) and part.began.after is not None and truth.at(part.began.after).state is State.MASKS:
            yield "it was masked before", part
    for gap in told:
        assert gap.ended is not None, "it was well in the end"
        if _is_limited(gap):
            continue
        if _is_too_much(gap, gap.ended.by, truth, watching.sessions):
            yield "it was not that long", gap
        yield from ((why, gap) for why in _false_edges(truth, gap, gap.ended, watching.sessions))


def _false_edges(truth: Truth, gap: Gap, ended: Edge, sessions: list[Result]) -> Iterator[str]:
    if not truth.is_out(gap.began.by):
        yield "it had not begun by then"
    if gap.began.after is not None and truth.at(gap.began.after).state in KNOCKED:
        yield "it had begun before"
    if ended.after is None or not truth.is_out(ended.after):
        yield "it was over before"
    if not truth.is_over_about(ended.by, gap) and _was_seen(truth.at(ended.by), sessions):
        yield "it was not over by then"


def _is_limited(gap: Gap) -> bool:
    """Whether it may be this machine alone: that is not what the truth is about."""
    return gap.kind is GapKind.TURNED_AWAY and "rate_limited" in how(gap)


def _is_too_much(gap: Gap, end: float, truth: Truth, sessions: Sequence[Result]) -> bool:
    return gap.certain > truth.out_in(gap.began.earliest, end, sessions) + 0.1


def _was_seen(stretch: Stretch, sessions: list[Result]) -> bool:
    """Whether a session met with it, and for so much longer than the one before it waited that it says something."""
    usual = 0.0
    for one in (one.session for one in sessions):
        least = UNTOLD + usual if stretch.state is State.HANGS else 0.0
        met = one.connected is not None and stretch.start <= one.connected < stretch.end
        if met and one.connected is not None and min(stretch.end, one.closed) - one.connected >= least:
            return True
        usual = usual if one.waited is None else one.waited
    return False


WORLDS = {
    "an address that flaps over a server that starts": in_order(
        *[(State.DROPS, 8.0), (State.HANGS, 3.0)] * 3, (State.DROPS, 8.0)
    ),
    "closed, refused, and closed, with something well between": in_order(
        (State.WELL, 54.0), (State.CLOSES, 3.0), (State.WELL, 13.0), (State.REFUSES, 16.0), (State.CLOSES, 3.0)
    ),
    "masked, served as nobody saw, and closed": in_order(
        (State.WELL, 36.0), (State.MASKS, 10.0), (State.WELL, 20.0), (State.CLOSES, 8.0)
    ),
    "masked, refused, served as nobody saw, and turned away": in_order(
        (State.WELL, 39.3),
        (State.MASKS, 12.9),
        (State.WELL, 10.8),
        (State.REFUSES, 23.3),
        (State.WELL, 13.4),
        (State.TURNS_AWAY, 11.4),
    ),
    "masked since it came back, and its first line lost": in_order(
        (State.WELL, 30.0), (State.DROPS, 12.0), (State.MASKS, 30.0)
    ),
}


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("truth", WORLDS.values(), ids=WORLDS)
def test_what_was_once_told_falsely_is_not(truth: Truth, budget: int) -> None:
    watching = Watching(truth, budget)
    watching.run()
    assert not [*falsehoods(truth, watching)]


@pytest.mark.parametrize("seeds", [range(start, start + 20) for start in (0, 20, 40)], ids=str)
def test_whatever_a_server_does_no_edge_is_false(seeds: range) -> None:
    told = 0
    for seed in seeds:
        truth = by_chance(random.Random(seed))
        watching = Watching(truth, BUDGETS[seed % len(BUDGETS)])
        watching.run()
        found = [(why, gap.began, gap.ended) for why, gap in falsehoods(truth, watching)]
        assert not found, (seed, truth.stretches, found)
        told += len(outages(watching.post.told(KNOCKS)))
    assert told >= len(seeds), "most of what it did was seen"
