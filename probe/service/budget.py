"""How many connections an endpoint may still get: at most so many in any minute, whoever opens them.

Rules of this file:
- Sessions, their second tries, control connections, `/probe` requests and trust checks all spend: servers count every
  one (Postfix: smtpd_client_connection_rate_limit, anvil's window of 60 s).
- Beats of a rhythm do not: only Dovecot gets them, which limits no connections that never log in.
- What follows a session out of need (a control connection after a failure) is spent even without room; then the next
  session waits until there is room again, and for as many connections as the last one took.
"""

from __future__ import annotations

from collections import deque

from probe.model import EndpointName

WINDOW = 60.0


class Budget:
    """The connections of one endpoint within WINDOW."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._spent: deque[float] = deque()

    def room_at(self, now: float, connections: int = 1) -> float:
        """The first moment from `now` on at which so many fit (all that ever fit, if they are more than that)."""
        while self._spent and self._spent[0] <= now - WINDOW:
            self._spent.popleft()
        too_many = len(self._spent) + min(connections, self.most) - self.most
        return self._spent[too_many - 1] + WINDOW if too_many > 0 else now

    def spend(self, at: float, connections: int = 1) -> None:
        """Connections opened by `at`, which does not go back."""
        self._spent.extend([at] * connections)


class Budgets:
    """The budgets of all endpoints, all alike; `most` None: no limit."""

    def __init__(self, most: int | None = None) -> None:
        self.most = most
        self._of: dict[EndpointName, Budget] = {}

    def room_at(self, endpoint: EndpointName, now: float, connections: int = 1) -> float:
        """The first moment from `now` on at which so many connections to this endpoint fit."""
        budget = self._of.get(endpoint)
        return budget.room_at(now, connections) if budget is not None else now

    def spend(self, endpoint: EndpointName, at: float, connections: int = 1) -> None:
        """Connections to this endpoint, opened by `at`."""
        if self.most is not None:
            self._of.setdefault(endpoint, Budget(self.most)).spend(at, connections)

    def limit(self, most: int) -> None:
        """From now on this many; what was spent stays spent."""
        self.most = most
        for budget in self._of.values():
            budget.most = most
