"""Grafana's variables in a text, filled in. Pure.

- Several chosen values, or All without a value of its own, become a regular expression; a chosen value of our own is
  taken as it is.
- `$__rate_interval` is what Grafana makes of it: four scrapes, or a step and a scrape, whichever is longer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_NAME = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))")


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """The time of a picture, in seconds since the epoch, and how finely it is looked at, in seconds."""

    begin: float
    end: float
    step: float
    scrape: float

    @property
    def variables(self) -> dict[str, str]:
        """Grafana's own variables for this time."""
        rate = max(self.step + self.scrape, 4 * self.scrape)
        seconds = {"__interval": self.step, "__rate_interval": rate, "__range": self.end - self.begin}
        return {name: f"{math.ceil(value)}s" for name, value in seconds.items()}


def expand(text: str, values: Mapping[str, str]) -> str:
    """The text with its variables filled in; KeyError names one that is not known."""
    return _NAME.sub(lambda found: values[found[1] or found[2]], text)


def chosen(board: Mapping[str, Any]) -> dict[str, str]:
    """What the board's variables begin with, as they stand in a query."""
    return {one["name"]: _first(one) for one in board["templating"]["list"]}


def _first(variable: Mapping[str, Any]) -> str:
    value = variable.get("current", {}).get("value", "")
    values = value if isinstance(value, list) else [value]
    if "$__all" in values:
        return str(variable["allValue"])
    return "|".join(values) if len(values) < 2 else f"({'|'.join(values)})"
