"""Sessions and outages as plain values, of this process and of those before it.

- A list is read in one place: the history knows all that was written down and all that waits to be. Only where it does
  not answer is it the ledger's, which knows the latest, and whoever asks is told so (`complete`).
- All times that leave here are wall times.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from probe.model import Outage
from probe.notices import warn
from probe.report.json import timestamp
from probe.report.record import record_object
from probe.service.wanted import Wanted
from probe.service.web.site import Site, history_limit

Record = Mapping[str, Any]
_Answer = TypeVar("_Answer")

SUMMARY_LEAVES_OUT = ("transcript", "signs", "controls", "reasons")
"""What only the record of one session has: a list of a thousand would be megabytes long."""

TIES = 50
"""What was in the same millisecond as the last one is told beyond the limit, so that none falls between two lists."""


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
    past = site.station.past
    found = await _from_history(lambda: past.sessions(wanted, _most(wanted))) if past is not None else None
    complete = found is not None and past is not None and not past.dropped
    records = found if found is not None else _kept(site, wanted)
    return _page([_summary(record) for record in records], "opened", wanted, complete=complete)


async def outages(site: Site, wanted: Wanted) -> Listed:
    """Outages, the latest first; those that last are among them by when they began."""
    past = site.station.past
    found = await _from_history(lambda: past.outages(wanted, _most(wanted))) if past is not None else None
    known = found if found is not None else [one.moved(site.shift) for one in _own_outages(site, wanted)]
    return _page([outage_object(one) for one in known], "began", wanted, complete=found is not None)


def _most(wanted: Wanted) -> int:
    return wanted.limit + TIES + 1


def _page(found: Sequence[Record], key: str, wanted: Wanted, *, complete: bool) -> Listed:
    """As many as are wanted, with those that share the last one's millisecond. Times are compared as they are told."""
    before = timestamp(wanted.before) if wanted.before is not None else None
    latest = sorted(found, key=lambda record: str(record[key]), reverse=True)
    latest = [record for record in latest if before is None or str(record[key]) < before]
    end = min(wanted.limit, len(latest))
    while end < min(len(latest), wanted.limit + TIES) and latest[end][key] == latest[end - 1][key]:
        end += 1
    more = str(latest[end - 1][key]) if end < len(latest) else None
    return Listed(items=latest[:end], complete=complete, more=more)


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
    return [record_object(one, shift=site.shift) for one in kept[: _most(wanted)]]


def _own_outages(site: Site, wanted: Wanted) -> Iterable[Outage]:
    for account in site.station.ledger.accounts.values():
        lasting = filter(None, [account.outage])
        yield from (one for one in (*account.outages, *lasting) if wanted.outage(one, site.shift))


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
