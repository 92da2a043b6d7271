"""The daemon's metrics: a view of the station, rendered when somebody asks. It keeps nothing, so nothing stays behind:
the series of a path that left the configuration are gone with the next scrape.

    Station ──snapshot (on the event loop, quick)──▶ Snapshot ──collect (in any thread, slow)──▶ families

A thousand endpoints make some 200,000 samples, whose text takes more than a second of CPU: the event loop, which times
sessions, cannot wait for that. Hence `snapshot_registry`, to be rendered in a thread; docs/metrics.md has the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client import Metric as Family
from prometheus_client.registry import Collector

from probe.evidence.health import Heard
from probe.model import MaskedBy, Networks, Topology
from probe.service.metrics import fill
from probe.service.metrics.page import Page, Wall
from probe.service.metrics.standing import Standing, standings
from probe.service.station import Station


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """All that metrics tell of a station, as it is at a moment and stays."""

    vantage: str
    wall: Wall
    endpoints: tuple[Standing, ...]
    heard: tuple[Heard, ...]
    topology: Topology | None
    networks: Networks
    clients: Mapping[str, int]
    logins: float | None
    troubles: int
    reloaded: bool

    @classmethod
    def of(cls, station: Station, besides: Sequence[str] = ()) -> Snapshot:
        """Taken on the event loop that the ledger lives on. `besides`: troubles that the station does not know."""
        return cls(
            vantage=station.settings.vantage.name,
            wall=station.clock.wall,
            endpoints=tuple(standings(station.ledger.accounts.values(), station.clock())),
            heard=station.heard(),
            topology=station.topology,
            networks=station.settings.networks,
            clients={**dict.fromkeys(map(str, MaskedBy), 0), **station.clients},
            logins=station.logins,
            troubles=len(station.troubles) + len(besides),
            reloaded=station.reload.fault is None,
        )


class StationCollector(Collector):
    """Every metric of the catalogue, of the snapshot that it takes or is given when it is asked."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def describe(self) -> Iterator[Family]:
        """The families without a sample."""
        return Page("").families()

    def collect(self) -> Iterator[Family]:
        """What there is to tell."""
        now = self._snapshot()
        page = Page(now.vantage)
        fill.endpoints(page, now.endpoints, now.wall)
        fill.sources(page, now.heard, now.wall)
        fill.cluster(page, now.topology, now.networks)
        fill.build(page)
        for network, count in now.clients.items():
            page.tell("mailprobe_clients_total", count, network)
        for one in now.endpoints:
            page.tell("mailprobe_turns_missed_total", one.counts.missed, one.path, one.service)
        page.tell("mailprobe_troubles", now.troubles)
        page.tell("mailprobe_dovecot_logins_total", now.logins)
        page.tell("mailprobe_config_last_reload_successful", now.reloaded)
        return page.families()


def station_registry(station: Station) -> CollectorRegistry:
    """A registry that tells of the station whenever it is asked, on the event loop."""
    return _registry(StationCollector(lambda: Snapshot.of(station)))


def snapshot_registry(station: Station, besides: Sequence[str] = ()) -> CollectorRegistry:
    """A registry that tells of the station as it is now, to be rendered in another thread."""
    now = Snapshot.of(station, besides)
    return _registry(StationCollector(lambda: now))


def _registry(collector: Collector) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(collector)
    return registry
