"""What is known about the cluster around a session: facts to explain a verdict with, never to change it.

- `None` is "not known", everywhere. An empty tuple and a zero are known: asked, and there is none.
- A fact says where it is known from and when it was true (`Known`), so that no fact older than a failure explains it.
- Facts of several origins stand side by side: who announces by the wire and who by MetalLB's word may differ, and
  that is a finding of its own. Whoever explains decides which of them counts.
- Rooms that ask (topology/) fill these values; verdict/cause.py reads them. Nothing here asks anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from probe.model.address import Address, Network, Networks
from probe.model.words import HealthPort, Origin, Policy, Service

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    """A fact, who says so, and when (the probe's clock) it was asked for."""

    value: T
    origin: Origin
    at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One node. `local_endpoints` is what its own kube-proxy says; a terminating endpoint does not count there.

    `proxy_healthy` is kube-proxy's word on itself; `macs` are the link addresses its addresses were seen to have.
    """

    name: str
    addresses: tuple[Address, ...] = ()
    macs: tuple[str, ...] | None = None
    health_port: Known[HealthPort] | None = None
    local_endpoints: Known[int] | None = None
    proxy_healthy: Known[bool] | None = None
    cordoned: Known[bool] | None = None


@dataclass(frozen=True, slots=True)
class Announcer:
    """Who answers for an address: by its link address, by its node, or both. `node` None: no node known to us."""

    node: str | None = None
    mac: str | None = None

    def __str__(self) -> str:
        return self.node or self.mac or "somebody"


@dataclass(frozen=True, kw_only=True, slots=True)
class PodEndpoint:
    """One endpoint of an EndpointSlice. None where the slice does not say."""

    address: Address | None = None
    pod: str | None = None
    node: str | None = None
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceFacts:
    """The Service behind the paths. `addresses` are those of its load balancer."""

    name: str | None = None
    addresses: Known[tuple[Address, ...]] | None = None
    policy: Known[Policy] | None = None
    ports: Known[tuple[int, ...]] | None = None
    health_check_node_port: Known[int] | None = None


Announcers = Known[tuple[Announcer, ...]]
"""Everybody who was found to answer for one address; empty: nobody does."""

NO_ANNOUNCERS: Mapping[Address, tuple[Announcers, ...]] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Topology:
    """All facts of one look around; `taken` is when it began, so nothing in it is older.

    `announcers`: per address what each origin says, the most telling first (the wire before somebody's word).
    `endpoints`: every endpoint of the Service, from the API. `may_announce`: nodes an L2Advertisement allows.
    `unknown`: in words, why something could not be learnt.
    """

    taken: float
    nodes: tuple[Node, ...] = ()
    service: ServiceFacts = field(default_factory=ServiceFacts)
    announcers: Mapping[Address, tuple[Announcers, ...]] = field(default_factory=lambda: NO_ANNOUNCERS)
    endpoints: Known[tuple[PodEndpoint, ...]] | None = None
    may_announce: Known[tuple[str, ...]] | None = None
    node_networks: Known[tuple[Network, ...]] | None = None
    pod_networks: Known[tuple[Network, ...]] | None = None
    unknown: tuple[str, ...] = ()

    def node(self, name: str | None) -> Node | None:
        """The node of this name."""
        return next((node for node in self.nodes if node.name == name), None)

    def node_at(self, address: Address | None) -> Node | None:
        """The node that has this address."""
        return next((node for node in self.nodes if address in node.addresses), None)


@dataclass(frozen=True, slots=True)
class Question:
    """What a look is about. `after_failure`: a session has failed, so asking on the link is worth its packets."""

    addresses: tuple[Address, ...]
    after_failure: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Logins:
    """Dovecot's count of successful logins around a session: `grown` between two scrapes, `count` after the second.

    `since` and `until`: when the first and the second answer were there (the probe's clock); the second was asked for
    after the session had ended. `own`: how many of `grown` may be logins of the probe. `usual`: how many are counted
    in so long a time on average. `where`: host and port of the page.
    """

    where: str
    count: float
    grown: float
    own: float
    since: float
    until: float
    usual: float | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """A service that answered a session of ours on this port."""

    service: Service
    port: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """All a cause may be found in. `vantage`: every address of the machine the probe runs on.

    `addresses`: those that sessions went to, or are configured to go to, over all paths. `answered`: what answered at
    the session's own address while its port did not. `login_refused`: when the server last refused a login of ours, if
    it has let us in nowhere since.
    """

    topology: Topology | None = None
    logins: Logins | None = None
    networks: Networks = field(default_factory=Networks)
    vantage: tuple[Address, ...] = ()
    addresses: tuple[Address, ...] = ()
    answered: tuple[Answered, ...] = ()
    login_refused: float | None = None


NOTHING_KNOWN = Surroundings()
