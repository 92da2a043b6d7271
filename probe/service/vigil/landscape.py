"""Who announces each address and which node has endpoints, look by look. Looks only read: nothing on the link changes.

A look asks every node's health check port and reads the kernel's neighbour table; an exchange on the link would mend
this machine's own entry, and with it the outage that is measured.
"""

from __future__ import annotations

from collections.abc import Sequence

from probe.model import Address, Edge, Standing, Topology

MOST = 400
NOBODY = "nobody"


class Landscape:
    """What looks found, each change once, with the two looks that it lies between."""

    def __init__(self) -> None:
        self.announcers: tuple[Standing, ...] = ()
        self.nodes: tuple[Standing, ...] = ()
        self._told: dict[Address | str, str] = {}
        self._looked: dict[Address | str, float] = {}

    def note(self, topology: Topology, addresses: Sequence[Address], until: float) -> None:
        """A look that was taken by `until`."""
        for address in addresses:
            known = topology.announcers.get(address)
            if known:
                names = ", ".join(sorted(str(one) for one in known[0].value)) or NOBODY
                edge = self._changed(address, names, topology.taken, until)
                if edge is not None:
                    self.announcers = (*self.announcers, Standing(edge=edge, value=names, address=address))[-MOST:]
        for node in topology.nodes:
            if node.local_endpoints is not None:
                count = str(node.local_endpoints.value)
                edge = self._changed(node.name, count, topology.taken, until)
                if edge is not None:
                    self.nodes = (*self.nodes, Standing(edge=edge, value=count, node=node.name))[-MOST:]

    def _changed(self, key: Address | str, value: str, taken: float, until: float) -> Edge | None:
        """When it changed, if it did."""
        before, self._looked[key] = self._looked.get(key), taken
        if self._told.get(key) == value:
            return None
        self._told[key] = value
        return Edge(before, until)
