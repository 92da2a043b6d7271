"""`probe --once`: rounds until ok or out of patience.

`--wait S` repeats rounds until every verdict is ok or S seconds have passed; the last round counts. Rounds keep to
schedule.max_sessions_per_minute, evenly, or waiting for a server would be what gets the probe refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from probe.model import Round, Severity
from probe.service.clock import steady_clock
from probe.service.cycle import run_round
from probe.service.outfit import outfitted
from probe.service.workshop import Progress
from probe.settings import Settings, targets

SHORTEST_PAUSE = 1.0
"""Seconds between two rounds at least; the last round of `--wait S` begins at S, whatever the pace."""


async def once(settings: Settings, paths: Sequence[str], wait: float, progress: Progress) -> Round:
    """Rounds over the endpoints of these paths; all, if none is named. Raises UnusableCaFile before the first."""
    chosen = [endpoint for endpoint in targets(settings) if not paths or endpoint.path in paths]
    clock = steady_clock()
    async with outfitted(settings, chosen, clock, progress=progress) as workshop:
        until = clock() + wait
        while True:
            done = await run_round(chosen, workshop, settings.vantage.name)
            connections = max((result.session.connections for result in done.results), default=1)
            due = done.started + connections * 60 / settings.schedule.max_sessions_per_minute
            if done.severity is Severity.OK or clock() + SHORTEST_PAUSE >= until:
                return done
            await asyncio.sleep(max(SHORTEST_PAUSE, min(due, until) - clock()))
