r"""Counts all clients out of the events of a log: by listener, by whose address they show, by address.

Rules of this file:
- A client is one connection. Two lines tell of it, one when it comes and one when it leaves, and either may be lost or
  lie beyond the ends of the log: of an address at a listener the greater of the two counts is that of its clients.
- postscreen hands clients on to an smtpd, which logs them again. Such an smtpd has postscreen's instance for all of its
  name (`postfix/smtpd`; others have a syslog_name of their own) and adds nothing to the count that postscreen has.
- Whatever a log holds, memory is bounded: addresses with few clients are forgotten first, their clients never.
- The count does not hang on the order of the lines; only which line is the first does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address

from probe.evidence.events import (
    Accepted,
    Connected,
    Disconnected,
    Event,
    FaultLine,
    IdSent,
    LoginEnded,
    Rejected,
    Told,
)
from probe.evidence.read import Found
from probe.evidence.whose import LABELS
from probe.model import (
    NO_CLIENTS,
    Address,
    Caller,
    Clients,
    FaultSign,
    Headcount,
    Listener,
    MaskedBy,
    Trouble,
    Whose,
    in_all,
)

MOST_ADDRESSES = 100_000
"""Kept one by one, of all listeners together; some 40 MB."""

MOST_LISTENERS = 100
MOST_FIRST_LINES = 2_000
MOST_USERS = 16
MOST_NAMED = 10
LONGEST_SHOWN = 500
"""Characters of a line that are kept to show it."""

OTHERS = "(other listeners)"
"""Name of all listeners beyond the first MOST_LISTENERS: only a log that is made up has so many."""


class _Caller:
    """One address at one listener, as it is counted."""

    __slots__ = ("address", "began", "came", "deeds", "first", "left", "spoke", "users", "whose")

    def __init__(self, address: Address, whose: Whose) -> None:
        self.address = address
        self.whose = whose
        self.came = self.left = self.spoke = self.began = self.deeds = 0
        self.users: set[str] | None = None
        self.first: str | None = None

    @property
    def clients(self) -> int:
        return max(self.came, self.left)

    def count(self) -> Headcount:
        """Where the lines that tell what clients did are lost, messages and refusals tell that they did something."""
        clients = max(self.came, self.left, bool(self.deeds))
        began = self.began if self.left else max(self.began, min(self.deeds, clients))
        return Headcount(clients=clients, spoke=max(self.spoke, began), began=began)


class _Listener:
    """One listener, as it is counted."""

    __slots__ = ("callers", "forgotten", "nameless_came", "nameless_left")

    def __init__(self) -> None:
        self.callers: dict[int, _Caller] = {}
        self.forgotten: dict[Whose, Headcount] = {}
        self.nameless_came = self.nameless_left = 0

    def forget(self, key: int) -> None:
        """Keep the clients of an address, but not the address."""
        caller = self.callers.pop(key)
        self.forgotten[caller.whose] = self.forgotten.get(caller.whose, NO_CLIENTS) + caller.count()


class ClientCounter:
    """Takes one event after another; `clients` is all that was counted so far."""

    def __init__(self, whose: Callable[[Address], Whose], *, most_addresses: int = MOST_ADDRESSES) -> None:
        self._whose = whose
        self._most = most_addresses
        self._listeners: dict[str, _Listener] = {}
        self._troubles: dict[tuple[FaultSign, str, Whose | None], _Trouble] = {}
        self._kept = 0
        self._forgotten = 0
        self._first_lines = 0

    def take(self, found: Iterable[Found]) -> int:
        """Count the events of a chunk; how many there were."""
        events = 0
        for one in found:
            self.note(one.event, one.program, one)
            events += 1
        return events

    def note(self, event: Event, program: str, told: Told) -> None:
        """Count one event of this program, and keep its line where it is the first. Here is all work of each event."""
        if isinstance(event, FaultLine):
            self._note_trouble(event, program, told)
            if event.sign is not FaultSign.TLS_HANDSHAKE or program.endswith("smtpd"):
                return  # Dovecot tells of a failed handshake and of the connection in one line
        client = event.client
        listener = self._listeners.get(program) or self._new_listener(program)
        if client is None:
            listener.nameless_came += isinstance(event, Connected)
            listener.nameless_left += isinstance(event, Disconnected)
            return
        address = client.address
        key = int(address) if type(address) is IPv4Address else int(address) | 1 << 128
        caller = listener.callers.get(key) or self._new_caller(listener, key, address, told)
        if isinstance(event, Connected):
            caller.came += 1
        elif isinstance(event, Disconnected):
            caller.left += 1
            if event.tally:
                caller.spoke += 1
                caller.began += "mail" in event.tally or "auth" in event.tally
        else:
            _note_deed(caller, event)

    def clients(self) -> Clients:
        """Everything counted so far, as a value."""
        return Clients(
            listeners=tuple(self._listener(name) for name in sorted(self._listeners)),
            troubles=tuple(
                trouble.told(*key) for key, trouble in sorted(self._troubles.items(), key=lambda item: str(item[0]))
            ),
            addresses=len({key for listener in self._listeners.values() for key in listener.callers}),
            forgotten=self._forgotten,
        )

    def _new_listener(self, program: str) -> _Listener:
        name = program if len(self._listeners) < MOST_LISTENERS else OTHERS
        return self._listeners.setdefault(name, _Listener())

    def _new_caller(self, listener: _Listener, key: int, address: Address, told: Told) -> _Caller:
        if self._kept >= self._most:
            self._forget_half()
        caller = listener.callers[key] = _Caller(address, self._whose(address))
        self._kept += 1
        if caller.whose is not Whose.PUBLIC and self._first_lines < MOST_FIRST_LINES:
            self._first_lines += 1
            caller.first = told.raw[:LONGEST_SHOWN]
            caller.users = set()
        return caller

    def _forget_half(self) -> None:
        """Those with the fewest clients; of as many, strangers before those that may stand in a client's place."""
        ranked = sorted(
            (caller.clients, caller.whose is not Whose.PUBLIC, number, key)
            for number, listener in enumerate(self._listeners.values())
            for key, caller in listener.callers.items()
        )
        listeners = list(self._listeners.values())
        for _, _, number, key in ranked[: len(ranked) - self._most // 2]:
            listeners[number].forget(key)
            self._kept -= 1
            self._forgotten += 1

    def _note_trouble(self, event: FaultLine, program: str, told: Told) -> None:
        listener = program if program in self._listeners or len(self._troubles) < MOST_LISTENERS else OTHERS
        address = event.client.address if event.client else None
        key = (event.sign, listener, None if address is None else self._whose(address))
        trouble = self._troubles.get(key)
        if trouble is None:
            trouble = self._troubles[key] = _Trouble(told.raw[:LONGEST_SHOWN])
        trouble.count += 1
        if address is not None and len(trouble.addresses) < MOST_NAMED:
            trouble.addresses.setdefault(address)

    def _listener(self, name: str) -> Listener:
        counted = self._listeners[name]
        by = dict(counted.forgotten)
        callers = []
        for caller in counted.callers.values():
            count = caller.count()
            by[caller.whose] = by.get(caller.whose, NO_CLIENTS) + count
            users = len(caller.users or ())
            callers.append(
                Caller(address=caller.address, whose=caller.whose, count=count, users=users, first=caller.first)
            )
        callers.sort(key=lambda caller: (-caller.count.clients, caller.address.version, int(caller.address)))
        return Listener(
            name=name,
            by={whose: by[whose] for whose in Whose if whose in by},
            callers=tuple(callers),
            nameless=max(counted.nameless_came, counted.nameless_left),
            behind=_is_behind(name, self._listeners),
        )


class _Trouble:
    """Lines that name one fault, as they are counted."""

    __slots__ = ("addresses", "count", "first")

    def __init__(self, first: str) -> None:
        self.first = first
        self.count = 0
        self.addresses: dict[Address, None] = {}

    def told(self, sign: FaultSign, listener: str, whose: Whose | None) -> Trouble:
        return Trouble(
            sign=sign,
            listener=listener,
            whose=whose,
            count=self.count,
            first=self.first,
            addresses=tuple(self.addresses),
        )


def _note_deed(caller: _Caller, event: Event) -> None:
    """What else a line tells that its client did."""
    user = None
    match event:
        case LoginEnded():
            caller.came += 1
            if event.logged_in or event.attempts:
                caller.spoke += 1
                caller.began += 1
            user = event.user if event.logged_in else None
        case FaultLine():
            caller.came += 1
        case Accepted():
            caller.deeds += 1
            user = event.user
        case Rejected():
            caller.deeds += 1
        case IdSent():
            pass  # the line that ends the connection follows
    if user and caller.users is not None and len(caller.users) < MOST_USERS:
        caller.users.add(user)


def _is_behind(name: str, names: Iterable[str]) -> bool:
    instance, slash, rest = name.rpartition("/")
    if not slash or rest != "smtpd" or "/" in instance:
        return False
    return any(other.startswith(instance + "/") and other.endswith("/postscreen") for other in names)


def by_network(clients: Clients) -> Counter[MaskedBy]:
    """The values of `mailprobe_clients_total`, by its label `network`. They never fall as more lines are counted."""
    counted: Counter[MaskedBy] = Counter({network: 0 for network in MaskedBy})
    for whose, count in in_all(clients.listeners).items():
        counted[LABELS.get(whose, MaskedBy.OTHER)] += count.clients
    return counted
