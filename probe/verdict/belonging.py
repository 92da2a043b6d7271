"""Which addresses are the Service's, as nodes' announcements tell: its endpoints explain those and no others. Pure.

- A proxy or a gateway stands before the Service. A node may announce its address too, for it may run in the cluster.
- What the API says of the Service's addresses counts before all else.
- Without it a node's announcement tells which of several addresses is the Service's, unless another one may be it as
  well: a node announces that too, or nobody does now (the Service's own may be gone with its last endpoint).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from probe.model import Address, Announcer, MaskedBy, Networks, Topology

OUTSIDE = frozenset({MaskedBy.PROXY, MaskedBy.GATEWAY})
REMEDY = "list what stands before the Service under networks.proxies, or give topology.kubernetes"


def is_outside(address: Address | None, networks: Networks) -> bool:
    """Whether it is a proxy's or a gateway's."""
    return address is not None and networks.owner(address) in OUTSIDE


def announced(topology: Topology, networks: Networks) -> Mapping[Address, tuple[str, ...]]:
    """Addresses that are the Service's, each with the nodes that announce it, by the most telling origin."""
    may_be, known = _candidates(topology, networks), topology.service.addresses
    return {
        address: nodes
        for address, nodes in may_be.items()
        if nodes and (address in known.value if known else not _rivals(address, may_be))
    }


def undecided(topology: Topology, networks: Networks) -> Iterator[str]:
    """Why announcements tell nothing, where they would of one address alone: one sentence for each family."""
    may_be = _candidates(topology, networks)
    for version in (4, 6) if topology.service.addresses is None else ():
        rivals = [address for address in may_be if address.version == version]
        if len(rivals) > 1 and any(may_be[address] for address in rivals):
            several = " or ".join(map(str, sorted(rivals)))
            yield f"whether {several} is the Service's, so no metric and no alert tells who announces it: {REMEDY}"


def _candidates(topology: Topology, networks: Networks) -> Mapping[Address, tuple[str, ...]]:
    """Addresses that may be the Service's: a node announces them, or nobody does."""
    told = {
        address: says[0].value
        for address, says in topology.announcers.items()
        if says and not is_outside(address, networks) and topology.node_at(address) is None
    }
    by_node = {address: _nodes(found) for address, found in told.items()}
    return {address: nodes for address, nodes in by_node.items() if nodes or not told[address]}


def _nodes(found: tuple[Announcer, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.node for one in found if one.node))


def _rivals(address: Address, others: Iterable[Address]) -> set[Address]:
    """One of each family is the Service's."""
    return {other for other in others if other != address and other.version == address.version}
