"""Draws the dashboard from a Prometheus that runs somewhere: `python -m dashboards.picture URL OUT.svg`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from dashboards.__main__ import FILE
from dashboards.picture.ask import AskError, Prometheus
from dashboards.picture.expand import Span, chosen
from dashboards.picture.page import page

POINTS = 300
"""Steps of a picture."""


def draw(url: str, span: Span, out: Path) -> None:
    """Ask for everything and write the picture."""
    board = json.loads(FILE.read_text(encoding="utf-8"))
    out.write_text(page(board, Prometheus(url, span, chosen(board))) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description="What the Grafana dashboard shows, drawn from a Prometheus.")
    parser.add_argument("url", help="http://127.0.0.1:9090")
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=360.0, help="how long the picture's time is")
    parser.add_argument("--end", type=float, default=time.time(), help="its end, seconds since the epoch; default: now")
    parser.add_argument("--scrape", type=float, default=15.0, help="seconds between two scrapes")
    arguments = parser.parse_args()
    seconds = arguments.minutes * 60
    step = max(arguments.scrape, seconds / POINTS)
    span = Span(begin=arguments.end - seconds, end=arguments.end, step=step, scrape=arguments.scrape)
    try:
        draw(arguments.url, span, arguments.out)
    except (AskError, OSError) as fault:
        print(f"not drawn: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
