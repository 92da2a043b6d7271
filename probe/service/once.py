"""`probe --once`: rounds until ok or out of patience.

`--wait S` repeats rounds until every verdict is ok or S seconds have passed; the last round counts. Rounds keep to
schedule.max_sessions_per_minute, evenly, or waiting for a server would be what gets the probe refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from probe.model import Round, Severity
from probe.service.clock import steady_clock
from probe.service.cycle import run_round
from probe.service.outfit import outfitted
from probe.service.workshop import Progress
from probe.settings import Settings, targets

SHORTEST_PAUSE = 1.0
"""Seconds between two rounds at least; the last round of `--wait S` begins at S, whatever the pace."""

NAMED = 8
"""Endpoints that are named while they are waited for."""


Say = Callable[[str], None]


async def once(
    settings: Settings, paths: Sequence[str], wait: float, progress: Progress, say: Say = lambda _: None
) -> Round:
    """Rounds over the endpoints of these paths; all, if none is named. Raises UnusableCaFile before the first.

    `say`: what is still waited for, after each round but the last.
    """
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
            say(f"waiting for {_not_ok(done)}; {until - clock():.0f} s left")
            await asyncio.sleep(max(SHORTEST_PAUSE, min(due, until) - clock()))


def _not_ok(done: Round) -> str:
    """Endpoints and their verdicts, the first few of many."""
    bad = [one for one in done.results if one.judgement.verdict.severity is not Severity.OK]
    named = [f"{one.session.endpoint} ({one.judgement.verdict})" for one in bad[:NAMED]]
    return ", ".join(named) + (f" and {len(bad) - NAMED} more" if len(bad) > NAMED else "")
