"""Metrics as text, in the form that whoever asks prefers: OpenMetrics or Prometheus's own. Pure.

OpenMetrics alone carries exemplars. prometheus_client writes both, too slowly for a thousand endpoints (text.py); which
one is chosen here, because its own choice knows no preference (q), and answers a version that is no number with an
exception.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from prometheus_client import CollectorRegistry

from probe.service.metrics import text

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

WEIGHT = re.compile(r"[0-9](?:\.[0-9]{0,6})?")

VERSIONS = ("1.0.0", "0.0.1", "1", "")
"""Versions of OpenMetrics whose readers understand what we write; the empty one is: whichever there is."""


def exposition(registry: CollectorRegistry, accept: str | None) -> tuple[bytes, str]:
    """The body, and its content type, for this Accept header; whoever asks for neither form gets Prometheus's."""
    if prefers_openmetrics(accept or ""):
        return text.openmetrics(registry.collect()), OPENMETRICS
    return text.plain(registry.collect()), PLAIN


def prefers_openmetrics(accept: str) -> bool:
    """Whether OpenMetrics is asked for, and not less than plain text.

    >>> prefers_openmetrics("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1")
    True
    >>> prefers_openmetrics("text/html, */*;q=0.8"), prefers_openmetrics("application/openmetrics-text;q=0")
    (False, False)
    """
    weights = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for part in accept.lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        named = dict((name.strip(), value.strip(' "')) for name, _, value in (one.partition("=") for one in parameters))
        if kind in weights and (kind == "text/plain" or named.get("version", "") in VERSIONS):
            weights[kind] = max(weights[kind], _weight(named))
    return weights["application/openmetrics-text"] > 0 and (
        weights["application/openmetrics-text"] >= weights["text/plain"]
    )


def _weight(named: Mapping[str, str]) -> float:
    """RFC 9110 section 12.4.2; what is no weight counts as none given."""
    given = named.get("q", "1")
    return min(float(given), 1.0) if WEIGHT.fullmatch(given) else 1.0
