"""How each service of each path stands: accounts put together under the labels that metrics have. Pure.

A path may have one service on several ports; metrics tell those together, the worst of them in what is a state:
- The verdict is that of the worst severity, the first in the order of the closed set among equals.
- Only what may be told as that of now is (`Account.told`): never that all is well without a session of this process.
- Counts and durations are summed; the session opened longest ago and the certificate that expires first are told.
- Nothing in a standing changes any more, while the accounts behind it go on: it may be told in another thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from probe.model import MaskedBy, Phase, Result, Service, Severity, Verdict
from probe.service.distribution import Distribution, summed
from probe.service.ledger import Account, Room

ORDER = {verdict: rank for rank, verdict in enumerate(sorted(Verdict, key=lambda v: tuple(Severity).index(v.severity)))}
"""The worst first; sorting is stable, so the closed set's own order decides among equals."""

PRESERVED = {Verdict.PRESERVED: True, Verdict.MASKED: False}
"""What a verdict says of the client's address; every other one says nothing of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How one service of one path stands; None where nothing is known. Moments are on the probe's clock."""

    path: str
    service: Service
    verdict: Verdict | None
    masked_by: frozenset[MaskedBy]
    up: bool | None
    last_session: float | None
    certificate_expiry: float | None
    sessions: Mapping[Verdict, int]
    outage_seconds: float
    durations: Distribution
    phases: Mapping[Phase, Distribution]

    @property
    def preserved(self) -> bool | None:
        """Whether the server saw an expected client address."""
        return PRESERVED.get(self.verdict) if self.verdict else None


def standings(accounts: Iterable[Account], now: float = float("inf")) -> list[Standing]:
    """One for each path and service, in the order of the accounts. `now` is when; by default too late for what was."""
    ports: dict[tuple[str, Service], list[Account]] = {}
    for account in accounts:
        ports.setdefault((account.endpoint.path, account.endpoint.service), []).append(account)
    return [_standing(path, service, several, now) for (path, service), several in ports.items()]


def standings_of(results: Sequence[Result]) -> list[Standing]:
    """The same for sessions that no ledger keeps."""
    accounts = []
    for result in results:
        account = Account(endpoint=result.session.endpoint, host=result.session.host, room=Room())
        account.record(result)
        accounts.append(account)
    return standings(accounts)


def _standing(path: str, service: Service, ports: Sequence[Account], now: float) -> Standing:
    changes = [change for port in ports if (change := port.told(now))]
    latest = [port.latest.session for port in ports if port.latest]
    expiries = (session.certificate_expiry for session in latest)
    return Standing(
        path=path,
        service=service,
        verdict=min((change.verdict for change in changes), key=ORDER.__getitem__, default=None),
        masked_by=frozenset(change.masked_by for change in changes if change.masked_by),
        up=all(session.fault is None for session in latest) if latest else None,
        last_session=min((session.opened for session in latest), default=None),
        certificate_expiry=min((expiry for expiry in expiries if expiry is not None), default=None),
        sessions=sum((port.counted for port in ports), Counter[Verdict]()),
        outage_seconds=sum(port.seconds_of_outage for port in ports),
        durations=summed([port.durations for port in ports]),
        phases=_phases(ports),
    )


def _phases(ports: Sequence[Account]) -> dict[Phase, Distribution]:
    return {
        phase: summed([port.phases[phase] for port in ports if phase in port.phases])
        for phase in Phase
        if any(phase in port.phases for port in ports)
    }
