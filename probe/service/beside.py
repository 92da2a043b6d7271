"""Which ports of an address answer, as our own sessions tell: where others do, it is not the address that is gone.

- What answered before the other one began to fail says nothing, for the address itself may have gone since; nor what
  answers after its latest session has begun, for it may be back.
- The answer to a SYN is what counts: a connection that stands goes on where no new one gets in. A session that the
  vantage could not open tells nothing.
- It is kept by address and port, for LATELY: an endpoint may be configured no more, and a name may move on.
"""

from __future__ import annotations

from dataclasses import dataclass

from probe.model import Address, Answered, Phase, Service, Session

LATELY = 900.0
"""Seconds for which an answer counts; the alerts ask for sessions at most five minutes apart."""

TOGETHER = 0.5
"""Seconds within which sessions begin together, as those of a round do; a SYN is sent again after more than that."""


@dataclass(frozen=True, slots=True)
class _Port:
    """`latest`: when its latest session was over. `answers`: when its two latest were answered, as long as they are.

    `failing`: when the first one opened that was not, of those since the last one that was.
    """

    service: Service
    latest: float
    answers: tuple[float, ...] = ()
    failing: float | None = None


class Beside:
    """Our latest sessions to each port of an address."""

    def __init__(self) -> None:
        self._ports: dict[tuple[Address, int], _Port] = {}

    def note(self, session: Session) -> None:
        """A session is over."""
        if session.address is None or not session.took_place:
            return
        key = (session.address, session.port)
        before = self._ports.pop(key, None)
        if session.connected is not None and not _is_lost_since(session):
            answers = (*(before.answers[-1:] if before else ()), session.connected)
            self._ports[key] = _Port(session.service, session.closed, answers)
        else:
            since = before.failing if before and before.failing is not None else session.opened
            self._ports[key] = _Port(session.service, session.closed, failing=since)
        while self._ports[oldest := next(iter(self._ports))].latest < session.closed - LATELY:
            del self._ports[oldest]

    def answered(self, session: Session) -> tuple[Answered, ...]:
        """What answered at the address of this session while its own port did not, before and after."""
        mine = self._ports.get((session.address, session.port)) if session.address is not None else None
        if mine is None or mine.failing is None:
            return ()
        since, until = mine.failing - TOGETHER, session.opened
        if session.opened <= mine.failing:  # its first: of those that begin together one is a moment ahead
            until += TOGETHER
        return tuple(
            Answered(one.service, port)
            for (address, port), one in self._ports.items()
            if address == session.address and any(since <= at <= until for at in one.answers)
        )


def _is_lost_since(session: Session) -> bool:
    """Whether a connection after it, to see why it failed, was not answered."""
    again = session.controls[-1].fault if session.controls else None
    return again is not None and again.phase is Phase.CONNECT
