"""Our own sessions of late, as a search for one of them looks at the others: by client, and by count of commands.

Both are found at once, however many sessions there are: a daemon with a thousand endpoints has thousands of them, and
every search asks.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from typing import TypeVar

from probe.model import Count, EndpointName, Peer, Session, Tally

_Key = TypeVar("_Key")
_Counts = frozenset[tuple[str, Count]]


class Ours:
    """Sessions in the order in which they were added."""

    def __init__(self, sessions: Iterable[Session] = ()) -> None:
        self._sessions: deque[Session] = deque()
        self._ids: Counter[str] = Counter()
        self._clients: Counter[Peer] = Counter()
        self._tallies: Counter[_Counts] = Counter()
        self._fallen: dict[str, Session] = {}
        for session in sessions:
            self.append(session)

    def __len__(self) -> int:
        return len(self._sessions)

    def append(self, session: Session) -> None:
        """Another one."""
        self._sessions.append(session)
        self._note(session, 1)

    def forget(self, before: float) -> None:
        """Let go of sessions that were closed by then; of one that waits behind a younger one a little later."""
        while self._sessions and self._sessions[0].closed <= before:
            self._note(self._sessions.popleft(), -1)

    def latest(self, endpoint: EndpointName) -> Session | None:
        """The one to this endpoint that was added last."""
        return next((one for one in reversed(self._sessions) if one.endpoint == endpoint), None)

    def share_client(self, session: Session) -> bool:
        """Whether another session had the address and port of this one."""
        if session.client is None:
            return False
        return self._clients[session.client] > (session.id in self._ids)

    def another_fell(self, session: Session) -> bool:
        """Whether one on another path, to the same kind of server, fell before its greeting since this one opened."""
        kind = session.service.speaks_smtp
        return any(
            other.path != session.path and other.service.speaks_smtp is kind and _over(other) >= session.opened
            for other in reversed(self._fallen.values())
        )

    def left(self, tally: Tally, beside: Session) -> bool:
        """Whether another session than this one left just this count of commands."""
        counts = _counts(tally)
        mine = beside.id in self._ids and counts == _counts(beside.imprint.tally)
        return self._tallies[counts] > mine

    def _note(self, session: Session, times: int) -> None:
        _add(self._ids, session.id, times)
        _add(self._tallies, _counts(session.imprint.tally), times)
        if session.client is not None:
            _add(self._clients, session.client, times)
        if session.fell_before_greeting and times > 0:
            self._fallen[session.id] = session
        elif times < 0:
            self._fallen.pop(session.id, None)


def _over(session: Session) -> float:
    """When its last control connection was over too."""
    return session.closed + sum(control.seconds for control in session.controls)


def _counts(tally: Tally) -> _Counts:
    return frozenset(tally.items())


def _add(counter: Counter[_Key], key: _Key, times: int) -> None:
    counter[key] += times
    if not counter[key]:
        del counter[key]
