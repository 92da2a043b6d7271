"""A heat map of buckets over time, and sessions as dots on it. Pure.

- Prometheus's buckets hold all below them; what lies between two is drawn.
- Of the sessions that would lie on each other one is drawn, as Grafana leaves some out too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dashboards.picture.ask import Answer, Exemplar, Panel
from dashboards.picture.axes import Axes
from dashboards.picture.expand import Span
from dashboards.picture.look import SOFT, said
from dashboards.picture.svg import Box, rect, tag, text

CIVIDIS = ("#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838")
"""Ten colours of the scheme, from least to most."""


DOTS = 18
"""Pixels between two dots."""


def heat(panel: Panel, answers: Sequence[Answer], dots: Sequence[Exemplar], box: Box, span: Span) -> list[str]:
    """The whole panel."""
    buckets = sorted(answers, key=lambda one: float(one.labels["le"]))
    bounds = [float(one.labels["le"]) for one in buckets]
    layers = _between(buckets)
    most = max((value for layer in layers for value in layer.values()), default=1.0) or 1.0
    axes = Axes(box.inside(52, 4, 8, 18), span)
    height, width = axes.box.h / len(layers), axes.box.w * span.step / (span.end - span.begin)
    parts = axes.times()
    for number, layer in enumerate(layers):
        y = axes.box.y + axes.box.h - height * (number + 1)
        if number % 2 == 0:
            shown = "∞" if bounds[number] == float("inf") else said(bounds[number], panel["options"]["yAxis"]["unit"])
            parts.append(text(axes.box.x - 6, y + 4, shown, size=10, fill=SOFT, text_anchor="end"))
        for at, value in layer.items():
            if value > 1e-9 and at + span.step <= span.end:
                shade = CIVIDIS[min(9, int(10 * (value / most) ** panel["options"]["color"]["exponent"]))]
                parts.append(rect(Box(axes.x(at), y + 0.5, max(1.0, width - 1), height - 1), shade))
    colour = panel["options"]["exemplars"]["color"]
    places = {_dot(one, axes, bounds, height) for one in dots if span.begin <= one.at <= span.end}
    return [
        *parts,
        *(tag("path", d=place, fill=colour, stroke="#111217", stroke_width=0.5) for place in sorted(places)),
    ]


def _between(buckets: Sequence[Answer]) -> list[Mapping[float, float]]:
    layers: list[Mapping[float, float]] = []
    below: Mapping[float, float] = {}
    for bucket in buckets:
        counted = dict(bucket.points)
        layers.append({at: max(0.0, value - below.get(at, 0.0)) for at, value in counted.items()})
        below = counted
    return layers


def _dot(one: Exemplar, axes: Axes, bounds: Sequence[float], height: float) -> str:
    """A small diamond in the middle of its bucket, on a raster of time."""
    number = next(index for index, bound in enumerate(bounds) if one.seconds <= bound)
    x = axes.box.x + DOTS * ((axes.x(one.at) - axes.box.x) // DOTS) + DOTS / 2
    y = axes.box.y + axes.box.h - height * (number + 0.5)
    return f"M{x:.1f} {y - 3:.1f}l3 3l-3 3l-3-3z"
