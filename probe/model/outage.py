"""Verdicts over time: when one took the place of another, and the stretches in which an endpoint was critical."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from probe.model.endpoint import EndpointName
from probe.model.words import MaskedBy, Verdict

Ahead = Callable[[float], float]
"""What the wall clock is ahead of the probe's clock, by which a moment is: whoever tells the moment adds it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """An endpoint's verdict became another one with the session opened at `at`; the first verdict is a change too.

    `seen` is when the last session with this verdict was opened: until then it is known to have held. The same verdict
    after a lapse, in which no session looked, is a change as well: what was before it is no proof of what was in it.
    """

    endpoint: EndpointName
    at: float
    seen: float
    verdict: Verdict
    session: str
    masked_by: MaskedBy | None = None

    def told(self, ahead: Ahead) -> Change:
        """The same by the wall clock."""
        seen = self.seen + ahead(self.seen)
        return replace(self, at=min(self.at + ahead(self.at), seen), seen=seen)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outage:
    """A stretch of time in which an endpoint's verdict was critical.

    From `began`, when the first critical session was opened, to `ended`, when the first one after it that was not
    critical was opened: None while it lasts. (One that the vantage could not open is neither.) `seen` is when the
    last critical session was opened, so the outage certainly lasted until then. `unwatched`: seconds between its
    begin and its end in which no session looked for long, as while no daemon ran; what was then is not known. `first`
    is the session that it began with, by which it is told from every other outage, whatever clocks and processes say.
    `verdicts`: every critical verdict in it, in order, each once. `session`, the words and `masked_by` are those of
    the last critical session.
    """

    endpoint: EndpointName
    began: float
    seen: float
    ended: float | None = None
    unwatched: float = 0.0
    first: str
    verdicts: tuple[Verdict, ...]
    session: str
    masked_by: MaskedBy | None = None
    explanation: str = ""
    cause: str | None = None
    hint: str = ""

    @property
    def verdict(self) -> Verdict:
        """The first one: what it began with, and what names it."""
        return self.verdicts[0]

    @property
    def seconds(self) -> float:
        """How long it is known to have lasted."""
        return (self.seen if self.ended is None else self.ended) - self.began - self.unwatched

    def told(self, ahead: Ahead) -> Outage:
        """The same by the wall clock. Where that was set between its moments, that is time in which nobody looked."""
        ended = None if self.ended is None else self.ended + ahead(self.ended)
        seen, apart = self.seen + ahead(self.seen), ahead(self.seen) - ahead(self.began)
        began, unwatched = min(self.began + ahead(self.began), seen), max(0.0, self.unwatched + apart)
        return replace(self, began=began, seen=seen, ended=ended, unwatched=unwatched)
