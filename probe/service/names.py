"""The configuration's names for addresses: its networks, the nodes of its topology, the probe's own addresses."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

from probe.evidence.whose import Names
from probe.model import Address
from probe.settings import Settings


def names_of(settings: Settings) -> tuple[Names, dict[Address, str]]:
    """Whose addresses are whose, by the configuration, and what its nodes are called."""
    nodes = settings.topology.nodes if settings.topology else {}
    called = {address: name for name, addresses in nodes.items() for address in addresses}
    named = tuple(ip_network(address) for address in called)
    networks = replace(settings.networks, nodes=(*settings.networks.nodes, *named))
    return Names(networks=networks, vantage=settings.vantage.addresses), called
