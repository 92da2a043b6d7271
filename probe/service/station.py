"""What the daemon is at a moment, for those who show it: metrics, pages, `/probe`. They see this and no more of it.

Times are on `clock`, which never jumps; whoever shows one to a person or to Prometheus asks `clock.wall`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from probe.evidence.health import Heard
from probe.model import EndpointName, Outage, Result, Topology
from probe.service.clock import SteadyClock
from probe.service.ledger import Ledger
from probe.service.wanted import Wanted
from probe.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Reload:
    """The last time the configuration was read: `fault` says why it was not taken, and the old one goes on."""

    at: float
    fault: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What became of a question for one endpoint: a session's result, or a refusal, for there was no session.

    `unfinished` says that time was up before the session was judged, which goes on. `result` is then what it proves so
    far; None is nothing: it is still open, or has failed, and only its evidence tells how. It has not worked.
    `fresh`: the session was opened for this question, or was under way as it came. Without room in the endpoint's
    budget the last result is given again, if it is younger than the schedule's interval. `retry_after`: seconds.
    """

    result: Result | None = None
    fresh: bool = True
    unfinished: str = ""
    refusal: str = ""
    retry_after: float | None = None


class Past(Protocol):
    """Everything that was written down or waits to be, now and by earlier processes. Whoever cannot answer raises.

    Times are wall times, records those of report.record.
    """

    @property
    def dropped(self) -> int:
        """Sessions since the start that it does not know."""

    async def session(self, identity: str) -> Mapping[str, object] | None:
        """The record of a session."""

    async def sessions(self, wanted: Wanted, most: int) -> Sequence[Mapping[str, object]]:
        """Records of the latest of these sessions, the latest first; fewer than `most` only if there are no more."""

    async def outages(self, wanted: Wanted, most: int) -> Sequence[Outage]:
        """The same of outages."""


class Station(Protocol):
    """The daemon, as its shows see it."""

    @property
    def settings(self) -> Settings:
        """The configuration that is in force."""

    @property
    def clock(self) -> SteadyClock:
        """The clock of all moments."""

    @property
    def started(self) -> float:
        """When the daemon began."""

    @property
    def ledger(self) -> Ledger:
        """What became of every endpoint."""

    @property
    def past(self) -> Past | None:
        """The history; None where it cannot be used (`troubles` then says why)."""

    @property
    def topology(self) -> Topology | None:
        """The facts last gathered around the cluster."""

    @property
    def logins(self) -> float | None:
        """Dovecot's count of logins, as last read."""

    @property
    def clients(self) -> Mapping[str, int]:
        """Clients seen in the logs since the start or the last reload, by whose network they come from."""

    @property
    def reload(self) -> Reload:
        """How the configuration was last read."""

    @property
    def reloaded(self) -> float | None:
        """When a reload took the configuration that is in force: its sources are heard, and counted, since then."""

    @property
    def waiting_for(self) -> tuple[str, ...]:
        """What the daemon waits for before it is ready; empty: it is ready."""

    @property
    def troubles(self) -> tuple[str, ...]:
        """What is wrong with the daemon itself, each with its next step (a history that cannot be written)."""

    def heard(self) -> tuple[Heard, ...]:
        """How each evidence source serves."""

    async def ask(self, endpoint: EndpointName, *, seconds: float) -> Asked:
        """A session to this endpoint, answered within so many seconds; it draws on the endpoint's budget."""

    async def read_configuration_again(self) -> Reload:
        """Read the file again and take it whole, or not at all."""
