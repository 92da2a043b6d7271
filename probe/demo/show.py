"""The demo on a terminal: the world and the walk, plugged into the product's own round and table."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from probe.demo.walk import NEXT_STEPS, Heading, walk
from probe.demo.world import demo_world
from probe.model import Round
from probe.report.progress import shown_progress
from probe.report.table import render
from probe.service.once import once
from probe.settings import load


async def show(console: Console) -> int:
    """Walk through all steps and say what to do next. Exit code 0: the demo has been shown, whatever it found."""

    def tell(part: str | Round) -> None:
        if isinstance(part, Round):
            render(part, console)
        else:
            console.print(Text(part, style="bold" if isinstance(part, Heading) else ""))

    async with demo_world() as world:
        await walk(world, judge_round=judge_round, tell=tell)
    tell(NEXT_STEPS)
    return 0


async def judge_round(config: Path) -> Round:
    """What `probe --once --config FILE` does."""
    settings = load(config, environment={}, hostname="demo")
    with shown_progress(sys.stderr) as progress:
        return await once(settings, (), 0.0, progress)
