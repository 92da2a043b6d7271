"""A door: one way in as the log shows it, with what the rules ask of it. Pure.

An instance's postscreens and the smtpd behind them are one door; every other listener is one of its own. Shares are
taken of the clients that did most: of those that began a mail or a login, where any did; else of those that spoke; and
of all only where the log does not tell what clients do, as postscreen's alone does not. Loopback and the probe's own
address are left out: content filters, local tools and we ourselves come from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from probe.model import NO_CLIENTS, STAND_INS, Caller, Clients, Headcount, Listener, Whose, at_door, door_of

_LEFT_OUT = frozenset({Whose.LOOPBACK, Whose.VANTAGE})


class Level(Enum):
    """What is counted of a door's clients, and how to say it."""

    BEGAN = "that began a mail or a login"
    SPOKE = "that spoke (none began a mail or a login)"
    ALL = "(the log does not tell what they did)"
    SILENT = "that did nothing"

    def of(self, count: Headcount) -> int:
        """How many of these clients count."""
        match self:
            case Level.BEGAN:
                return count.began
            case Level.SPOKE:
                return count.spoke
        return count.clients


@dataclass(frozen=True, kw_only=True, slots=True)
class Door:
    """`for_strangers`: mail from anywhere comes in here, so far as a name can tell. `named`: networks were given."""

    name: str
    listeners: tuple[Listener, ...]
    by: dict[Whose, Headcount]
    callers: tuple[Caller, ...]
    tells: bool
    for_strangers: bool
    named: bool

    @property
    def level(self) -> Level:
        """The most that clients of this door were seen to do."""
        counted = [count for whose, count in self.by.items() if whose not in _LEFT_OUT]
        if any(count.began for count in counted):
            return Level.BEGAN
        if any(count.spoke for count in counted):
            return Level.SPOKE
        return Level.SILENT if self.tells else Level.ALL

    @property
    def clients(self) -> int:
        """All but those left out."""
        return self.counted(*(whose for whose in Whose if whose not in _LEFT_OUT))

    def counted(self, *wanted: Whose) -> int:
        """Clients of these that did what the level says."""
        level = self.level
        return sum(level.of(self.by.get(whose, NO_CLIENTS)) for whose in wanted)

    @property
    def loopback(self) -> int:
        """Clients from the server itself."""
        return self.by.get(Whose.LOOPBACK, NO_CLIENTS).clients

    @property
    def stand_ins(self) -> int:
        """Clients from addresses that are named as somebody's who may stand in a client's place."""
        return self.counted(*STAND_INS)

    @property
    def stood_for(self) -> float:
        """Their share."""
        return self.stand_ins / self.clients

    @property
    def beyond_doubt(self) -> bool:
        """They did something, and no pod has business of its own here: a webmail's pod logs in for its users."""
        whose = {caller.whose for caller in self.stand_in_callers}
        return self.level is Level.BEGAN and (self.for_strangers or Whose.POD not in whose)

    @property
    def private(self) -> int:
        """Clients from inside addresses that nobody named."""
        return self.counted(Whose.PRIVATE)

    @property
    def private_share(self) -> float:
        """Their share."""
        return self.private / self.clients

    @property
    def stand_in_callers(self) -> list[Caller]:
        """Addresses of stand-ins, those with most clients first."""
        return self._doers(*STAND_INS)

    @property
    def private_callers(self) -> list[Caller]:
        """Inside addresses that nobody named, those with most clients first."""
        return self._doers(Whose.PRIVATE)

    @property
    def most_users(self) -> int:
        """Users behind the inside address that has most of them."""
        return max((caller.users for caller in self.private_callers), default=0)

    def _doers(self, *wanted: Whose) -> list[Caller]:
        level = self.level
        counted = [(level.of(caller.count), caller) for caller in self.callers if caller.whose in wanted]
        return [caller for count, caller in sorted(counted, key=lambda pair: -pair[0]) if count]


def doors(clients: Clients, *, named: bool) -> Iterator[Door]:
    """All doors, by name."""
    grouped: dict[str, list[Listener]] = {}
    for listener in clients.listeners:
        grouped.setdefault(door_of(listener), []).append(listener)
    for name, listeners in sorted(grouped.items()):
        behind = [listener for listener in listeners if listener.behind]
        telling = behind or [listener for listener in listeners if not listener.name.endswith("/postscreen")]
        yield Door(
            name=name,
            listeners=tuple(listeners),
            by=at_door(listeners),
            callers=tuple(caller for listener in (telling or listeners) for caller in listener.callers),
            tells=any(listener.clients for listener in telling),
            for_strangers=name.count("/") == 1,
            named=named,
        )
