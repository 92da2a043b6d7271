"""Questions to the Linux kernel over rtnetlink: whose address, which way, which neighbour. No privilege is needed.

- A message is a header, a fixed part by its type, and attributes (type, length, value), each padded to four octets
  (man 7 rtnetlink). All of it is in the byte order of this machine, but for addresses.
- The kernel answers in the same breath, so nothing here waits; PATIENCE only guards against a kernel that does not.
- A kernel that does not answer (a sandbox without netlink) raises OSError; what it says is taken as it is.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntFlag
from ipaddress import ip_address

from probe.model import Address

PATIENCE = 0.5
LARGEST = 1 << 16

_HEADER = struct.Struct("=IHHII")
_ERROR, _DONE = 2, 3
_REQUEST, _DUMP = 0x1, 0x300
_GET_LINK, _GET_ADDRESS, _GET_ROUTE, _GET_NEIGHBOUR = 18, 22, 26, 30
_LOCAL_ROUTE = 2
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


class State(IntFlag):
    """What the kernel thinks of a neighbour (linux/neighbour.h)."""

    INCOMPLETE = 0x01
    REACHABLE = 0x02
    STALE = 0x04
    DELAY = 0x08
    PROBE = 0x10
    FAILED = 0x20
    NO_ARP = 0x40
    PERMANENT = 0x80


IN_USE = State.REACHABLE | State.STALE | State.DELAY | State.PROBE | State.PERMANENT
"""States in which the kernel sends to the link address it has."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One entry of the neighbour table: who answers for an address on a link."""

    address: Address
    mac: str | None
    state: State


@dataclass(frozen=True, slots=True)
class Route:
    """The way to an address. `on_link`: no router between; `local`: the address is this machine's own."""

    interface: int
    on_link: bool
    local: bool
    source: Address | None


def own_addresses() -> tuple[Address, ...]:
    """Every address of this machine but those of the loopback interface."""
    found = []
    for fixed, attributes in _ask(_GET_ADDRESS, struct.pack("=BBBBI", 0, 0, 0, 0, 0), _DUMP, size=8):
        packed = attributes.get(2) or attributes.get(1)
        if packed is not None and fixed[0] in _FAMILIES.values():
            found.append(ip_address(packed))
    return tuple(address for address in dict.fromkeys(found) if not address.is_loopback)


def own_macs() -> Mapping[int, str]:
    """Link address of every interface that has one."""
    links = _ask(_GET_LINK, struct.pack("=BBHiII", 0, 0, 0, 0, 0, 0), _DUMP, size=16)
    return {
        struct.unpack_from("=i", fixed, 4)[0]: mac_text(attributes[1])
        for fixed, attributes in links
        if len(attributes.get(1, b"")) == 6 and any(attributes[1])
    }


def neighbours() -> tuple[Neighbour, ...]:
    """Both neighbour tables, ARP's and NDP's."""
    return tuple(
        Neighbour(ip_address(attributes[1]), _mac(attributes.get(2)), State(struct.unpack_from("=H", fixed, 8)[0]))
        for fixed, attributes in _ask(_GET_NEIGHBOUR, struct.pack("=BBHiHBB", 0, 0, 0, 0, 0, 0, 0), _DUMP, size=12)
        if fixed[0] in _FAMILIES.values() and 1 in attributes
    )


def route_to(address: Address) -> Route | None:
    """The way this machine would send to an address; None where it knows none."""
    fixed = struct.pack("=BBBBBBBBI", _FAMILIES[address.version], address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    try:
        answers = list(_ask(_GET_ROUTE, fixed + _attribute(1, address.packed), 0, size=12))
    except OSError as error:
        if error.errno in _NO_WAY:
            return None
        raise
    for answer, attributes in answers:
        if 4 in attributes:
            local = answer[7] == _LOCAL_ROUTE
            source = ip_address(attributes[7]) if 7 in attributes else None
            routed = bool({5, 18} & set(attributes))
            return Route(struct.unpack("=I", attributes[4])[0], not routed and not local, local, source)
    return None


_NO_WAY = frozenset({101, 113, 22, 13})
"""ENETUNREACH, EHOSTUNREACH, and what blackhole and prohibit routes give: there is no way, which is an answer."""


def mac_text(packed: bytes) -> str:
    """A link address as people write it.

    >>> mac_text(bytes.fromhex("0242ac110002"))
    '02:42:ac:11:00:02'
    """
    return packed.hex(":")


def _mac(packed: bytes | None) -> str | None:
    return mac_text(packed) if packed is not None and len(packed) == 6 else None


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


Answer = tuple[bytes, Mapping[int, bytes]]


def _ask(kind: int, fixed: bytes, flags: int, *, size: int) -> Iterator[Answer]:
    """Send one request and give every message of the answer: its fixed part and its attributes."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(PATIENCE)
        kernel.send(_HEADER.pack(_HEADER.size + len(fixed), kind, _REQUEST | flags, 1, 0) + fixed)
        while True:
            for answered, body in messages(kernel.recv(LARGEST)):
                if answered == _DONE:
                    return
                if answered == _ERROR:
                    number = -struct.unpack_from("=i", body)[0]
                    raise OSError(number, f"the kernel refuses netlink request {kind}")
                yield body[:size], attributes(body[size:])
            if not flags & _DUMP:
                return


def messages(packet: bytes) -> Iterator[tuple[int, bytes]]:
    """Messages of one datagram: type and body. Pure."""
    while len(packet) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(packet)
        if not _HEADER.size <= length <= len(packet):
            return
        yield kind, packet[_HEADER.size : length]
        packet = packet[length + (-length % 4) :]


def attributes(body: bytes) -> dict[int, bytes]:
    """Attributes by type; the two top bits of a type are flags. Pure."""
    found: dict[int, bytes] = {}
    while len(body) >= 4:
        length, kind = struct.unpack_from("=HH", body)
        if not 4 <= length <= len(body):
            break
        found[kind & 0x3FFF] = body[4:length]
        body = body[length + (-length % 4) :]
    return found
