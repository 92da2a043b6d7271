"""PROXY headers as an upstream proxy would send them (PROXY protocol, haproxy.org, sections 2.1 and 2.2).

Pure: addresses in, bytes out. LOCAL claims no address at all, so it is harmless wherever it arrives.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from socket import SOCK_STREAM

from proxyprotocol.result import ProxyResultIPv4, ProxyResultIPv6, ProxyResultLocal
from proxyprotocol.v1 import ProxyProtocolV1
from proxyprotocol.v2 import ProxyProtocolV2

from probe.model import Peer, ProxyHeader

LOCAL = ProxyProtocolV2().pack(ProxyResultLocal())


def header(version: ProxyHeader, client: Peer, server: Peer) -> bytes:
    """The header that says `client` connected to `server`; both of one family, both with a port.

    >>> from ipaddress import ip_address
    >>> header(ProxyHeader.V1, Peer(ip_address("192.0.2.1"), 4000), Peer(ip_address("192.0.2.9"), 25))
    b'PROXY TCP4 192.0.2.1 192.0.2.9 4000 25\\r\\n'
    """
    if version is ProxyHeader.NONE:
        return b""
    protocol = ProxyProtocolV1() if version is ProxyHeader.V1 else ProxyProtocolV2()
    return protocol.pack(_result(client, server))


def _result(client: Peer, server: Peer) -> ProxyResultIPv4 | ProxyResultIPv6:
    ports = (client.port or 0, server.port or 0)
    match client.address, server.address:
        case IPv4Address() as source, IPv4Address() as target:
            return ProxyResultIPv4((source, ports[0]), (target, ports[1]), protocol=SOCK_STREAM)
        case IPv6Address() as source, IPv6Address() as target:
            return ProxyResultIPv6((source, ports[0]), (target, ports[1]), protocol=SOCK_STREAM)
        case _:
            raise ValueError(f"client {client} and server {server} are of different families")
