"""A session, its verdict and the facts around it, as the questions that causes ask. Pure.

Rule 1: `None` is "not known" in every answer, and never "no".
Rule 2: of facts about one thing the nearer one counts: a node's kube-proxy before the API, the link before a word.
Rule 3: an announcement is the session's address's own; a node's own address is announced by that node.
Rule 4: a session that shows nothing itself is explained only where its address is known to lead to the Service.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from probe.model import (
    Address,
    Announcer,
    HealthPort,
    Judgement,
    MaskedBy,
    Origin,
    Policy,
    Session,
    Surroundings,
    Topology,
    Verdict,
)
from probe.verdict.belonging import announced, is_outside

VIRTUAL = ("00:00:5e:00:01:", "00:00:5e:00:02:")
"""Link addresses that VRRP moves from machine to machine (RFC 5798, section 7.3): they name no machine."""

BANS = frozenset({Verdict.SILENT_DROP, Verdict.REFUSED})
"""What a ban looks like, by how a guard makes it."""

BROKEN = frozenset({Verdict.SILENT_DROP, Verdict.UNANNOUNCED, Verdict.REFUSED, Verdict.NO_GREETING})
"""Verdicts on sessions that never got as far as a greeting, for reasons that the session itself does not show."""

UNKNOWN = Topology(taken=0.0)


@dataclass(frozen=True, slots=True)
class Case:
    """All a row may look at."""

    session: Session
    judgement: Judgement
    surroundings: Surroundings

    @property
    def topology(self) -> Topology:
        """The facts; none at all where there is no topology."""
        return self.surroundings.topology or UNKNOWN

    @property
    def nodes(self) -> tuple[str, ...]:
        """Every node that is known by name."""
        return tuple(node.name for node in self.topology.nodes)

    @property
    def policy(self) -> Policy | None:
        """externalTrafficPolicy of the Service."""
        policy = self.topology.service.policy
        return policy.value if policy else None

    @property
    def outside(self) -> bool:
        """Whether the session went to a proxy or a gateway: by which node it goes on from there is not known."""
        return is_outside(self.session.address, self.surroundings.networks)

    @property
    def elsewhere(self) -> bool:
        """Whether the session is known to have gone to another Service: then nothing here is about it."""
        address, known = self.session.address, self.topology.service.addresses
        is_ours = known is None or address in known.value or self.topology.node_at(address) is not None
        return not is_ours and not self.outside

    @property
    def leads_here(self) -> bool:
        """Whether the address leads to the Service: by the API's word, as a node's, as the only one there is, or as the
        only one that a node announces."""
        address = self.session.address
        if address is None or self.elsewhere:
            return False
        if self.outside or self.topology.service.addresses or self.topology.node_at(address) is not None:
            return True
        by_node = address in announced(self.topology, self.surroundings.networks)
        return by_node or not any(self._rivals(address, other) for other in self.surroundings.addresses)

    @property
    def enters(self) -> bool:
        """Whether it matters which nodes have endpoints: the address is the Service's own, not of what is before it."""
        return not self.outside and (self.leads_here or self.judgement.verdict is Verdict.MASKED)

    def _rivals(self, address: Address, other: Address) -> bool:
        """Whether this other address of a path may be the Service's as well as the session's: one of each family is."""
        other_kind = self.topology.node_at(other) or is_outside(other, self.surroundings.networks)
        return other != address and other.version == address.version and not other_kind

    # Endpoints.

    def local_endpoints(self, name: str) -> int | None:
        """How many endpoints this node's kube-proxy counts."""
        node = self.topology.node(name)
        return node.local_endpoints.value if node and node.local_endpoints else None

    def has_endpoint(self, name: str | None) -> bool | None:
        """Whether a connection that enters by this node finds an endpoint there."""
        if name is None:
            return None
        counted = self.local_endpoints(name)
        if counted is not None:
            return counted > 0
        if self.topology.endpoints is None:
            return None
        endpoints = self.topology.endpoints.value
        if any(endpoint.node == name and endpoint.ready for endpoint in endpoints):
            return True
        return None if any(endpoint.ready is None or endpoint.node is None for endpoint in endpoints) else False

    @property
    def nodes_with_endpoint(self) -> list[str]:
        """Nodes that are known to have one."""
        known = self.topology.endpoints.value if self.topology.endpoints else ()
        names = dict.fromkeys([*self.nodes, *(endpoint.node for endpoint in known if endpoint.node)])
        return [name for name in names if self.has_endpoint(name)]

    @property
    def no_endpoint_ready(self) -> bool:
        """Whether the API knows all endpoints, and that none is ready; and no kube-proxy counts one all the same."""
        endpoints = self.topology.endpoints
        counted = any(self.local_endpoints(name) for name in self.nodes)
        return not counted and endpoints is not None and all(one.ready is False for one in endpoints.value)

    def terminating_on(self, name: str) -> bool:
        """Whether an endpoint on this node is known to be terminating."""
        endpoints = self.topology.endpoints.value if self.topology.endpoints else ()
        return any(endpoint.node == name and endpoint.terminating for endpoint in endpoints)

    def cordoned(self, name: str) -> bool:
        """Whether the node is known to be cordoned."""
        node = self.topology.node(name)
        return bool(node and node.cordoned and node.cordoned.value)

    @property
    def drained(self) -> list[str]:
        """Nodes that are cordoned, with a pod that is terminating and none that is not known to be gone."""
        names = [name for name in self.nodes if self.cordoned(name) and self.terminating_on(name)]
        return [name for name in names if not self.has_endpoint(name)]

    def nodes_by_port(self, state: HealthPort) -> tuple[str, ...]:
        """Nodes whose health check port reacted like this."""
        return tuple(node.name for node in self.topology.nodes if node.health_port and node.health_port.value is state)

    # Announcements.

    def told_by(self, *origins: Origin) -> tuple[Announcer, ...] | None:
        """Who announces, by the first of these origins that says anything; two link addresses of one node are one."""
        told = self.topology.announcers.get(self.session.address, ()) if self.session.address else ()
        by_origin = {known.origin: known.value for known in reversed(told)}
        found = next((by_origin[origin] for origin in origins if origin in by_origin), None)
        return found and tuple({one.node or one.mac: one for one in reversed(found)}.values())[::-1]

    @property
    def announced(self) -> tuple[Announcer, ...] | None:
        """Who announces the address, by the most telling origin: everybody who answers, before who is said to."""
        return self.told_by(Origin.EXCHANGE, Origin.NEIGHBOURS, Origin.METALLB, Origin.KUBERNETES)

    @property
    def answering(self) -> tuple[Announcer, ...]:
        """Everybody who answered when asked."""
        return self.told_by(Origin.EXCHANGE) or ()

    @property
    def nobody_answers(self) -> bool:
        """Whether somebody was asked on the link, and nobody answered."""
        return self.told_by(Origin.EXCHANGE, Origin.NEIGHBOURS) == ()

    @property
    def sent_to(self) -> Announcer | None:
        """To whom this machine's own packets went."""
        told = self.told_by(Origin.NEIGHBOURS)
        return told[0] if told else None

    @property
    def announcing_node(self) -> str | None:
        """The node that announces the address, if there is exactly one announcer and it is a known node."""
        return self.announced[0].node if self.announced and len(self.announced) == 1 and not self.outside else None

    @property
    def way_in(self) -> str | None:
        """The node by which the connection enters the cluster."""
        own = self.topology.node_at(self.session.address)
        return own.name if own else self.announcing_node

    @property
    def stranger(self) -> str | None:
        """A link address that answers and is no node's, where every node's is known."""
        announced = self.announced or ()
        known = bool(self.nodes) and all(node.macs for node in self.topology.nodes)
        if self.outside or len(announced) != 1 or not known:
            return None
        mac = announced[0].mac
        held = {mac for node in self.topology.nodes for mac in node.macs or ()}
        return None if mac is None or mac in held or mac.startswith(VIRTUAL) else mac

    # The address in the client's place.

    @property
    def kube_proxy_may_have(self) -> bool:
        """Whether it may be kube-proxy's doing: a node's address, or one of the pods' range that may be a tunnel's."""
        match self.judgement.masked_by:
            case MaskedBy.NODE:
                return True
            case MaskedBy.POD:
                return self.seen_node is not None or not self._tunnels_known
            case MaskedBy.OTHER:
                return self.seen_node is not None
        return False

    @property
    def _tunnels_known(self) -> bool:
        """Whether every node's address in the pods' range is known, as Calico tells it."""
        owner = self.surroundings.networks.owner
        tunnels = [any(owner(held) is MaskedBy.POD for held in node.addresses) for node in self.topology.nodes]
        return bool(tunnels) and all(tunnels)

    @property
    def replacing_node(self) -> str | None:
        """The node whose kube-proxy replaced the address: the one that has it, else the announcing one, if it may."""
        if self.seen_node:
            return self.seen_node
        announcing = self.topology.node(self.announcing_node)
        return None if announcing and announcing.addresses else self.announcing_node

    @property
    def may_be_banned(self) -> bool:
        """Whether it looks like a ban, and a guard may have a reason for one."""
        return self.surroundings.login_refused is not None and self.judgement.verdict in BANS

    @property
    def is_no_node_s(self) -> bool:
        """Whether the address that was seen is none of the nodes', as far as all of them have told theirs."""
        nodes = self.topology.nodes
        return bool(nodes) and all(node.addresses for node in nodes) and self.seen_node is None

    @property
    def seen_address(self) -> Address | None:
        """The address the server saw, a known node's before others."""
        nodes = [address for address in self.judgement.seen if self.topology.node_at(address)]
        return next(iter((*nodes, *self.judgement.seen)), None)

    @property
    def seen_node(self) -> str | None:
        """The node whose address the server saw."""
        node = self.topology.node_at(self.seen_address)
        return node.name if node else None


def listed(names: Sequence[object], last: str = "and") -> str:
    """Names as a person lists them.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    words = [str(name) for name in names]
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else ""


def place_of_pod(nodes: Sequence[str]) -> str:
    """Where the endpoints are.

    >>> place_of_pod(["k8s-node3"]), place_of_pod(["a", "b"])
    ('the pod runs on k8s-node3', 'pods run on a and b')
    """
    return f"the pod runs on {nodes[0]}" if len(nodes) == 1 else f"pods run on {listed(nodes)}"
