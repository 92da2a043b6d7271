"""Verdicts over time: when one took the place of another, and the stretches in which an endpoint was critical."""

from __future__ import annotations

from dataclasses import dataclass, replace

from probe.model.endpoint import EndpointName
from probe.model.words import MaskedBy, Verdict


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

    def moved(self, ahead: float) -> Outage:
        """The same by a clock that is so many seconds ahead."""
        ended = None if self.ended is None else self.ended + ahead
        return replace(self, began=self.began + ahead, seen=self.seen + ahead, ended=ended)
