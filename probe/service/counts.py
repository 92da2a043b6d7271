"""What a service of a path has counted since this process began, all its ports together: they share one `Counts`. Pure.

No count goes back while the service is there. A port that leaves the configuration leaves behind what it counted:
Prometheus takes a fall for a new beginning, and would add what is left once more.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from probe.model import EndpointName, Phase, Result, Service, Verdict
from probe.service.distribution import Distribution

Counted = tuple[str, Service]
"""Path and service."""


def counted(name: EndpointName) -> Counted:
    """Under what it is counted."""
    return name.path, name.service


@dataclass(kw_only=True, slots=True)
class Counts:
    """What was counted.

    `seconds_of_outage`: those that this process was the first to know of, so one that goes on with an outage counts on
    where the one before stopped, at the outage's last session. They never go back.
    `missed`: turns on which no session began, for the one before was under way, or waited for room, too long.
    """

    sessions: Counter[Verdict] = field(default_factory=Counter)
    seconds_of_outage: float = 0.0
    missed: int = 0
    durations: Distribution = field(default_factory=Distribution)
    phases: dict[Phase, Distribution] = field(default_factory=dict)

    def add(self, result: Result) -> None:
        """Count one judged session."""
        session = result.session
        self.sessions[result.judgement.verdict] += 1
        self.durations.add(session.seconds, session.id, session.closed)
        for timing in session.phases:
            self.phases.setdefault(timing.phase, Distribution()).add(timing.seconds, session.id, session.closed)

    def copy(self) -> Counts:
        """As they are now."""
        return Counts(
            sessions=self.sessions.copy(),
            seconds_of_outage=self.seconds_of_outage,
            missed=self.missed,
            durations=self.durations.copy(),
            phases={phase: self.phases[phase].copy() for phase in Phase if phase in self.phases},
        )
