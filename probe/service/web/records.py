"""Sessions and outages as plain values, of this process and of those before it: the ledger's and the history's in one.

- The ledger knows what has just happened, the history what is long ago. Both tell of a time between: what the ledger
  has is taken from there.
- A history that fails or is slow is left out, and whoever asks is told so (`complete`).
- All times that leave here are wall times.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from probe.model import EndpointName, Outage, Result, Service, Verdict
from probe.notices import warn
from probe.report.json import timestamp
from probe.report.record import record_object
from probe.service.station import Past
from probe.service.web.site import Site, history_limit

Record = Mapping[str, Any]
_Answer = TypeVar("_Answer")

SUMMARY_LEAVES_OUT = ("transcript", "signs", "controls", "reasons")
"""What only the record of one session has: a list of a thousand would be megabytes long."""

PAGES = 5
"""Times the history is asked for one list, where a filter leaves little of each answer."""

MOST = 1_000
TIES = 50
"""Sessions opened in the same millisecond that are told beyond the limit, so that none falls between two lists."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Which sessions or outages; `before` is a wall time."""

    path: str | None = None
    service: Service | None = None
    verdict: Verdict | None = None
    before: float | None = None
    limit: int = 100

    def endpoint(self, name: EndpointName) -> bool:
        """Whether the endpoint is wanted."""
        return self.path in (None, name.path) and self.service in (None, name.service)

    def record(self, record: Record) -> bool:
        """Whether a session is wanted, whoever wrote its record."""
        alike = ((self.path, "path"), (self.service, "service"), (self.verdict, "verdict"))
        fits = all(wanted is None or record.get(key) == wanted for wanted, key in alike)
        return fits and (self.before is None or str(record.get("opened", "")) < timestamp(self.before))

    def outage(self, outage: Outage) -> bool:
        """Whether an outage is wanted."""
        fits = self.verdict is None or self.verdict in outage.verdicts
        return fits and self.endpoint(outage.endpoint) and (self.before is None or outage.began < self.before)


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A list and whether the history had its say in it; `more` is the `before` to go on from."""

    items: Sequence[Record] = ()
    complete: bool = True
    more: str | None = None


async def session_record(site: Site, identity: str) -> Record | None:
    """The record of one session, wherever it is kept."""
    kept = site.station.ledger.session(identity)
    if kept is not None:
        return record_object(kept, shift=site.shift)
    past = site.station.past
    if past is None or not identity.isprintable() or len(identity) > 200:
        return None
    return await _from_history(lambda: past.session(identity))


async def sessions(site: Site, wanted: Wanted) -> Listed:
    """Sessions, the latest first, without what SUMMARY_LEAVES_OUT."""
    found = {str(record["id"]): record for record in _kept(site, wanted)}
    complete = await _add_history(site, wanted, found)
    latest = sorted(found.values(), key=lambda record: str(record.get("opened", "")), reverse=True)
    end = min(wanted.limit, len(latest))
    while end < min(len(latest), wanted.limit + TIES) and latest[end].get("opened") == latest[end - 1].get("opened"):
        end += 1
    more = str(latest[end - 1].get("opened")) if end < len(latest) else None
    return Listed(items=[_summary(record) for record in latest[:end]], complete=complete, more=more)


async def outages(site: Site, wanted: Wanted) -> Listed:
    """Outages, the latest first; those that last are among them whenever they began."""
    own = [_on_wall(outage, site) for outage in _own_outages(site)]
    past, complete = site.station.past, False
    older: Sequence[Outage] = ()
    if past is not None:
        asked = await _from_history(lambda: past.outages(since=0.0, most=MOST))
        older, complete = asked or (), asked is not None
    merged = [*own, *(outage for outage in older if not any(_same(outage, one) for one in own))]
    latest = sorted((one for one in merged if wanted.outage(one)), key=lambda one: one.began, reverse=True)
    more = timestamp(latest[wanted.limit - 1].began) if len(latest) > wanted.limit else None
    return Listed(items=[outage_object(one) for one in latest[: wanted.limit]], complete=complete, more=more)


def outage_object(outage: Outage) -> Record:
    """One outage, its times on the wall clock already."""
    return {
        "path": outage.endpoint.path,
        "service": outage.endpoint.service,
        "port": outage.endpoint.port,
        "began": timestamp(outage.began),
        "seen": timestamp(outage.seen),
        "ended": timestamp(outage.ended) if outage.ended is not None else None,
        "seconds": round(outage.seconds, 3),
        "verdict": outage.verdict,
        "verdicts": list(outage.verdicts),
        "masked_by": outage.masked_by,
        "session": outage.session,
        "explanation": outage.explanation,
        "cause": outage.cause,
        "hint": outage.hint,
    }


def _kept(site: Site, wanted: Wanted) -> Iterable[Record]:
    """Those of the ledger. A record costs a hundred microseconds, so only wanted ones are made."""
    results: list[Result] = []
    for account in site.station.ledger.accounts.values():
        if wanted.endpoint(account.endpoint):
            results += (one for one in account.sessions() if wanted.verdict in (None, one.judgement.verdict))
    results.sort(key=lambda one: one.session.opened, reverse=True)
    if wanted.before is not None:
        results = [one for one in results if site.wall(one.session.opened) < wanted.before]
    for result in results[: wanted.limit + TIES + 1]:
        record = record_object(result, shift=site.shift)
        if wanted.record(record):
            yield record


async def _add_history(site: Site, wanted: Wanted, found: dict[str, Record]) -> bool:
    past = site.station.past
    if past is None:
        return False
    names: list[EndpointName | None] = [None]
    if wanted.path or wanted.service:
        names = [name for name in site.station.ledger.accounts if wanted.endpoint(name)]
    told = [await _add_of_one(past, name, wanted, found) for name in names]
    return all(told)


async def _add_of_one(past: Past, name: EndpointName | None, wanted: Wanted, found: dict[str, Record]) -> bool:
    before = wanted.before
    most = MOST if wanted.verdict else wanted.limit + TIES + 1
    for _ in range(PAGES):
        asked = await _from_history(partial(past.sessions, endpoint=name, before=before, most=most))
        if asked is None:
            return False
        fitting = [record for record in asked if wanted.record(record)]
        for record in fitting:
            found.setdefault(str(record.get("id")), record)
        if len(asked) < most or len(fitting) > wanted.limit:
            break
        before = _opened(asked[-1])
    return True


def _opened(record: Record) -> float | None:
    try:
        return datetime.fromisoformat(str(record.get("opened"))).timestamp()
    except ValueError:
        return None


def _own_outages(site: Site) -> Iterable[Outage]:
    for account in site.station.ledger.accounts.values():
        yield from account.outages
        if account.outage is not None:
            yield account.outage


def _on_wall(outage: Outage, site: Site) -> Outage:
    ended = site.wall(outage.ended) if outage.ended is not None else None
    return replace(outage, began=site.wall(outage.began), seen=site.wall(outage.seen), ended=ended)


def _same(one: Outage, other: Outage) -> bool:
    """Outages of one endpoint never overlap, so two that do are one, however the clocks were set meanwhile."""
    endless = float("inf")
    overlap = one.began <= (other.ended or endless) and other.began <= (one.ended or endless)
    return one.endpoint == other.endpoint and overlap


def _summary(record: Record) -> Record:
    return {key: value for key, value in record.items() if key not in SUMMARY_LEAVES_OUT}


async def _from_history(question: Callable[[], Awaitable[_Answer]]) -> _Answer | None:
    """What the history answers, None if it does not; a broken one takes nothing else down."""
    try:
        async with history_limit():
            return await question()
    except Exception as error:  # whatever a database may raise
        warn("the history did not answer the web server", reason=f"{type(error).__name__}: {error}")
        return None
