"""What a session proves, and what reports tell: judged sessions, a round of them at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

from probe.model.address import Address, Networks
from probe.model.evidence import Evidence
from probe.model.session import Session
from probe.model.surroundings import Topology
from probe.model.words import MaskedBy, Severity, Verdict, worst


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What a session proves, by which rule, in words for a person.

    `seen` are the addresses that stood in the client's place. `doubt` says why the verdict is not about the
    clients' way in, as the explanation does too; reports show it even where all is well.
    """

    verdict: Verdict
    rule: str
    explanation: str
    hint: str
    masked_by: MaskedBy | None = None
    seen: tuple[Address, ...] = ()
    cause: str | None = None
    doubt: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """A judged session: what every report tells.

    `given_up`: connections of sessions that were given up for this verdict. `beats`: those that its endpoint opened for
    it; the session may have looked for others' too.
    """

    session: Session
    evidence: Evidence
    judgement: Judgement
    given_up: int = 0
    beats: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """One cycle over all endpoints: what `--once` prints. `topology`: the facts last gathered, for metrics, `networks`
    as they are configured."""

    vantage: str
    started: float
    seconds: float
    results: tuple[Result, ...] = field(default=())
    topology: Topology | None = None
    networks: Networks = field(default_factory=Networks)

    @property
    def severity(self) -> Severity:
        """The worst session decides."""
        return worst([result.judgement.verdict.severity for result in self.results])
