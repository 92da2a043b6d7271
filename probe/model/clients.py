"""Who comes in: what a log, read to its end, says of all clients and not of ours alone.

A client is one connection that the server saw. It *spoke* if it gave at least one command or tried to log in; it
*began* something if it began a mail or a login. Health checks and scanners mostly do neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from probe.model.address import Address
from probe.model.words import FaultSign, Severity


class Whose(StrEnum):
    """Whose a client's address is: named by the configuration, else told by its range."""

    NODE = "node"
    POD = "pod"
    GATEWAY = "gateway"
    PROXY = "proxy"
    VANTAGE = "vantage"
    LOOPBACK = "loopback"
    PRIVATE = "private"
    PUBLIC = "public"


STAND_INS = (Whose.NODE, Whose.GATEWAY, Whose.PROXY, Whose.POD)
"""Those that may stand in a client's place."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Headcount:
    """Clients, those of them that spoke, and those that began a mail or a login."""

    clients: int = 0
    spoke: int = 0
    began: int = 0

    def __add__(self, other: Headcount) -> Headcount:
        return Headcount(
            clients=self.clients + other.clients, spoke=self.spoke + other.spoke, began=self.began + other.began
        )


NO_CLIENTS = Headcount()


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """One address at one listener. `users` logged in from it, counted up to some; `first` is the first line, or part.

    Of a public address neither is kept.
    """

    address: Address
    whose: Whose
    count: Headcount
    users: int = 0
    first: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Listener:
    """One program that lets clients in, by its name in the log: `postfix/submission/smtpd`, `imap-login`.

    `behind`: it gets its clients from postscreen, which has counted them. `nameless`: clients whose address was gone.
    """

    name: str
    by: Mapping[Whose, Headcount]
    callers: tuple[Caller, ...] = ()
    nameless: int = 0
    behind: bool = False

    @property
    def clients(self) -> int:
        """All with an address."""
        return sum(count.clients for count in self.by.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """Lines of one listener that name the same fault, and whose address they name; `addresses` are the first few."""

    sign: FaultSign
    listener: str
    whose: Whose | None
    count: int
    first: str
    addresses: tuple[Address, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Clients:
    """All of it. `addresses` are kept one by one; others were `forgotten` for want of room, but never their clients."""

    listeners: tuple[Listener, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    addresses: int = 0
    forgotten: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedLog:
    """One file, or standard input: how much of it was read, and why not all."""

    name: str
    lines: int
    octets: int
    fault: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Puzzle:
    """Lines of one kind that say nothing to us, with the first of them."""

    kind: str
    count: int
    first: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What was read. `since` and `until` are the earliest and latest stamp in it, on the server's clock."""

    logs: tuple[SavedLog, ...]
    lines: int
    events: int
    since: float | None
    until: float | None
    puzzles: tuple[Puzzle, ...]
    interrupted: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One conclusion: the rule that gave it, a sentence, the first line that shows it, what to do next."""

    rule: str
    severity: Severity
    sentence: str
    first: str | None = None
    hint: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """Clients, what was read of them, and what it shows, the worst first. `named`: the networks were given."""

    clients: Clients
    reading: Reading
    findings: tuple[Finding, ...]
    severity: Severity
    named: bool


def in_all(listeners: Iterable[Listener]) -> dict[Whose, Headcount]:
    """Clients of all listeners, those that postscreen handed on counted once.

    What an smtpd behind postscreen saw of them it saw of postscreen's; its own count is taken where it is greater,
    for then postscreen's lines are lost.
    """
    total: dict[Whose, Headcount] = {}
    doors: dict[str, list[Listener]] = {}
    for listener in listeners:
        doors.setdefault(door_of(listener), []).append(listener)
    for door in doors.values():
        for whose, count in at_door(door).items():
            total[whose] = total.get(whose, NO_CLIENTS) + count
    return {whose: total[whose] for whose in Whose if whose in total}


def door_of(listener: Listener) -> str:
    """What a listener shares with those through whom its clients come: an instance's postscreens and their smtpd."""
    instance = listener.name.partition("/")[0]
    screened = listener.behind or listener.name.endswith("/postscreen")
    return f"{instance}/postscreen" if screened else listener.name


def at_door(listeners: Iterable[Listener]) -> dict[Whose, Headcount]:
    """Clients of one door: postscreens before, an smtpd behind."""
    front: dict[Whose, Headcount] = {}
    behind: Mapping[Whose, Headcount] = {}
    for listener in listeners:
        if listener.behind:
            behind = listener.by
            continue
        for whose, count in listener.by.items():
            front[whose] = front.get(whose, NO_CLIENTS) + count
    return {
        whose: Headcount(
            clients=max(front.get(whose, NO_CLIENTS).clients, behind.get(whose, NO_CLIENTS).clients),
            spoke=max(front.get(whose, NO_CLIENTS).spoke, behind.get(whose, NO_CLIENTS).spoke),
            began=max(front.get(whose, NO_CLIENTS).began, behind.get(whose, NO_CLIENTS).began),
        )
        for whose in (*front, *(whose for whose in behind if whose not in front))
    }
