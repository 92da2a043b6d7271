"""What one look at the Kubernetes API gave, put together out of its answers. Pure.

- Nodes bear the names that the configuration gives them, where it names them: by name or by an address.
- Nothing is concluded: what a fact means for a verdict is verdict/cause.py's to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from typing import Any, TypeVar

from probe.kubernetes.ask import Ask, Refusal
from probe.kubernetes.objects import parts, text
from probe.model import Address, Announcer, Announcers, Known, Network, Node, Origin, PodEndpoint, ServiceFacts
from probe.topology.objects import (
    NodeObject,
    ServiceObject,
    announcers_of,
    endpoints_of,
    may_announce,
    networks_of,
    node_of,
    service_of,
)

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """The Service, and where MetalLB keeps its own objects."""

    namespace: str
    service: str
    metallb_namespace: str = "metallb-system"

    def questions(self) -> dict[str, Ask]:
        """What is asked, by what it is about. docs/kubernetes.md has the access rules for exactly these."""
        slices = {"labelSelector": f"kubernetes.io/service-name={self.service}"}
        return {
            "service": Ask(verb="get", resource="services", namespace=self.namespace, name=self.service),
            "slices": Ask(
                verb="list",
                resource="endpointslices",
                group="discovery.k8s.io",
                namespace=self.namespace,
                params=slices,
            ),
            "nodes": Ask(verb="list", resource="nodes"),
            "statuses": self._of_metallb("servicel2statuses"),
            "advertisements": self._of_metallb("l2advertisements"),
            "pools": Ask(verb="list", resource="ippools", group="crd.projectcalico.org"),
        }

    def _of_metallb(self, resource: str) -> Ask:
        namespace = self.metallb_namespace
        return Ask(verb="list", resource=resource, group="metallb.io", version="v1beta1", namespace=namespace)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterFacts:
    """What the API said. `tunnels`: overlay addresses of nodes, by their names."""

    nodes: tuple[Node, ...] = ()
    tunnels: Mapping[str, tuple[Address, ...]] = field(default_factory=dict)
    service: ServiceFacts = field(default_factory=ServiceFacts)
    endpoints: Known[tuple[PodEndpoint, ...]] | None = None
    announcers: Mapping[Address, Announcers] = field(default_factory=dict)
    may_announce: Known[tuple[str, ...]] | None = None
    node_networks: Known[tuple[Network, ...]] | None = None
    pod_networks: Known[tuple[Network, ...]] | None = None
    refusals: tuple[Refusal, ...] = ()

    def named_as(self, configured: Mapping[str, tuple[Address, ...]]) -> ClusterFacts:
        """The same with the configuration's names and addresses of nodes, and the nodes that only it knows."""
        alias = {node.name: _name_in(configured, node) for node in self.nodes}
        ours = {name: Node(name=name, addresses=held) for name, held in configured.items()}
        for node in self.nodes:
            name = alias[node.name]
            held = (*configured.get(name, ()), *node.addresses)
            ours[name] = replace(node, name=name, addresses=tuple(dict.fromkeys(held)))
        return replace(
            self,
            nodes=tuple(ours.values()),
            tunnels={alias[name]: held for name, held in self.tunnels.items()},
            endpoints=_each(self.endpoints, lambda one: replace(one, node=alias.get(one.node or "", one.node))),
            announcers={
                address: Known(
                    tuple(Announcer(alias.get(one.node or "", one.node)) for one in told.value), told.origin, told.at
                )
                for address, told in self.announcers.items()
            },
            may_announce=_each(self.may_announce, lambda name: alias.get(name, name)),
        )


def _name_in(configured: Mapping[str, tuple[Address, ...]], node: Node) -> str:
    by_address = (name for name, held in configured.items() if {*held} & {*node.addresses})
    return node.name if node.name in configured else next(by_address, node.name)


def _each(known: Known[tuple[T, ...]] | None, change: Callable[[T], T]) -> Known[tuple[T, ...]] | None:
    return None if known is None else replace(known, value=tuple(change(one) for one in known.value))


def facts_of(subject: Subject, answers: Mapping[str, Any], at: float, refusals: tuple[Refusal, ...]) -> ClusterFacts:
    """What the answers say: each under what it is about, as `Subject.questions` names it."""
    service = service_of(answers["service"]) if "service" in answers else None
    nodes = [node for one in parts(answers.get("nodes"), "items") if (node := node_of(one)).name]
    slices = parts(answers.get("slices"), "items")
    return ClusterFacts(
        nodes=tuple(
            Node(name=node.name, addresses=node.addresses, cordoned=Known(node.cordoned, Origin.KUBERNETES, at))
            for node in nodes
        ),
        tunnels={node.name: node.tunnels for node in nodes if node.tunnels},
        service=_service(subject, service, at),
        # A Service that is not known to be there may be misnamed: then no slice says nothing.
        endpoints=Known(endpoints_of(slices), Origin.KUBERNETES, at)
        if slices or (service and "slices" in answers)
        else None,
        announcers=_announcers(subject, service, answers, at),
        may_announce=_may_announce(service, nodes, answers, at),
        node_networks=_known(tuple(_single(one) for node in nodes for one in (*node.addresses, *node.tunnels)), at),
        pod_networks=_known(_pod_networks(nodes, answers), at),
        refusals=refusals,
    )


def _service(subject: Subject, said: ServiceObject | None, at: float) -> ServiceFacts:
    name = f"{subject.namespace}/{subject.service}"
    if said is None:
        return ServiceFacts(name=name)
    origin = Origin.KUBERNETES
    return ServiceFacts(
        name=name,
        # Without any address nothing is said: a load balancer that gave none up to now is none to tell Services by.
        addresses=Known(said.addresses, origin, at) if said.addresses else None,
        policy=Known(said.policy, origin, at) if said.policy else None,
        ports=Known(said.ports, origin, at),
        health_check_node_port=Known(port, origin, at) if (port := said.health_check_node_port) else None,
    )


def _announcers(
    subject: Subject, service: ServiceObject | None, answers: Mapping[str, Any], at: float
) -> dict[Address, Announcers]:
    addresses = service.addresses if service else ()
    found = announcers_of(parts(answers.get("statuses"), "items"), subject.namespace, subject.service)
    if not found or (len(found) > 1 and len(addresses) > 1):
        return {}
    return {address: Known(found, Origin.METALLB, at) for address in addresses}


def _may_announce(
    service: ServiceObject | None, nodes: list[NodeObject], answers: Mapping[str, Any], at: float
) -> Known[tuple[str, ...]] | None:
    if service is None or not nodes:
        return None
    allowed = may_announce(parts(answers.get("advertisements"), "items"), service.pool, nodes)
    return None if allowed is None else Known(allowed, Origin.METALLB, at)


def _pod_networks(nodes: list[NodeObject], answers: Mapping[str, Any]) -> tuple[Network, ...]:
    """Calico's pools where there are any: it takes no notice of the nodes' own ranges."""
    pools = networks_of(text(one.get("spec"), "cidr") for one in parts(answers.get("pools"), "items"))
    return pools or tuple(dict.fromkeys(network for node in nodes for network in node.pods))


def _known(networks: tuple[Network, ...], at: float) -> Known[tuple[Network, ...]] | None:
    return Known(networks, Origin.KUBERNETES, at) if networks else None


def _single(address: Address) -> Network:
    return ip_network(address)
