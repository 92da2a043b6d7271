"""Plays faults before two real daemons and a real Prometheus, and draws what the Grafana dashboard shows of them.

    python bench/draw_dashboard.py docs/dashboard.svg [--speed 1]

Rule 1: nothing is made up: verdicts are those of sessions to the demo's mail world, answers Prometheus's own.
Rule 2: the queries are those of dashboards/mailprobe.json, see dashboards/picture. No Grafana takes part.
Rule 3: the play lasts ten minutes at speed 1.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from dashboards.picture.__main__ import draw  # noqa: E402 - needs the path above
from dashboards.picture.expand import Span  # noqa: E402
from probe.demo.scenes import Scene  # noqa: E402
from tests.deploy.dashboard_stage import AT_HOME, FOLLOWED, MOVED, staged  # noqa: E402

PLAY = (
    (Scene.STRAIGHT, AT_HOME, 120.0),
    (Scene.SILENT, MOVED, 60.0),
    (Scene.STRAIGHT, FOLLOWED, 120.0),
    (Scene.HEADER_MISSING, FOLLOWED, 50.0),
    (Scene.STRAIGHT, FOLLOWED, 100.0),
    (Scene.BEHIND_NODE, FOLLOWED, 150.0),
)
"""What the network does, what stands around it, for how many seconds."""

EVERY = 5.0
"""Seconds between two sessions of an endpoint, and between two scrapes."""


async def play(out: Path, speed: float) -> None:
    """Play, ask, draw."""
    with TemporaryDirectory(prefix="mailprobe-dashboard-") as folder:
        every = EVERY / speed
        interval = f"{every * 1000:.0f}ms"
        async with staged(Path(folder), "lan-probe", "office", scrape=every, interval=interval, jitter="10%") as stage:
            begun = time.time()
            for scene, around, seconds in PLAY:
                await stage.change_to(scene, around)
                print(f"{time.time() - begun:6.1f} s  {scene}", file=sys.stderr)
                await asyncio.sleep(seconds / speed)  # how long a scene lasts is what is played
            span = Span(begin=begun, end=time.time(), step=every, scrape=every)
            await asyncio.to_thread(draw, stage.prometheus, span, out)


def main() -> int:
    parser = argparse.ArgumentParser(description="What the Grafana dashboard shows, drawn.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--speed", type=float, default=1.0, help="plays so much faster")
    arguments = parser.parse_args()
    asyncio.run(play(arguments.out, arguments.speed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
