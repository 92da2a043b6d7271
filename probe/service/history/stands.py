"""What the ledger tells -> what is to be written. Pure.

- What the ledger knows is the truth: kept is of each endpoint how it stands by its entries, and that is written.
- What an earlier process wrote down comes before all that is told here, however late it is found.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from probe.model import Change, EndpointName, Outage
from probe.service.history.backlog import Backlog, Batch, News
from probe.service.ledger import Entry, Restored
from probe.verdict.outage import left


class Stands:
    """Of each endpoint how it stands; what of that is not written yet is in `backlog`.

    `restored`: what an earlier process wrote down, None before it is known. `ledger`: takes that up, and gives all that
    it then knows; None before it has begun. `tell`: hears both.
    """

    def __init__(self) -> None:
        self.backlog = Backlog()
        self.restored: Restored | None = None
        self.ledger: Callable[[Restored], Restored] | None = None
        self.tell: Callable[[Restored, Restored], None] | None = None
        self._lasting: dict[EndpointName, Outage] = {}
        self._latest: dict[EndpointName, Change] = {}

    @property
    def lasting(self) -> Collection[str]:
        """Outages that last, by their first sessions."""
        return {outage.first for outage in self._lasting.values()}

    def take(self, entry: Entry) -> None:
        """A session, and how its endpoint stands after it."""
        name = entry.result.session.endpoint
        self._latest[name] = entry.stands
        self._lasting.pop(name, None)
        if entry.lasting is not None:
            self._lasting[name] = entry.lasting
        outages = tuple(filter(None, [entry.ended, entry.lasting]))
        self.backlog.add(News(session=entry.result, changes=(entry.stands,), outages=outages))

    def configure(self, lasting: Mapping[EndpointName, Outage | None]) -> None:
        """Only these endpoints are watched from now on, and no other outages last (Ledger.lasting)."""
        for name in [name for name in self._lasting if lasting.get(name) is None]:
            self.backlog.add(News(outages=(left(self._lasting.pop(name)),)))
        self._latest = {name: change for name, change in self._latest.items() if name in lasting}

    @property
    def is_known(self) -> bool:
        """True if nothing that an earlier process wrote down is waited for."""
        return self.restored is not None

    def go_on(self, known: Restored) -> None:
        """The ledger is at work already and knows this, of which nothing is written down here."""
        self.restored = Restored()
        self._stand(known)
        self.backlog.restate(known.changes, known.lasting)

    def take_up(self, found: Restored) -> None:
        """An earlier process wrote this down. A ledger that has begun without it told not all of what it now knows.

        Where the ledger fails to take it up nothing is changed, and it is tried again; where only the telling fails,
        it is not.
        """
        if self.restored is not None:
            return
        known = found if self.ledger is None else self.ledger(found)
        self.restored = found
        self._stand(known)
        if known is not found:
            there = {*found.changes, *found.ended, *found.lasting}
            changes = [change for change in known.changes if change not in there]
            self.backlog.restate(changes, [one for one in (*known.ended, *known.lasting) if one not in there])
            if self.tell is not None:
                self.tell(found, known)

    def _stand(self, known: Restored) -> None:
        self._lasting = {outage.endpoint: outage for outage in known.lasting}
        self._latest = {change.endpoint: change for change in known.changes}

    def begin_anew(self) -> None:
        """Nothing of this is written down any more."""
        self.backlog.give_back(Batch(changes=tuple(self._latest.values()), outages=tuple(self._lasting.values())))
