"""A state timeline: a strip for each answer, a block for each state, its word where it fits. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dashboards.picture.ask import Answer, Panel
from dashboards.picture.axes import Axes
from dashboards.picture.expand import Span
from dashboards.picture.look import SOFT, defaults, shown
from dashboards.picture.svg import Box, on, rect, text

NAMES = 0.26
"""Share of the width for names, at most."""


def strips(panel: Panel, answers: Sequence[Answer], box: Box, span: Span) -> list[str]:
    """All strips."""
    per_page = int(panel["options"].get("perPage") or len(answers))
    rows = list(answers)[:per_page]
    left = min(box.w * NAMES, 7 * max(len(one.legend) for one in rows) + 12)
    axes = Axes(box.inside(left, 0, 4, 18), span)
    height = axes.box.h / len(rows)
    parts = axes.times()
    for number, answer in enumerate(rows):
        y = axes.box.y + height * number
        size = min(12.0, height * 0.8)
        parts.append(text(box.x, y + height / 2 + size / 3, answer.legend, size=size, width=left - 6))
        parts.extend(_blocks(panel, answer, axes, Box(axes.box.x, y + height * 0.06, axes.box.w, height * 0.85)))
    if len(answers) > len(rows):
        parts.append(text(box.x, box.y + box.h, f"… {len(answers) - len(rows)} more", size=10, fill=SOFT))
    return parts


def _blocks(panel: Panel, answer: Answer, axes: Axes, row: Box) -> Iterator[str]:
    look = defaults(panel)
    for begin, end, value in _states(answer, axes.span):
        word, colour = shown(look, value)
        block = Box(axes.x(begin), row.y, max(1.0, axes.x(end) - axes.x(begin)), row.h)
        size = min(11.0, row.h * 0.7)
        yield rect(block, colour, stroke="#181b1f", stroke_width=1)
        yield text(block.x + 4, block.y + row.h / 2 + size / 3, word, size=size, fill=on(colour), width=block.w - 6)


def _states(answer: Answer, span: Span) -> Iterator[tuple[float, float, float]]:
    """(begin, end, value) of each state; a state ends where the next begins, or a step after its last point."""
    states: list[list[float]] = []
    for at, value in answer.points:
        if states and states[-1][2] == value and at - states[-1][1] < 1.5 * span.step:
            states[-1][1] = at
        else:
            if states and at - states[-1][1] < 1.5 * span.step:
                states[-1][1] = at
            states.append([at, at, value])
    for begin, end, value in states:
        yield begin, max(end, min(begin + span.step, span.end)), value
