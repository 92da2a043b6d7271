"""Look around the cluster while sessions run, and again after one failed: the facts behind a cause.

Rule 1: a look never delays a verdict by more than BOUND; without an answer by then nothing is known.
Rule 2: what explains a failure was asked for after it: an older look is taken again.
Rule 3: sessions that fail together share one look.
Rule 4: a session that is fine waits for nothing, but the first ones for the first look at a Kubernetes API: it tells
        whether the probe itself stands in the cluster, and then their `preserved` proves nothing about clients.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from probe.model import (
    NOTHING_KNOWN,
    Address,
    Clock,
    Endpoint,
    Judgement,
    Networks,
    Question,
    Session,
    Severity,
    Surroundings,
    Topology,
    plain_address,
)
from probe.notices import Once, warn
from probe.settings import KubernetesService, Settings
from probe.verdict.belonging import undecided

if TYPE_CHECKING:
    from probe.topology.kubernetes import ClusterReader

BOUND = 3.0
"""Seconds that a verdict may wait for its cause."""


MOST_ADDRESSES = 16
"""Addresses that a look asks for: the latest, where a name keeps changing its own."""

Look = Callable[[Question], Awaitable[Topology]]
"""Asks around. It bounds itself, and never raises for what the cluster does: that is a fact, or unknown."""


def survey(settings: Settings, clock: Clock) -> Survey:
    """The survey of a configuration. What asks is imported only where something is to be asked."""
    networks, topology = settings.networks, settings.topology
    if topology is None and not (networks.nodes or networks.pods):
        return Survey()
    from probe.topology.netlink import own_addresses  # noqa: PLC0415

    known = Surroundings(networks=networks)
    with contextlib.suppress(OSError):  # a sandbox without netlink: the session's own address is known all the same
        known = replace(known, vantage=own_addresses())
    if topology is None:
        return Survey(known=known)
    from probe.topology.look import Cluster, Lookout  # noqa: PLC0415

    service = topology.kubernetes
    reader = _reader(service, clock) if service else None
    cluster = Cluster(
        nodes=topology.nodes,
        health_check_node_port=topology.health_check_node_port,
        service=f"{service.namespace}/{service.service}" if service else None,
    )
    known = replace(known, topology=cluster.configured)
    if service is None or reader is None:
        return Survey(Lookout(cluster, clock).look, known)
    api = Api(close=reader.close, tells_networks=service.networks)
    return Survey(Lookout(cluster, clock, reader.read).look, known, api=api)


def _reader(service: KubernetesService, clock: Clock) -> ClusterReader | None:
    """What asks the Kubernetes API; it is loaded now, for that takes half a second that no session should wait for."""
    from probe.kubernetes.ask import NOT_INSTALLED, Access  # noqa: PLC0415

    try:
        from probe.topology.kubernetes import ClusterReader  # noqa: PLC0415 - lightkube is an extra
    except ImportError:
        warn(f"topology: {NOT_INSTALLED}")
        return None
    from probe.topology.facts import Subject  # noqa: PLC0415

    subject = Subject(namespace=service.namespace, service=service.service, metallb_namespace=service.metallb_namespace)
    return ClusterReader(subject, Access(kubeconfig=service.kubeconfig, context=service.context), clock)


@dataclass(frozen=True, kw_only=True, slots=True)
class Api:
    """The Kubernetes API among what is asked; `tells_networks`: its nodes and pods name whose an address is."""

    close: Callable[[], Awaitable[None]]
    tells_networks: bool


class Survey:
    """Shares looks among the sessions of a round; lives as long as its workshop."""

    def __init__(
        self,
        look: Look | None = None,
        known: Surroundings = NOTHING_KNOWN,
        *,
        bound: float = BOUND,
        api: Api | None = None,
    ) -> None:
        self.topology = known.topology
        self._api = api
        self._look = look
        self._known = known
        self._bound = bound
        self._once = Once(again=math.inf)
        self._addresses: dict[Address, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._after_failure = self._looked = False

    def begin(self, endpoints: Sequence[Endpoint]) -> None:
        """A round begins: look around beside its sessions."""
        for endpoint in endpoints:
            self._learn(_literal(endpoint.host))
        if self._look is not None:
            self._start(self._look, after_failure=False)

    async def around(self, session: Session, judgement: Judgement) -> Surroundings:
        """What is known about this session's surroundings; after a failure what was asked for after it."""
        self._learn(session.address)
        if self._look is None:
            return self._known
        try:
            async with asyncio.timeout(self._bound):
                if judgement.verdict.severity is not Severity.OK:
                    return self._with(await self._younger_than(session.closed, self._look))
                if self._api is not None and not self._looked and self._task is not None:
                    await asyncio.shield(self._task)
        except TimeoutError:
            return self._known
        return self._with(self.topology)

    def only_read(self) -> None:
        """Never ask on the link: the answer mends this machine's own way, and whoever measures outages must not."""
        look = self._look
        if look is not None:
            self._look = lambda question: look(replace(question, after_failure=False))

    @property
    def asks_api(self) -> bool:
        """Whether a look asks a Kubernetes API, which is not to be asked every second."""
        return self._api is not None

    async def look(self, addresses: Sequence[Address]) -> Topology | None:
        """Look around now, or share the look that is under way; None where there is nothing to be asked."""
        for address in addresses:
            self._learn(address)
        if self._look is None:
            return None
        await asyncio.shield(self._start(self._look, after_failure=False))
        return self.topology

    def networks(self, configured: Networks) -> Networks:
        """The configured networks, and those of the cluster where they are known and count."""
        if self._api is None or not self._api.tells_networks or self.topology is None:
            return configured
        nodes, pods = self.topology.node_networks, self.topology.pod_networks
        return replace(
            configured,
            nodes=(*configured.nodes, *(nodes.value if nodes else ())),
            pods=(*configured.pods, *(pods.value if pods else ())),
        )

    def _with(self, topology: Topology | None) -> Surroundings:
        networks = self.networks(self._known.networks)
        return replace(self._known, topology=topology, networks=networks, addresses=tuple(self._addresses))

    async def __aenter__(self) -> Survey:
        return self

    async def __aexit__(self, *_: object) -> None:
        """End a look that nobody waits for any more; a bug of it is raised here."""
        try:
            if self._task is not None:
                self._task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._task
        finally:
            if self._api is not None:
                await self._api.close()

    async def _younger_than(self, moment: float, look: Look) -> Topology:
        while self.topology is None or self.topology.taken < moment or not self._after_failure:
            await asyncio.shield(self._start(look, after_failure=True))
        return self.topology

    def _learn(self, address: Address | None) -> None:
        if address is None:
            return
        self._addresses.pop(address, None)
        self._addresses[address] = None
        while len(self._addresses) > MOST_ADDRESSES:
            del self._addresses[next(iter(self._addresses))]

    def _start(self, look: Look, *, after_failure: bool) -> asyncio.Task[None]:
        """The look that is under way, or a new one."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(look, Question(tuple(self._addresses), after_failure)))
        return self._task

    async def _run(self, look: Look, question: Question) -> None:
        found = await look(question)
        doubts = tuple(undecided(found, self._known.networks))
        for doubt in doubts:
            self._once.warn(f"topology: not known {doubt}", kind="undecided")
        self.topology = replace(found, unknown=(*found.unknown, *doubts))
        self._looked = True
        self._after_failure = question.after_failure


def _literal(host: str) -> Address | None:
    try:
        return plain_address(host)
    except ValueError:
        return None
