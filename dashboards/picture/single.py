"""One number on coloured ground; bars from left to right. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.picture.ask import Answer, Panel
from dashboards.picture.look import EDGE, defaults, shown
from dashboards.picture.svg import Box, on, rect, text


def number(panel: Panel, answers: Sequence[Answer], box: Box) -> list[str]:
    """The value of the first answer."""
    word, colour = shown(defaults(panel), answers[0].latest)
    size = min(30.0, box.w / (len(word) * 0.72))
    middle = {"text_anchor": "middle", "font_weight": 600}
    return [
        rect(box, colour, rx=3),
        text(box.x + box.w / 2, box.y + box.h / 2 + size / 3, word, size=size, fill=on(colour), **middle),
    ]


def bars(panel: Panel, answers: Sequence[Answer], box: Box) -> list[str]:
    """A bar for each answer."""
    look = defaults(panel)
    height = box.h / len(answers)
    left = min(box.w * 0.4, 7 * max(len(one.legend) for one in answers) + 12)
    full = box.inside(left, 0, 76, 0)
    parts = []
    for row, answer in enumerate(answers):
        word, colour = shown(look, answer.latest)
        y, size = box.y + height * row, min(12.0, height * 0.8)
        share = (answer.latest - look["min"]) / (look["max"] - look["min"])
        parts.append(text(box.x, y + height / 2 + size / 3, answer.legend, size=size, width=left - 6))
        parts.append(rect(Box(full.x, y + 2, full.w, height - 4), EDGE))
        parts.append(rect(Box(full.x, y + 2, full.w * min(1.0, max(0.0, share)), height - 4), colour))
        parts.append(text(full.x + full.w + 8, y + height / 2 + size / 3, word, size=size, fill=colour, width=72))
    return parts
