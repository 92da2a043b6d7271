"""Whether the vantage stands inside the cluster, where no verdict is about the clients' way in. Pure.

kube-proxy takes short cuts for its own node and for pods: it routes them past the announcement to any endpoint, and
masquerades what comes from its node. So `preserved` from there proves nothing about clients, and `masked` may be made
by the place of the probe alone. The verdict stays what the server saw; the doubt goes into its explanation.

- A node is known by its very address. A wide network in `networks.nodes` may hold other machines of the LAN: of it only
  the address that the session came from counts.
- A range tells only of an address that servers may see. Where `vantage.addresses` names others, outside the cluster,
  the session's own address is lost on the way, and two clusters may have the same range of pods.
- A session to a proxy or a gateway leaves the cluster's rules; from whom the proxy takes it makes no difference.
"""

from __future__ import annotations

from probe.model import Address, Network, Session, Surroundings, Topology, within
from probe.verdict.belonging import is_outside


def doubt(session: Session, surroundings: Surroundings) -> str | None:
    """What to say where the session did not come from outside; None where nothing known says so."""
    if session.address is None or is_outside(session.address, surroundings.networks):
        return None
    place = _place(session, surroundings)
    if place is None:
        return None
    return f"The probe runs {place}: kube-proxy takes short cuts from there, so this is not the clients' way in."


def _place(session: Session, surroundings: Surroundings) -> str | None:
    client = session.client.address if session.client else None
    own = tuple(dict.fromkeys(([client] if client else []) + list(surroundings.vantage)))
    named = (f"on {name} ({address})" for address in own if (name := _node(address, surroundings.topology)))
    listed = (f"at {address}, a node of `networks.nodes`" for address in own if _is_listed(address, surroundings))
    from_session = _by_network(client, session.expected, surroundings) if client else None
    return next(named, None) or next(listed, None) or from_session


def _node(address: Address, topology: Topology | None) -> str | None:
    node = topology.node_at(address) if topology else None
    return node.name if node else None


def _is_listed(address: Address, surroundings: Surroundings) -> bool:
    """Whether `networks.nodes` names this one address."""
    return any(network.num_addresses == 1 and address in network for network in surroundings.networks.nodes)


def _by_network(client: Address, expected: tuple[Network, ...], surroundings: Surroundings) -> str | None:
    networks, topology = surroundings.networks, surroundings.topology
    pods = topology.pod_networks.value if topology and topology.pod_networks else ()
    nodes = topology.node_networks.value if topology and topology.node_networks else ()
    held = (
        (networks.pods, "which is in `networks.pods`"),
        (pods, "in the cluster's pod network"),
        (networks.nodes, "which is in `networks.nodes`"),
        (nodes, "a cluster node's address"),
    )
    known = [network for group, _ in held for network in group]
    if not within(client, expected) and not any(_is_part(one, network) for one in expected for network in known):
        return None
    return next((f"at {client}, {whose}" for group, whose in held if within(client, group)), None)


def _is_part(one: Network, network: Network) -> bool:
    return one.version == network.version and one.network_address in network and one.prefixlen >= network.prefixlen
