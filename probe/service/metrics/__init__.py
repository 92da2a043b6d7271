"""Metrics: views of the ledger and of single rounds, and where they are put. Nothing else knows Prometheus.

    Account ──standings──▶ Standing ──fill──▶ Page (families of the catalogue) ──exposition──▶ text
    Result ────────────────┘

Importing this loads prometheus_client: `--once` without its flags stays clear of it.
"""

from probe.service.metrics.collector import snapshot_registry, station_registry
from probe.service.metrics.exposition import exposition
from probe.service.metrics.rounds import probe_registry, round_registry

__all__ = ["exposition", "probe_registry", "round_registry", "snapshot_registry", "station_registry"]
