"""Metrics of sessions that no ledger keeps: `/probe`, --textfile, --push. Each in a registry of its own.

No counter is among them: nobody counts from one round to the next, and one that stands still at 1 would mislead rate().
Histograms hold the one session of each endpoint, so their `_sum` is what it took.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from prometheus_client import CollectorRegistry
from prometheus_client import Metric as Family
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from probe.model import EndpointName, Round
from probe.service.metrics import fill
from probe.service.metrics.catalogue import OF_A_ROUND, VANTAGE
from probe.service.metrics.page import Page, Wall
from probe.service.metrics.standing import standings_of


class _Told(Collector):
    """Families that were told once."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Sequence[Family]:
        return self._families


def round_registry(done: Round, wall: Wall = float) -> CollectorRegistry:
    """Our metrics of one round. `wall`: what to call the moments of its sessions, as they are by default."""
    return _registry(_families(done, wall))


def probe_registry(done: Round, wall: Wall = float, unfinished: Collection[EndpointName] = ()) -> CollectorRegistry:
    """What one request to `/probe` is answered with.

    `probe_success`: the session worked, whatever address the server saw, which is what other probers mean by it.
    `unfinished`: whose sessions were not judged in time. One without a result has not worked, and nothing more is told
    of its service on that path: what another port of it has would look like all of it.
    """
    told = [one.session.endpoint for one in done.results]
    untold = {(name.path, name.service) for name in unfinished if name not in told}
    worked = bool(told) and not untold and all(one.session.fault is None for one in done.results)
    known = tuple(one for one in done.results if (one.session.path, one.session.service) not in untold)
    in_time = _unfinished(done.vantage, [*told, *unfinished], unfinished)
    own = _families(replace(done, results=known), wall)
    return _registry([*_of_every_prober(float(worked), done.seconds), in_time, *own])


def _families(done: Round, wall: Wall) -> Iterator[Family]:
    page = Page(done.vantage, OF_A_ROUND)
    fill.endpoints(page, standings_of(done.results), wall)
    fill.build(page)
    fill.cluster(page, done.topology, done.networks)
    return page.families(empty=False)


def _registry(families: Iterator[Family] | Sequence[Family]) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(_Told(tuple(families)))
    return registry


def _unfinished(vantage: str, names: Iterable[EndpointName], unfinished: Collection[EndpointName]) -> Family:
    """By path and service, whose ports are told together."""
    meaning = "1 if time was up before the session was judged; it goes on."
    family = GaugeMetricFamily("mailprobe_unfinished", meaning, labels=(VANTAGE, "path", "service"))
    among = {(one.path, one.service) for one in unfinished}
    for path, service in dict.fromkeys((one.path, one.service) for one in names):
        family.add_metric((vantage, path, service), float((path, service) in among))
    return family


def _of_every_prober(success: float, seconds: float) -> Iterator[Family]:
    yield GaugeMetricFamily("probe_success", "1 if the session worked, whatever address the server saw.", success)
    yield GaugeMetricFamily("probe_duration_seconds", "How long the answer took, the wait for evidence too.", seconds)
