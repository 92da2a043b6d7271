"""Who announces an address, seen from a machine on the same link, and which node that is.

- The kernel's neighbour table tells where this machine's packets go. It costs nothing and needs no privilege.
- An exchange (exchange.py) tells who answers now, all of them. It is done after a failure only, and after the table
  was read, because the answer refreshes the table: an entry that has gone stale is what we came to see.
- A node is known by its link address, which the table has once something was sent to the node. With two interfaces on
  the link it may answer by both, so where an unknown one answers, who answers for the nodes is asked as well. A link
  address of several nodes (a router that answers for them) tells nothing, and a virtual one (VRRP) names no machine.
- An address behind a router, or one of this machine's own: nobody here can tell who announces it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from probe.model import Address, Announcer, Announcers, Clock, Known, Origin
from probe.notices import Once
from probe.topology import netlink
from probe.topology.exchange import Asker, who_has
from probe.topology.netlink import IN_USE, Neighbour, Route, State

NUDGES = (0.02, 0.04, 0.08, 0.16)
"""Seconds between readings of the table, while it lacks link addresses of nodes that nothing was sent to lately."""

MOST_ASKED = 64
"""Nodes' addresses that are asked for on the link at most, side by side."""

DISCARD = 9
NO_PRIVILEGE = (
    "asking on the link who announces an address needs CAP_NET_RAW; without it the kernel's neighbour table "
    "tells one announcer and never a second"
)
Nodes = Mapping[str, tuple[Address, ...]]
Macs = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkFacts:
    """What the link tells: each node's link addresses where known, who announces what, and what it cannot tell."""

    macs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    announcers: Mapping[Address, tuple[Announcers, ...]] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


class Link:
    """Looks at the links of this machine."""

    def __init__(self, clock: Clock, once: Once) -> None:
        self._clock = clock
        self._once = once

    async def look(self, addresses: Sequence[Address], nodes: Nodes, *, exchange: bool) -> LinkFacts:
        """Find who announces each address; by an exchange too, where asked for and permitted."""
        try:
            return await self._look(addresses, nodes, exchange=exchange)
        except OSError as error:
            reason = f"the kernel of this machine does not tell its neighbours ({error.strerror})"
            return LinkFacts(unknown=(said(self._once, reason, kind="netlink"),))

    async def _look(self, addresses: Sequence[Address], nodes: Nodes, *, exchange: bool) -> LinkFacts:
        ways = {address: netlink.route_to(address) for address in addresses}
        near = {address: way for address, way in ways.items() if way is not None and way.on_link}
        unknown = [_why_not(address, way) for address, way in ways.items() if address not in near]
        if not near:
            return LinkFacts(unknown=tuple(unknown))
        at = self._clock()
        entries = {neighbour.address: neighbour for neighbour in netlink.neighbours()}
        macs = await _macs_of(nodes)
        found = {address: _by_table(entries.get(address), macs, at) for address in near}
        if exchange:
            answers = await asyncio.gather(*(self._by_exchange(address, way) for address, way in near.items()))
            unknown += [answer for answer in answers if isinstance(answer, str)]
            heard = {a: answer for a, answer in zip(near, answers, strict=True) if isinstance(answer, Known)}
            macs = await self._also_by_exchange(nodes, macs, {mac for told in heard.values() for mac in told.value})
            found = {a: (*_by_answers(heard.get(a), macs), *_by_table(entries.get(a), macs, at)) for a in near}
        announcers = {address: told for address, told in found.items() if told}
        return LinkFacts(macs=macs, announcers=announcers, unknown=tuple(dict.fromkeys(unknown)))

    async def _also_by_exchange(self, nodes: Nodes, macs: Macs, heard: set[str]) -> Macs:
        """The nodes' link addresses; if an unknown one was heard also those by which they answer for their own."""
        if heard <= {mac for held in macs.values() for mac in held}:
            return macs
        ways = {address: netlink.route_to(address) for addresses in nodes.values() for address in addresses}
        near = {a: way for a, way in list(ways.items())[:MOST_ASKED] if way is not None and way.on_link}
        answers = await asyncio.gather(*(self._by_exchange(address, way) for address, way in near.items()))
        told = {a: answer.value for a, answer in zip(near, answers, strict=True) if isinstance(answer, Known)}
        own = {name: [mac for address in held for mac in told.get(address, ())] for name, held in nodes.items()}
        every = {name: tuple(dict.fromkeys((*macs.get(name, ()), *own[name]))) for name in nodes}
        return {name: held for name, held in every.items() if held}

    async def _by_exchange(self, address: Address, way: Route) -> Known[tuple[str, ...]] | str:
        """The link addresses of everybody who answers, or why nobody could be asked."""
        own, at = netlink.own_macs().get(way.interface), self._clock()
        if own is None or way.source is None or way.source.version != address.version:
            return f"{address} is reached through an interface on which nobody can be asked for it"
        try:
            heard = await who_has(address, Asker(interface=way.interface, mac=own, source=way.source))
        except PermissionError:
            return said(self._once, NO_PRIVILEGE, kind="privilege")
        except OSError as error:
            return f"asking on the link for {address} failed: {error.strerror}"
        return Known(heard, Origin.EXCHANGE, at)


def said(once: Once, reason: str, *, kind: str) -> str:
    """Tell a person, unless that was done before."""
    once.warn(f"topology: {reason}", kind=kind)
    return reason


def _why_not(address: Address, way: Route | None) -> str:
    if way is None:
        return f"this machine has no route to {address}"
    whose = "is an address of this machine" if way.local else "lies behind a router"
    return f"{address} {whose}: who announces it is not to be seen from here"


async def _macs_of(nodes: Nodes) -> Macs:
    """Link addresses of the nodes on our links; where the table has none yet, send something and wait a little."""
    known = {address for addresses in nodes.values() for address in addresses}
    near = {address for address in known if (way := netlink.route_to(address)) is not None and way.on_link}
    macs = _macs_in_use()
    if missing := near - macs.keys():
        _nudge(missing)
        for pause in NUDGES:
            await asyncio.sleep(pause)
            macs = _macs_in_use()
            if near <= macs.keys():
                break
    seen = {name: tuple(dict.fromkeys(macs[a] for a in addresses if a in macs)) for name, addresses in nodes.items()}
    return {name: found for name, found in seen.items() if found}


def _macs_in_use() -> dict[Address, str]:
    return {entry.address: entry.mac for entry in netlink.neighbours() if entry.state & IN_USE and entry.mac}


def _nudge(addresses: set[Address]) -> None:
    """Send an empty datagram to the discard port of each: enough for the kernel to ask for its link address."""
    for address in addresses:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as ours:
            ours.settimeout(0)
            ours.sendto(b"", (str(address), DISCARD))


def _by_answers(heard: Known[tuple[str, ...]] | None, macs: Macs) -> tuple[Announcers, ...]:
    return (Known(tuple(_announcer(mac, macs) for mac in heard.value), heard.origin, heard.at),) if heard else ()


def _by_table(entry: Neighbour | None, macs: Macs, at: float) -> tuple[Announcers, ...]:
    """Where our packets go; a search that failed says that nobody answered, one under way says nothing."""
    if entry is None:
        return ()
    if entry.state & State.FAILED:
        return (Known((), Origin.NEIGHBOURS, at),)
    if entry.state & IN_USE and entry.mac is not None:
        return (Known((_announcer(entry.mac, macs),), Origin.NEIGHBOURS, at),)
    return ()


def _announcer(mac: str, macs: Macs) -> Announcer:
    """The one node that has this link address."""
    having = [name for name, held in macs.items() if mac in held]
    return Announcer(node=having[0] if len(having) == 1 else None, mac=mac)
