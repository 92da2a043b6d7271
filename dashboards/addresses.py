"""Does the client's address arrive, who puts another one in its place, and what does that do to real clients?"""

from __future__ import annotations

from collections.abc import Mapping

from grafana_foundation_sdk.builders import bargauge, table, timeseries

from dashboards import panels, questions
from dashboards.panels import BAD, GOOD, WARNING, Said, steps
from dashboards.verdicts import COLOURS, Kind

NETWORKS = {
    "node": COLOURS[Kind.WRONG_ADDRESS],
    "pod": COLOURS[Kind.WARNING],
    "gateway": COLOURS[Kind.SHUT],
    "proxy": COLOURS[Kind.PROXY_HEADER],
    "other": COLOURS[Kind.UNVERIFIED],
}
"""Whose addresses, in colours that can be told apart."""


def preserved() -> bargauge.Panel:
    """A bar for each path."""
    said = Said(
        title="What share was preserved?",
        description="Sessions: preserved / (preserved + masked) by path within the picture's time, the worst first. A "
        "path that proved nothing is left out: it is neither.",
        unit="percentunit",
        steps=steps((0.95, WARNING), (0.9999, GOOD), first=BAD),
    )
    return panels.bars(said, questions.PRESERVED_SHARE, "{{path}}").min(0).max(1)


def who_masks() -> timeseries.Panel:
    """Areas by network."""
    said = Said(
        title="Who masks?",
        description="Endpoints whose server saw an address of this network instead of the client's. node: kube-proxy "
        "with externalTrafficPolicy Cluster. pod: an overlay. proxy: a proxy without a PROXY header. gateway: NAT on "
        "the way. other: no network of the configuration.",
        steps=steps((1, BAD)),
    )
    return _coloured(
        panels.lines(said, panels.series(questions.WHO_MASKS, "{{network}}"), stacked=True), NETWORKS
    ).max_data_points(panels.COARSE)


def masked_now() -> table.Panel:
    """A row for each service that is masked."""
    said = Said(
        title="What is masked now, and as whose?",
        description="Services whose client addresses are masked, by whose address the server sees, and from how many "
        "vantages that was proven. Empty: nothing is proven to be masked.",
    )
    looks = {"Value": panels.named("vantages", "short", steps(first=BAD))}
    order = ("path", "service", "network", "Value")
    panel = panels.grid(
        said, panels.rows(questions.MASKED_NOW), columns=panels.Columns(order=order, sorted_by="path", looks=looks)
    )
    return panel.no_value("nothing is proven to be masked")


def clients() -> timeseries.Panel:
    """Areas by network."""
    said = Said(
        title="Whose addresses do real clients come from?",
        description="Clients per minute in the mail server's logs, all of them, by whose network their address is of; "
        "as the one vantage tells it that reads most. other: no network of the configuration, as real clients should "
        "be. node, pod, proxy or gateway growing: real clients are masked, not only the probe.",
        unit="cpm",
    )
    panel = panels.lines(said, panels.series(questions.CLIENTS, "{{network}}"), stacked=True)
    return _coloured(panel, {**NETWORKS, "other": GOOD})


def _coloured(panel: timeseries.Panel, networks: Mapping[str, str]) -> timeseries.Panel:
    for network, colour in networks.items():
        panel = panel.override_by_name(network, panels.fixed(colour))
    return panel
