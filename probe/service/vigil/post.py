"""What is written down of one endpoint during a watch. No clock, no I/O: whoever watches brings knocks and sessions."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from enum import StrEnum

from probe.model import (
    Address,
    Cadence,
    Endpoint,
    Gap,
    Judgement,
    Knock,
    Result,
    Sample,
    Session,
    Severity,
    Span,
    UnderWay,
    Verdict,
    WatchedEndpoint,
)
from probe.service.budget import Needs, needs_of
from probe.verdict.gaps import Reach
from probe.verdict.outage import RESENT
from probe.verdict.shown import is_good
from probe.verdict.timeline import Timeline

MOST_SAMPLES = 1_000
MOST_PROMPT = 100
GONE = (Verdict.SILENT_DROP, Verdict.UNANNOUNCED, Verdict.REFUSED)
"""Verdicts that say what became of the way: they name a gap."""

FIRST_WAIT = 2.0
"""Seconds until the next knock after one that was counted by accident; again and again, it is doubled."""

MOST_DOUBLED = 16
"""So often it is doubled at most: to a day and a half, which no budget asks for."""

PROVEN = (Verdict.PRESERVED, Verdict.MASKED)
"""Verdicts that say what the server saw, whatever became of the session afterwards."""


class Turn(StrEnum):
    """What a knock changed."""

    WENT = "went"
    CAME_BACK = "came_back"


class Post:
    """One endpoint. `why`: why knocks were slower than asked for.

    `contradicted`: sessions that connected at once while nobody answered knocks.

    `counted_in_row`: knocks that the server counted, with none between that it did not. `held_until`: no knock is meant
    to be sent before. `next_session`: when the next session is due; `pace`: seconds between two of them.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.address: Address | None = None
        self.why = ""
        self.counted_in_row = 0
        self.held_until = float("-inf")
        self.baseline: Sample | None = None
        self.next_session: float | None = None
        self.pace = 0.0
        self.contradicted = 0
        self._moved_at = float("-inf")
        self._prompt: deque[Span] = deque(maxlen=MOST_PROMPT)
        self._timeline = Timeline(reach=Reach(endpoint=endpoint.name))
        self._samples: tuple[Sample, ...] = ()
        self._good_since: float | None = None

    @property
    def _reach(self) -> Reach:
        return self._timeline.reach

    @_reach.setter
    def _reach(self, reach: Reach) -> None:
        self._timeline = replace(self._timeline, reach=reach)

    @property
    def needs(self) -> Needs:
        """The connections that the next session is likely to need: control connections tell the same only once."""
        return needs_of(self.endpoint, 1)

    @property
    def is_out(self) -> bool:
        """Whether nobody answers."""
        return self._reach.gap is not None

    @property
    def in_doubt(self) -> bool:
        """Whether its last SYN was not answered, which may be chance."""
        return self._reach.doubt is not None

    def knows_of(self, moment: float) -> bool:
        """Whether it is known if somebody answered then: no earlier knock is in doubt any more."""
        return self._reach.knows(moment)

    @property
    def silent_until(self) -> float:
        """When it last did not answer."""
        return self._reach.gaps[-1].seen if self._reach.gaps else float("-inf")

    def has_hung(self, session: Session) -> bool:
        """Whether it had connected while somebody answered, and waited for the server's first octet in vain."""
        return session.connected is not None and session.connected <= self.silent_until and session.waited is None

    @property
    def unsent(self) -> int:
        """Knocks that this machine could not send."""
        return self._reach.unsent

    def rest(self, longest: float) -> float:
        """Seconds until the next knock, after one that was counted."""
        return min(longest, FIRST_WAIT * 2.0 ** min(self.counted_in_row - 1, MOST_DOUBLED))

    def moved(self, known: float, at: float) -> None:
        """It is at another address since some moment between these; what knocks of before find says nothing of it."""
        self._moved_at = at
        self._reach = self._reach.moved(known, at)

    def has_left(self, session: Session) -> bool:
        """Whether the endpoint has left the address of a session since: it says nothing of the endpoint any more."""
        return session.address not in (None, self.address) and session.opened < self._moved_at

    def knocked(self, knock: Knock) -> Turn | None:
        """Write down a knock; what it changed."""
        if knock.at <= self._moved_at:
            return None
        was_out = self.is_out
        self._timeline = self._timeline.knocked(knock)
        self._compare()
        if self.is_out is was_out:
            return None
        return Turn.CAME_BACK if was_out else Turn.WENT

    def recorded(self, result: Result, judged: float) -> Sample:
        """Write down a session that was judged at this moment, once the knocks of that time are known."""
        session, judgement = result.session, result.judgement
        gap = self._gap_of(result)
        here = self.address in (None, session.address)
        if here and session.connected is not None and session.connected < session.opened + RESENT:
            self._prompt.append(Span(session.opened, session.connected))
            self._reach = self._reach.reached(session.opened)
            self._compare()
        if gap is not None and judgement.verdict in GONE:
            self._name(gap, judgement, judged)
        sample = self._sample(result, judged)
        if sample.took_place:
            self.baseline = self.baseline or sample
        self._samples = (*self._samples, sample)[-MOST_SAMPLES:]
        if gap is not None or not sample.aside:  # what comes after one that failed elsewhere is another server's
            self._timeline = self._timeline.after(sample)
        if not sample.aside:
            before = self.baseline.verdict if self.baseline else None
            good = sample.took_place and is_good(sample.verdict, before)
            self._good_since = (self._good_since or sample.shown) if good else None
        return sample

    def _sample(self, result: Result, judged: float) -> Sample:
        session, judgement = result.session, result.judgement
        proven, gap = judgement.verdict in PROVEN, self._gap_of(result)
        elsewhere = gap is None and session.fault is not None and self.has_left(session)
        return Sample(
            at=session.opened,
            closed=session.closed,
            judged=judged,
            answered=session.answered,
            waited=session.waited,
            session=session.id,
            judgement=judgement,
            seen=tuple(sorted({one.address for one in result.evidence.sightings}, key=str)),
            aside=(gap is not None or elsewhere) and not proven,
            took_place=session.took_place and not session.held_back,
            failed=session.fault is not None and not proven,
            broke=session.broke,
        )

    def _compare(self) -> None:
        """Sessions that connected at once, with the knocks of their time, once those are known."""
        while self._prompt and self._reach.knows(self._prompt[0].end):
            span = self._prompt.popleft()
            self.contradicted += self._reach.silent_at(span.start, span.end)

    def _gap_of(self, result: Result) -> Gap | None:
        """The gap that a session failed in. A refusal comes at once, and may come before the first knock has left."""
        session = result.session
        if session.fault is None:
            return None
        gap = self._reach.amid(session.opened, session.closed, session.connected)
        never_in = session.connected is None and result.judgement.verdict in GONE
        return self._reach.unmet(session.closed) if gap is None and never_in else gap

    def _name(self, gap: Gap, judgement: Judgement, judged: float) -> None:
        """A cause is looked for when a session has failed; if the gap was over by then, it is none of the gap's."""
        if gap.seen >= judged:
            self._reach = self._reach.named(gap, judgement)
        elif gap.judgement is None:
            self._reach = self._reach.named(gap, replace(judgement, cause=None))

    def told(
        self,
        asked: float,
        over: Span | None = None,
        under_way: UnderWay | None = None,
        failed: Result | None = None,
    ) -> WatchedEndpoint:
        """All of it. `over`: when somebody should have knocked and nobody will again; each knock of it is known.

        `failed`: the session under way, which came to nothing.
        """
        timeline, reach = self._timeline, self._reach
        if over is not None:
            spacing = max(asked, self.held_until - (reach.at or over.start))
            reach = reach.finished(over.end, spacing, over.start)
            timeline = replace(timeline, reach=reach)
        feared = None
        if failed is not None and failed.judgement.verdict.severity is Severity.CRITICAL:
            feared = timeline.after(self._sample(failed, failed.session.closed)).gaps
        return WatchedEndpoint(
            name=self.endpoint.name,
            host=self.endpoint.host,
            address=self.address,
            cadence=Cadence(
                asked=asked,
                longest=reach.longest,
                sent=reach.sent,
                answered=reach.answered,
                lost=reach.lost,
                counted=reach.counted,
                why=self.why,
            ),
            gaps=timeline.gaps,
            untold=timeline.untold,
            samples=self._samples,
            blind=reach.blind,
            knocked_since=reach.since,
            good_since=self._good_since,
            in_doubt=self.in_doubt,
            baseline=self.baseline,
            under_way=under_way,
            feared=feared,
            next_session=self.next_session,
            pace=self.pace,
        )
