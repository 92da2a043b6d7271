"""Sessions and outages as plain values, of this process and of those before it.

- A list is read in one place: the history knows all that was written down and all that waits to be. Only where it does
  not answer is it the ledger's, which knows the latest, and whoever asks is told so (`complete`).
- The latest is what came last, whatever the wall clock said of it: a list goes on after a name, not before a time.
- All times that leave here are wall times.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from probe.model import Outage
from probe.notices import warn
from probe.report.json import timestamp
from probe.report.record import record_object
from probe.service.wanted import NotKept, Wanted
from probe.service.web.site import Site, history_limit

Record = Mapping[str, Any]
_Answer = TypeVar("_Answer")

SUMMARY_LEAVES_OUT = ("transcript", "signs", "controls", "reasons")
"""What only the record of one session has: a list of a thousand would be megabytes long."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A list and whether the history had its say in it; `more` is the `after` to go on from."""

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
    past = site.station.past
    found = await _from_history(lambda: past.sessions(wanted, _most(wanted))) if past is not None else None
    complete = found is not None and past is not None and not past.dropped
    records = found if found is not None else _kept(site, wanted)
    more = str(records[wanted.limit - 1]["id"]) if len(records) > wanted.limit else None
    return Listed(items=[_summary(record) for record in records[: wanted.limit]], complete=complete, more=more)


async def outages(site: Site, wanted: Wanted) -> Listed:
    """Outages, the latest first, by when they began."""
    past = site.station.past
    found = await _from_history(lambda: past.outages(wanted, _most(wanted))) if past is not None else None
    known = found if found is not None else _own_outages(site, wanted)
    more = known[wanted.limit - 1].first if len(known) > wanted.limit else None
    return Listed(items=[outage_object(one) for one in known[: wanted.limit]], complete=found is not None, more=more)


def _most(wanted: Wanted) -> int:
    return wanted.limit + 1


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
        "unwatched": round(outage.unwatched, 3),
        "verdict": outage.verdict,
        "verdicts": list(outage.verdicts),
        "masked_by": outage.masked_by,
        "session": outage.session,
        "explanation": outage.explanation,
        "cause": outage.cause,
        "hint": outage.hint,
    }


def _kept(site: Site, wanted: Wanted) -> list[Record]:
    """Those of the ledger. A record costs a hundred microseconds, so only wanted ones are made."""
    accounts = site.station.ledger.accounts.values()
    kept = [one for account in accounts for one in account.sessions() if wanted.session(one, site.shift)]
    kept.sort(key=lambda one: one.session.opened, reverse=True)
    listed = _behind(wanted, {one.session.id: one for one in kept})
    return [record_object(one, shift=site.shift) for one in listed[: _most(wanted)]]


def _own_outages(site: Site, wanted: Wanted) -> Sequence[Outage]:
    accounts = site.station.ledger.accounts.values()
    known = (one for account in accounts for one in (*account.outages, *filter(None, [account.outage])))
    ahead = site.station.clock.ahead
    told = sorted((one.told(ahead) for one in known), key=lambda one: one.began, reverse=True)
    return _behind(wanted, {one.first: one for one in told if wanted.outage(one)})


def _behind(wanted: Wanted, known: Mapping[str, _Answer]) -> list[_Answer]:
    """What comes after a name; nothing where that is not known here, for it may be in the history."""
    with suppress(NotKept):
        return wanted.behind(known)
    return []


def _summary(record: Record) -> Record:
    return {key: value for key, value in record.items() if key not in SUMMARY_LEAVES_OUT}


async def _from_history(question: Callable[[], Awaitable[_Answer]]) -> _Answer | None:
    """What the history answers, None if it does not; a broken one takes nothing else down."""
    try:
        async with history_limit():
            return await question()
    except NotKept:
        raise
    except Exception as error:  # whatever a database may raise
        warn("the history did not answer the web server", reason=f"{type(error).__name__}: {error}")
        return None
