"""The whole board: panels on their grid, alerts marked on those over time, a line that says what this is."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from dashboards.picture.ask import Answer, Panel, Prometheus
from dashboards.picture.axes import Axes
from dashboards.picture.cells import cells
from dashboards.picture.chart import LEGEND, chart
from dashboards.picture.heat import heat
from dashboards.picture.look import CARD, EDGE, GROUND, LOUD, SOFT
from dashboards.picture.single import bars, number
from dashboards.picture.strips import strips
from dashboards.picture.svg import FONT, Box, line, rect, tag, text

WIDTH, COLUMN, ROW, TOP = 1440, 60, 30, 64
"""Pixels: of the page, of a column and a row of the grid, above it."""

Board = Mapping[str, Any]


def page(board: Board, asked: Prometheus) -> str:
    """The SVG."""
    height = TOP + ROW * max(one["gridPos"]["y"] + one["gridPos"]["h"] for one in board["panels"])
    alerts = [one for annotation in board["annotations"]["list"] for one in asked.annotations(annotation)]
    parts = [rect(Box(0, 0, WIDTH, height), GROUND), *_head(board, asked)]
    for panel in board["panels"]:
        parts.extend(_heading(panel) if panel["type"] == "row" else _panel(panel, asked, alerts))
    return tag(
        "svg",
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {height}",
        font_family=FONT,
        role="img",
        aria_label="The panels of the Grafana dashboard mailprobe, drawn from the answers of a Prometheus",
    )


def _head(board: Board, asked: Prometheus) -> list[str]:
    span = f"{_clock(asked.span.begin)} to {_clock(asked.span.end)} UTC"
    about = (
        f"Drawn by dashboards/picture from the answers to the panels' own queries; not a screenshot of Grafana. {span}"
    )
    return [
        text(16, 28, str(board["title"]), size=20, fill=LOUD, font_weight=600),
        text(16, 48, about, size=12, fill=SOFT),
    ]


def _clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(at))


def _place(panel: Panel) -> Box:
    at = panel["gridPos"]
    return Box(at["x"] * COLUMN, TOP + at["y"] * ROW, at["w"] * COLUMN, at["h"] * ROW).inside(4, 4, 4, 4)


def _heading(row: Panel) -> list[str]:
    box = _place(row)
    return [text(box.x + 12, box.y + 16, f"⌄ {row['title']}", size=14, fill=LOUD, font_weight=600)]


def _panel(panel: Panel, asked: Prometheus, alerts: Sequence[Answer]) -> list[str]:
    box = _place(panel)
    asked = asked.of(panel)
    inner = box.inside(12, 34, 12, 10)
    title = asked.said(panel["title"])
    answers = asked.answers(panel)
    frame = rect(box, CARD, rx=3, stroke=EDGE)
    head = text(box.x + 12, box.y + 20, title, size=13, fill=LOUD, font_weight=600, width=box.w - 24)
    if not answers:
        nothing = str(panel["fieldConfig"]["defaults"].get("noValue", "No data"))
        content = [text(inner.x, inner.y + 20, nothing, fill=SOFT)]
    else:
        content = [*_content(panel, answers, asked, inner), *_marks(panel, alerts, asked, inner)]
    return [tag("g", frame, head, *content, class_="panel")]


def _content(panel: Panel, answers: Sequence[Answer], asked: Prometheus, box: Box) -> list[str]:
    match panel["type"]:
        case "stat":
            return number(panel, answers, box)
        case "bargauge":
            return bars(panel, answers, box)
        case "state-timeline":
            return strips(panel, answers, box, asked.span)
        case "table":
            return cells(panel, answers, box)
        case "heatmap":
            return heat(panel, answers, asked.exemplars(panel), box, asked.span)
        case _:
            return chart(panel, answers, box, asked.span)


def _marks(panel: Panel, alerts: Sequence[Answer], asked: Prometheus, box: Box) -> list[str]:
    """Dashed lines where alerts began to fire, on lines over time as Grafana does."""
    if panel["type"] != "timeseries":
        return []
    axes = Axes(box.inside(52, 6, box.w * LEGEND, 18), asked.span)
    begins = {alert.points[0][0] for alert in alerts}
    bottom = axes.box.y + axes.box.h
    return [line([(axes.x(at), axes.box.y), (axes.x(at), bottom)], "#E66A00", stroke_dasharray="4 3") for at in begins]
