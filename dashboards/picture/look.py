"""How a value looks in a panel: its words and its colour, by mappings, thresholds, units and overrides. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from dashboards.picture.ask import Panel

GROUND, CARD, EDGE, SOFT, LOUD = "#111217", "#181b1f", "#2a2e35", "#9aa0a8", "#e4e6ea"
CLASSIC = ("#7CC4F5", "#E66A00", "#009E73", "#F0E442", "#C77CB5", "#0072B2", "#B4B9BF", "#C8102E")
"""Lines without a colour of their own."""

CALM = "#7CC4F5"


def defaults(panel: Panel) -> Mapping[str, Any]:
    """What holds for every field of the panel."""
    fields: Mapping[str, Any] = panel["fieldConfig"]["defaults"]
    return fields


def column(panel: Panel, name: str) -> dict[str, Any]:
    """How the field of this name looks: overrides by name before what holds for all."""
    look: dict[str, Any] = {**defaults(panel), "displayName": name}
    for override in panel["fieldConfig"]["overrides"]:
        if override["matcher"] == {"id": "byName", "options": name}:
            look.update({one["id"]: one["value"] for one in override["properties"]})
    return look


def mapped(look: Mapping[str, Any], value: float) -> tuple[str, str] | None:
    """Word and colour of a value that has them by a value mapping."""
    for mapping in look.get("mappings", ()):
        found = mapping["options"].get(f"{value:g}")
        if found:
            return found["text"], found["color"]
    return None


def by_threshold(look: Mapping[str, Any], value: float) -> str:
    """The colour of the last threshold that the value reaches."""
    colour = SOFT
    for step in look["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            colour = step["color"]
    return colour


def shown(look: Mapping[str, Any], value: float) -> tuple[str, str]:
    """Word and colour of a value."""
    return mapped(look, value) or (said(value, look["unit"]), by_threshold(look, value))


def said(value: float, unit: str) -> str:
    """A value in its unit."""
    return "–" if math.isnan(value) else UNITS.get(unit, _short)(value)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 100 else f"{value:.3g}"


def _seconds(value: float) -> str:
    for size, name in ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms")):
        if abs(value) >= size:
            return f"{value / size:.3g} {name}"
    return "0 s" if value == 0 else f"{value * 1e6:.3g} µs"


def _days(value: float) -> str:
    return f"{value:,.0f} d" if abs(value) >= 10 else f"{value:.1f} d"


UNITS: Mapping[str, Callable[[float], str]] = {
    "s": _seconds,
    "d": _days,
    "percentunit": lambda value: f"{100 * value:.1f}%",
    "cpm": lambda value: f"{_short(value)}/min",
    "bool_yes_no": lambda value: "Yes" if value else "No",
}


def colours(panel: Panel, names: list[str]) -> list[str]:
    """A colour for each line: its own, or the next of the classic ones."""
    own = [column(panel, name).get("color") for name in names]
    return [
        str(one["fixedColor"]) if one and one.get("mode") == "fixed" else CLASSIC[number % len(CLASSIC)]
        for number, one in enumerate(own)
    ]
