"""Whose a client's address is: what the configuration names, else what its range tells.

Rules of this file:
- What is named comes first: a cluster's nodes may well have public addresses.
- The probe's own address is no stand-in and no stranger: it is told apart only where `vantage.addresses` names it.
- Ranges are compared as numbers: a hostile log brings a million addresses, and `ipaddress` takes 10 µs for each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

from probe.model import Address, MaskedBy, Network, Networks, Whose, within

_NAMED = {
    MaskedBy.NODE: Whose.NODE,
    MaskedBy.POD: Whose.POD,
    MaskedBy.GATEWAY: Whose.GATEWAY,
    MaskedBy.PROXY: Whose.PROXY,
}
LABELS = {whose: masked_by for masked_by, whose in _NAMED.items()}
"""Label of `mailprobe_clients_total`; `other` for all that the configuration does not name."""

_RANGES: tuple[tuple[Whose, str], ...] = (
    (Whose.LOOPBACK, "127.0.0.0/8"),
    (Whose.LOOPBACK, "::1/128"),
    (Whose.PRIVATE, "10.0.0.0/8"),
    (Whose.PRIVATE, "172.16.0.0/12"),
    (Whose.PRIVATE, "192.168.0.0/16"),
    (Whose.PRIVATE, "100.64.0.0/10"),  # shared address space, which overlays and carriers use (RFC 6598)
    (Whose.PRIVATE, "169.254.0.0/16"),
    (Whose.PRIVATE, "fc00::/7"),
    (Whose.PRIVATE, "fe80::/10"),
)


def _bounds(network: Network) -> tuple[int, int]:
    return int(network.network_address), int(network.broadcast_address)


_BY_VERSION = {
    4: tuple((*_bounds(IPv4Network(text)), whose) for whose, text in _RANGES if ":" not in text),
    6: tuple((*_bounds(IPv6Network(text)), whose) for whose, text in _RANGES if ":" in text),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Names:
    """What the configuration says of addresses."""

    networks: Networks = field(default_factory=Networks)
    vantage: tuple[Network, ...] = ()

    @property
    def any(self) -> bool:
        """True if it names anybody who may stand in a client's place."""
        known = self.networks
        return bool(known.nodes or known.pods or known.gateways or known.proxies)

    def whose(self, address: Address) -> Whose:
        """Whose this address is."""
        named = _NAMED.get(self.networks.owner(address))
        if named is not None:
            return named
        if self.vantage and within(address, self.vantage):
            return Whose.VANTAGE
        number = int(address)
        return next(
            (whose for least, most, whose in _BY_VERSION[address.version] if least <= number <= most), Whose.PUBLIC
        )
