"""`probe watch` as a process: settings to a workshop, signals to a polite end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from probe.model import Clock, Endpoint, Round, Wanted, Watched
from probe.service.budget import Budgets
from probe.service.clock import steady_clock
from probe.service.limits import raise_limit
from probe.service.outfit import outfitted
from probe.service.vigil.vigil import Show, Vigil
from probe.settings import Settings, targets

Handler = Callable[[int, FrameType | None], Any] | int | None

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

ONE_SIGNAL = 0.5
"""Seconds within which signals are one: timeout(1) sends its own to the process, and then to that one's group."""


@dataclass(frozen=True, slots=True)
class Done:
    """What was seen, and the baseline as a round of sessions. `ended_by`: the signal that ended it, if one did.

    `shift`: seconds by which the wall clock was set meanwhile.
    """

    watched: Watched
    baseline: Round
    ended_by: int | None = None
    shift: float = 0.0


def chosen_of(settings: Settings, paths: Sequence[str]) -> list[Endpoint]:
    """The endpoints of these paths; all, if none is named."""
    return [endpoint for endpoint in targets(settings) if not paths or endpoint.path in paths]


async def watch(settings: Settings, paths: Sequence[str], wanted: Wanted, show: Show) -> Done:
    """Watch the endpoints of these paths; all, if none is named. Raises UnusableCaFile before the first packet."""
    chosen = chosen_of(settings, paths)
    raise_limit()
    clock = steady_clock()
    stage: list[Callable[[Endpoint, str], None]] = []
    signals: list[int] = []
    stop = asyncio.Event()
    progress = _to_the_last(stage)
    async with outfitted(settings, chosen, clock, progress=progress) as workshop:
        workshop.learnt.budgets = Budgets(None if wanted.no_limit else settings.schedule.max_sessions_per_minute)
        workshop.survey.only_read()
        vigil = Vigil(chosen, workshop, wanted, settings.vantage.name)
        stage.append(vigil.stage)
        with _signals(stop, signals):
            watched = await vigil.run(stop, show)
    return Done(watched, vigil.baseline_round, signals[0] if signals else None, clock.shift)


def _to_the_last(stages: list[Callable[[Endpoint, str], None]]) -> Callable[[Endpoint, str], None]:
    def progress(endpoint: Endpoint, stage: str) -> None:
        for told in stages[-1:]:
            told(endpoint, stage)

    return progress


@contextmanager
def _signals(stop: asyncio.Event, got: list[int]) -> Iterator[None]:
    """The first signal ends the watch politely, one after ONE_SIGNAL at once. What is ignored (`nohup`) stays so."""
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in STOPPING}
    heeded = [number for number in STOPPING if before[number] is not signal.SIG_IGN]

    def give_back(after: float = 0.0) -> None:
        for number in heeded:
            loop.remove_signal_handler(number)
            signal.signal(number, _from(loop.time() + after, loop.time, before[number]))

    def end(number: int) -> None:
        got.append(number)
        stop.set()
        give_back(after=ONE_SIGNAL)

    for number in heeded:
        loop.add_signal_handler(number, end, number)
    try:
        yield
    finally:
        if not got:
            give_back()


def _from(moment: float, clock: Clock, heeds: Handler) -> Handler:
    """What heeds a signal from a moment on, and not before: a report is being written then."""

    def heed(number: int, frame: FrameType | None) -> None:
        if clock() >= moment and callable(heeds):
            heeds(number, frame)

    return heed if callable(heeds) else heeds
