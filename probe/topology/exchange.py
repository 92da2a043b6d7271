"""Ask on the link who answers for an address: an ARP request or an NDP neighbour solicitation, as any host sends them.

- The table of the kernel holds one answer; here all are heard, and two of them are a fault of its own.
- A request names our real addresses and asks for nothing that an ordinary connection would not ask for. It does refresh
  this machine's own neighbour entry, so the table is read before (announcer.py).
- It needs CAP_NET_RAW: PermissionError without. Nothing else is raised for what comes back; what is no answer to the
  question is passed over.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from probe.model import Address
from probe.topology.netlink import mac_text

WINDOW = 0.3
"""Seconds to listen for answers: on a LAN they come within a few milliseconds."""

MOST_ANSWERS = 64
_ETHER_ARP = 0x0806
_BROADCAST = b"\xff" * 6
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_SOLICITATION, _ADVERTISEMENT = 135, 136
_SOURCE_OPTION, _TARGET_OPTION = 1, 2
_HOP_LIMIT = 255
"""RFC 4861, section 7.1.2: whatever has passed a router is no answer of a neighbour."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asker:
    """Who asks: our interface, its link address, and the address it has on that link."""

    interface: int
    mac: str
    source: Address


async def who_has(address: Address, asker: Asker, window: float = WINDOW) -> tuple[str, ...]:
    """Link addresses of everybody who answers for the address within the window, in the order they did."""
    if isinstance(address, IPv6Address):
        return await _by_ndp(address, asker, window)
    return await _by_arp(address, asker, window)


async def _by_arp(address: IPv4Address, asker: Asker, window: float) -> tuple[str, ...]:
    name = socket.if_indextoname(asker.interface)
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as link:
        link.bind((name, _ETHER_ARP))
        request = arp_request(address, bytes.fromhex(asker.mac.replace(":", "")), asker.source.packed)

        def ask() -> None:
            link.sendto(request, (name, _ETHER_ARP, 0, 0, _BROADCAST))

        return await _answers(link, ask, lambda: arp_answer(link.recv(512), address), window)


async def _by_ndp(address: IPv6Address, asker: Asker, window: float) -> tuple[str, ...]:
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as link:
        link.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, _HOP_LIMIT)
        link.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        link.bind((str(asker.source), 0, 0, asker.interface))
        request = solicitation(address, bytes.fromhex(asker.mac.replace(":", "")))

        def ask() -> None:
            link.sendto(request, (str(solicited_group(address)), 0, 0, asker.interface))

        def answer() -> str | None:
            packet, notes, *_ = link.recvmsg(2048, 64)
            hops = [struct.unpack_from("=i", value)[0] for *_, value in notes if len(value) == 4]
            return advertised(packet, address) if hops == [_HOP_LIMIT] else None

        return await _answers(link, ask, answer, window)


async def _answers(
    link: socket.socket, ask: Callable[[], None], answer: Callable[[], str | None], window: float
) -> tuple[str, ...]:
    """Ask, and once more at half time for the sake of a lost packet; all different answers."""
    found: dict[str, None] = {}

    def hear() -> None:
        with contextlib.suppress(OSError):
            if (mac := answer()) is not None and len(found) < MOST_ANSWERS:
                found[mac] = None

    link.settimeout(0)
    loop = asyncio.get_running_loop()
    loop.add_reader(link, hear)
    try:
        for _ in range(2):
            ask()
            await asyncio.sleep(window / 2)
    finally:
        loop.remove_reader(link)
    return tuple(found)


def arp_request(address: IPv4Address, mac: bytes, source: bytes) -> bytes:
    """`who has ADDRESS? tell SOURCE` (RFC 826). Pure."""
    return _ARP.pack(1, 0x0800, 6, 4, 1, mac, source, b"\0" * 6, address.packed)


def arp_answer(packet: bytes, address: IPv4Address) -> str | None:
    """Link address of whoever says that the address is his, in a reply or an announcement. Pure."""
    if len(packet) < _ARP.size:
        return None
    *form, operation, mac, owner, _, _ = _ARP.unpack_from(packet)
    sound = form == [1, 0x0800, 6, 4] and operation in (1, 2) and any(mac) and mac != _BROADCAST
    return mac_text(mac) if sound and owner == address.packed else None


def solicitation(address: IPv6Address, mac: bytes) -> bytes:
    """A neighbour solicitation (RFC 4861, section 4.3); the kernel fills in the checksum. Pure."""
    return struct.pack("!BBHI16sBB6s", _SOLICITATION, 0, 0, 0, address.packed, _SOURCE_OPTION, 1, mac)


def solicited_group(address: IPv6Address) -> IPv6Address:
    """The multicast group in which the owner of the address listens.

    >>> solicited_group(IPv6Address("fd00:20::202"))
    IPv6Address('ff02::1:ff00:202')
    """
    return IPv6Address(IPv6Address("ff02::1:ff00:0").packed[:13] + address.packed[13:])


def advertised(packet: bytes, address: IPv6Address) -> str | None:
    """Link address in a neighbour advertisement for the address (RFC 4861, sections 4.4 and 4.6.1). Pure."""
    if len(packet) < 24 or packet[:2] != bytes((_ADVERTISEMENT, 0)) or packet[8:24] != address.packed:
        return None
    options = packet[24:]
    while len(options) >= 8 and options[1]:
        if options[:2] == bytes((_TARGET_OPTION, 1)) and any(options[2:8]):
            return mac_text(options[2:8])
        options = options[8 * options[1] :]
    return None
