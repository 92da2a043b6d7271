"""Time from left to right, values from bottom to top, and the marks of both. Pure."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from dashboards.picture.expand import Span
from dashboards.picture.look import EDGE, SOFT, said
from dashboards.picture.svg import Box, line, text

MARKS = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720)
"""Minutes between two marks of time."""


@dataclass(frozen=True, slots=True)
class Axes:
    """A box whose width is a span of time and whose height are values from 0 to `top`."""

    box: Box
    span: Span
    top: float = 1.0

    def x(self, at: float) -> float:
        """Where a moment is."""
        return self.box.x + self.box.w * (at - self.span.begin) / (self.span.end - self.span.begin)

    def y(self, value: float) -> float:
        """Where a value is."""
        return self.box.y + self.box.h * (1 - min(value, self.top) / self.top)

    def times(self) -> list[str]:
        """Marks of time, in UTC."""
        minutes = (self.span.end - self.span.begin) / 60
        every = 60 * next((one for one in MARKS if minutes / one * 70 <= self.box.w), MARKS[-1])
        first = math.ceil(self.span.begin / every) * every
        below = self.box.y + self.box.h
        return [
            part
            for at in range(first, int(self.span.end) + 1, every)
            for part in (
                line([(self.x(at), self.box.y), (self.x(at), below)], EDGE),
                text(self.x(at), below + 14, time.strftime("%H:%M", time.gmtime(at)), size=10, fill=SOFT).replace(
                    "<text ", '<text text-anchor="middle" ', 1
                ),
            )
        ]

    def values(self, unit: str) -> list[str]:
        """Marks of values."""
        parts = []
        for share in (0.0, 0.5, 1.0):
            y = self.y(self.top * share)
            parts.append(line([(self.box.x, y), (self.box.x + self.box.w, y)], EDGE))
            parts.append(
                text(self.box.x - 6, y + 3, said(self.top * share, unit), size=10, fill=SOFT, text_anchor="end")
            )
        return parts


def rounded_up(value: float) -> float:
    """The next round number, for the top of an axis; 1 where there is nothing."""
    if value <= 0 or not math.isfinite(value):
        return 1.0
    size = 10.0 ** math.floor(math.log10(value))
    return next(size * step for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if size * step >= value * 0.999)
