"""Knocks over time -> the stretches in which nobody answered an endpoint. Pure; `timeline` has sessions too.

Rule 1: knocks tell whether somebody answers, never what the server serves and sees.
Rule 2: one SYN without an answer may be lost by chance; two in a row are a gap, and so is one that was refused or said
        to be unreachable. One answer in a gap may be a fluke; two in a row end it, and so does a whole handshake.
        Two between which nobody knocked for longer than STILL are not in a row.
Rule 3: an edge lies between the last SYN before a change and the first one after it. A knock never sends its SYN
        again, so when it left is what its answer is about: not before the clock was read, and not after it was read
        again, for a busy machine may let time pass between. A SYN may wait on its way, though, in the queue of a
        neighbour whom nobody has found yet: one whose answer took longer shows the way there by so much later.
Rule 4: a session that failed while nobody answered failed for that; one that saw addresses saw them all the same.
Rule 5: what this machine could not send says nothing, be it a SYN or a session. Where nobody knocked for much longer
        than was meant, that stretch is blind, and a gap may hide in it; and amid a gap, where it was longer than STILL,
        that somebody answered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import takewhile

from probe.model import Edge, EndpointName, Failure, Gap, GapKind, Judgement, Knock, Span

MOST_GAPS = 200
"""Gaps of each kind that are kept for one endpoint; more are counted."""

AHEAD = 1.0
"""Seconds by which a server may end its connections before its listener, as it ends."""

MOST_BLIND = 100
MOST_ANSWERS = 20
BLIND_TURNS = 3
BLIND_SECONDS = 1.0
"""A pause in the knocks is blind if it is longer than this, and than three times what was meant."""

STILL = 5.0
"""Seconds for which a machine may stand still, and what it saw before and after that goes on from one to the other."""

HEARD_OF = 1.0
"""Seconds until what became of a knock is known, at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reach:
    """What knocks say of one endpoint, folded knock by knock in the order in which they were sent."""

    endpoint: EndpointName
    sent: int = 0
    answered: int = 0
    lost: int = 0
    counted: int = 0
    unsent: int = 0
    longest: float = 0.0
    gaps: tuple[Gap, ...] = ()
    untold: int = 0
    blind: tuple[Span, ...] = ()
    since: float | None = None
    at: float | None = None
    up_at: float | None = None
    doubt: Knock | None = None
    back: Knock | None = None
    answers: tuple[float, ...] = ()
    quickest: float | None = None
    there_by: float | None = None

    @property
    def gap(self) -> Gap | None:
        """The gap that lasts."""
        return self.gaps[-1] if self.gaps and self.gaps[-1].ended is None else None

    def after(self, knock: Knock) -> Reach:
        """Go on by one knock."""
        if knock.failure is Failure.VANTAGE:
            return replace(self, unsent=self.unsent + 1)
        seen = replace(
            self._with_answers(knock.at),
            sent=self.sent + 1,
            answered=self.answered + (knock.failure is None),
            counted=self.counted + knock.counted,
            longest=max(self.longest, knock.spacing),
            blind=self.blind if self.at is None else self._blind_between(self.at, knock.at, knock.spacing),
            since=knock.at if self.since is None else self.since,
            at=knock.at,
        )
        return seen._answered(knock) if knock.failure is None else seen._failed(knock, knock.failure)

    def knows(self, moment: float) -> bool:
        """Whether it is known if somebody answered then: no earlier knock is in doubt any more."""
        return self.at is not None and self.at >= moment and self.doubt is None

    def silent_at(self, start: float, end: float) -> bool:
        """Whether all of this time lies in a gap, as far as it is certain."""
        gap = next(self._since(start), None)
        return gap is not None and any(one.start <= start and end <= one.end for one in gap.stretches)

    def in_flight(self, start: float, end: float) -> bool:
        """Whether a connection of this time was open as a gap began, or in it."""
        return any(gap.began.earliest <= end for gap in self._since(start))

    def went_after(self, start: float) -> Edge | None:
        """When the way of a connection that was open then went, if it did."""
        return next((gap.began for gap in reversed([*self._since(start)]) if gap.began.by > start), None)

    def blind_seconds(self, start: float, end: float) -> float:
        """For how long of this time nobody knocked, as when this machine stands still."""
        return sum(max(0.0, min(end, one.end) - max(start, one.start)) for one in self._blind_by(end))

    def is_mostly_blind(self, start: float, end: float) -> bool:
        """Whether nobody knocked for most of this time, as when this machine slept."""
        return self.blind_seconds(start, end) > max(STILL, (end - start) / 2)

    def _blind_by(self, moment: float) -> tuple[Span, ...]:
        pause = max(BLIND_SECONDS, BLIND_TURNS * self.longest) + HEARD_OF
        is_now = self.at is not None and moment - self.at > pause
        return (*self.blind, Span(self.at, moment)) if is_now and self.at is not None else self.blind

    def _since(self, start: float) -> Iterator[Gap]:
        """Gaps that were not over by then, the latest first: gaps of knocks follow one another."""
        return takewhile(lambda gap: gap.seen >= start, reversed(self.gaps))

    def reached(self, at: float) -> Reach:
        """A session's SYN of this moment was answered: where knocks are few it narrows when a gap began.

        Knocks from before that moment may still wait for an answer, so it counts with the first one after it.
        """
        return replace(self, answers=(*self.answers, at)[-MOST_ANSWERS:])

    def _with_answers(self, until: float) -> Reach:
        """What sessions knew up to this moment; amid a gap, or in doubt, it is not for them to say."""
        known = max((at for at in self.answers if at < until), default=None)
        if known is None:
            return self
        later = replace(self, answers=tuple(at for at in self.answers if at >= until))
        settled = self.gap is None and self.doubt is None and (self.up_at is None or known > self.up_at)
        return replace(later, up_at=known) if settled else later

    def moved(self, known: float, at: float) -> Reach:
        """The endpoint has been at another address since some moment after `known`, which came out `at` this one.

        Whether what began between them was of the endpoint, nobody can tell: it is blind, where it was long.
        """
        here = replace(self, at=at, doubt=None, back=None)
        if self.gap is None or self.gap.began.by <= known:
            return here
        return replace(here, gaps=self.gaps[:-1], blind=self._blind_between(self.gap.began.by, at, 0.0))

    def finished(self, until: float, spacing: float = 0.0, since: float | None = None) -> Reach:
        """At the end: a single answer ends a gap after all, for nobody will knock again.

        Every knock that left before `until` is known, and `spacing` seconds were meant to lie between the last one and
        the next; if there was none at all, nobody has knocked `since` then.
        """
        closed = self._closed(self._there_by(self.back)) if self.gap and self.back else self
        last = since if self.at is None else self.at
        return closed if last is None else replace(closed, blind=self._blind_between(last, until, spacing))

    def amid(self, opened: float, closed: float, connected: float | None = None) -> Gap | None:
        """The gap that a session of this time fell into, if any. One that connected after it did not fail for it."""
        for gap in reversed(self.gaps):
            end = gap.ended.by if gap.ended else float("inf")
            since = gap.began.by if gap.began.after is None else gap.began.after - AHEAD
            over = opened > end if connected is None else gap.ended is not None and connected > gap.seen
            if not over and closed >= since:
                return gap
        return None

    def unmet(self, closed: float) -> Gap | None:
        """The gap that was there before anybody knocked, for a session that found no way in by then."""
        first = self.gaps[0] if self.gaps else None
        return first if first is not None and first.from_the_start and closed <= first.began.by else None

    def named(self, gap: Gap, judgement: Judgement) -> Reach:
        """A session found what this gap is, and perhaps why."""
        told = replace(gap, judgement=judgement)
        return replace(self, gaps=tuple(told if one is gap else one for one in self.gaps))

    def _answered(self, knock: Knock) -> Reach:
        if self.gap is None:
            lost = self.lost + (self.doubt is not None)
            quickest = knock.seconds if self.quickest is None else min(self.quickest, knock.seconds)
            return replace(self, up_at=knock.at, doubt=None, lost=lost, quickest=quickest)
        if self.back is None and not knock.counted:
            return replace(self, back=knock)
        by = min(self._there_by(self.back or knock), self._there_by(knock))
        return replace(self._closed(by), up_at=knock.at, there_by=by)

    def _there_by(self, knock: Knock) -> float:
        return knock.left + max(0.0, knock.seconds - (self.quickest or 0.0))

    def _failed(self, knock: Knock, failure: Failure) -> Reach:
        slept = bool(self.blind) and self.blind[-1].end == knock.at and self.blind[-1].seconds > STILL
        if self.gap is not None:
            unseen = (Span(self.gap.seen, knock.at),) if slept else ()
            longer = replace(self.gap.also(failure, knock.at), unseen=(*self.gap.unseen, *unseen))
            return replace(self, gaps=(*self.gaps[:-1], longer), back=None)
        if self.doubt is not None and slept:
            return replace(self, doubt=None, lost=self.lost + 1)._failed(knock, failure)
        if failure is Failure.TIMED_OUT and self.doubt is None:
            return replace(self, doubt=knock)
        first = self.doubt or knock
        if self.there_by is not None and first.left < self.there_by:  # it left before the last gap was over
            still = replace(self.gaps[-1], ended=None).also(failure, knock.at)
            return replace(self, gaps=(*self.gaps[:-1], still), doubt=None)
        began = Edge(self.up_at, first.left)
        how = tuple(dict.fromkeys(str(one.failure) for one in (first, knock)))
        gap = Gap(endpoint=self.endpoint, kind=GapKind.UNREACHABLE, began=began, seen=knock.at, how=how)
        gaps, untold = kept((*self.gaps, gap), self.untold)
        return replace(self, gaps=gaps, untold=untold, doubt=None, back=None)

    def _closed(self, by: float) -> Reach:
        gap = self.gaps[-1]
        ended = replace(gap, ended=Edge(gap.seen, by))
        return replace(self, gaps=(*self.gaps[:-1], ended), back=None)

    def _blind_between(self, last: float, until: float, spacing: float) -> tuple[Span, ...]:
        if until - last <= max(BLIND_SECONDS, BLIND_TURNS * spacing):
            return self.blind
        return (*self.blind, Span(last, until))[-MOST_BLIND:]


def kept(gaps: tuple[Gap, ...], untold: int) -> tuple[tuple[Gap, ...], int]:
    """The latest of so many gaps, and how many were let go of."""
    over = max(0, len(gaps) - MOST_GAPS)
    return gaps[over:], untold + over
