"""How many connections an endpoint may still get, in any minute: the one place where each asks for room and is counted.

    take (room for a session) ──▶ opened (each connection, as it is opened) ──▶ let_go (of what it did not need)

    connection                                   where there is no room
    a session on its turn, with what its last    it waits in line, first come first served: nobody starves
    one took besides
    `/probe`, a second session for one verdict,  it is not opened
    a trust check
    a mailbox read back                          its session had taken room at the mailbox's endpoint beforehand
    a control connection more than last time     it is opened, for the verdict needs it; the next session waits longer
    beats of a rhythm                            they are put off (limits of their own, below); the next session waits
                                                 until as many as the last one opened may be

Rules of this file:
- A session may need more than a minute allows, as where it fails and `most` is 1 or 2. It begins where nothing was
  opened for a minute, and the next one when all that came since then are no more than `most` a minute. What was
  opened by a higher bound than the present one is measured by that.
- Servers count connections however they end (Postfix: smtpd_client_connection_rate_limit, anvil's window of 60 s).
- Only Dovecot gets beats. It limits no connections that never log in, but guards read its log, so they are bounded.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from math import inf

from probe.model import Endpoint, EndpointName

WINDOW = 60.0

BEATS = 4
"""Beats that one endpoint may open in WINDOW for each session that it may have: one round of a rhythm (rhythms.py)."""

ALL_BEATS = 300
"""Beats that all endpoints together may open in WINDOW."""

UNASKED = 2
"""Connections that a session may open without room: control connections, of which its last one took none."""

AGAIN = 1.0
"""Seconds after which to look again where the room is held by sessions under way: nobody knows what they will need."""

Needs = Mapping[EndpointName, int]
"""How many connections a session needs to which endpoints: to its own, and to that of the mailbox it reads back."""


def needs_of(endpoint: Endpoint, connections: int) -> Needs:
    """What a session needs that is likely to take so many connections to its own endpoint."""
    read_back = {endpoint.mailbox.reader.name: 1} if endpoint.mailbox is not None else {}
    return {endpoint.name: connections, **read_back}


class Budget:
    """The connections of one endpoint within WINDOW. `held`: those that sessions under way may still open.

    `_burst`: since when there were how many within WINDOW, where they were more than so many.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0
        self._spent: deque[float] = deque()
        self._burst = (-inf, 0, 1)

    def limit(self, most: int) -> None:
        """From now on this many."""
        self.most = most
        first, connections, allowed = self._burst
        self._burst = (first, connections, max(most, allowed))

    def room_at(self, now: float, connections: int = 1) -> float:
        """The first moment from `now` on at which so many fit (all that ever fit, if they are more than that)."""
        self._forget(now)
        return max(self._free_at(now, connections), self._paid_at(self._burst))

    def _free_at(self, now: float, connections: int) -> float:
        too_many = len(self._spent) + self.held + min(connections, self.most) - self.most
        if too_many <= 0:
            return now
        return self._spent[too_many - 1] + WINDOW if too_many <= len(self._spent) else now + AGAIN

    @staticmethod
    def _paid_at(burst: tuple[float, int, int]) -> float:
        """When so many since then are no more on average than were allowed in a minute."""
        first, connections, allowed = burst
        return first + WINDOW * connections / allowed if connections > allowed else -inf

    def is_unspent(self, now: float) -> bool:
        """Whether nothing is held or owed, and nothing was spent within WINDOW."""
        self._forget(now)
        return not self.held and not self._spent and self._paid_at(self._burst) <= now

    def since(self, moment: float) -> int:
        """Connections opened since then, within WINDOW."""
        return sum(at >= moment for at in self._spent)

    def spend(self, at: float, connections: int = 1) -> None:
        """Connections opened by `at`, which does not go back."""
        self._spent.extend([at] * connections)
        self._forget(at)
        if len(self._spent) > self.most:
            self._burst = max(self._burst, (self._spent[0], len(self._spent), self.most), key=self._paid_at)

    def _forget(self, now: float) -> None:
        while self._spent and self._spent[0] <= now - WINDOW:
            self._spent.popleft()


class Budgets:
    """The budgets of all endpoints, all alike; `most` None: no limit, of beats neither.

    Who asks is named by the endpoint whose session it is, for that has one at a time.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = most
        self._of: dict[EndpointName, Budget] = {}
        self._line: dict[EndpointName, Needs] = {}
        self._held: dict[EndpointName, Counter[EndpointName]] = {}
        self._beats: dict[EndpointName, Budget] = {}
        self._all_beats = Budget(ALL_BEATS)

    @property
    def memory(self) -> float:
        """Seconds after which it does not matter any more that a connection was opened."""
        return WINDOW * (1 + UNASKED / self.most) if self.most else 0.0

    def room_at(self, who: EndpointName, needs: Needs, now: float) -> float:
        """The first moment from `now` on at which all of it fits beside what those before it in line need."""
        if self.most is None:
            return now
        return max(self._budget(to).room_at(now, count + self._before(who, to)) for to, count in needs.items())

    def take(self, who: EndpointName, needs: Needs, now: float) -> bool:
        """Hold room for just this from now on, if there is any; else nothing is held."""
        self.let_go(who)
        if self.most is None:
            return True
        if self.room_at(who, needs, now) > now:
            return False
        self._held[who] = Counter(needs)
        for to, count in self._held[who].items():
            self._budget(to).held += count
        return True

    def opened(self, to: EndpointName, at: float, *, by: EndpointName) -> None:
        """A connection is opened, in the room that was held for it or without."""
        if self.most is None:
            return
        budget, held = self._budget(to), self._held.get(by, Counter())
        if held[to]:
            held[to] -= 1
            budget.held -= 1
        budget.spend(at)

    def let_go(self, who: EndpointName) -> None:
        """Nothing more is opened in the room that was held."""
        for to, count in self._held.pop(who, Counter()).items():
            self._budget(to).held -= count

    @contextmanager
    def in_line(self, who: EndpointName, needs: Needs) -> Iterator[None]:
        """Within this, others that come later leave room for it."""
        self._line[who] = needs
        try:
            yield
        finally:
            del self._line[who]

    def pace(self, connections: int, beats: int = 0) -> float:
        """Seconds between sessions that need so many each, so that their budgets last: evenly, for no long gap."""
        if self.most is None:
            return 0.0
        more = max(connections if connections > 1 else 0, beats / BEATS)
        return WINDOW * more / self.most

    def limit(self, most: int) -> None:
        """From now on this many; what was spent stays spent."""
        self.most = most
        for budget in self._of.values():
            budget.limit(most)
        for budget in self._beats.values():
            budget.limit(most * BEATS)

    def only(self, names: Collection[EndpointName], now: float) -> None:
        """No other endpoints are left. What was spent at those is forgotten when the server has forgotten it."""
        self._of = {name: one for name, one in self._of.items() if name in names or not one.is_unspent(now)}
        self._beats = {name: one for name, one in self._beats.items() if name in names or not one.is_unspent(now)}

    def beats_at(self, to: EndpointName, now: float, beats: int) -> float:
        """The first moment from `now` on at which so many beats may be opened for this endpoint."""
        if self.most is None:
            return now
        return max(self._beats_of(to).room_at(now, beats), self._all_beats.room_at(now, beats))

    def opened_beats(self, to: EndpointName, at: float, beats: int) -> None:
        """Beats are opened for this endpoint."""
        if self.most is not None:
            self._beats_of(to).spend(at, beats)
            self._all_beats.spend(at, beats)

    def beats_since(self, to: EndpointName, moment: float) -> int:
        """Beats that were opened for this endpoint since then; what others opened costs it nothing."""
        return self._beats_of(to).since(moment)

    def _before(self, who: EndpointName, to: EndpointName) -> int:
        """What those need that stand before this one in line; all of them, if it does not stand there."""
        count = 0
        for other, needs in self._line.items():
            if other == who:
                break
            count += needs.get(to, 0)
        return count

    def _budget(self, to: EndpointName) -> Budget:
        return self._of.setdefault(to, Budget(self.most or 0))

    def _beats_of(self, to: EndpointName) -> Budget:
        return self._beats.setdefault(to, Budget((self.most or 0) * BEATS))
