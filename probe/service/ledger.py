"""The ledger: what became of every endpoint. Metrics, pages, history and logs are views of it.

    Result ──record──▶ Account (verdict and since when, outage, totals, recent sessions) ──▶ Entry, to all who listen

Rules of this file:
- No I/O, no clock: times are those of the sessions, on the probe's clock.
- Bounded: sessions by `Room` (failures longer than successes), changes by a DAY, whatever the number of endpoints.
- Books are kept per endpoint (path, service, port); an endpoint that leaves the configuration takes its books along.
- What was counted is the service's (counts.py): a port that leaves takes nothing of that along while another is there.
- One that is configured differently (Endpoint.identity) is another endpoint: its counts go on, its outage ended where
  it was last seen, and no verdict or outage of the one before goes over to it.
- Whoever keeps outages too (history, sink) goes by `lasting`: what lasts there and not here ended where last seen.
- What an earlier process wrote down (`Restored`) opens the books: a restart ends no outage. It is what was, though, and
  `told` says what of it may be told as what is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from math import inf
from typing import TypeVar

from probe.model import Change, Endpoint, EndpointName, Outage, Pace, Result, Severity
from probe.service.counts import Counts, counted
from probe.verdict.outage import joined, left, longer, over, step

DAY = 86_400.0
MOST_CHANGES = 1_000
"""Of one endpoint: a verdict that changes with every session for eight hours, at an interval of 30 s."""

MOST_OUTAGES = 100
"""Of one endpoint that have ended; the history has them all."""

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
    """What one session changed in the books. `began` and `ended` are outages that it began and ended.

    `stands` is the verdict as it stands after it, which is `change` where it is another one; `lasting` the outage.
    """

    result: Result
    stands: Change
    change: Change | None = None
    lasting: Outage | None = None
    began: Outage | None = None
    ended: Outage | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Restored:
    """What an earlier process wrote down, on this process's clock: changes in order, outages that had not ended.

    `told`: when those began, by their first sessions, as the wall clock had it then.
    """

    changes: tuple[Change, ...] = ()
    lasting: tuple[Outage, ...] = ()
    ended: tuple[Outage, ...] = ()
    told: Mapping[str, float] = field(default_factory=dict)


Noted = tuple[deque[Change], deque[Outage], Outage | None]
"""Of one endpoint: changes, outages that have ended, the one that lasts."""


@dataclass(slots=True)
class Account:
    """The books of one endpoint. `counts` are those of its service, whose other ports count there too.

    `latest`: the latest session of this process to just this endpoint; `since`: from when on it was to have one.
    `looked`: when the first session of this process was opened that the vantage could open.
    """

    endpoint: EndpointName
    host: str
    room: Room
    identity: Endpoint | None = None
    since: float = -inf
    pace: Pace = field(default_factory=Pace)
    latest: Result | None = None
    looked: float | None = None
    outage: Outage | None = None
    counts: Counts = field(default_factory=Counts)
    changes: deque[Change] = field(default_factory=lambda: deque(maxlen=MOST_CHANGES))
    outages: deque[Outage] = field(default_factory=lambda: deque(maxlen=MOST_OUTAGES))
    successes: deque[Result] = field(default_factory=deque)
    failures: deque[Result] = field(default_factory=deque)

    @property
    def change(self) -> Change | None:
        """The verdict last found, by this process or one before it, since when, and when it was last seen."""
        return self.changes[-1] if self.changes else None

    def told(self, now: float) -> Change | None:
        """The verdict that may be told as that of now; None: nothing is known, only what was (`change`).

        Before this process has judged a session to this very endpoint that is at most an outage which was seen before,
        for as long as whoever saw it would have gone on telling it. That all is well is never told without a session.
        """
        last = self.change
        if last is None or self.latest is not None:
            return last
        was_out = self.outage is not None and last.verdict.severity is Severity.CRITICAL
        return last if was_out and now - last.seen <= self.pace.due else None

    def stood(self, at: float) -> Severity:
        """How the endpoint stood then, by the last session before."""
        found = next((change for change in reversed(self.changes) if change.at <= at), None)
        return found.verdict.severity if found is not None else Severity.UNKNOWN

    def configure(self, endpoint: Endpoint, room: Room, now: float) -> None:
        """From now on keep the books of this endpoint; if it is another one than before, they tell what was."""
        if endpoint.identity != self.identity:
            self.identity, self.since, self.latest = endpoint.identity, now, None
            if self.outage is not None:
                self.outages.append(left(self.outage))
                self.outage = None
        self.host, self.room, self.pace = endpoint.host, room, endpoint.pace

    def sessions(self) -> Iterator[Result]:
        """Every session that is kept, the latest first."""
        kept = chain(self.successes, self.failures)
        return iter(sorted(kept, key=lambda result: result.session.opened, reverse=True))

    def record(self, result: Result) -> Entry:
        """Add one judged session."""
        before, after = self.outage, step(self.outage, result, self.pace.lapse)
        self.counts.seconds_of_outage += after.seconds
        if after.ended is not None:
            self.outages.append(after.ended)
        self.latest, self.outage = result, after.lasting
        if self.looked is None and result.session.took_place:
            self.looked = result.session.opened
        self.counts.add(result)
        self._keep(result)
        change = self._change(result)
        began = after.lasting if before is None else None
        return Entry(
            result=result,
            stands=self.changes[-1],
            change=change,
            lasting=after.lasting,
            began=began,
            ended=after.ended,
        )

    def with_past(self, changes: Sequence[Change], ended: Sequence[Outage], lasting: Outage | None) -> Noted:
        """What would be noted here, had all this been there before what is in these books."""
        own, looked = self.changes[0] if self.changes else None, self.looked
        before, after, outage = list(ended), list(self.outages), self.outage
        if lasting is not None:
            begun = next((one for one in (*after, outage) if one and one.began == looked), None)
            if lasting.seen < self.since:
                before.append(left(lasting))
            elif looked is None:
                outage = lasting
            elif begun is None:
                before.append(over(lasting, looked, self.pace.lapse))
            elif begun is outage:
                outage = joined(lasting, begun, self.pace.lapse)
            else:
                after[after.index(begun)] = joined(lasting, begun, self.pace.lapse)
        return self._changes_after(changes, own), deque([*before, *after], maxlen=MOST_OUTAGES), outage

    def missing(self, lasting: Outage | None) -> float:
        """Seconds between an outage that is heard of now and the first session here, which nobody has counted."""
        if lasting is None or self.looked is None or lasting.seen < self.since:
            return 0.0
        return longer(lasting, self.looked, self.pace.lapse)

    def _changes_after(self, changes: Sequence[Change], own: Change | None) -> deque[Change]:
        after = list(self.changes)
        if changes and own is not None and self._is_own(changes[-1]) and _goes_on(changes[-1], own, self.pace.lapse):
            changes = [*changes[:-1], replace(changes[-1], seen=max(changes[-1].seen, own.seen))]
            after.pop(0)
        return deque([*changes, *after], maxlen=MOST_CHANGES)

    def _is_own(self, change: Change) -> bool:
        """False if it was found of another endpoint of this name."""
        return change.seen >= self.since

    def _keep(self, result: Result) -> None:
        ok = result.judgement.verdict.severity is Severity.OK
        kept, most = (self.successes, self.room.successes) if ok else (self.failures, self.room.failures)
        kept.append(result)
        while len(kept) > most:
            kept.popleft()

    def _change(self, result: Result) -> Change | None:
        judgement, session = result.judgement, result.session
        last = self.change
        while len(self.changes) > 1 and self.changes[1].at < session.opened - DAY:
            self.changes.popleft()  # what was the verdict as the day began stays known
        found = (judgement.verdict, judgement.masked_by)
        goes_on = last is not None and self._is_own(last) and session.opened - last.seen <= self.pace.lapse
        if goes_on and last is not None and (last.verdict, last.masked_by) == found:
            self.changes[-1] = replace(last, seen=max(last.seen, session.opened))
            return None
        change = Change(
            endpoint=self.endpoint,
            at=session.opened,
            seen=session.opened,
            verdict=judgement.verdict,
            session=session.id,
            masked_by=judgement.masked_by,
        )
        self.changes.append(change)
        return change


class Ledger:
    """All accounts, in the order of the configuration. `listeners` are told of every entry, in order.

    `farewells` are told of every outage that ends by no entry: nobody looks any more, or it was known of too late.
    """

    def __init__(self, endpoints: Sequence[Endpoint], restored: Restored | None = None) -> None:
        self.listeners: list[Callable[[Entry], None]] = []
        self.farewells: list[Callable[[Outage], None]] = []
        self._accounts: dict[EndpointName, Account] = {}
        self.configure(endpoints)
        self.take_up(restored or Restored())

    @property
    def accounts(self) -> Mapping[EndpointName, Account]:
        """By endpoint."""
        return self._accounts

    @property
    def lasting(self) -> Mapping[EndpointName, Outage | None]:
        """Of every endpoint of the configuration the outage that lasts."""
        return {name: account.outage for name, account in self._accounts.items()}

    @property
    def known(self) -> Restored:
        """Where another history is to go on: the verdict of every endpoint, and the outages that last."""
        accounts = self._accounts.values()
        return Restored(
            changes=tuple(account.change for account in accounts if account.change is not None),
            lasting=tuple(account.outage for account in accounts if account.outage is not None),
        )

    def configure(self, endpoints: Sequence[Endpoint], now: float = -inf) -> None:
        """From now on keep books for just these endpoints; names that were there keep theirs."""
        before, lasted, self._accounts = self._accounts, self.known.lasting, {}
        room, counts = Room.among(len(endpoints)), {counted(name): account.counts for name, account in before.items()}
        for endpoint in endpoints:
            name, own = endpoint.name, counts.setdefault(counted(endpoint.name), Counts())
            account = before.get(name) or Account(endpoint=name, host=endpoint.host, room=room, counts=own)
            account.configure(endpoint, room, now)
            self._accounts[name] = account
        for outage in lasted:
            if self.lasting.get(outage.endpoint) is None:
                self._say_farewell(left(outage))

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
            account.counts.missed += turns

    def session(self, identity: str) -> Result | None:
        """A session that is kept."""
        return next(
            (one for account in self._accounts.values() for one in account.sessions() if one.session.id == identity),
            None,
        )

    def take_up(self, restored: Restored) -> Restored:
        """Go on where an earlier process stopped, and give all that is known then.

        It may be heard of late, from a disk that did not answer, when sessions have been recorded already. It is of the
        start: an endpoint that comes into the configuration later begins anew. Where this fails nothing is changed; it
        tells nobody (`part_with`), so that nobody else can make it fail.
        """
        accounts = self._accounts
        changes, ended = _by_endpoint(restored.changes), _by_endpoint(restored.ended)
        lasting = {outage.endpoint: outage for outage in restored.lasting}
        noted = {
            name: account.with_past(changes.get(name, ()), ended.get(name, ()), lasting.get(name))
            for name, account in accounts.items()
        }
        for name, account in accounts.items():
            account.counts.seconds_of_outage += account.missing(lasting.get(name))
            account.changes, account.outages, account.outage = noted[name]
        return Restored(
            changes=tuple(change for account in accounts.values() for change in account.changes),
            lasting=self.known.lasting,
            ended=tuple(outage for account in accounts.values() for outage in account.outages),
            told=restored.told,
        )

    def part_with(self, restored: Restored) -> None:
        """Tell which outages are over of those that lasted when an earlier process ended, once they are taken up."""
        for outage in restored.lasting:
            account = self._accounts.get(outage.endpoint)
            known = account.outages if account is not None else (left(outage),)
            for one in known:
                if one.first == outage.first:
                    self._say_farewell(one)

    def _say_farewell(self, outage: Outage) -> None:
        for tell in self.farewells:
            tell(outage)


def _goes_on(last: Change, own: Change, lapse: float) -> bool:
    return (last.verdict, last.masked_by) == (own.verdict, own.masked_by) and own.at - last.seen <= lapse


_Noted = TypeVar("_Noted", Change, Outage)


def _by_endpoint(noted: Iterable[_Noted]) -> Mapping[EndpointName, Sequence[_Noted]]:
    found: dict[EndpointName, list[_Noted]] = {}
    for one in noted:
        found.setdefault(one.endpoint, []).append(one)
    return found
