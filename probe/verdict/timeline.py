"""Knocks and sessions of one endpoint -> one timeline: its gaps, and which of them are one outage. Pure.

Rule 1: an outage is the union of what knocks and sessions know, and may change what it is: who is refused and is then
        not greeted is out all the time. It is over once a session was served, or once somebody answers knocks, if the
        session after that is served at once.
Rule 2: a session that was served shows the server well from its first octet on, not from its opening: a kernel accepts
        for a program that hangs, and the program serves what has waited.
Rule 3: what a session saw did not begin in time that was out otherwise: it goes on from there, if nobody was served in
        between.
Rule 4: a session that was served, and much later than those before it, is a gap as well: of the time that it waited,
        for that is certain, though it may have begun any time after the server was last shown well.
Rule 5: one in flight as its way went waits for that, and shows a gap of its own only by what it waited before; nor is
        one late in whose time nobody knocked, for this machine may have stood still.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from probe.model import Edge, Gap, GapKind, Knock, Sample, Severity, Verdict
from probe.verdict.gaps import Reach, kept

LATE = 8.0
"""Seconds by which a session must have waited longer than the first one and the one before it to be late: postscreen
lets a client that it does not know wait for 6. A server that is slow each time (its resolver times out) is late once.
"""

QUEUED = 1.0
"""Seconds within which a server that is well again serves what has waited, besides what it takes to serve at all."""

NEVER = float("-inf")


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """What is known of one endpoint. `found`: gaps that sessions found. `served`: when the last was served first.

    `waits`: seconds for which the first session, and the latest one, waited for the server's first octet.
    """

    reach: Reach
    found: tuple[Gap, ...] = ()
    unfound: int = 0
    served: float | None = None
    waits: tuple[float, ...] = ()

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """All of them in order, by when they had certainly begun."""
        return in_order(*self.reach.gaps, *self.found)

    @property
    def untold(self) -> int:
        """Gaps that were let go of."""
        return self.reach.untold + self.unfound

    def knocked(self, knock: Knock) -> Timeline:
        """Go on by one knock."""
        return replace(self, reach=self.reach.after(knock))

    def after(self, sample: Sample) -> Timeline:
        """Go on by one session, once the knocks of its time are known.

        One that did not take place changes nothing, nor does one that is set aside, but for what it waited before that.
        """
        if sample.aside or not sample.took_place:
            return self._found_before(sample) if sample.took_place else self
        if sample.verdict.severity is Severity.CRITICAL:
            told = self._found_out(sample)
        else:
            told = replace(self._found_well(sample), served=sample.shown)
        if sample.waited is None:
            return told
        return replace(told, waits=(*self.waits[:1], sample.waited))

    @property
    def _lasting(self) -> Gap | None:
        return self.found[-1] if self.found and self.found[-1].ended is None else None

    def _found_out(self, sample: Sample) -> Timeline:
        gap = self._lasting
        if gap is not None:
            longer = replace(gap.also(sample.verdict, sample.seen_until), judgement=sample.judgement)
            return replace(self, found=(*self.found[:-1], longer))
        return self._with(self._new(sample, by=sample.out_by))

    def _new(self, sample: Sample, *, by: float) -> Gap:
        return Gap(
            endpoint=self.reach.endpoint,
            kind=GapKind.CRITICAL,
            began=began(self.reach.gaps, self.served, by),
            seen=sample.seen_until,
            how=(sample.verdict,),
            judgement=sample.judgement,
        )

    def _found_before(self, sample: Sample) -> Timeline:
        """What one that is set aside has seen before its way went: a server that hung, or nobody served since a gap."""
        went = self.reach.went_after(sample.shown)
        if went is None or sample.answered is None or sample.waited is not None or self._lasting is not None:
            return self
        gap = self._new(sample, by=sample.shown)
        goes_on = gap.began.by < sample.shown
        if not goes_on and not self._is_late(went.earliest - sample.shown):
            return self
        return self._with(replace(gap, seen=went.earliest, ended=went))

    def _is_late(self, waited: float) -> bool:
        return bool(self.waits) and waited > max(self.waits) + LATE

    def _found_well(self, sample: Sample) -> Timeline:
        gap, waited = self._lasting, self._waited(sample)
        hung_until = sample.shown - max(self.waits, default=0.0) - QUEUED
        if gap is not None:
            served_what_waited = sample.shown - waited < hung_until and not _is_served(gap)
            seen = max(gap.seen, hung_until) if served_what_waited else gap.seen
            ended = replace(gap, seen=seen, ended=Edge(seen, max(seen, sample.shown)))
            return replace(self, found=(*self.found[:-1], ended))
        if not self._is_late(waited):
            return self
        since = began(self.reach.gaps, self.served, sample.shown - waited)
        back, how = Edge(hung_until, sample.shown), (str(GapKind.WAITED),)
        return self._with(
            Gap(endpoint=self.reach.endpoint, kind=GapKind.WAITED, began=since, seen=hung_until, ended=back, how=how)
        )

    def _waited(self, sample: Sample) -> float:
        """Seconds that it waited for the server, and not for its way, or for this machine."""
        waited, end = sample.waited or 0.0, sample.shown
        start = end - waited
        return 0.0 if self.reach.in_flight(start, end) or self.reach.blind_in(start, end) else waited

    def _with(self, gap: Gap) -> Timeline:
        found, unfound = kept((*self.found, gap), self.unfound)
        return replace(self, found=found, unfound=unfound)


def _is_served(gap: Gap) -> bool:
    """Whether clients were served in it, though they were masked: nothing waited then."""
    return gap.judgement is not None and gap.judgement.verdict is Verdict.MASKED


def in_order(*gaps: Gap) -> tuple[Gap, ...]:
    """Gaps by when they had certainly begun."""
    return tuple(sorted(gaps, key=lambda gap: gap.began.by))


def began(gaps: Sequence[Gap], served: float | None, by: float) -> Edge:
    """When that began which a session has certainly found by then (rule 3). `served`: when the last was, if any."""
    ends = (gap.ended for gap in reversed(gaps) if gap.kind is GapKind.UNREACHABLE)
    back = next((edge for edge in ends if edge is not None and edge.by <= by), None)
    if back is not None and (served is None or served <= back.earliest):
        return back
    return Edge(served, by)


def outages(gaps: Sequence[Gap]) -> Iterator[tuple[Gap, ...]]:
    """Gaps of one endpoint, in order, that are one outage are together: nobody was served between them."""
    told: list[Gap] = []
    silent = served = NEVER
    for gap in gaps:
        knocks, after = gap.kind is GapKind.UNREACHABLE, NEVER if gap.began.after is None else gap.began.after
        if told and not (served >= gap.began.by if knocks else silent >= after):
            yield tuple(told)
            told, silent, served = [], NEVER, NEVER
        told.append(gap)
        if knocks:
            silent = max(silent, gap.seen)
        else:
            served = max(served, float("inf") if gap.ended is None else gap.ended.by)
    if told:
        yield tuple(told)
