"""Verdicts over time: when one took the place of another, and the stretches in which an endpoint was critical."""

from __future__ import annotations

from dataclasses import dataclass

from probe.model.endpoint import EndpointName
from probe.model.words import MaskedBy, Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """An endpoint's verdict became another one with the session opened at `at`; the first verdict is a change too."""

    endpoint: EndpointName
    at: float
    verdict: Verdict
    session: str
    masked_by: MaskedBy | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Outage:
    """A stretch of time in which an endpoint's verdict was critical.

    From `began`, when the first critical session was opened, to `ended`, when the first one after it that was not
    critical was opened: None while it lasts. `seen` is when the last critical session was opened, so the outage
    certainly lasted until then. `verdicts`: every critical verdict in it, in order, each once. `session`, the words
    and `masked_by` are those of the last critical session.
    """

    endpoint: EndpointName
    began: float
    seen: float
    ended: float | None = None
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
        return (self.seen if self.ended is None else self.ended) - self.began
