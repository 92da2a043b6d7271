"""Which addresses are the Service's, as nodes' announcements tell: its endpoints explain those and no others. Pure.

- A proxy or a gateway stands before the Service. A node may announce its address too, for it may run in the cluster.
- What the API says of the Service's addresses counts before all else.
- Without it a node's announcement tells which of several addresses is the Service's, unless another one may be it as
  well: a node announces that too, or nobody does now (the Service's own may be gone with its last endpoint).
"""

from __future__ import annotations

from collections.abc import Mapping

from probe.model import Address, Announcer, MaskedBy, Networks, Topology

OUTSIDE = frozenset({MaskedBy.PROXY, MaskedBy.GATEWAY})


def is_outside(address: Address | None, networks: Networks) -> bool:
    """Whether it is a proxy's or a gateway's."""
    return address is not None and networks.owner(address) in OUTSIDE


def announced(topology: Topology, networks: Networks) -> Mapping[Address, tuple[str, ...]]:
    """Addresses that are the Service's, each with the nodes that announce it, by the most telling origin."""
    told = {
        address: says[0].value
        for address, says in topology.announcers.items()
        if says and not is_outside(address, networks) and topology.node_at(address) is None
    }
    known, by_node = topology.service.addresses, {address: _nodes(found) for address, found in told.items()}
    may_be = {address for address, found in told.items() if by_node[address] or not found}
    return {
        address: nodes
        for address, nodes in by_node.items()
        if nodes and (address in known.value if known else not _rivals(address, may_be))
    }


def _nodes(found: tuple[Announcer, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.node for one in found if one.node))


def _rivals(address: Address, others: set[Address]) -> set[Address]:
    """One of each family is the Service's."""
    return {other for other in others if other != address and other.version == address.version}
