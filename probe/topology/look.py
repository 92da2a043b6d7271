"""One look around: every node's health check port, the link and the Kubernetes API, side by side, as one value.

- Everything is bounded by its own timeout, so a look ends after about two seconds in the worst case.
- A health check that answers for another Service than the configured one tells nothing about ours.
- That any node answers at all says that the policy is Local: with Cluster the port is closed. The API's word on the
  policy counts before.
- Nodes that are not configured are learnt from the API, and asked on the health check port that it tells.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from probe.model import (
    Address,
    Announcers,
    Clock,
    HealthPort,
    Known,
    Node,
    Origin,
    Policy,
    Question,
    ServiceFacts,
    Topology,
)
from probe.notices import Once
from probe.topology.announcer import Link, LinkFacts, said
from probe.topology.facts import ClusterFacts
from probe.topology.health_check import UNKNOWN, Health, ask_health

T = TypeVar("T")
Read = Callable[[], Awaitable[ClusterFacts]]
"""Asks the Kubernetes API. It bounds itself and raises for nothing that the API does."""


async def nothing() -> ClusterFacts:
    """Where no API is to be asked."""
    return ClusterFacts()


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """What the configuration says of the cluster. `service` is `namespace/name`."""

    nodes: Mapping[str, tuple[Address, ...]] = field(default_factory=dict)
    health_check_node_port: int | None = None
    service: str | None = None

    @property
    def configured(self) -> Topology:
        """All that is known without asking anybody."""
        return Topology(
            taken=0.0,
            nodes=tuple(Node(name=name, addresses=held) for name, held in self.nodes.items()),
            service=ServiceFacts(name=self.service),
        )


class Lookout:
    """Takes looks; one per workshop, as it remembers what it has said, and which nodes the API knows."""

    def __init__(self, cluster: Cluster, clock: Clock, read: Read = nothing, once: Once | None = None) -> None:
        self._cluster = cluster
        self._clock = clock
        self._read = read
        self._once = once or Once(again=math.inf)
        self._link = Link(clock, self._once)
        self._nodes = cluster.nodes
        self._port = cluster.health_check_node_port

    async def look(self, question: Question) -> Topology:
        """Ask every node, the link and the Kubernetes API; after a failure the link by an exchange too."""
        taken = self._clock()
        first = None if self._nodes else self._learn(await self._read())
        nodes = self._nodes
        own = {address for held in nodes.values() for address in held}
        asked = [address for address in question.addresses if address not in own]
        healths, link, facts = await asyncio.gather(
            asyncio.gather(*(self._health(held) for held in nodes.values())),
            self._link.look(asked, nodes, exchange=question.after_failure),
            self._facts(first),
        )
        ours = [health if self._is_ours(health) else UNKNOWN for health in healths]
        healthy = dict(zip(nodes, ours, strict=True))
        return Topology(
            taken=taken,
            nodes=tuple(_node(node, healthy.get(node.name, UNKNOWN), link, facts, taken) for node in facts.nodes),
            service=self._service(ours, facts.service, taken),
            announcers=_announcers(link, facts),
            endpoints=facts.endpoints,
            may_announce=facts.may_announce,
            node_networks=facts.node_networks,
            pod_networks=facts.pod_networks,
            unknown=(*link.unknown, *self._strangers(healths), *self._refused(facts)),
        )

    async def _facts(self, known: ClusterFacts | None) -> ClusterFacts:
        return known or self._learn(await self._read())

    def _learn(self, facts: ClusterFacts) -> ClusterFacts:
        """Remember whom to ask the next time; the same facts, in the configuration's names."""
        named = facts.named_as(self._cluster.nodes)
        if facts.nodes:
            self._nodes = {node.name: node.addresses for node in named.nodes}
        else:
            named = replace(named, nodes=tuple(Node(name=name, addresses=held) for name, held in self._nodes.items()))
        if (port := facts.service.health_check_node_port) and self._cluster.health_check_node_port is None:
            self._port = port.value
        return named

    async def _health(self, addresses: tuple[Address, ...]) -> Health:
        port = self._port
        return await ask_health(addresses[0], port) if port is not None and addresses else UNKNOWN

    def _is_ours(self, health: Health) -> bool:
        """Whether nothing says that this answer is about another Service."""
        return self._cluster.service is None or health.service in (None, self._cluster.service)

    def _strangers(self, healths: Sequence[Health]) -> tuple[str, ...]:
        port, wanted = self._port, self._cluster.service
        others = {str(health.service) for health in healths if not self._is_ours(health)}
        return tuple(
            said(self._once, f"health check port {port} answers for {other}, not for {wanted}", kind="stranger")
            for other in sorted(others)
        )

    def _refused(self, facts: ClusterFacts) -> tuple[str, ...]:
        return tuple(said(self._once, refusal.reason, kind=refusal.kind) for refusal in facts.refusals)

    def _service(self, healths: Sequence[Health], told: ServiceFacts, taken: float) -> ServiceFacts:
        """What the API says of it; without the API what follows from the health checks and the configuration."""
        answered = any(health.port is HealthPort.ANSWERED for health in healths)
        policy = Known(Policy.LOCAL, Origin.HEALTH_CHECK, taken) if answered else None
        configured = self._cluster.health_check_node_port
        port = Known(configured, Origin.CONFIGURATION, taken) if configured is not None else None
        return replace(
            told,
            name=self._cluster.service,
            policy=told.policy or policy,
            health_check_node_port=port or told.health_check_node_port,
        )


def _node(node: Node, health: Health, link: LinkFacts, facts: ClusterFacts, at: float) -> Node:
    return replace(
        node,
        # After those that are asked: Calico's overlay addresses tell whose an address is, and are on no link.
        addresses=(*node.addresses, *facts.tunnels.get(node.name, ())),
        macs=link.macs.get(node.name),
        health_port=_known(health.port, at),
        local_endpoints=_known(health.local_endpoints, at),
        proxy_healthy=_known(health.proxy_healthy, at),
    )


def _announcers(link: LinkFacts, facts: ClusterFacts) -> dict[Address, tuple[Announcers, ...]]:
    """What the wire tells before MetalLB's word."""
    told = {address: (known,) for address, known in facts.announcers.items()}
    addresses = [*link.announcers, *(address for address in told if address not in link.announcers)]
    return {address: (*link.announcers.get(address, ()), *told.get(address, ())) for address in addresses}


def _known(value: T | None, at: float) -> Known[T] | None:
    return Known(value, Origin.HEALTH_CHECK, at) if value is not None else None
