"""A run as an SVG: panels one above the other, one line each, over the same minutes. Nothing but text is needed.

Readable on light and dark pages: it has its own background.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LEFT, RIGHT = 900, 70, 20
HEIGHT, GAP, TOP = 110, 44, 46
INK, LINE, GRID, GROUND = "#1b1f24", "#0b63ce", "#d5dae1", "#ffffff"

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One quantity: (minute, value) pairs; its axis begins at zero, so that what is flat looks flat."""

    title: str
    points: Points


@dataclass(frozen=True, kw_only=True, slots=True)
class Band:
    """A stretch of minutes in which something was the matter."""

    begin: float
    end: float
    colour: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """`marks`: minutes at which something was done, as (minute, colour); `legend`: (colour, words)."""

    title: str
    panels: Sequence[Panel]
    bands: Sequence[Band] = ()
    marks: Points | Sequence[tuple[float, str]] = ()
    legend: Sequence[tuple[str, str]] = ()

    def svg(self) -> str:
        """All of it."""
        height = TOP + len(self.panels) * (HEIGHT + GAP) + 24
        minutes = max(minute for panel in self.panels for minute, _ in panel.points)
        body = "\n".join(
            line for place, panel in enumerate(self.panels) for line in self._panel(panel, place, max(minutes, 1e-9))
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'font-family="system-ui, sans-serif" font-size="12" fill="{INK}">\n'
            f'<title>{escape(self.title)}</title>\n<rect width="{WIDTH}" height="{height}" fill="{GROUND}"/>\n'
            f"{self._legend()}\n{body}\n</svg>\n"
        )

    def _legend(self) -> str:
        parts, left = [f'<text x="{LEFT}" y="18" font-weight="600">{escape(self.title)}</text>'], LEFT
        for colour, words in self.legend:
            parts.append(f'<rect x="{left}" y="27" width="12" height="12" fill="{colour}"/>')
            parts.append(f'<text x="{left + 16}" y="37">{escape(words)}</text>')
            left += 30 + 7 * len(words)
        return "\n".join(parts)

    def _panel(self, panel: Panel, place: int, minutes: float) -> Iterator[str]:
        top, scale = TOP + place * (HEIGHT + GAP) + 18, (WIDTH - LEFT - RIGHT) / minutes
        most = _round_up(max(value for _, value in panel.points))
        floor = top + HEIGHT

        def along(minute: float) -> float:
            return round(LEFT + minute * scale, 1)

        for band in self.bands:
            wide = round((band.end - band.begin) * scale, 1)
            yield f'<rect x="{along(band.begin)}" y="{top}" width="{wide}" height="{HEIGHT}" fill="{band.colour}"/>'
        for share in (0, 0.5, 1):
            level = round(floor - share * HEIGHT, 1)
            yield f'<path d="M{LEFT} {level}H{WIDTH - RIGHT}" stroke="{GRID}"/>'
            yield f'<text x="{LEFT - 6}" y="{level + 4}" text-anchor="end">{share * most:g}</text>'
        for minute, colour in self.marks:
            yield f'<path d="M{along(minute)} {floor}v6" stroke="{colour}" stroke-width="2"/>'
        path = " ".join(f"{along(minute)},{round(floor - value / most * HEIGHT, 1)}" for minute, value in panel.points)
        yield f'<polyline points="{path}" fill="none" stroke="{LINE}" stroke-width="1.5"/>'
        yield f'<text x="{LEFT}" y="{top - 6}">{escape(panel.title)}</text>'
        for minute in _ticks(minutes):
            yield f'<text x="{along(minute)}" y="{floor + 18}" text-anchor="middle">{minute:g} min</text>'


def _ticks(minutes: float) -> list[float]:
    step = next(step for step in (0.5, 1, 2, 5, 10, 30, 60, 1e9) if minutes / step <= 8)
    return [step * number for number in range(1, int(minutes / step) + 1)]


def _round_up(value: float) -> float:
    """The next figure that is easy to read."""
    size = 1.0
    while size * 10 < value:
        size *= 10
    return next(size * step for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if size * step >= value or step == 10)
