"""How each service of each path stands: accounts put together under the labels that metrics have. Pure.

A path may have one service on several ports; metrics tell those together, the worst of them in what is a state:
- The verdict is that of the worst severity; among critical ones spoofable and masked come last, with which clients are
  served: one port of them, and silenced, would hide every outage of another. Masked is the very last: it may be on
  purpose. Then the order of the closed set decides.
- Only what may be told as that of now is (`Account.told`): never that all is well without a session of this process.
- The latest session is that of the port whose verdict is told, of several the one opened longest ago: with another
  port's time one bad session would look like two of them.
- Counts and durations are those of all of them (counts.py); of certificates the one that expires first is told.
- Nothing in a standing changes any more, while the accounts behind it go on: it may be told in another thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from probe.model import MaskedBy, Result, Service, Severity, Verdict
from probe.service.counts import Counted, Counts, counted
from probe.service.ledger import Account, Room
from probe.verdict.served import SERVED, Served


def _badness(verdict: Verdict) -> tuple[int, bool, bool]:
    return tuple(Severity).index(verdict.severity), SERVED[verdict] is Served.YES, verdict is Verdict.MASKED


WORST_FIRST = tuple(sorted(Verdict, key=_badness))
"""Sorting is stable, so the closed set's own order decides among equals."""

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
    counts: Counts

    @property
    def preserved(self) -> bool | None:
        """Whether the server saw an expected client address."""
        return PRESERVED.get(self.verdict) if self.verdict else None


def standings(accounts: Iterable[Account], now: float = float("inf")) -> list[Standing]:
    """One for each path and service, in the order of the accounts. `now` is when; by default too late for what was."""
    ports: dict[Counted, list[Account]] = {}
    for account in accounts:
        ports.setdefault(counted(account.endpoint), []).append(account)
    return [_standing(path, service, several, now) for (path, service), several in ports.items()]


def standings_of(results: Sequence[Result]) -> list[Standing]:
    """The same for sessions that no ledger keeps."""
    accounts, counts = [], dict[Counted, Counts]()
    for result in results:
        name, host = result.session.endpoint, result.session.host
        own = counts.setdefault(counted(name), Counts())
        account = Account(endpoint=name, host=host, room=Room(), counts=own)
        account.record(result)
        accounts.append(account)
    return standings(accounts)


def _standing(path: str, service: Service, ports: Sequence[Account], now: float) -> Standing:
    changes = [change for port in ports if (change := port.told(now))]
    verdict = min((change.verdict for change in changes), key=WORST_FIRST.index, default=None)
    told = [change for change in changes if change.verdict is verdict]
    opened = (port.latest.session.opened for port in ports if port.latest and port.latest.judgement.verdict is verdict)
    latest = [port.latest.session for port in ports if port.latest]
    expiries = (session.certificate_expiry for session in latest)
    return Standing(
        path=path,
        service=service,
        verdict=verdict,
        masked_by=frozenset(change.masked_by for change in told if change.masked_by),
        up=all(session.fault is None for session in latest) if latest else None,
        last_session=min(opened, default=None),
        certificate_expiry=min((expiry for expiry in expiries if expiry is not None), default=None),
        counts=ports[0].counts.copy(),
    )
