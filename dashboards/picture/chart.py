"""Lines, or areas on top of each other, over time, with a legend at the right. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dashboards.picture.ask import Answer, Panel
from dashboards.picture.axes import Axes, rounded_up
from dashboards.picture.expand import Span
from dashboards.picture.look import SOFT, colours, defaults, said
from dashboards.picture.svg import Box, line, rect, tag, text

LEGEND = 0.3
"""Share of the width for the legend."""

Points = dict[float, float]


def chart(panel: Panel, answers: Sequence[Answer], box: Box, span: Span) -> list[str]:
    """The whole panel. The greatest first in the legend, as in Grafana."""
    rows = sorted(((one, _finite(one)) for one in answers), key=lambda row: -max(row[1].values(), default=0.0))
    custom = defaults(panel).get("custom", {})
    stacked = custom.get("stacking", {}).get("mode") == "normal"
    grounds = _piled([points for _, points in rows], stacked=stacked)
    tops = [
        max((low.get(at, 0.0) + v for at, v in points.items()), default=0.0)
        for (_, points), low in zip(rows, grounds, strict=True)
    ]
    axes = Axes(box.inside(52, 6, box.w * LEGEND, 18), span, rounded_up(max(tops, default=0.0)))
    parts = [*axes.values(defaults(panel)["unit"]), *axes.times()]
    shades = colours(panel, [one.legend for one, _ in rows])
    draw = _areas if stacked else _lines
    for (_, points), low, shade in zip(rows, grounds, shades, strict=True):
        parts.extend(draw(axes, points, low, shade))
    return [*parts, *_legend(panel, rows, shades, box)]


def _finite(answer: Answer) -> Points:
    return {at: value for at, value in answer.points if math.isfinite(value)}


def _piled(rows: Sequence[Points], *, stacked: bool) -> list[Points]:
    """What lies below each row."""
    below: Points = {}
    grounds = []
    for points in rows:
        grounds.append(dict(below))
        if stacked:
            for at, value in points.items():
                below[at] = below.get(at, 0.0) + value
    return grounds


def _lines(axes: Axes, points: Points, _: Points, shade: str) -> list[str]:
    return [
        line([(axes.x(at), axes.y(points[at])) for at in run], shade, stroke_width=2, stroke_linejoin="round")
        for run in _runs(points, axes.span)
    ]


def _areas(axes: Axes, points: Points, low: Points, shade: str) -> list[str]:
    parts = []
    for run in _runs(points, axes.span):
        upper = [(axes.x(at), axes.y(low.get(at, 0.0) + points[at])) for at in run]
        lower = [(axes.x(at), axes.y(low.get(at, 0.0))) for at in reversed(run)]
        if any(points[at] for at in run):
            around = " ".join(f"{x:.1f},{y:.1f}" for x, y in [*upper, *lower])
            parts.append(tag("polygon", points=around, fill=shade, fill_opacity=0.6))
            parts.append(line(upper, shade, stroke_width=1.5))
    return parts


def _runs(points: Points, span: Span) -> list[list[float]]:
    """Moments without a gap between them."""
    runs: list[list[float]] = []
    for at in sorted(points):
        if runs and at - runs[-1][-1] < 1.5 * span.step:
            runs[-1].append(at)
        else:
            runs.append([at])
    return runs


def _legend(panel: Panel, rows: Sequence[tuple[Answer, Points]], shades: Sequence[str], box: Box) -> list[str]:
    unit = defaults(panel)["unit"]
    left, height = box.x + box.w * (1 - LEGEND) + 12, 16.0
    width = box.x + box.w - left
    ends = (left + width * 0.72, left + width)
    parts = [
        text(end, box.y + 10, name, size=10, fill=SOFT, text_anchor="end")
        for end, name in zip(ends, ("Last", "Max"), strict=True)
    ]
    fitting = int((box.h - 16) / height)
    for number, ((answer, points), shade) in enumerate(zip(rows[:fitting], shades, strict=False)):
        y = box.y + 14 + height * number
        numbers = (list(points.values())[-1], max(points.values())) if points else (math.nan, math.nan)
        parts.append(rect(Box(left, y + 5, 10, 4), shade))
        parts.append(text(left + 14, y + 11, answer.legend, size=10.5, width=width * 0.5 - 14))
        parts.extend(
            text(end, y + 11, said(value, unit), size=10.5, text_anchor="end")
            for end, value in zip(ends, numbers, strict=True)
        )
    return parts
