"""Where a host is: names are looked up in threads of their own, for a resolver that is dead may hold each for minutes.

Rules:
- Of a name there is one lookup at a time. Whoever wants it meanwhile shares that one, above all the next turn.
- At most MOST hang at once, the next ones wait in line; they are none of `aside`'s, so that the daemon's own work (its
  page, history, reload) always has a thread.
- Whoever waits stops when its time is up: the name is not resolved then. The lookup goes on, and is shared.
- A lookup that this machine could not even begin (no thread, no descriptor) says nothing of the name: its session did
  not take place, as where no socket can be had.
- An address needs no lookup: no thread, no wait.
- A session's host is looked up once, before it. Whatever else is opened for that session goes to its address
  (Endpoint.at): a name may mean several servers in turn, or another one by then, which would tell of another server.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from probe.aside import Threads, unheard
from probe.model import AddressFamily, Clock, Endpoint, Failure, Phase
from probe.sessions.bound import Bound
from probe.sessions.dial import FAMILIES
from probe.sessions.faults import Refusal, SocketAddress, as_refusal
from probe.sessions.journal import Journal

MOST = 768
"""Lookups at once: most names of a thousand paths, and fewer threads than machines commonly give to a process."""

Way = tuple[socket.AddressFamily, SocketAddress]
"""A family, and the first address in it."""

Find = Callable[[str, int | None, int, int], Way]
"""The way to a host and port in a family, with getaddrinfo's flags. It blocks, but for an address."""


def find(host: str, port: int | None, family: int, flags: int) -> Way:
    """As the machine's resolver has it."""
    found = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=flags)
    kind, _, _, _, address = found[0]
    return kind, cast(SocketAddress, address)


@dataclass(frozen=True, slots=True)
class _Lookup:
    begun: float
    outcome: asyncio.Task[Way]


class Lookups:
    """All lookups of a process; they outlast a reload, as threads that hang do."""

    def __init__(self, find: Find = find, most: int = MOST, threads: Threads | None = None) -> None:
        self._find = find
        self._threads = threads or Threads(most)
        self._room = asyncio.Semaphore(most)
        self._most = most
        self._under_way: dict[tuple[str, int], _Lookup] = {}

    async def way(self, endpoint: Endpoint, seconds: float) -> Way:
        """The way to this endpoint's host. Refusal when time is up, gaierror where there is none."""
        host, port, family = endpoint.at or endpoint.host, endpoint.port, _family(endpoint)
        try:
            return self._find(host, port, family, socket.AI_NUMERICHOST)
        except socket.gaierror as error:
            if error.errno != socket.EAI_NONAME:
                raise
        except UnicodeError:
            raise Refusal(Failure.NAME_UNKNOWN, "no host can have such a name") from None
        kind, address = await self._looked_up(host, family, seconds)
        return kind, cast(SocketAddress, (address[0], port, *address[2:]))

    async def _looked_up(self, host: str, family: int, seconds: float) -> Way:
        try:
            async with Bound(seconds):
                outcome = await self._ended(host, family, asyncio.get_running_loop().time())
        except TimeoutError:
            raise Refusal(Failure.TIMED_OUT, self._why_not_in_time()) from None
        return outcome.result()

    async def _ended(self, host: str, family: int, asked: float) -> asyncio.Task[Way]:
        """A failure of a lookup that was begun before is not taken: the resolver may be well again."""
        while True:
            lookup = self._shared(host, family)
            await asyncio.wait([lookup.outcome])
            if lookup.begun >= asked or lookup.outcome.exception() is None:
                return lookup.outcome

    def _shared(self, host: str, family: int) -> _Lookup:
        """The lookup of this name that is under way, or a new one."""
        known = self._under_way.get((host, family))
        if known is not None and not known.outcome.done():
            return known
        lookup = _Lookup(asyncio.get_running_loop().time(), asyncio.create_task(self._look_up(host, family)))
        lookup.outcome.add_done_callback(unheard)
        lookup.outcome.add_done_callback(lambda _: self._forget(host, family, lookup))
        self._under_way[host, family] = lookup
        return lookup

    def _forget(self, host: str, family: int, lookup: _Lookup) -> None:
        if self._under_way.get((host, family)) is lookup:
            del self._under_way[host, family]

    async def _look_up(self, host: str, family: int) -> Way:
        async with self._room:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, lambda: self._find(host, None, family, 0))

    def _why_not_in_time(self) -> str:
        if self._room.locked():
            return f"no answer in time, with {self._most} lookups under way: no more are begun until some of them end"
        return "no answer in time"


@dataclass(frozen=True, kw_only=True, slots=True)
class LookedUp:
    """What a lookup came to before its session began, and how many seconds it took."""

    seconds: float
    found: Way | None = None
    error: Exception | None = None

    def way(self) -> Way:
        """The way that was found; raises what the lookup failed with."""
        if self.found is None:
            raise self.error or LookupError("nothing was looked up")
        return self.found

    @property
    def at(self) -> str | None:
        """The address that was found, as text that needs no lookup; None where none was."""
        if self.found is None:
            return None
        host, _, *of_ipv6 = self.found[1]
        zone = of_ipv6[1] if of_ipv6 else 0
        return f"{host}%{zone}" if zone else host


async def look_up(endpoint: Endpoint, lookups: Lookups, clock: Clock) -> LookedUp:
    """Look up an endpoint's host within its `timeouts.session`; a failure is a value, but for bugs of ours."""
    begun = clock()
    try:
        found = await lookups.way(endpoint, endpoint.timeouts.session)
    except Exception as error:
        if as_refusal(error) is None:
            raise
        return LookedUp(seconds=clock() - begun, error=error)
    return LookedUp(seconds=clock() - begun, found=found)


async def resolve(endpoint: Endpoint, journal: Journal, lookups: Lookups) -> Way:
    """The first address of the endpoint's host in the family it asks for."""
    with journal.phase(Phase.RESOLVE):
        return await lookups.way(endpoint, endpoint.timeouts.session)


def _family(endpoint: Endpoint) -> socket.AddressFamily:
    """A source address binds the family too: no socket speaks from one family to the other."""
    if endpoint.family is AddressFamily.ANY and endpoint.source_address is not None:
        return socket.AF_INET if endpoint.source_address.version == 4 else socket.AF_INET6
    return FAMILIES[endpoint.family]
