"""Knocks and sessions of one endpoint -> one timeline: its gaps, and which of them are one outage. Pure.

Rule 1: an outage is the union of what knocks and sessions know, and may change what it is: who is refused and is then
        not greeted is out all the time. It is over once a session was served, or once somebody answers knocks, if the
        session after that is served at once.
Rule 2: a session that was served shows the server well from its first octet on, not from its opening: a kernel accepts
        for a program that hangs, and the program serves what has waited.
Rule 3: what a session saw did not begin in time that was out otherwise: it goes on from there, if nobody was served in
        between. It is certain that it did where the session came at once; else nobody saw what was in between, and the
        length has that in its bound, with what it waited where it was served late. So it is with two gaps of knocks
        between which no session was served, and with two sessions between which this machine slept.
Rule 4: a session that was served, and much later than those before it, is a gap as well: of the time that it waited,
        for that is certain, though it may have begun any time after the server was last shown well. One that came at
        once as somebody answered again, and was not served at once, may have been slow, or have met a server that hung:
        the outage may have ended any time until then.
Rule 5: a session that was turned away with a warning (`served`) shows nobody served. It begins no outage and ends none:
        what was out before it goes on until somebody is served. A rate limit may be this machine's own, so what it saw
        is not certain: amid what a session has found for certain it counts as no session at all, neither adding to it
        nor parting it; else it only leaves open when the outage ended. So it is with a session that was served, and of
        which nobody knows what the server saw, amid an outage in which clients are served: nor does it bound that. But
        what serves nobody has begun after it.
Rule 6: one in flight as its way went waits for that, and shows a gap of its own only by what it waited before; nor is
        one late for as long as nobody knocked, for this machine may have stood still. One that failed, and slept for
        most of its time, tells only how it was as it closed.
Rule 7: to be served, though not well, and not to be served are two parts, and the first is over once nobody answers.
        Where clients were served from the start, what serves nobody is no part of that, but an outage of its own; and
        so is what one waited that was served late.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from probe.model import Edge, Gap, GapKind, Knock, Sample, Severity, Span, Verdict
from probe.verdict.gaps import STILL, Reach, kept
from probe.verdict.served import MILD, gap_of, is_certain, is_none_amid, is_served, serves

LATE = 8.0
"""Seconds by which a session must have waited longer than the first one and the one before it to be late: postscreen
lets a client that it does not know wait for 6. A server that is slow each time (its resolver times out) is late once.
"""

PROMPT = 1.0
"""Seconds after a return within which a session comes at once: what it finds then has been there since."""

NARROW = 1.5
"""Seconds within which a return is known well enough for that: the first SYN that is answered may have waited for a
second in a neighbour's queue."""

QUEUED = 1.0
"""Seconds within which a server that is well again serves what has waited, besides what it takes to serve at all."""

NEVER = float("-inf")


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """What is known of one endpoint. `found`: gaps that sessions found. `served`: when the last was served first.
    `well`: when the last was that showed clients served under their own addresses.

    `waits`: seconds for which the first session, and the latest one, waited for the server's first octet. `hung`: the
    session that was critical last waited in vain until its time was up; one that was turned away says nothing of later.
    """

    reach: Reach
    found: tuple[Gap, ...] = ()
    unfound: int = 0
    served: float | None = None
    well: float | None = None
    waits: tuple[float, ...] = ()
    hung: bool = False

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """All of them in order, by when they had certainly begun."""
        return in_order(*self.reach.gaps, *self.found)

    @property
    def untold(self) -> int:
        """Gaps that were let go of."""
        return self.reach.untold + self.unfound

    def knocked(self, knock: Knock) -> Timeline:
        """Go on by one knock. A gap that it begins may go on from the one before, unless somebody was served since."""
        reach, served = self.reach.after(knock), self.served or NEVER
        if self.reach.gap is None and reach.gap is not None and len(reach.gaps) > 1:
            before, last = reach.gaps[-2:]
            last = replace(last, perhaps_from=before.seen if served < before.seen else None)
            reach = replace(reach, gaps=(*reach.gaps[:-1], last))
        return replace(self, reach=reach)

    def after(self, sample: Sample) -> Timeline:
        """Go on by one session, once the knocks of its time are known.

        One that did not take place changes nothing, nor does one that is set aside, but for what it waited before that.
        """
        if not sample.took_place:
            return self
        if sample.failed and not sample.aside and self.reach.is_mostly_blind(sample.at, sample.closed):
            sample = replace(sample, at=sample.closed, broke=True)  # this machine slept: it tells how it was after that
        told = self._once_silent(_until(sample))._found_late(sample)._after(sample)
        return told._parted(sample.shown) if serves(sample.verdict) and not sample.aside else told

    def _parted(self, served: float) -> Timeline:
        """What knocks found next does not go on from what they found before: somebody was served between them."""
        gaps = self.reach.gaps
        number = next((number for number, gap in enumerate(gaps) if gap.began.by >= served), 0)
        if number == 0 or served < gaps[number - 1].seen:
            return self
        apart = (*gaps[:number], replace(gaps[number], perhaps_from=None), *gaps[number + 1 :])
        return replace(self, reach=replace(self.reach, gaps=apart))

    def _after(self, sample: Sample) -> Timeline:
        if sample.aside:
            return self._found_before(sample)
        if self._lasting is not None and is_none_amid(self._lasting, sample.verdict):
            return replace(self, hung=False, served=sample.shown if serves(sample.verdict) else self.served)
        match gap_of(sample.verdict):
            case None:
                well = sample.shown if sample.verdict.severity is Severity.OK else self.well
                told = replace(self._found_before(sample)._found_well(sample), served=sample.shown, well=well)
            case GapKind.TURNED_AWAY:
                return replace(self._found_out(sample, GapKind.TURNED_AWAY), hung=False)
            case kind:
                told = replace(self._found_out(sample, kind), hung=sample.failed and not sample.broke)
                told = replace(told, served=told.found[-1].seen) if serves(sample.verdict) else told
        if sample.waited is None:
            return told
        return replace(told, waits=(*self.waits[:1], sample.waited))

    @property
    def _lasting(self) -> Gap | None:
        return self.found[-1] if self.found and self.found[-1].ended is None else None

    def _once_silent(self, until: float) -> Timeline:
        """The gap that lasts is over where clients were served in it, and nobody answered since, before this moment."""
        gap = self._lasting
        if gap is None or not is_served(gap):
            return self
        went = next((one.began.by for one in self.reach.gaps if gap.seen < one.began.by <= until), None)
        if went is None:
            return self
        return replace(self, found=(*self.found[:-1], replace(gap, ended=Edge(gap.seen, went))))

    def _found_out(self, sample: Sample, kind: GapKind) -> Timeline:
        gap = self._lasting
        if gap is None:
            return self._with(self._new(sample, kind, by=self._out_by(sample)))
        slept = self.reach.is_mostly_blind(gap.seen, sample.at)
        if _is_of(gap, kind, sample.verdict):
            silent = [*self._silent(gap.seen, sample.at)]
            known = [*gap.stretches, *silent, Span(sample.at, sample.seen_until)]
            longer = replace(gap.also(sample.verdict, sample.seen_until), judgement=sample.judgement)
            longer = replace(longer, unseen=unseen(known)) if silent or slept else longer
            return replace(self, found=(*self.found[:-1], longer))
        # out all the same: parts that meet in one edge are of one outage, and nobody was served at that
        part = self._new(sample, kind, by=self._out_by(sample), since=max(gap.seen, self.served or NEVER))
        part = replace(part, perhaps_from=gap.seen if slept else None)
        ended = replace(gap, ended=Edge(gap.seen, part.began.by))
        return replace(self, found=(*self.found[:-1], ended))._with(part)

    def _out_by(self, sample: Sample) -> float:
        """By when it was as the session found it: where its SYN was sent again, after somebody answered."""
        resent = self.reach.silent_at(sample.at, sample.at)
        return max(sample.out_by, sample.shown) if resent else sample.out_by

    def _new(self, sample: Sample, kind: GapKind, *, by: float, since: float | None = None) -> Gap:
        """`since`: when it was something else."""
        if since is None:
            since = self.served
            if serves(sample.verdict) and self.well is not None:
                since = max([self.well, *(gap.seen for gap in self.found[-2:] if gap.seen <= by)])
        return Gap(
            endpoint=self.reach.endpoint,
            kind=kind,
            began=began(self.reach.gaps, since, by, sample.at),
            seen=max(sample.seen_until, by),
            how=(sample.verdict,),
            judgement=sample.judgement,
        )

    def _found_before(self, sample: Sample) -> Timeline:
        """What one in flight has seen before its way went: a server that hung, or nobody served since a gap."""
        connected = sample.shown - (sample.waited or 0.0)
        went = self.reach.went_after(connected)
        if went is None or sample.answered is None or self.reach.is_mostly_blind(connected, went.by):
            return self
        if sample.waited is not None and sample.shown <= went.by:
            return self  # it may have been answered before
        if self._lasting is not None:
            more = sample.aside and self._lasting.kind is GapKind.CRITICAL and self._is_late(went.earliest - connected)
            return self._found_until(went, sample) if more else self
        gap = self._new(sample, GapKind.CRITICAL, by=connected, since=self.served)
        goes_on = any(_is_end_of(one, gap.began) for one in self.reach.gaps)
        if not goes_on and not self._is_late(went.earliest - connected):
            return self
        gap = replace(gap, seen=went.earliest, ended=went)
        if not sample.aside:  # it was served in the end
            gap = replace(gap, kind=GapKind.WAITED, how=(str(GapKind.WAITED),), judgement=None)
        return self._with(gap)

    def _found_until(self, went: Edge, sample: Sample) -> Timeline:
        """What lasts goes on until the way of this session went."""
        told = self._found_out(replace(sample, closed=went.earliest), GapKind.CRITICAL)
        return replace(told, found=(*told.found[:-1], replace(told.found[-1], ended=went)))

    def _is_late(self, waited: float) -> bool:
        return bool(self.waits) and waited > max(self.waits) + LATE

    def _is_slow(self, waited: float) -> bool:
        return bool(self.waits) and waited > self.waits[0] + QUEUED

    def _found_late(self, sample: Sample) -> Timeline:
        """What one that was served has waited, whatever else is wrong; what served nobody until then has it itself."""
        gap, waited = self._lasting, self._waited(sample)
        goes_on = gap is not None and not is_served(gap) and gap_of(sample.verdict) is None
        if sample.aside or goes_on or not serves(sample.verdict) or not self._is_late(waited):
            return self
        since = self.served if gap is None else max(gap.seen, self.served or NEVER)
        hung_until = self._hung_until(sample)
        late = Gap(
            endpoint=self.reach.endpoint,
            kind=GapKind.WAITED,
            began=began(self.reach.gaps, since, sample.shown - waited, self._opened(sample)),
            seen=hung_until,
            ended=Edge(hung_until, sample.shown),
            how=(str(GapKind.WAITED),),
        )
        return self._with(late) if gap is None else self._with(late, gap)

    def _hung_until(self, sample: Sample) -> float:
        return sample.shown - max(self.waits, default=0.0) - QUEUED

    def _found_well(self, sample: Sample) -> Timeline:
        waited = self._waited(sample)
        opened = self._opened(sample)
        if self._lasting is not None:
            return self._ended(self._lasting, sample.shown, opened, self._hung_until(sample))
        slow = self._is_slow(sample.shown - opened) and not self._is_late(waited)
        return self._lasted_until(sample.shown, began(self.reach.gaps, self.served, opened)) if slow else self

    def _lasted_until(self, shown: float, back: Edge) -> Timeline:
        """The gap that ended so may have lasted until then: nobody knows whether the server was slow, or hung."""
        ended = Edge(back.earliest, shown)
        gaps = (replace(gap, ended=ended) if _is_end_of(gap, back) else gap for gap in self.reach.gaps)
        return replace(self, reach=replace(self.reach, gaps=tuple(gaps)))

    def _ended(self, gap: Gap, shown: float, opened: float, hung_until: float) -> Timeline:
        """The gap that lasts is over. What waited in it has seen it, if it was opened while it certainly lasted."""
        hangs = self.hung or self._is_late(shown - opened)
        if hangs and opened < hung_until and gap.seen < hung_until and not is_served(gap):
            known = [*gap.stretches, *self._silent(gap.seen, opened)]
            goes_on = any(span.start <= opened <= span.end for span in known)
            known.append(Span(opened if goes_on else hung_until, hung_until))
            gap = replace(gap, seen=hung_until, unseen=unseen(known))
        ended = replace(gap, ended=Edge(gap.seen, max(gap.seen, shown)))
        return replace(self, found=(*self.found[:-1], ended))

    def _silent(self, start: float, end: float) -> Iterator[Span]:
        """When in this time no knock was answered; what came at once after a return was so since."""
        for gap in self.reach.gaps:
            at_once = gap.ended is None or (_is_narrow(gap.ended, end) and end <= gap.ended.by + PROMPT)
            *before, last = gap.stretches
            for one in (*before, Span(last.start, end) if at_once else last):
                if one.start < end and one.end > start:
                    yield Span(max(start, one.start), min(end, one.end))

    def _waited(self, sample: Sample) -> float:
        """Seconds that it certainly waited for the server, and not for its way, or for this machine."""
        waited, end = sample.waited or 0.0, sample.shown
        start = end - waited
        return 0.0 if self.reach.in_flight(start, end) else max(0.0, waited - self.reach.blind_seconds(start, end))

    def _opened(self, sample: Sample) -> float:
        """Since when it waited for the server, also where this machine stood still amid that."""
        waited, certain = sample.waited or 0.0, self._waited(sample)
        return sample.shown - (waited if certain and waited - certain <= STILL else certain)

    def _with(self, *gaps: Gap) -> Timeline:
        """With these, the last of which is the latest or goes on."""
        before = tuple(gap for gap in self.found if gap is not gaps[-1])
        found, unfound = kept((*before, *gaps), self.unfound)
        return replace(self, found=found, unfound=unfound)


def _until(sample: Sample) -> float:
    """The moment of which a session tells."""
    if sample.aside:
        return sample.closed
    return sample.shown if gap_of(sample.verdict) is None else sample.out_by


def _is_of(gap: Gap, kind: GapKind, verdict: Verdict) -> bool:
    """Whether what a session found is more of the same: as certain as that, and served or not as in that."""
    certain = is_certain(gap) is is_certain(replace(gap, how=(verdict,)))
    return gap.kind is kind and certain and is_served(gap) is serves(verdict)


def in_order(*gaps: Gap) -> tuple[Gap, ...]:
    """Gaps by when they had certainly begun."""
    return tuple(sorted(gaps, key=lambda gap: (gap.began.by, gap.began.earliest)))


def began(gaps: Sequence[Gap], served: float | None, by: float, opened: float | None = None) -> Edge:
    """When that began which a session has certainly found by then (rule 3). `served`: when the last was, if any.

    `opened`: when the session was, if that was before.
    """
    ends = (gap.ended for gap in reversed(gaps) if gap.kind is GapKind.UNREACHABLE)
    back = next((edge for edge in ends if edge is not None and edge.earliest <= by), None)
    if back is None or (served is not None and served > back.earliest):
        return Edge(served, by)
    at_once = (by if opened is None else opened) <= back.by + PROMPT
    return Edge(back.earliest, min(back.by, by) if at_once else by)


def outages(gaps: Sequence[Gap]) -> Iterator[tuple[Gap, ...]]:
    """Gaps of one endpoint, in order, that are one stretch are together: nobody was served between them.

    Where clients were served from the start, though not well, what serves nobody amid that is an outage of its own.
    """
    for parts in _stretches(gaps):
        if not (parts[0].from_the_start and is_served(parts[0])):
            yield parts
            continue
        yield tuple(part for part in parts if is_served(part))
        yield from _stretches([part for part in parts if not is_served(part)])


def _stretches(gaps: Sequence[Gap]) -> Iterator[tuple[Gap, ...]]:
    told: list[Gap] = []
    for gap in gaps:
        if told and not _goes_on(gap, told):
            yield tuple(told)
            told = []
        told.append(gap)
    if told:
        yield tuple(told)


def _goes_on(gap: Gap, told: Sequence[Gap]) -> bool:
    """Whether one goes on from these: it had begun by their end, or nobody was shown to be well between.

    Knocks know when theirs began, and not whether anybody was served before that. What was from the start is held
    against nobody, and it may be over: what began later is not.
    """
    if any(one.ended is None or gap.began.by <= one.ended.by for one in told):
        return True
    seen, since = max(one.seen for one in told), gap.began.after
    if gap.kind is GapKind.UNREACHABLE:
        return gap.perhaps_from is not None and seen >= gap.perhaps_from and not told[0].from_the_start
    return since is None or seen >= since


def seen_in(parts: Sequence[Gap], first: Gap) -> list[Span]:
    """When it certainly was, of an outage with these parts that is told from this one on.

    What was served late is no outage by itself, and counts amid one only from where it certainly goes on from what is,
    or turned into that.
    """
    late = (GapKind.WAITED,) if first.kind not in MILD else ()
    spans = sorted((span.start, part.kind in late, span.end) for part in parts for span in _spans(part, parts))
    seen: list[tuple[float | None, float]] = []
    for start, is_late, end in spans:
        since, until = (None if is_late else start), end
        if seen and start <= seen[-1][1]:
            before, latest = seen.pop()
            since, until = (since if before is None else before), max(latest, end)
        seen.append((since, until))
    return [
        Span(max(first.began.by, until if since is None else since), until)
        for since, until in seen
        if until >= first.began.by
    ]


def _spans(part: Gap, parts: Sequence[Gap]) -> list[Span]:
    """When one of these was; what goes on from another one, since that was last seen."""
    since, *rest = part.stretches
    turns = (one for one in parts if one.kind is not GapKind.UNREACHABLE or _is_narrow(part.began, part.began.by))
    perhaps = part.perhaps_from is not None and part.kind is not GapKind.UNREACHABLE
    goes_on = not perhaps and any(_is_end_of(one, part.began) for one in turns)
    return [Span(part.began.earliest, since.end) if goes_on else since, *rest]


def _is_end_of(gap: Gap, edge: Edge) -> bool:
    """Whether a gap ended at this edge: that somebody answers, a session may have shown before the next knock did."""
    if gap.kind is not GapKind.UNREACHABLE or gap.ended is None:
        return gap.ended == edge
    return edge.after == gap.ended.after and edge.by <= gap.ended.by


def _is_narrow(back: Edge, until: float) -> bool:
    """Whether somebody has answered for at most so long before this moment, and not a whole interval of knocks."""
    return min(back.by, until) - back.earliest <= NARROW


def unseen(spans: Sequence[Span]) -> tuple[Span, ...]:
    """The stretches between these."""
    ordered = sorted(spans, key=lambda span: span.start)
    ends = accumulate((span.end for span in ordered), max)
    return tuple(Span(end, after.start) for end, after in zip(ends, ordered[1:], strict=False) if after.start > end)
