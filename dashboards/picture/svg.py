"""SVG in a few words: elements as text, a box to draw in, text that is cut where it would not fit. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

FONT = "Inter, Helvetica, Arial, sans-serif"
WIDE = 0.55
"""Width of a character by its size, on average; a little more than it is, so that nothing is cut off by a border."""


@dataclass(frozen=True, slots=True)
class Box:
    """A place, in pixels."""

    x: float
    y: float
    w: float
    h: float

    def inside(self, left: float, top: float, right: float, bottom: float) -> Box:
        """Without its margins."""
        return Box(self.x + left, self.y + top, max(1.0, self.w - left - right), max(1.0, self.h - top - bottom))


def tag(name: str, *within: str, **attributes: object) -> str:
    """An element; `_` in the name of an attribute is a hyphen."""
    written = "".join(f' {key.strip("_").replace("_", "-")}="{_value(value)}"' for key, value in attributes.items())
    return f"<{name}{written}>{''.join(within)}</{name}>" if within else f"<{name}{written}/>"


def _value(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else escape(str(value))


def rect(box: Box, fill: str, **more: object) -> str:
    """A filled rectangle."""
    return tag("rect", x=box.x, y=box.y, width=box.w, height=box.h, fill=fill, **more)


def text(x: float, y: float, words: str, *, size: float = 12, fill: str = "#d5d7dc", **more: object) -> str:
    """One line of text; `width` cuts it to so many pixels."""
    width = more.pop("width", None)
    shown = words if width is None else cut(words, float(str(width)), size)
    return tag("text", escape(shown), x=x, y=y, font_size=size, fill=fill, **more) if shown else ""


def cut(words: str, width: float, size: float) -> str:
    """As much of the words as fits, or nothing."""
    most = int(width / (size * WIDE))
    if len(words) <= most:
        return words
    return f"{words[: most - 1]}…" if most > 3 else ""


def line(points: Iterable[tuple[float, float]], stroke: str, **more: object) -> str:
    """A line through points."""
    through = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return tag("polyline", points=through, fill="none", stroke=stroke, **more)


def on(ground: str) -> str:
    """Black or white, whichever is read better on this ground."""
    red, green, blue = (int(ground[at : at + 2], 16) for at in (1, 3, 5))
    return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "#ffffff"
