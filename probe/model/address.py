"""Addresses, whose they are, and how they are written."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from probe.model.words import MaskedBy

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Peer:
    """One end of a connection; `port` is None where a log line names only the address."""

    address: Address
    port: int | None = None

    def __str__(self) -> str:
        if self.port is None:
            return str(self.address)
        return f"[{self.address}]:{self.port}" if self.address.version == 6 else f"{self.address}:{self.port}"


@lru_cache(maxsize=1024)  # the few addresses of a network, read again and again
def plain_address(text: str) -> Address:
    """Parse an address; IPv4-mapped IPv6 (`::ffff:192.0.2.1`) is the IPv4 address it carries. ValueError otherwise."""
    address = ip_address(text.split("%", 1)[0])
    return getattr(address, "ipv4_mapped", None) or address


def plain_network(network: Network) -> str:
    """A single address without its mask, as people write it.

    >>> from ipaddress import ip_network
    >>> plain_network(ip_network("192.0.2.1/32")), plain_network(ip_network("192.0.2.0/24"))
    ('192.0.2.1', '192.0.2.0/24')
    """
    return str(network.network_address if network.num_addresses == 1 else network)


def within(address: Address, networks: tuple[Network, ...]) -> bool:
    """True if any of the networks of the address's own family holds it."""
    return any(address in network for network in networks if network.version == address.version)


@dataclass(frozen=True, kw_only=True, slots=True)
class Networks:
    """Whose address is whose. Of several that hold an address the most telling names it: a proxy may run on a node."""

    nodes: tuple[Network, ...] = ()
    pods: tuple[Network, ...] = ()
    gateways: tuple[Network, ...] = ()
    proxies: tuple[Network, ...] = ()

    def owner(self, address: Address) -> MaskedBy:
        """Whose address this is; OTHER where the configuration does not say."""
        owners = (
            (MaskedBy.PROXY, self.proxies),
            (MaskedBy.NODE, self.nodes),
            (MaskedBy.GATEWAY, self.gateways),
            (MaskedBy.POD, self.pods),
        )
        return next((who for who, held in owners if within(address, held)), MaskedBy.OTHER)
