"""The ledger: what became of every endpoint. Metrics, pages, history and logs are views of it.

    Result ──record──▶ Account (verdict and since when, outage, totals, recent sessions) ──▶ Entry, to all who listen

Rules of this file:
- No I/O, no clock: times are those of the sessions, on the probe's clock.
- Bounded: sessions by `Room` (failures longer than successes), changes by a DAY, whatever the number of endpoints.
- Books are kept per endpoint (path, service, port); an endpoint that leaves the configuration takes its books along.
- What an earlier process wrote down (`Restored`) opens the books: a restart ends no outage.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from probe.model import Change, Endpoint, EndpointName, Outage, Phase, Result, Severity, Verdict
from probe.service.distribution import Distribution
from probe.verdict.outage import step

DAY = 86_400.0
MOST_CHANGES = 1_000
"""Of one endpoint: a verdict that changes with every session for eight hours, at an interval of 30 s."""

MOST_SESSIONS = 10_000
"""Of all endpoints together; one with its transcript takes some 10 KiB."""


@dataclass(frozen=True, slots=True)
class Room:
    """How many sessions of one endpoint are kept."""

    successes: int = 20
    failures: int = 100

    @classmethod
    def among(cls, endpoints: int) -> Room:
        """Each of so many endpoints gets its share."""
        share = MOST_SESSIONS // max(endpoints, 1)
        return cls(successes=max(1, min(20, share // 6)), failures=max(2, min(100, share * 5 // 6)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """What one session changed in the books. `began` and `ended` are outages that it began and ended."""

    result: Result
    change: Change | None = None
    began: Outage | None = None
    ended: Outage | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Restored:
    """What an earlier process wrote down, on this process's clock: changes in order, outages that had not ended."""

    changes: tuple[Change, ...] = ()
    lasting: tuple[Outage, ...] = ()
    ended: tuple[Outage, ...] = ()


@dataclass(slots=True)
class Account:
    """The books of one endpoint. `outage_seconds` are those of outages that this process saw end.

    `missed`: turns on which no session began, for the one before was under way, or waited for room, too long.
    """

    endpoint: EndpointName
    host: str
    room: Room
    latest: Result | None = None
    outage: Outage | None = None
    outage_seconds: float = 0.0
    missed: int = 0
    counted: Counter[Verdict] = field(default_factory=Counter)
    durations: Distribution = field(default_factory=Distribution)
    phases: dict[Phase, Distribution] = field(default_factory=dict)
    changes: deque[Change] = field(default_factory=lambda: deque(maxlen=MOST_CHANGES))
    outages: deque[Outage] = field(default_factory=lambda: deque(maxlen=100))
    successes: deque[Result] = field(default_factory=deque)
    failures: deque[Result] = field(default_factory=deque)
    _counted_from: float | None = None

    @property
    def change(self) -> Change | None:
        """The verdict now, and since when; that of an earlier process until this one has judged a session."""
        return self.changes[-1] if self.changes else None

    @property
    def seconds_of_outage(self) -> float:
        """Seconds of outage that this process saw, those of the lasting one included. It never goes back."""
        lasting = self.outage
        return self.outage_seconds + (lasting.seen - self._from(lasting) if lasting else 0.0)

    def sessions(self) -> Iterator[Result]:
        """Every session that is kept, the latest first."""
        kept = chain(self.successes, self.failures)
        return iter(sorted(kept, key=lambda result: result.session.opened, reverse=True))

    def record(self, result: Result) -> Entry:
        """Add one judged session."""
        self.latest = result
        self.counted[result.judgement.verdict] += 1
        self._measure(result)
        self._keep(result)
        before, after = self.outage, step(self.outage, result)
        if self._counted_from is None and (before or after.lasting):
            self._counted_from = result.session.opened
        if after.ended is not None:
            self.outage_seconds += (after.ended.ended or after.ended.seen) - self._from(after.ended)
            self.outages.append(after.ended)
            self._counted_from = None
        self.outage = after.lasting
        began = after.lasting if before is None else None
        return Entry(result=result, change=self._change(result), began=began, ended=after.ended)

    def restore(self, restored: Restored) -> None:
        """Go on where an earlier process stopped."""
        mine = (change for change in restored.changes if change.endpoint == self.endpoint)
        self.changes.extend(mine)
        self.outages.extend(outage for outage in restored.ended if outage.endpoint == self.endpoint)
        self.outage = next((outage for outage in restored.lasting if outage.endpoint == self.endpoint), None)

    def _from(self, outage: Outage) -> float:
        """From when this process counts an outage: one that it was told of, from its own first session."""
        return outage.seen if self._counted_from is None else self._counted_from

    def _keep(self, result: Result) -> None:
        ok = result.judgement.verdict.severity is Severity.OK
        kept, most = (self.successes, self.room.successes) if ok else (self.failures, self.room.failures)
        kept.append(result)
        while len(kept) > most:
            kept.popleft()

    def _measure(self, result: Result) -> None:
        session = result.session
        self.durations.add(session.seconds, session.id, session.closed)
        for timing in session.phases:
            self.phases.setdefault(timing.phase, Distribution()).add(timing.seconds, session.id, session.closed)

    def _change(self, result: Result) -> Change | None:
        judgement, session = result.judgement, result.session
        last = self.change
        while len(self.changes) > 1 and self.changes[1].at < session.opened - DAY:
            self.changes.popleft()  # what was the verdict as the day began stays known
        if last is not None and (last.verdict, last.masked_by) == (judgement.verdict, judgement.masked_by):
            return None
        change = Change(
            endpoint=self.endpoint,
            at=session.opened,
            verdict=judgement.verdict,
            session=session.id,
            masked_by=judgement.masked_by,
        )
        self.changes.append(change)
        return change


class Ledger:
    """All accounts, in the order of the configuration. `listeners` are told of every entry, in order."""

    def __init__(self, endpoints: Sequence[Endpoint], restored: Restored | None = None) -> None:
        self.listeners: list[Callable[[Entry], None]] = []
        self._accounts: dict[EndpointName, Account] = {}
        self._restored = restored or Restored()
        self.configure(endpoints)
        self._restored = Restored()  # it is of the start: an endpoint that comes back later begins anew

    @property
    def accounts(self) -> Mapping[EndpointName, Account]:
        """By endpoint."""
        return self._accounts

    @property
    def known(self) -> Restored:
        """Where another history is to go on: the verdict of every endpoint, and the outages that last."""
        accounts = self._accounts.values()
        return Restored(
            changes=tuple(account.change for account in accounts if account.change is not None),
            lasting=tuple(account.outage for account in accounts if account.outage is not None),
        )

    def configure(self, endpoints: Sequence[Endpoint]) -> None:
        """Keep books for just these endpoints; those that were there keep theirs."""
        before, self._accounts = self._accounts, {}
        room = Room.among(len(endpoints))
        for endpoint in endpoints:
            account = before.get(endpoint.name) or self._opened(endpoint, room)
            account.host, account.room = endpoint.host, room
            self._accounts[endpoint.name] = account

    def record(self, result: Result) -> Entry | None:
        """Add one judged session; None if its endpoint left the configuration meanwhile."""
        account = self._accounts.get(result.session.endpoint)
        if account is None:
            return None
        entry = account.record(result)
        for listener in self.listeners:
            listener(entry)
        return entry

    def miss(self, endpoint: EndpointName, turns: int) -> None:
        """So many turns went by without a session."""
        if (account := self._accounts.get(endpoint)) is not None:
            account.missed += turns

    def session(self, identity: str) -> Result | None:
        """A session that is kept."""
        return next(
            (one for account in self._accounts.values() for one in account.sessions() if one.session.id == identity),
            None,
        )

    def _opened(self, endpoint: Endpoint, room: Room) -> Account:
        account = Account(endpoint=endpoint.name, host=endpoint.host, room=room)
        account.restore(self._restored)
        return account
